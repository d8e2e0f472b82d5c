"""What the better of memory's agents do in a moment like the present: kernel ridge regression, in closed form.

The moments of the episodes that gathered most reward are the examples. Moments are compared by their
standardised latents, by how these move, and by what actions steer (`analogues.steering`), in which agents differ.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memworld.actions import ActionSpace, action_parts, column_scales
from memworld.analogues.keys import moments, rows_left
from memworld.analogues.steering import steered
from memworld.errors import MemworldError
from memworld.memory import Rows
from memworld.plan.kernel import KernelRegression
from memworld.plan.sequences import stored

CONTEXT = 2
"""Moments that are looked at."""

_CENTRES, _EXAMPLES = 2500, 12000
"""Recorded moments that an answer is a sum over, and that it is fitted to, at most."""

_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class _Looks:
    """How moments are compared: (Q, context * D) standardised, and what is steered."""

    mean: Tensor
    scale: Tensor
    to_steered: Tensor

    @classmethod
    def of(cls, rows: Rows, seed: int) -> "_Looks":
        every = torch.arange(len(rows))
        plain = torch.cat([_plain(moments(rows, part, CONTEXT)) for part in torch.split(every, _AT_ONCE)])
        mean, scale = plain.mean(0), plain.std(0) + 1e-6
        present = ((plain - mean) / scale)[:, : rows.latents.dim].float()
        to = steered(present[None], rows.actions, rows_left(rows), 1, seed)[0]
        return cls(mean, scale, to * plain.shape[1] ** 0.5)

    def __call__(self, recent: Tensor) -> Tensor:
        standard = (_plain(recent) - self.mean) / self.scale
        return torch.cat([standard, standard[:, : recent.shape[2]] @ self.to_steered], 1)


def _plain(recent: Tensor) -> Tensor:
    """Moments (Q, context, D), the latest first, as where things are and how they have moved since, float64."""
    return torch.cat([recent[:, 0], (recent[:, :-1] - recent[:, 1:]).flatten(1)], 1).double()


def good_rows(rows: Rows, best: float) -> Tensor:
    """(G,) int64, ascending: the rows of good play that have a successor.

    Args:
        rows: the memory's.
        best: share of the episodes that count as good, those of the highest return; at least one.

    Raises:
        MemworldError: a share outside 0 to 1.
    """
    if not 0 < best <= 1:
        raise MemworldError(f"best is {best}: use a share above 0, up to 1, of the episodes to learn from")
    gained = torch.zeros(int(rows.episodes[-1]) + 1, dtype=torch.float64)
    gained.index_add_(0, rows.episodes, rows.rewards.double())
    least = gained.sort(descending=True).values[max(1, round(best * len(gained))) - 1]
    return torch.nonzero(rows.has_successor & (gained >= least)[rows.episodes])[:, 0]


class Behaviour:
    """A policy in closed form: the actions that good episodes took, as a function of the latest moments."""

    @torch.no_grad()
    def __init__(self, rows: Rows, space: ActionSpace, best: float, seed: int = 0) -> None:
        """Fit it.

        Args:
            rows: the memory's.
            space: of its actions.
            best: share of the episodes to learn from, see `good_rows`.
            seed: which moments are examples and centres, where there are more than are taken.

        Raises:
            MemworldError: a share outside 0 to 1.
        """
        self.space = space
        self._looks = _Looks.of(rows, seed)
        chosen = good_rows(rows, best)
        examples = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))][:_EXAMPLES]
        self.rows = examples[:_CENTRES]
        """(C,) int64 the memory rows that answers are sums over."""
        inputs, taken = self._looks(moments(rows, examples, CONTEXT)), rows.actions[examples].double()
        self._regression = KernelRegression.fit(inputs, taken, _CENTRES)
        self._deviation = (taken - self._regression(inputs)).square().mean(0).sqrt()

    @torch.no_grad()
    def expected(self, recent: Tensor) -> Tensor:
        """(Q, F) float64 the action features to expect after moments (Q, context, D), the latest first.

        Where fewer are known than are looked at, things are taken to have stood still.
        """
        recent = recent[:, :CONTEXT]
        missing = CONTEXT - recent.shape[1]
        recent = torch.cat([recent, recent[:, -1:].expand(-1, missing, -1)], 1)
        return self._regression(self._looks(recent))

    def draw(self, recent: Tensor, rng: np.random.Generator, sharpness: float = 2.0) -> np.ndarray:
        """Draw actions (Q,) or (Q, A), in the stored form, for moments (Q, context, D).

        Args:
            recent: the moments, the latest first.
            rng: of the drawing.
            sharpness: the power to which the chances of choices are raised; deviations are divided by its root.
        """
        expected, scales = self.expected(recent).numpy(), column_scales(self.space)
        count = len(expected)
        columns = np.zeros((count, len(scales)))
        at = 0
        for part in action_parts(self.space):
            for offset, column in enumerate(range(part.columns.start, part.columns.stop)):
                width = int(part.choices[offset]) if part.discrete else 1
                told = expected[:, at : at + width]
                if part.discrete:
                    chances = told.clip(min=1e-3) ** sharpness
                    below = (chances / chances.sum(1, keepdims=True)).cumsum(1)
                    choice = (rng.random((count, 1)) > below).sum(1).clip(max=width - 1)
                    columns[:, column] = int(part.start[offset]) + choice
                else:
                    spread = float(self._deviation[at]) / sharpness**0.5
                    columns[:, column] = (told[:, 0] + spread * rng.standard_normal(count)) * scales[column]
                at += width
        return stored(columns, self.space)
