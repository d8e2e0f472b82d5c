import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memworld.analogues.blocks import Scale, cut, usual_scales
from memworld.errors import MemworldError


@given(channels=st.integers(1, 3), down=st.integers(1, 3), across=st.integers(1, 3), side=st.integers(1, 3))
def test_blocks_cover_every_place_once_and_are_put_back_where_they_were(
    channels: int, down: int, across: int, side: int
) -> None:
    shape = (channels, down * side, across * side)
    blocks = cut(shape, Scale(side, 1, 4, (1,)))
    assert len(blocks) == down * across
    assert blocks.own.flatten().sort().values.tolist() == list(range(channels * down * across * side * side))
    latent = torch.randn(5, channels * down * across * side * side)
    parts = latent[:, blocks.own]
    assert torch.equal(parts.flatten(1)[:, blocks.back], latent)


def test_a_block_sees_its_margin_and_beyond_the_edge_the_edge_again() -> None:
    blocks = cut((1, 4, 4), Scale(2, 1, 4, (1,)))
    assert blocks.own[0].tolist() == [0, 1, 4, 5]
    assert blocks.seen[0].tolist() == [0, 0, 1, 2, 0, 0, 1, 2, 4, 4, 5, 6, 8, 8, 9, 10]
    assert blocks.seen[3].tolist() == [5, 6, 7, 7, 9, 10, 11, 11, 13, 14, 15, 15, 13, 14, 15, 15]
    assert blocks.squares == ((0, 2, 0, 2), (0, 2, 2, 4), (2, 4, 0, 2), (2, 4, 2, 4))


def test_the_whole_is_one_block_of_a_vector_and_of_a_grid() -> None:
    for shape in ((6,), (2, 3, 1)):
        blocks = cut(shape, Scale(0, 0, 4, (1,)))
        assert blocks.seen.tolist() == blocks.own.tolist() == [list(range(6))]


def test_usual_scales_are_those_that_the_latent_can_be_cut_into() -> None:
    assert [s.block for s in usual_scales((32,))] == [0, 0]
    assert [s.block for s in usual_scales((4, 8, 8))] == [0, 0, 4, 2]
    assert [s.block for s in usual_scales((4, 4, 4))] == [0, 0, 2]
    assert [s.block for s in usual_scales((4, 5, 7))] == [0, 0]
    assert [s.block for s in usual_scales((4, 8, 16))] == [0, 0, 4, 2]
    for shape in ((32,), (4, 8, 8), (4, 5, 7), (2, 12, 4), (1, 2, 2)):
        for scale in usual_scales(shape):
            cut(shape, scale)


@pytest.mark.parametrize(
    ("shape", "block", "margin", "components", "threads"),
    [
        ((32,), 2, 0, 4, (5,)),
        ((4, 8, 8), 3, 0, 4, (5,)),
        ((4, 8, 8), -1, 0, 4, (5,)),
        ((4, 8, 8), 2, -1, 4, (5,)),
        ((4, 8, 8), 0, 1, 4, (5,)),
        ((4, 8, 8), 2, 1, 0, (5,)),
        ((4, 8, 8), 2, 1, 4, ()),
        ((4, 8, 8), 2, 1, 4, (5, 0)),
    ],
)
def test_scales_that_mean_nothing_are_refused(
    shape: tuple[int, ...], block: int, margin: int, components: int, threads: tuple[int, ...]
) -> None:
    with pytest.raises(MemworldError):
        cut(shape, Scale(block, margin, components, threads))
