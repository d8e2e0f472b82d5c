"""A memory in one folder becomes a smaller one in another."""

from dataclasses import dataclass
from pathlib import Path

from memworld.datasets import EpisodeDataset
from memworld.distill.covering import Choice, DistillConfig, choose
from memworld.distill.curve import Curve, kept_of, latent_curve, picture_curve
from memworld.distill.pieces import remembered
from memworld.encoders import open_encoder
from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.storage import OnExisting
from memworld.store import open_memory, save_memory

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75)
"""Of all rows, at which curves are measured beside what is asked for and all."""


@dataclass(frozen=True, eq=False)
class Distilled:
    """A smaller memory, and how it was made.

    Attributes:
        memory: what is kept, as it is stored.
        choice: the pieces of the larger one in the order in which they are worth keeping.
        curves: errors against rows kept, if they were asked for.
    """

    memory: Memory
    choice: Choice
    curves: tuple[Curve, ...]


def distill(
    path: str | Path,
    output: str | Path,
    *,
    rows: int | None = None,
    share: float | None = None,
    config: DistillConfig | None = None,
    curve: bool = False,
    dataset: EpisodeDataset | None = None,
    seed: int = 0,
    on_existing: OnExisting = "error",
    progress: bool = False,
) -> Distilled:
    """Write those pieces of the memory in the folder `path` that cover it best into the folder `output`.

    Nothing is changed in `path`. The smaller memory is written in one change, so that an interrupt leaves either all
    of it or none.

    Args:
        path: the memory's folder.
        output: the smaller one's.
        rows: how many to keep at most.
        share: of all rows, as another way to say so.
        config: how pieces are cut and compared.
        curve: whether to measure the error in latents against rows kept.
        dataset: the memory's episodes and held-out ones, to measure the error in pictures as well; None does not.
        seed: of that measurement.
        on_existing: what to do if `output` holds something, see `storage.prepare_folder`; `resume` has no meaning.
        progress: whether to show bars.

    Raises:
        MemworldError: not one of rows and share is given, or there is nothing to leave out; a memory that
            cannot be read, or a folder that cannot be used.
    """
    if on_existing == "resume":
        raise MemworldError("a distillation is made in one go: use --overwrite, or name another folder")
    path, output = Path(path), Path(output)
    if path.resolve() == output.resolve():
        raise MemworldError(f"{output} is the memory itself: name another folder")
    memory, encoder = open_memory(path), open_encoder(path / "encoder")
    memory.check_encoder(encoder)
    size = _size(memory, rows, share)
    measured = sorted({size, *(int(part * len(memory)) for part in SHARES)}) if curve or dataset is not None else [size]
    choice = choose(memory, max(measured), config, progress)
    measured = [count for count in measured if count >= choice.pieces[0].rows]
    smaller = remembered(memory, kept_of(memory, choice, size))
    save_memory(smaller, output, on_existing, encoder=encoder)
    curves = [latent_curve(memory, choice, measured, config)] if curve else []
    if dataset is not None:
        curves.append(picture_curve(memory, choice, measured, encoder, dataset, seed=seed, progress=progress))
    return Distilled(smaller, choice, tuple(curves))


def _size(memory: Memory, rows: int | None, share: float | None) -> int:
    """How many rows to keep."""
    if (rows is None) == (share is None):
        raise MemworldError("say how much to keep: a number of rows, or a share of them")
    if share is not None:
        if not 0 < share < 1:
            raise MemworldError(f"a share to keep is above 0 and below 1, got {share}")
        rows = int(share * len(memory))
    assert rows is not None
    if not 0 < rows < len(memory):
        raise MemworldError(f"the memory has {len(memory)} rows: keep at least 1 and fewer than that, not {rows}")
    return rows
