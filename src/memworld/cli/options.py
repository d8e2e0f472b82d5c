"""Options that several commands share, and what becomes of them."""

from pathlib import Path
from typing import Annotated

import typer

from memworld.datasets import EpisodeDataset
from memworld.errors import MemworldError
from memworld.formats import ReadOptions
from memworld.storage import OnExisting

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run of this command stopped.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run of this command wrote.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of everything that depends on chance.")]
Data = Annotated[Path, typer.Argument(help="Recorded episodes: a folder in a format that memworld reads.")]
MemoryPath = Annotated[Path, typer.Argument(metavar="MEMORY", help="Folder of a memory.")]
HeldOut = Annotated[
    int | None, typer.Option("--held-out", min=0, help="Episodes to hold out, by seed [default: a fifth].")
]
Strategy = Annotated[str, typer.Option("--strategy", help="analogues, hybrid, rollout, replay_l2 or replay_kl.")]
ModeOption = Annotated[
    str | None, typer.Option("--mode", help="requery, follow or reanchor [default: the strategy's].")
]
To = Annotated[str, typer.Option("--to", help="Format to write: npz, minari, minerl or video.")]
Size = Annotated[str | None, typer.Option("--size", metavar="HxW", help="Resize frames as they are read, as 64x64.")]
Camera = Annotated[str | None, typer.Option("--camera", help="Which video, where there are several.")]
FrameAfterAction = Annotated[
    bool,
    typer.Option(
        "--frame-after-action",
        help="Of data with as many frames as actions: a row's frame is what its action led to, not where it was taken.",
    ),
]
Cut = Annotated[
    int | None, typer.Option("--cut", metavar="STEPS", help="Cut longer episodes into pieces of at most so many steps.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


def on_existing(resume: bool, overwrite: bool) -> OnExisting:
    """What `--resume` and `--overwrite` ask for.

    Raises:
        MemworldError: both were given.
    """
    if resume and overwrite:
        raise MemworldError("--resume and --overwrite contradict each other: give one")
    return "resume" if resume else "overwrite" if overwrite else "error"


def read_options(size: str | None, camera: str | None, frame_after_action: bool, cut: int | None) -> ReadOptions:
    """What `--size`, `--camera`, `--frame-after-action` and `--cut` ask for.

    Raises:
        MemworldError: the size is not of the form HxW.
    """
    pixels = None
    if size is not None:
        try:
            height, width = map(int, size.lower().split("x"))
        except ValueError:
            raise MemworldError(f"size {size[:40]!r} is not of the form HxW, as 64x64") from None
        pixels = (height, width)
    return ReadOptions(pixels, camera, frame_after_action, cut)


def split(data: Path, held_out: int | None, seed: int) -> tuple[EpisodeDataset, EpisodeDataset]:
    """Open a data set and split it, by default a fifth held out; the same for the same seed."""
    from memworld.formats import open_dataset

    dataset = open_dataset(data)
    count = max(1, len(dataset) // 5) if held_out is None else held_out
    return (dataset, dataset[:0]) if count == 0 else dataset.split(count, seed)
