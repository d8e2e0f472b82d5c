"""What was predicted of memory's own moments while analogues were fitted: what others can learn from."""

import torch
from torch import Tensor

from memworld.analogues.keys import moments
from memworld.memory import Rows


class Lessons:
    """Predictions of sampled rows, each made from the threads of other episodes, by matrices fitted on others."""

    def __init__(self) -> None:
        """Start with none."""
        self.rows = torch.zeros(0, dtype=torch.int64)
        """(R,) the sampled rows, ascending."""
        self._means: list[Tensor] = []

    def add(self, rows: Tensor, means: Tensor) -> None:
        """Take the predictions (r, D) for one more step ahead, of those rows whose episodes last so long."""
        if not self._means:
            self.rows = rows
        whole = means.new_full((len(self.rows), means.shape[1]), torch.nan)
        whole[torch.searchsorted(self.rows, rows)] = means
        self._means.append(whole)

    @property
    def means(self) -> Tensor:
        """(R, T, D), NaN where an episode has ended."""
        return torch.stack(self._means, 1) if self._means else torch.zeros(0, 0, 0)

    def batch(self, rows: Rows, some: Tensor, context: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Some of the lessons (B,), with what came.

        Returns:
            recent: (B, context, D) the moments themselves, the latest first.
            means: (B, T, D) what was predicted; 0 where nothing was.
            actions: (B, T, A) float32 features of the actions taken.
            true: (B, T, D) what came; what lies beyond an episode's end means nothing.
            known: (B, T) float32 1 where both are there, else 0.
        """
        means = torch.stack([step[some] for step in self._means], 1)
        known = (~means.isnan().any(2)).float()
        ahead = self.rows[some, None] + torch.arange(means.shape[1])
        last = len(rows.steps) - 1
        return (
            moments(rows, self.rows[some], context),
            means.nan_to_num(),
            rows.actions[ahead.clamp(max=last)].float(),
            rows.latents.mu[(ahead + 1).clamp(max=last)],
            known,
        )
