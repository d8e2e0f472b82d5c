"""How a moment is moving of which only one frame is known: as the recorded moments were that look like it."""

from collections.abc import Callable

import torch
from torch import Tensor

from memworld.analogues.blocks import Scale, cut
from memworld.analogues.keys import Basis
from memworld.gaussian import at_mean
from memworld.memory import Rows
from memworld.search import Candidates, Index, Query
from memworld.search.growing import GrownIndex, Run

_WHOLE = Scale(block=0, margin=0, components=128, threads=(5,))


class Motion:
    """What went before moments like a given one."""

    def __init__(
        self,
        rows: Rows,
        context: int,
        seed: int,
        make_index: Callable[[Candidates], Index],
        earlier: "Motion | None" = None,
    ) -> None:
        """Index what the rows look like that have a past of `context` - 1 steps; of a memory that has grown, the new.

        Args:
            rows: the memory's.
            context: moments in a past, with the present.
            seed: which rows are looked at for what varies.
            make_index: the L2 index of candidates.
            earlier: the same of rows that these have grown from; what it found to vary is kept.
        """
        self._means, self._context = rows.latents.mu, context
        blocks = cut((rows.latents.dim,), _WHOLE)
        self._basis: Basis = earlier._basis if earlier else Basis.fit(blocks, self._means, _WHOLE.components, seed)
        self._index: GrownIndex = GrownIndex.of(rows, self._known, make_index, earlier._index if earlier else None)

    def _known(self, run: Run) -> Candidates | None:
        """The rows of a run that have a past."""
        chosen = torch.nonzero(run.rows.steps >= self._context - 1)[:, 0]
        if len(chosen) == 0:
            return None
        keys = self._basis.keys(run.rows.latents.mu[:, None])[0]
        latents = at_mean(keys, torch.ones(1).expand_as(keys))
        return Candidates(latents, chosen, run.rows.episodes[chosen], run.rows.actions.new_zeros(len(chosen), 0))

    def before(self, present: Tensor) -> Tensor:
        """Of presents (Q, D), how the moments before them are likely to differ: (Q, context, D), the latest first.

        Nothing moves where no recorded moment has a past that long.
        """
        if len(self._index) == 0:
            return torch.zeros(len(present), self._context, present.shape[1])
        keys = self._basis.keys(present[:, None])[0]
        query = Query(at_mean(keys, torch.ones_like(keys)))
        rows = self._index.nearest(query, min(max(_WHOLE.threads), len(self._index))).rows
        past = self._means[rows[..., None] - torch.arange(self._context)]
        return (past - past[:, :, :1]).mean(1)
