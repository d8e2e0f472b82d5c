"""Episodes to look at, as `play.chosen` chooses them, as videos and as strips of frames."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memworld.control.play import chosen
from memworld.evaluate.playing import Outcome
from memworld.formats import open_npz
from memworld.formats.video_frames import import_av, write_frames
from memworld.storage import make_folder

FRAMES_A_SECOND = 30
"""How fast the videos play."""

SIDE = 256
"""Pixels that the longer side of a video has at least."""

SHOWN = 8
"""Frames of a strip."""


@dataclass(frozen=True, eq=False)
class Reel:
    """One episode to look at.

    Attributes:
        way: the way to act.
        name: `best`, `middling` or `worst`, or where there is no such, `first` or `last`, or `only`.
        outcome: what came of it.
        steps: those that are shown.
        frames: uint8 (len(steps), H, W, C).
        video: its path, seen from the run's folder; "" where there is none.
    """

    way: str
    name: str
    outcome: Outcome
    steps: tuple[int, ...]
    frames: np.ndarray
    video: str


def reels(output: Path, outcomes: Mapping[str, list[Outcome]], videos: bool) -> Iterator[Reel]:
    """Show the chosen episodes of every way.

    Args:
        output: the run's folder; videos go into its `videos`.
        outcomes: by way, of the episodes in the folder's `episodes`.
        videos: whether to write videos.

    Raises:
        MemworldError: an episode is damaged, a video cannot be written, or PyAV is not installed.
    """
    if videos:
        import_av()  # before a folder is made
        make_folder(output / "videos")
    for way, played in outcomes.items():
        episodes = open_npz(output / "episodes" / way)
        for name, outcome in chosen(played):
            frames = episodes[outcome.number].observations
            steps = np.unique(np.linspace(0, outcome.steps, SHOWN).round().astype(int))
            video = f"videos/{way}-{name}.mp4" if videos else ""
            if video:
                write_frames(output / video, map(enlarged, frames), FRAMES_A_SECOND, lossless=False)
            yield Reel(way, name, outcome, tuple(steps.tolist()), frames[steps], video)


def enlarged(frame: np.ndarray) -> np.ndarray:
    """A frame whose longer side has `SIDE` pixels or more, each a square of the frame's own; its sides are even."""
    sides: Sequence[int] = frame.shape[:2]
    times = math.ceil(SIDE / max(sides))
    times += times % 2 if any(side * times % 2 for side in sides) else 0
    return frame.repeat(times, 0).repeat(times, 1)
