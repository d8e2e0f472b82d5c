import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from memworld.analogues.table import Table

_NUMBERS = torch.randn(2, 400, 3, generator=torch.Generator().manual_seed(0))


def numbers(some: Tensor) -> Tensor:
    return _NUMBERS[:, some]


@given(sizes=st.lists(st.integers(1, 90), min_size=1, max_size=8), at_once=st.integers(1, 50))
def test_a_table_that_grows_holds_what_one_made_at_once_does(sizes: list[int], at_once: int) -> None:
    table, made = None, []

    def make(some: Tensor) -> Tensor:
        made.extend(some.tolist())
        return numbers(some)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memworld.analogues.table._AT_ONCE", at_once)
        for rows in sorted(set(sizes)):
            table = Table(rows, make, table)
            assert torch.equal(table.numbers[:, :rows], _NUMBERS[:, :rows])
    assert made == list(range(max(sizes)))


def test_there_is_room_for_a_quarter_more_and_nothing_is_copied_into_it() -> None:
    first = Table(100, numbers)
    second = Table(125, numbers, first)
    assert second.numbers.data_ptr() == first.numbers.data_ptr()
    third = Table(126, numbers, second)
    assert third.numbers.data_ptr() != first.numbers.data_ptr()
    assert torch.equal(third.numbers[:, :126], _NUMBERS[:, :126])


def test_two_that_grow_from_one_do_not_meddle_with_each_other() -> None:
    first = Table(100, numbers)
    left = Table(110, numbers, first)
    right = Table(120, lambda some: -numbers(some), first)
    assert torch.equal(left.numbers[:, :110], _NUMBERS[:, :110])
    assert torch.equal(right.numbers[:, :100], _NUMBERS[:, :100])
    assert torch.equal(right.numbers[:, 100:120], -_NUMBERS[:, 100:120])
