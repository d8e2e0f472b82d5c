"""Several indexes as one: the answers of parts that share no row are merged, exactly."""

from collections.abc import Sequence

import torch

from memworld.search import Matches


def merge(parts: Sequence[Matches], width: int) -> Matches:
    """The best `width` rows of several answers to the same queries; ties go to the lower row.

    Args:
        parts: (Q, K_i) answers of parts of memory that share no row, in rows of the whole memory.
        width: K of the answer. Where fewer rows were found in all, places are filled as `Matches` says.
    """
    rows, distances, penalties = (torch.cat(columns, 1) for columns in zip(*(p.columns for p in parts), strict=True))
    missing = max(0, width - rows.shape[1])
    rows = torch.nn.functional.pad(rows, (0, missing), value=-1)
    distances = torch.nn.functional.pad(distances, (0, missing), value=torch.inf)
    penalties = torch.nn.functional.pad(penalties, (0, missing))
    # Two stable sorts rank by cost, then by row.
    by_row = rows.masked_fill(rows < 0, torch.iinfo(torch.int64).max).argsort(dim=1, stable=True)
    by_cost = (distances + penalties).gather(1, by_row).argsort(dim=1, stable=True)
    best = by_row.gather(1, by_cost)[:, :width]
    return Matches(rows.gather(1, best), distances.gather(1, best), penalties.gather(1, best))
