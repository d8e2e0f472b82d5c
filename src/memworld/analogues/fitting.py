"""Fitting to a memory: each sampled row is predicted from all episodes but its own, and compared with what came.

Closed form throughout: least squares, and shares of a blend. No gradients, no epochs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from memworld.analogues.blend import Trust, shares
from memworld.analogues.config import AnalogueConfig
from memworld.analogues.foresight import Sight
from memworld.analogues.keys import moments, own, pieces
from memworld.analogues.lessons import Lessons
from memworld.analogues.panel import Panel
from memworld.analogues.propagation import Case, Propagation, fit
from memworld.analogues.threads import Found, joined

_AT_ONCE = 512
"""Sampled rows whose threads are followed at once."""

_FEWEST = 32
"""Rows in either half of the sample below which a step ahead is not fitted."""

_NEAREST = 5
"""Threads of the first scale whose mean distance says how well the present is known."""


@dataclass(frozen=True, eq=False)
class Horizon:
    """What is fitted for one number of steps ahead.

    Attributes:
        propagations: of each forecaster.
        shares: (E,) float32 of the forecasters in the blend.
        trust: how far off to expect to be.
    """

    propagations: tuple[Propagation, ...]
    shares: Tensor
    trust: Trust

    def blend(self, said: Tensor) -> Tensor:
        """The forecasters' predictions (E, Q, D) as one, (Q, D)."""
        return (self.shares[:, None, None] * said).sum(0)


@dataclass(frozen=True, eq=False)
class Fit:
    """All that is learned from a memory. What else analogues know is the memory itself.

    Attributes:
        sights: of the scales.
        horizons: what is fitted for 1, 2, ... steps ahead.
        rows: how many rows it was learned from.
    """

    sights: tuple[Sight, ...]
    horizons: tuple[Horizon, ...]
    rows: int


def fit_memory(panel: Panel, config: AnalogueConfig, progress: bool, lessons: Lessons | None = None) -> Fit:
    """Learn from a panel's memory; what was predicted of the sampled rows on the way is added to `lessons`."""
    sights = tuple(memory.sight for memory in panel.memories)
    return Fit(sights, tuple(_fit_horizons(panel, config, progress, lessons)), len(panel.rows.steps))


def _fit_horizons(panel: Panel, config: AnalogueConfig, progress: bool, lessons: Lessons | None) -> list[Horizon]:
    """What is fitted for 1, 2, ... steps ahead, as far as episodes are long enough, at least for 1."""
    rows = panel.rows
    apart = pieces(rows)
    order = torch.randperm(len(rows.candidates), generator=torch.Generator().manual_seed(config.seed))
    sample = rows.candidates[order[: config.samples]].sort().values
    # Halves of whole episodes, so that none is judged by what it taught.
    half = torch.unique(apart[sample], return_inverse=True)[1] % 2 == 0
    horizons: list[Horizon] = []
    if _enough(half):
        found = _without_own_episode(panel, sample, apart, config.context, progress)
        for steps in tqdm(range(1, config.horizon + 1), "fit analogues", disable=not progress):
            lasting = torch.nonzero(panel.left[sample] >= steps)[:, 0]
            if not _enough(half[lasting]):
                break
            mine = [f[lasting] for f in found]
            fitted, fair = _fit_one(panel, mine, sample[lasting], half[lasting], steps, config.carry)
            horizons.append(fitted)
            if lessons is not None:
                lessons.add(sample[lasting], fair)
    return horizons or [_unfitted(panel)]


def _enough(half: Tensor) -> bool:
    return min(int(half.sum()), int((~half).sum())) >= _FEWEST


def _without_own_episode(
    panel: Panel, sample: Tensor, apart: Tensor, context: int, progress: bool = False
) -> list[Found]:
    """The analogues of sampled rows, none in what the row itself belongs to."""
    parts = []
    for start in tqdm(range(0, len(sample), _AT_ONCE), "find analogues", disable=not progress):
        some = sample[start : start + _AT_ONCE]
        parts.append(panel.find(moments(panel.rows, some, context), apart[some]))
    return [joined(list(scale)) for scale in zip(*parts, strict=True)]


def _fit_one(
    panel: Panel, found: list[Found], sample: Tensor, half: Tensor, steps: int, carry: bool
) -> tuple[Horizon, Tensor]:
    """Fit one number of steps ahead; and what is said of the sample (R, D) by what was fitted on other episodes."""
    asked = panel.rows.actions[sample[:, None] + torch.arange(steps)].float()
    true = panel.rows.latents.mu[sample + steps]
    propagations, said = [], []
    for forecaster in panel.forecasters:
        parts = []
        for start in range(0, len(sample), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            parts.append(panel.case(forecaster, [f[some] for f in found], asked[some]))
        blocks = panel.memories[forecaster.scale].blocks
        case = Case.joined(parts)
        propagation, fair = fit(case, own(blocks, true), half) if carry else (Propagation.none(case), case.latent)
        propagations.append(propagation)
        said.append(panel.whole(forecaster, fair))
    together = torch.stack(said)
    best = shares(together - true)
    mu = (best[:, None, None] * together).sum(0)
    trust = Trust.fit(mu - true, circumstances(found, together, mu, best))
    return Horizon(tuple(propagations), best, trust), mu


def _unfitted(panel: Panel) -> Horizon:
    """For a memory too small to learn from: the threads' changes added to the present, equal shares for all."""
    propagations = []
    for forecaster in panel.forecasters:
        memory = panel.memories[forecaster.scale]
        inputs = memory.key_size + panel.rows.actions.shape[1] + 1
        propagations.append(Propagation(1.0, torch.zeros(len(memory.blocks), inputs, memory.blocks.own.shape[1])))
    count = len(propagations)
    trust = Trust(panel.rows.latents.mu.var(0, correction=0), torch.zeros(3), torch.ones(1), torch.zeros(2))
    return Horizon(tuple(propagations), torch.full((count,), 1 / count), trust)


def circumstances(found: list[Found], said: Tensor, mu: Tensor, weights: Tensor) -> Tensor:
    """What tells how far off a prediction may be, (Q, 2): how far its threads are, how far forecasters disagree."""
    distances = found[0].distances[..., :_NEAREST]
    known = torch.isfinite(distances)
    far = torch.where(known, distances, 0).sum((0, 2)) / known.sum((0, 2)).clamp(min=1)
    apart = (weights[:, None] * (said - mu).square().mean(2)).sum(0)
    return torch.stack([far, apart], 1)
