"""Times one search, and checks what it answers."""

from collections.abc import Callable

import torch
from torch import Tensor

from memworld.bench.cases import Case
from memworld.bench.timing import Budget, median_seconds
from memworld.gaussian import DISTANCES, Latents
from memworld.retrieve import STRATEGIES
from memworld.search import Index, Matches, Query

_TOLERANCE = 1e-4
"""Share of 1 + distance by which float32 may have misled the literal formula."""


class WrongAnswers(RuntimeError):
    """A search answered otherwise than the literal formula: a defect, and its speed means nothing."""


def answer(index: Index, case: Case, queries: Latents) -> Matches:
    """Search as the case's strategy does."""
    return STRATEGIES[case.strategy].search(index, Query(queries), case.k)


def ms_per_query(
    search: Callable[[Latents], object], queries: Latents, batch: int, budget: Budget, device: str = "cpu"
) -> float:
    """Milliseconds per query of `search`, any function of latents, on a batch of the first queries."""
    asked = queries[torch.arange(batch) % len(queries)]
    return 1000 * median_seconds(lambda: search(asked), budget, device) / batch


def check_answers(matches: Matches, literal_rows: Tensor, queries: Latents, stored: Latents, metric: str) -> None:
    """Do nothing if the rows found are the literal formula's, and their distances too.

    The literal formula runs in float32, so where it prefers another row both may be equally near but
    for its rounding: there the two rows' distances, measured in float64, are compared instead.

    Args:
        matches: (Q, K) what the index found.
        literal_rows: (Q, K) what the literal formula found.
        queries: (Q, D).
        stored: (N, D) the memory.
        metric: a name in `gaussian.DISTANCES`.

    Raises:
        WrongAnswers: other rows, or other distances.
    """
    if matches.rows.shape != literal_rows.shape or not bool(matches.found.all()):
        raise WrongAnswers(f"found {list(matches.rows.shape)} rows, the literal formula {list(literal_rows.shape)}")

    def distances(rows: Tensor) -> Tensor:
        each = queries.double()[torch.arange(len(rows))[:, None].expand_as(rows)]
        return DISTANCES[metric](each, stored[rows].double())

    found, expected = distances(matches.rows), distances(literal_rows)
    allowed = _TOLERANCE * (1 + expected.abs())
    wrong = ((found - expected).abs() > allowed) | ((matches.distances - found).abs() > allowed)
    # Every row of an answer must be another one, or a near row could stand in for all.
    twice = matches.rows.sort(1).values.diff(dim=1) == 0
    if bool(wrong.any()) or bool(twice.any()):
        raise WrongAnswers(
            f"{metric}: {int(wrong.any(1).sum())} of {len(queries)} queries were not answered as literally"
        )


def recall(found: Tensor, exact: Tensor) -> tuple[float, float]:
    """The share of exact rows that were found, and of queries whose first row is the exact first; rows (Q, K)."""
    common = (found[:, :, None] == exact[:, None, :]).any(1)
    return float(common.double().mean()), float((found[:, 0] == exact[:, 0]).double().mean())
