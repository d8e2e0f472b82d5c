"""Recording what is played: as a video, and as episodes that can be remembered or browsed in turn."""

import contextlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from memworld.datasets import DatasetInfo
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats import NpzWriter, is_data_set, open_npz
from memworld.formats.video_frames import count_frames, import_av, write_frames
from memworld.play.film import side_by_side
from memworld.play.panels import Panel
from memworld.storage import make_folder

FORMS = ("mp4", "episodes")
"""What a recording can be written as."""

FRAMES_A_SECOND = 15
"""Of a video, unless it is told."""

_MOST_BYTES = 512 << 20
"""Of frames: a recording that has as many ends."""

_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}(\.mp4|-dreams|-real)")
"""What recordings are called: when they were made, a number against clashes, and what they are."""


@dataclass(eq=False)
class _Take:
    """One episode of one panel."""

    kind: str
    title: str
    source: dict[str, Any]
    frames: list[np.ndarray]
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    over: bool = False

    def episode(self, id: str) -> Episode:
        last = np.arange(len(self.actions)) == len(self.actions) - 1
        return Episode(
            id,
            np.stack(self.frames),
            np.stack(self.actions),
            np.array(self.rewards, np.float32),
            last & self.over,
            last & (not self.over),
            source=self.source,
        )


class Recorder:
    """Keeps what panels show until it is written."""

    def __init__(self, output: Path, info: DatasetInfo, forms: Sequence[str], fps: int = FRAMES_A_SECOND) -> None:
        """Begin.

        Args:
            output: the folder that recordings are written into; it is made when there is one to write.
            info: of the memory that is played in.
            forms: some of `FORMS`.
            fps: steps a second in the video.

        Raises:
            MemworldError: there is no such form, or a package that it needs is not installed.
        """
        if not forms or any(form not in FORMS for form in forms):
            raise MemworldError(f"a recording is written as {' or '.join(FORMS)}, or both: name them in a list")
        if not 1 <= fps <= 120:
            raise MemworldError(f"a video has 1 to 120 frames a second, not {fps}")
        if "mp4" in forms:
            import_av()
        self._output, self._info, self._forms, self._fps = output, info, tuple(forms), fps
        self._takes: list[_Take] = []
        self._now: list[_Take] = []
        self._shots: list[tuple[list[np.ndarray], list[str]]] = []
        self._bytes, self._ended = 0, False
        self._stem = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"

    @property
    def full(self) -> bool:
        """Whether it takes no more; what is noted then is left out."""
        return self._ended or self._bytes >= _MOST_BYTES

    def end(self) -> None:
        """Take no more, as when a panel has gone."""
        self._ended = True

    def begin(self, panels: Sequence[Panel], sources: Sequence[Mapping[str, Any]]) -> None:
        """Note where episodes begin, one in each panel, and what is known of each."""
        if self.full:
            return
        self._now = [
            _Take(panel.kind, panel.title, dict(source), [panel.frame])
            for panel, source in zip(panels, sources, strict=True)
        ]
        self._takes += self._now
        self._shoot(panels)

    def add(self, action: np.ndarray, panels: Sequence[Panel]) -> None:
        """Note what an action, in the stored form, has led to."""
        if self.full:
            return
        for take, panel in zip(self._now, panels, strict=True):
            if take.kind == "real" and take.over:  # which stands still
                continue
            take.frames.append(panel.frame)
            take.actions.append(action)
            take.rewards.append(panel.reward)
            take.over = panel.over
        self._shoot(panels)

    def save(self) -> list[str]:
        """Write what was recorded, if anything happened, and return the names.

        Raises:
            MemworldError: the disk refuses it.
        """
        takes = [take for take in self._takes if take.actions]
        if not takes:
            return []
        make_folder(self._output)
        stem, saved = self._stem, []
        if "mp4" in self._forms:
            saved.append(f"{stem}.mp4")
            write_frames(self._output / saved[-1], self._pictures(), self._fps, lossless=False)
        for kind, name in (("dream", "dreams"), ("real", "real")) if "episodes" in self._forms else ():
            played = [take for take in takes if take.kind == kind]
            if played:
                saved.append(f"{stem}-{name}")
                info = replace(self._info, state_names=())
                # What an earlier try has left, as on a disk that was full, is written anew.
                with NpzWriter(self._output / saved[-1], info, "overwrite") as writer:
                    for number, take in enumerate(played):
                        writer.append(take.episode(f"{take.title.replace(' ', '-')}-{stem[-6:]}-{number:05d}"))
        return saved

    def _shoot(self, panels: Sequence[Panel]) -> None:
        self._shots.append(([panel.frame for panel in panels], [panel.label for panel in panels]))
        self._bytes += sum(panel.frame.nbytes for panel in panels)

    def _pictures(self) -> Iterator[np.ndarray]:
        """The pictures of the video."""
        return (side_by_side(frames, names) for frames, names in self._shots)


class Recordings:
    """What was recorded into one folder, by this server or an earlier one."""

    def __init__(self, output: Path) -> None:
        self.output = output

    @property
    def folder(self) -> str:
        """Where they lie."""
        return str(self.output.absolute())

    def listed(self) -> list[dict[str, Any]]:
        """Every recording, the newest first: `name`, `steps` (None where that cannot be told), `bytes` and `kind`."""
        try:
            there = sorted(self.output.iterdir(), reverse=True)
        except OSError:  # nothing was recorded yet
            return []
        listed = []
        for path in there:
            with contextlib.suppress(FileNotFoundError):  # another session writes into it, or somebody deletes it
                if _NAME.fullmatch(path.name) and (told := _told(path)) is not None:
                    listed.append(told)
        return listed

    def video(self, name: str) -> Path:
        """The video of that name.

        Raises:
            MemworldError: there is none.
        """
        path = self.output / name if _NAME.fullmatch(name) and name.endswith(".mp4") else None
        if path is None or path.is_symlink() or not path.is_file():
            raise MemworldError(f"there is no video {name[:60]!r}: see the list of recordings")
        return path


def _told(path: Path) -> dict[str, Any] | None:
    """What is said of a recording; None if it is none."""
    if path.is_symlink():
        return None
    if path.suffix == ".mp4" and path.is_file():
        return {"name": path.name, "kind": "mp4", "steps": _steps(path), "bytes": path.stat().st_size}
    if path.suffix != ".mp4" and is_data_set(path):
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return {"name": path.name, "kind": "episodes", "steps": _steps(path), "bytes": size}
    return None


def _steps(path: Path) -> int | None:
    """Steps, or frames of a video; None if it is damaged, or nothing is installed that could tell."""
    try:
        return count_frames(path) if path.suffix == ".mp4" else open_npz(path).steps
    except MemworldError:
        return None
