"""Merged answers against one sort of all that was found."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from memworld.search import Matches
from memworld.search.merging import merge

Found = tuple[float, int, float]
"""Cost, row, penalty."""


def table(found: list[list[Found]], width: int) -> Matches:
    """An answer to a query each, of at most `width` rows that are already in order."""
    rows = torch.full((len(found), width), -1)
    distances, penalties = torch.full(rows.shape, torch.inf).double(), torch.zeros(rows.shape).double()
    for query, answer in enumerate(found):
        for place, (cost, row, penalty) in enumerate(answer[:width]):
            rows[query, place], distances[query, place], penalties[query, place] = row, cost - penalty, penalty
    return Matches(rows, distances, penalties)


# Few costs, so that many tie; some are beyond float64, and yet those of a row.
answers = st.lists(st.tuples(st.sampled_from([0.0, 1.0, torch.inf]), st.sampled_from([0.0, 0.5])), max_size=6)


@given(
    found=st.lists(st.tuples(answers, answers), min_size=1, max_size=4),
    widths=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    width=st.integers(1, 14),
    order=st.randoms(),
)
def test_the_best_of_all_parts_ties_to_the_lower_row(
    found: list[tuple[list[tuple[float, float]], ...]], widths: tuple[int, int], width: int, order: object
) -> None:
    parts: list[list[list[Found]]] = [[], []]
    for both in found:
        numbers = list(range(20))
        order.shuffle(numbers)  # type: ignore[attr-defined]
        for part, own in zip(parts, both, strict=True):
            part.append(sorted((cost + penalty, numbers.pop(), penalty) for cost, penalty in own))
    shown = [[answer[:most] for answer in part] for part, most in zip(parts, widths, strict=True)]
    expected = [sorted(itertools.chain(*answers)) for answers in zip(*shown, strict=True)]
    merged = merge([table(part, most) for part, most in zip(parts, widths, strict=True)], width)
    for column, right in zip(merged.columns, table(expected, width).columns, strict=True):
        assert torch.equal(column, right)
