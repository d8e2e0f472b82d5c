"""What a format of recorded episodes is, and what its reader is asked and its writer does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.storage import OnExisting

MOST_PIXELS = 8192
"""The most pixels that a side of a frame may be resized to."""


@dataclass(frozen=True)
class ReadOptions:
    """How to read what a format leaves open.

    Attributes:
        size: (H, W) to which frames are resized as they are read, by averaging over areas; None
            keeps them as they are.
        camera: which of several videos to take, of formats that have several; None takes the only one.
        frame_after_action: of data with one frame for each action, whether that frame is the one
            that the action led to; otherwise it is the one in which the action was chosen.
        most_steps: cut longer episodes into pieces of at most so many steps, so that none of them
            need be in memory as a whole where the format can be read in parts; None cuts nothing.

    Raises:
        MemworldError: a size below 1 or above `MOST_PIXELS`, or `most_steps` below 1.
    """

    size: tuple[int, int] | None = None
    camera: str | None = None
    frame_after_action: bool = False
    most_steps: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not (len(self.size) == 2 and 1 <= min(self.size) <= max(self.size) <= MOST_PIXELS):
            raise MemworldError(
                f"size {str(self.size)[:60]} is no (height, width) of 1 to {MOST_PIXELS}: give two numbers, as 64x64"
            )
        if self.most_steps is not None and self.most_steps < 1:
            raise MemworldError(f"most_steps is {self.most_steps}: an episode needs at least one step")

    @property
    def action_left_out(self) -> str:
        """Of data with one frame for each action, the action of each episode that has no place in it."""
        which, why = ("first", "was chosen in") if self.frame_after_action else ("last", "led to")
        return f"the {which} action of each episode with a frame for each action: it {why} a frame that is not there"


class EpisodeWriter(Protocol):
    """Writes episodes one at a time; a context manager.

    It is made with a path, a `DatasetInfo` and what to do if something is there. Until it is closed,
    no other memworld may write there. Leaving the `with` block without an exception completes the
    data set; with one, `on_existing="resume"` goes on where it stopped, and what a format keeps
    whole or not at all stays as it was.
    """

    @property
    def entries(self) -> tuple[EpisodeEntry, ...]:
        """What is known of the episodes that are written, in order: id, steps and source."""

    def append(self, episode: Episode) -> None:
        """Write one episode.

        Raises:
            MemworldError: it does not fit the data set, its id is taken, or the disk refuses it.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True)
class Format:
    """A format of recorded episodes.

    Attributes:
        name: what `memworld convert --to` calls it.
        title: what it is, in a few words.
        found: whether a path, as the user gave it, holds episodes in this format; quick, without the
            libraries that it may need.
        open: opens them; episodes are loaded one at a time, when asked for. Raises a MemworldError
            if they are damaged, of a version or with spaces that memworld does not read, or if a
            library is missing.
        writer: makes a writer; None if the format can only be read.
        cameras: whether a data set may have several, of which `ReadOptions.camera` chooses.
            It holds all of an `Episode` and of a `DatasetInfo`, or refuses them.
    """

    name: str
    title: str
    found: Callable[[Path], bool]
    open: Callable[[Path, ReadOptions], EpisodeDataset]
    writer: Callable[[Path, DatasetInfo, OnExisting], EpisodeWriter] | None = None
    cameras: bool = False
