"""Numbers of every row of a memory, with room for those of the rows to come."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_ROOM = 1.25
"""Rows that there is room for, as a multiple of those there are. What is not filled takes up no memory yet."""

_AT_ONCE = 1 << 15
"""Rows whose numbers are made at once."""


@dataclass
class _Shelf:
    """What tables of a growing memory share.

    Attributes:
        numbers: (P, room, n).
        filled: rows that one of the tables holds.
    """

    numbers: Tensor
    filled: int


class Table:
    """Numbers (P, n) of each of N rows, made once."""

    def __init__(self, rows: int, make: Callable[[Tensor], Tensor], before: "Table | None" = None) -> None:
        """Make the numbers of all rows, or of those that are new.

        Args:
            rows: N.
            make: of rows (q,) int64 their numbers (P, q, n).
            before: the table of the first rows, which stays as it is; its numbers are not copied if there is room.
        """
        self.rows: int = rows
        self._shelf: _Shelf | None = None
        start = 0
        if before is not None and before._shelf is not None:
            self._shelf, start = before._shelf, before.rows
            if self._shelf.filled != start or self._shelf.numbers.shape[1] < rows:
                self._shelf = _roomy(before.numbers[:, :start], rows)
        for some in torch.split(torch.arange(start, rows), _AT_ONCE):
            made = make(some)
            self._shelf = self._shelf or _roomy(made[:, :0], rows)
            self._shelf.numbers[:, some[0] : some[-1] + 1] = made
            self._shelf.filled = int(some[-1]) + 1

    @property
    def numbers(self) -> Tensor:
        """(P, at least N, n); what comes after N rows means nothing."""
        assert self._shelf is not None
        return self._shelf.numbers


def _roomy(first: Tensor, rows: int) -> _Shelf:
    """Room for rows and more, with the numbers (P, r, n) of the first."""
    blocks, start, size = first.shape
    numbers = first.new_empty(blocks, round(_ROOM * rows), size)
    numbers[:, :start] = first
    return _Shelf(numbers, start)
