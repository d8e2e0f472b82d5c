"""The forecasters of one memory: every scale with every number of threads that it follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from memworld.analogues.blocks import cut, usual_scales
from memworld.analogues.config import AnalogueConfig
from memworld.analogues.foresight import Sight
from memworld.analogues.keys import rows_left
from memworld.analogues.propagation import Case
from memworld.analogues.threads import Found, ScaleMemory
from memworld.memory import Rows
from memworld.search import Candidates, Index


@dataclass(frozen=True)
class Forecaster:
    """A number of threads at one scale, which has its number in `Panel.memories`."""

    scale: int
    threads: int


@dataclass(frozen=True, eq=False)
class Sources:
    """The recorded moments behind one predicted step of Q futures.

    Attributes:
        rows: (Q, K) int64 the memory rows whose successors were read, -1 where none.
        distances: (Q, K) float64 of their keys, when they were found.
        weights: (Q, K) float32 their shares in the whole picture.
        outcome: (Q, K) float32 their shares in reward and termination.
    """

    rows: Tensor
    distances: Tensor
    weights: Tensor
    outcome: Tensor


class Panel:
    """All forecasters, and the memory as each of them sees it."""

    def __init__(
        self,
        rows: Rows,
        latent_shape: tuple[int, ...],
        config: AnalogueConfig,
        make_index: Callable[[Candidates], Index],
        sights: Sequence[Sight] | None = None,
        before: "Panel | None" = None,
    ) -> None:
        """Make the keys of every scale and index them.

        Args:
            rows: the memory's.
            latent_shape: (d,) or (c, h, w).
            config: how.
            make_index: the L2 index of candidates.
            sights: of the scales; None learns them from the rows.
            before: the panel, with these sights, of rows that these have grown from: only what is new is indexed.

        Raises:
            MemworldError: scales that do not fit the latent.
        """
        scales = config.scales or usual_scales(latent_shape)
        self.rows, self.config, self.make_index = rows, config, make_index
        self.left = rows_left(rows)
        self._most = tuple(min(max(scale.threads), len(rows.candidates)) for scale in scales)
        self.forecasters = tuple(
            Forecaster(number, min(threads, self._most[number]))
            for number, scale in enumerate(scales)
            for threads in sorted(set(scale.threads))
        )
        memories = []
        for number, scale in enumerate(scales):
            blocks = cut(latent_shape, scale)
            sight = sights[number] if sights else Sight.fit(blocks, rows, scale, config.context, config.seed)
            old = before.memories[number] if before is not None else None
            memories.append(ScaleMemory(rows, blocks, sight, config.context, config.agreement, make_index, old))
        self.memories: tuple[ScaleMemory, ...] = tuple(memories)

    @cached_property
    def squares(self) -> Tensor:
        """(K, 4) int64: of each column of `Sources` the top, bottom, left and right of its block, in cells."""
        parts = [
            torch.tensor(memory.blocks.squares).repeat_interleave(most, 0)
            for memory, most in zip(self.memories, self._most, strict=True)
        ]
        return torch.cat(parts)

    def find(self, recent: Tensor, exclude: Tensor | None = None) -> list[Found]:
        """Search for moments (Q, context, D), the latest first, at every scale; see `ScaleMemory.find`."""
        return [memory.find(recent, most, exclude) for memory, most in zip(self.memories, self._most, strict=True)]

    def case(self, forecaster: Forecaster, found: list[Found], asked: Tensor) -> Case:
        """The forecaster's analogues after the actions (Q, steps, A)."""
        mine = found[forecaster.scale]
        analogue = self.memories[forecaster.scale].follow(mine, forecaster.threads, asked)
        return Case.of(mine, analogue, asked)

    def whole(self, forecaster: Forecaster, parts: Tensor) -> Tensor:
        """Blocks (P, Q, C) to whole latents (Q, D)."""
        return parts.transpose(0, 1).flatten(1)[:, self.memories[forecaster.scale].blocks.back]

    def sources(self, found: list[Found], threads: list[Tensor], shares: Tensor, steps: int) -> Sources:
        """Where a blend came from.

        Args:
            found: the searches that it rests on.
            threads: of each forecaster its threads' weights, (P, Q, k).
            shares: (E,) of the forecasters.
            steps: since the searches.
        """
        columns: list[list[Tensor]] = [[], [], [], []]
        for scale, mine in enumerate(found):
            shown, alike = torch.zeros_like(mine.distances), torch.zeros_like(mine.distances)
            for forecaster, share, weights in zip(self.forecasters, shares, threads, strict=True):
                if forecaster.scale == scale:
                    shown[..., : forecaster.threads] += share * weights
                    alike[..., : forecaster.threads] += weights
            row = mine.rows.clamp(min=0)
            read = row + self.left[row].clamp(max=steps) - 1
            counts = (mine.rows >= 0) & (alike > 0)
            # What happens to the whole is told by the first scale, usually that of the whole.
            decisive = alike / alike.sum((0, 2), keepdim=True) * (scale == 0)
            for column, values in zip(
                columns,
                (
                    torch.where(counts, read, -1),
                    torch.where(counts, mine.distances.double(), torch.inf),
                    shown / len(mine.rows),
                    decisive,
                ),
                strict=True,
            ):
                column.append(values.transpose(0, 1).flatten(1))
        return Sources(*(torch.cat(column, 1) for column in columns))
