"""How a moment is moving of which only one frame is known: as the recorded moments were that look like it."""

from collections.abc import Callable

import torch
from torch import Tensor

from memworld.analogues.blocks import Scale, cut
from memworld.analogues.keys import Basis
from memworld.gaussian import at_mean
from memworld.memory import Rows
from memworld.search import Candidates, Index, Query

_WHOLE = Scale(block=0, margin=0, components=128, threads=(5,))


class Motion:
    """What went before moments like a given one."""

    def __init__(self, rows: Rows, context: int, seed: int, make_index: Callable[[Candidates], Index]) -> None:
        """Index what the rows look like that have a past of `context` - 1 steps."""
        self._means, self._context = rows.latents.mu, context
        blocks = cut((rows.latents.dim,), _WHOLE)
        self._basis = Basis.fit(blocks, self._means, _WHOLE.components, seed)
        self._rows = torch.nonzero(rows.steps >= context - 1)[:, 0]
        self._index: Index | None = None
        if len(self._rows):
            keys = self._basis.keys(self._means[:, None])[0]
            latents = at_mean(keys, torch.ones(1).expand_as(keys))
            none = rows.actions.new_zeros(len(self._rows), 0)
            self._index = make_index(Candidates(latents, self._rows, rows.episodes[self._rows], none))

    def before(self, present: Tensor) -> Tensor:
        """Of presents (Q, D), how the moments before them are likely to differ: (Q, context, D), the latest first.

        Nothing moves where no recorded moment has a past that long.
        """
        if self._index is None:
            return torch.zeros(len(present), self._context, present.shape[1])
        keys = self._basis.keys(present[:, None])[0]
        query = Query(at_mean(keys, torch.ones_like(keys)))
        rows = self._index.nearest(query, min(max(_WHOLE.threads), len(self._rows))).rows
        past = self._means[rows[..., None] - torch.arange(self._context)]
        return (past - past[:, :, :1]).mean(1)
