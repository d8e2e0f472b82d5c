"""Which part of a latent a search looks at, and which part it then speaks for.

Joint states hardly ever repeat (ball times speed times two paddles), their parts do. So a grid of
latents is cut into square blocks, and each block finds moments in which it, with a margin around it,
looked and moved as it does now.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memworld.errors import MemworldError


@dataclass(frozen=True)
class Scale:
    """One way to cut a latent into blocks.

    Attributes:
        block: cells along a block's side; 0 for the whole latent, which is the only one that a vector has.
        margin: cells around a block that its search sees too.
        components: principal components in which one moment of a block is compared.
        threads: how many recorded moments to follow. Each number given is a forecaster of its own.
        places: of a search's squared distance, on average over memory, what is due to where the block is foretold
            to be.
        changes: what is due to how it is foretold to change.
        steering: what is due to how it differs in what actions steer (`steering`). The rest is due to the components
            themselves.
    """

    block: int
    margin: int
    components: int
    threads: tuple[int, ...]
    places: float = 0.4
    changes: float = 0.4
    steering: float = 0.0

    def __post_init__(self) -> None:
        if self.block < 0 or self.margin < 0 or self.components < 1:
            raise MemworldError(f"a scale has blocks and margins from 0 and components from 1, got {self}")
        if self.block == 0 and self.margin:
            raise MemworldError("there is no margin around the whole latent: leave it at 0")
        if not self.threads or min(self.threads) < 1:
            raise MemworldError(f"a scale follows at least one thread, got {self.threads}")
        if not (min(self.shares) >= 0 and sum(self.shares) <= 1):
            raise MemworldError(
                "places, changes and steering are shares of a distance, from 0 and together at most 1, "
                f"got {self.places}, {self.changes} and {self.steering}"
            )

    @property
    def shares(self) -> tuple[float, float, float]:
        """Of the squared distance: `places`, `changes`, `steering`."""
        return self.places, self.changes, self.steering


@dataclass(frozen=True, eq=False)
class Blocks:
    """The P blocks of one scale, as places in a latent of D numbers.

    Attributes:
        seen: (P, F) int64 what each block's search looks at; beyond the grid's edge, the edge again.
        own: (P, C) int64 what each block speaks for; together they are all D places, each once.
        squares: of each block its top, bottom, left and right in cells; (0, 1, 0, 1) for a vector.
    """

    seen: Tensor
    own: Tensor
    squares: tuple[tuple[int, int, int, int], ...]

    def __len__(self) -> int:
        """P."""
        return len(self.own)

    @property
    def back(self) -> Tensor:
        """(D,) int64: where each place of the latent is among all blocks' own, end to end."""
        return torch.argsort(self.own.flatten())


def cut(latent_shape: Sequence[int], scale: Scale) -> Blocks:
    """The blocks of a latent (d,) or (c, h, w).

    Raises:
        MemworldError: the blocks do not fill the grid, or the latent is a vector and has none.
    """
    places = torch.arange(math.prod(latent_shape))
    if scale.block == 0:
        side = latent_shape[1:] if len(latent_shape) == 3 else (1, 1)
        return Blocks(places[None], places[None], ((0, side[0], 0, side[1]),))
    if len(latent_shape) != 3 or latent_shape[1] % scale.block or latent_shape[2] % scale.block:
        raise MemworldError(
            f"latents {list(latent_shape)} cannot be cut into blocks of {scale.block}x{scale.block} cells: "
            "take a grid that they fill, or a scale of block 0"
        )
    _, height, width = latent_shape
    grid = places.reshape(*latent_shape)
    seen, own, squares = [], [], []
    for top in range(0, height, scale.block):
        for left in range(0, width, scale.block):
            bottom, right = top + scale.block, left + scale.block
            rows = torch.arange(top - scale.margin, bottom + scale.margin).clamp(0, height - 1)
            columns = torch.arange(left - scale.margin, right + scale.margin).clamp(0, width - 1)
            seen.append(grid[:, rows][:, :, columns].flatten())
            own.append(grid[:, top:bottom, left:right].flatten())
            squares.append((top, bottom, left, right))
    return Blocks(torch.stack(seen), torch.stack(own), tuple(squares))


def usual_scales(latent_shape: Sequence[int]) -> tuple[Scale, ...]:
    """The whole latent and, of a grid, its halves and quarters along either side, as far as they are cells of 2x2.

    The whole is searched twice: what moves most is found by how things will change, what stands by where they are.
    """
    whole = Scale(block=0, margin=0, components=128, threads=(5, 30), places=0.0, changes=0.9)
    scales = [whole, replace(whole, threads=(30,), places=0.9, changes=0.0)]
    if len(latent_shape) == 3:
        height, width = latent_shape[1:]
        for share, components in ((2, 96), (4, 48)):
            block = min(height, width) // share
            if block >= 2 and height % block == 0 and width % block == 0:
                scales.append(Scale(block, margin=1, components=components, threads=(5,)))
    return tuple(scales)
