"""THE LIBRARY'S OWN DYNAMICS: recorded analogues of the present, at several scales, and what became of them.

One search finds, for the whole latent and for each of its blocks, the moments that looked and moved as
the present does. Their recorded threads are followed as far as is asked (`threads.py`); what differed
at the start, and what differs between the actions taken there and those asked for, is carried on by
matrices that are fitted in closed form (`propagation.py`); and the scales are blended with the shares
that they earned on memory itself (`blend.py`). Nothing is iterated, so that errors do not compound, and
every number is a recorded one, or a recorded one moved by a stated amount.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.analogues.fitting import Fit, circumstances, fit_memory
from memworld.analogues.keys import moments, pieces
from memworld.analogues.lessons import Lessons
from memworld.analogues.motion import Motion
from memworld.analogues.panel import Panel, Sources
from memworld.analogues.threads import Found
from memworld.gaussian import SIGMA_FLOOR
from memworld.memory import Rows


@dataclass(frozen=True, eq=False)
class Step:
    """One predicted step of Q futures.

    Attributes:
        mu: (Q, D) float32.
        sigma: (Q, D) float32.
        sources: the recorded moments behind it.
        doubt: (Q,) float64 share of memory's own predictions that were expected to be better; 1 is worst.
    """

    mu: Tensor
    sigma: Tensor
    sources: Sources
    doubt: Tensor


class Analogues:
    """The analogues of one memory: fitted once, asked as often as one likes."""

    @torch.no_grad()
    def __init__(
        self,
        panel: Panel,
        progress: bool = False,
        lessons: Lessons | None = None,
        fit: Fit | None = None,
        before: "Analogues | None" = None,
    ) -> None:
        """Fit the forecasters of a panel to its memory.

        Args:
            panel: the forecasters.
            progress: whether to show a bar.
            lessons: takes what was predicted of memory's own moments on the way.
            fit: what was learned before, with the panel's bases; None learns it now.
            before: the analogues, with this fit, of rows that these have grown from.
        """
        self.panel, self.config = panel, panel.config
        self._motion: Motion | None = None
        self._earlier_motion: Motion | None = (before._motion or before._earlier_motion) if before is not None else None
        self.fit = fit or fit_memory(panel, self.config, progress, lessons)
        self.horizons = self.fit.horizons
        self.own_variance = _own_variance(panel.rows, before)
        """(D,) mean variance of a recorded posterior: as much is uncertain in a moment that has been seen."""

    @property
    def horizon(self) -> int:
        """Steps that can be predicted from one search; fewer than asked for where episodes are short."""
        return len(self.horizons)

    @torch.no_grad()
    def complete(self, recent: Tensor, known: Tensor) -> Tensor:
        """Moments as a search needs them: (Q, context, D), the latest first.

        Where the past is not known, the present is taken to have moved as the recorded moments had that
        look like it.

        Args:
            recent: (Q, at least 1, D) means, the latest first.
            known: (Q, the same) bool; the first always is.
        """
        context = self.config.context
        recent, known = recent[:, :context], known[:, :context]
        missing = context - recent.shape[1]
        known = torch.cat([known, known.new_zeros(len(known), missing)], 1)
        if bool(known.all()):
            return recent
        if self._motion is None:
            rows, make = self.panel.rows, self.panel.make_index
            self._motion = Motion(rows, context, self.config.seed, make, self._earlier_motion)
            self._earlier_motion = None
        recent = torch.cat([recent, recent[:, :1].expand(-1, missing, -1)], 1)
        return torch.where(known[..., None], recent, recent[:, :1] + self._motion.before(recent[:, 0]))

    @torch.no_grad()
    def recall(self, steps: Sequence[int], count: int) -> tuple[Tensor, Tensor]:
        """What would be predicted of memory's own moments if their episodes were not there.

        Args:
            steps: numbers of steps ahead, each at most `horizon`.
            count: of moments; fewer if so many have not that long a future.

        Returns:
            rows: (R,) int64 the moments.
            means: (T, R, D) what is predicted of the rows `steps` after them.
        """
        rows, apart = self.panel.rows, pieces(self.panel.rows)
        lasting = torch.nonzero(self.panel.left >= max(steps))[:, 0]
        if len(torch.unique(apart)) == 1:  # then nothing could be left out
            lasting = lasting[:0]
        order = torch.randperm(len(lasting), generator=torch.Generator().manual_seed(self.config.seed))
        chosen = lasting[order[:count]].sort().values
        if len(chosen) == 0:
            return chosen, rows.latents.mu.new_zeros(len(steps), 0, rows.latents.dim)
        found = self.panel.find(moments(rows, chosen, self.config.context), apart[chosen])
        asked = rows.actions[chosen[:, None] + torch.arange(max(steps))].float()
        return chosen, torch.stack([self.predict(found, asked[:, :ahead]).mu for ahead in steps])

    @torch.no_grad()
    def find(self, recent: Tensor) -> list[Found]:
        """Search for moments (Q, context, D), the latest first, at every scale; for one that all share only once."""
        if len(recent) > 1 and bool((recent == recent[:1]).all()):
            one = torch.zeros(len(recent), dtype=torch.int64)
            return [found[one] for found in self.panel.find(recent[:1])]
        return self.panel.find(recent)

    @torch.no_grad()
    def predict(self, found: list[Found], asked: Tensor) -> Step:
        """What follows the moments that were searched for, after the actions (Q, steps, A), at most `horizon`."""
        fitted = self.horizons[asked.shape[1] - 1]
        cases = [self.panel.case(forecaster, found, asked) for forecaster in self.panel.forecasters]
        said = torch.stack(
            [
                self.panel.whole(forecaster, propagation.correct(case))
                for forecaster, propagation, case in zip(
                    self.panel.forecasters, fitted.propagations, cases, strict=True
                )
            ]
        )
        mu = fitted.blend(said)
        how = circumstances(found, said, mu, fitted.shares)
        sigma = (
            (fitted.trust.expected(how)[:, None] * fitted.trust.variance + self.own_variance)
            .sqrt()
            .clamp(min=SIGMA_FLOOR)
        )
        sources = self.panel.sources(found, [case.weights for case in cases], fitted.shares, asked.shape[1])
        return Step(mu, sigma, sources, fitted.trust.doubt(how))


def _own_variance(rows: Rows, before: Analogues | None) -> Tensor:
    """The mean variance (D,) of rows; of those there were before it is known."""
    if before is None:
        return rows.latents.sigma.square().mean(0)
    known = len(before.panel.rows)
    total = before.own_variance.double() * known + rows.latents.sigma[known:].double().square().sum(0)
    return (total / len(rows)).float()
