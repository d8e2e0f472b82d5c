"""Which rows took the same action: told by a number made of the action's bits, and then by the action itself."""

import torch
from torch import Tensor


class Kinds:
    """The distinct actions of M candidates.

    Attributes:
        actions: (K, A) float64 the distinct ones.
        of: (M,) int64 which of them each candidate took.
    """

    def __init__(self, actions: Tensor) -> None:
        """Find the distinct ones among (M, A) features of actions, float64."""
        self._salt = 0
        while True:
            self._keys, self.of = torch.unique(self._key(actions), return_inverse=True)
            members = torch.arange(len(actions), device=actions.device)
            one_of_each = torch.empty_like(self._keys).scatter_(0, self.of, members)
            self.actions = actions[one_of_each]
            if bool((self.actions[self.of] == actions).all()):
                return
            self._salt += 1  # Two actions shared a number, which hardly ever happens.

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, asked: Tensor) -> Tensor:
        """The kinds (Q,) int64 of actions (Q, A), -1 where no candidate took that one."""
        place = torch.searchsorted(self._keys, self._key(asked.double())).clamp(max=len(self) - 1)
        return torch.where((self.actions[place] == asked).all(1), place, -1)

    def _key(self, actions: Tensor) -> Tensor:
        """(N, A) to (N,) int64. Whole numbers wrap around and add up to the same in any order."""
        # Adding 0 turns -0, which equals 0, into it.
        bits = (actions + 0.0).contiguous().view(torch.int64)
        place = torch.arange(1, actions.shape[1] + 1, device=actions.device)
        factors = ((place + self._salt * actions.shape[1]) * 0x1E3779B97F4A7C15) | 1
        mixed = (bits ^ (bits >> 29)) * factors
        return ((mixed ^ (mixed >> 32)) * factors).sum(1)
