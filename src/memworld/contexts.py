"""Contexts: a moment together with those before it, so that a search sees how things move.

No context reaches across an episode's start: before its first frame nothing is known to have moved,
and that frame stands for those before it.
"""

import torch
from torch import Tensor

from memworld.gaussian import Latents, at_mean
from memworld.memory import Rows
from memworld.rollout import History


def rows_back(rows: Rows, chosen: Tensor, count: int) -> Tensor:
    """The last `count` rows up to each chosen row (Q,), the latest first: (Q, count) int64."""
    back = torch.minimum(torch.arange(count), rows.steps[chosen][:, None])
    return chosen[:, None] - back


def recent_moments(history: History, count: int) -> Latents:
    """The last `count` moments of B histories, the latest first: (B, count, D).

    What is not known is taken to have been as the earliest moment that is.
    """
    known = history.known.flip(1)
    moments = torch.arange(known.shape[1])
    # Once a moment is known, so are all after it: the known ones are the latest.
    last = known.sum(1, keepdim=True) - 1
    back = torch.minimum(torch.arange(count), last)
    place = moments.flip(0)[back]
    return history.latents[torch.arange(len(known))[:, None], place]


def recorded_history(rows: Rows, chosen: Tensor, count: int) -> History:
    """The histories of recorded moments (Q,), of up to `count` moments each, as they were encoded: at their means."""
    known = torch.arange(count - 1, -1, -1) <= rows.steps[chosen][:, None]
    moments = rows.latents[rows_back(rows, chosen, count).flip(1)]
    return History(at_mean(moments.mu, moments.sigma), known)


def end_to_end(moments: Latents) -> Latents:
    """Contexts (Q, count, D) as the latents (Q, count * D) that are searched for; a single moment is itself."""
    return Latents(*(x.flatten(1) for x in (moments.mu, moments.sigma, moments.z)))
