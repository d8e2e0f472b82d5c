"""The paper's failure signatures, of one method's predictions on one episode.

Hallucination: the retrieved successors disagree. Mismatch: the nearest row is far from the query. Drift: the
prediction is further from the truth than the frame at the start. The first two need no truth, so a user can
see them while imagining.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from memworld.encoders import Encoder
from memworld.evaluate.methods import Method, Predicted
from memworld.evaluate.results import Strip
from memworld.evaluate.verdicts import LOW_SUPPORT
from memworld.evaluate.windows import Windows
from memworld.gaussian import concatenate
from memworld.memory import Rows
from memworld.pixels import moving_pixel_l1
from memworld.retrieve import STRATEGIES
from memworld.search import Query
from memworld.world_model import WorldModel

UNUSUAL = 0.95
"""Successors hallucinate where they disagree more than this share of those that memory's own moments retrieve."""

SAMPLES = 512
"""Moments of memory that are asked for that."""

SIGNATURES = ("hallucination", "mismatch", "drift")


@dataclass(frozen=True, eq=False)
class Seen:
    """What one method's predictions on one episode look like; NaN where a method has no such thing.

    Attributes:
        error: (S, H) moving-pixel L1 at the shown steps.
        disagreement: (S, T) of the retrieved successors.
        support: (S, T) quantile of the nearest distance.
        beyond: (S, T) root mean squared distance over latents of the predicted mean to the true one, less
            that of the start's.
        limit: above which a disagreement is a hallucination.
    """

    error: np.ndarray
    disagreement: np.ndarray
    support: np.ndarray
    beyond: np.ndarray
    limit: float

    @classmethod
    def of(
        cls,
        method: Method,
        windows: Windows,
        predicted: Predicted,
        rows: Rows,
        median: np.ndarray,
        shown: tuple[int, ...],
        limit: float,
    ) -> "Seen":
        """Look at predictions.

        Args:
            method: whose they are.
            windows: of the episode.
            predicted: the predictions.
            rows: of memory.
            median: uint8 (H, W, C) median picture of the training data.
            shown: the H steps at which errors are measured.
            limit: of disagreement, see `usual_disagreement`.
        """
        at = [step - 1 for step in shown]
        true, frames = (f[:, at].reshape(-1, *f.shape[2:]) for f in (windows.true_frames, predicted.frames))
        nothing = np.full((len(windows.starts), windows.horizon), np.nan)
        rollout = predicted.rollout
        return cls(
            error=moving_pixel_l1(true, frames, median).reshape(-1, len(at)),
            disagreement=nothing if rollout is None else disagreement(rows, rollout.rows),
            support=nothing if rollout is None else rollout.support.numpy(),
            # Persistence is what the others' drift is held against.
            beyond=nothing if method.name == "persistence" else drift(windows, predicted) - persistence(windows),
            limit=limit,
        )

    def with_disagreement(self, values: np.ndarray, limit: float) -> "Seen":
        """The same predictions, beside the disagreement of other rows."""
        return replace(self, disagreement=values, limit=limit)

    def shows(self, signature: str) -> np.ndarray:
        """(S, T): 1 where a prediction shows a signature, 0 where not, NaN where it cannot."""
        value, limit = {
            "hallucination": (self.disagreement, self.limit),
            "mismatch": (self.support, LOW_SUPPORT),
            "drift": (self.beyond, 0.0),
        }[signature]
        return np.where(np.isnan(value) | np.isnan(limit), np.nan, value > limit)


def drift(windows: Windows, predicted: Predicted) -> np.ndarray:
    """(S, T) root mean squared distance over latents of the predicted means to the true ones."""
    return _distance(predicted.latents.mu, windows)


def persistence(windows: Windows) -> np.ndarray:
    """(S, T) root mean squared distance over latents of the frame at the start to the true ones."""
    return _distance(windows.start_latents.mu[:, None], windows)


def _distance(mu: Tensor, windows: Windows) -> np.ndarray:
    return np.asarray(((mu - windows.true_latents.mu).double() ** 2).mean(2).sqrt().numpy())


def disagreement(rows: Rows, found: Tensor) -> np.ndarray:
    """How far retrieved successors lie apart: the root of their mean variance over latents.

    Args:
        rows: of memory.
        found: (..., K) int64 retrieved rows, -1 where there is none.

    Returns:
        float64 (...), of the successors' means; NaN where fewer than two rows were found.
    """
    there = (found >= 0)[..., None]
    successors = rows.latents.mu[found.clamp(min=0) + 1].double()
    count = there.sum(-2)
    centre = (successors * there).sum(-2, keepdim=True) / count[..., None].clamp(min=1)
    variance = (((successors - centre) * there) ** 2).sum(-2) / (count - 1).clamp(min=1)
    return np.asarray(torch.where(count[..., 0] > 1, variance.mean(-1).sqrt(), torch.nan).numpy())


def usual_disagreement(world: WorldModel, k: int, seed: int = 0) -> float:
    """The disagreement that few of memory's own moments exceed when their own episodes are left out.

    Asked as the strategy asks, whatever the action, for k rows where it takes a number of them. NaN where it
    takes a single one, or memory has too few episodes.
    """
    rows = world.memory.rows
    order = torch.randperm(len(rows.candidates), generator=torch.Generator().manual_seed(seed))
    chosen = rows.candidates[order[:SAMPLES]]
    query = Query(rows.latents[chosen], exclude_episode=rows.episodes[chosen])
    found = STRATEGIES[world.lookup.settings.strategy].search(world.lookup.index, query, min(k, len(rows.candidates)))
    values = disagreement(rows, found.rows)
    values = values[~np.isnan(values)]
    return float(np.quantile(values, UNUSUAL)) if len(values) else float("nan")


def nearby_disagreement(world: WorldModel, windows: Windows, predicted: Predicted, k: int) -> np.ndarray:
    """(S, T): how far the successors of the k rows nearest to each query of a requerying search lie apart."""
    # Each prediction is the next query.
    queries = concatenate([windows.start_latents, predicted.latents[:, :-1].flatten()])
    matches = world.lookup.index.nearest(Query(queries), min(k, len(world.memory.rows.candidates)))
    spread = disagreement(world.memory.rows, matches.rows)
    starts = len(windows.starts)
    return np.concatenate([spread[:starts, None], spread[starts:].reshape(starts, -1)], 1)


def auroc(bad: np.ndarray, good: np.ndarray) -> float:
    """How often a number of `bad` is above one of `good`, ties counting half; NaN where one has none."""
    import scipy.stats  # here and not above, as it is slow to import

    bad, good = bad[~np.isnan(bad)], good[~np.isnan(good)]
    if not (len(bad) and len(good)):
        return float("nan")
    return float(scipy.stats.mannwhitneyu(bad, good, method="asymptotic").statistic / (len(bad) * len(good)))


def strip_of(
    label: str,
    windows: Windows,
    predicted: Predicted,
    window: int,
    shown: tuple[int, ...],
    encoder: Encoder,
    rows: Rows,
) -> Strip:
    """A search's prediction, and the two of its retrieved successors that differ most, as the decoder shows them."""
    assert predicted.rollout is not None
    at = [step - 1 for step in shown]
    shots = [(label, predicted.frames[window, at].copy())]
    found = predicted.rollout.rows[window, at]
    if found.shape[1] > 1:
        pairs = torch.stack([_furthest_pair(rows, each[each >= 0]) for each in found])
        names = ("one retrieved successor", "the one that differs most from it")
        shots += [(name, encoder.decode(rows.latents.mu[pairs[:, i] + 1])) for i, name in enumerate(names)]
    start = int(windows.starts[window])
    truth = windows.true_frames[window, at]
    return Strip(windows.episode, start, shown, windows.start_frames[window], truth, tuple(shots))


def _furthest_pair(rows: Rows, found: Tensor) -> Tensor:
    """(2,) of the (K,) rows, those whose successors' means lie furthest apart."""
    successors = rows.latents.mu[found + 1].double()
    place = int(torch.cdist(successors, successors).argmax())
    return found[[place // len(found), place % len(found)]]
