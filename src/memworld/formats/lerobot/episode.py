"""One episode of a LeRobot data set.

Row t holds the observation t, the action chosen in it, and as `next.reward` and `next.done` what that
action led to. No observation follows the last row. So N rows are N observations and N - 1 steps: the
last row's action is left out with its reward, as no frame shows where it led. Step t has the action
and `next.reward` of row t (zeros if there are none); observation t has `observation.state` of row t.

The episode ends at its last step: it is terminated if one of the last two rows has `next.done` or
`next.success`, else truncated. With `ReadOptions.frame_after_action` the first row's action is left out
instead, for recorders that save the frame after it.
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.format import ReadOptions
from memworld.formats.lerobot.listing import Listed
from memworld.formats.lerobot.metadata import Metadata
from memworld.formats.tables import open_parquet, read_rows, vectors
from memworld.formats.video_frames import gather_frames, read_frames
from memworld.storage import one_line

ACTION, STATE, REWARD, DONE, SUCCESS = "action", "observation.state", "next.reward", "next.done", "next.success"
BOOKKEEPING = ("episode_index", "frame_index", "timestamp", "index", "task_index")
"""Columns that say where a row belongs, which the order of an episode and its source say too."""

_NEEDED = ("episode_index", "frame_index", "timestamp")


def load_episode(
    metadata: Metadata,
    camera: str,
    shape: tuple[int, int, int],
    listed: Listed,
    first_row: int,
    source: dict[str, Any],
    options: ReadOptions,
) -> Episode:
    """Load one episode.

    Args:
        metadata: of the data set.
        camera: the feature that is its observations.
        shape: (H, W, C) of the camera's images.
        listed: where the episode lies.
        first_row: number, in the data set, of the first row in its file.
        source: where the episode came from.
        options: how to read it.

    Raises:
        MemworldError: the episode is damaged, or its files are missing or do not fit together.
    """
    count = listed.whole("length")
    start, stop = listed.whole("dataset_from_index"), listed.whole("dataset_to_index")
    if stop - start != count:
        raise MemworldError(f"table {listed.table} gives it {stop - start} rows and length {count}: correct it")
    if count < 2:
        raise MemworldError(f"table {listed.table} gives it {count} frames: an episode needs two for a step")
    path = metadata.file(metadata.data_path, *listed.data)
    rows = _Rows(metadata, path, start - first_row, count, listed.index)
    if metadata.features[camera].dtype == "video":
        rows.check_times()
        frames = _video(metadata, camera, shape, listed, count)
    else:
        frames = _images(path, camera, shape, start - first_row, count)
    after = options.frame_after_action
    kept = slice(1, None) if after else slice(None, -1)
    discrete = metadata.features[ACTION].whole and metadata.features[ACTION].width == 1
    with np.errstate(over="ignore"):  # becomes infinite, which is refused as it is in any episode
        actions = rows.column(ACTION)[:, 0] if discrete else rows.column(ACTION).astype(np.float32)
    rewards = rows.column(REWARD)[:, 0] if REWARD in metadata.features else np.zeros(count, np.float32)
    ended = np.arange(count - 1) == count - 2
    terminated = rows.ends(DONE, after) or (SUCCESS in metadata.features and rows.column(SUCCESS)[-2 + after :].any())
    return Episode(
        listed.id,
        gather_frames(frames, options.size),
        actions[kept],
        rewards[kept],
        ended & bool(terminated),
        ended & (not terminated),
        rows.column(STATE) if STATE in metadata.features else None,
        source,
    )


class _Rows:
    """The rows of one episode, without its images."""

    def __init__(self, metadata: Metadata, path: Path, first: int, count: int, index: int) -> None:
        self._metadata, self._path, self._count = metadata, path, count
        used = (ACTION, STATE, REWARD, DONE, SUCCESS)
        names = [*_NEEDED, *(name for name in used if name in metadata.features)]
        self._table = pa.Table.from_batches(list(read_rows(path, open_parquet(path), names, first, count)))
        if (held := self.column("episode_index")[:, 0]).min() != index or held.max() != index:
            raise MemworldError(f"table {path} has rows of the episodes {held.min()} to {held.max()} in its place")
        if (self.column("frame_index")[:, 0] != np.arange(count)).any():
            raise MemworldError(f"table {path} does not number its frames from 0 to {count - 1}: repair it")

    def column(self, name: str) -> np.ndarray:
        """One column, numbers (N, width)."""
        feature = self._metadata.features.get(name)
        return vectors(self._path, name, self._table.column(name), feature.width if feature else 1)

    def check_times(self) -> None:
        """Raise if the rows are not at the data set's frames a second, by which the video is read."""
        off = np.abs(self.column("timestamp")[:, 0] * self._metadata.fps - np.arange(self._count))
        if (off > 0.5).any():
            row = int(np.argmax(off > 0.5))
            raise MemworldError(
                f"table {self._path} has its frame {row} at {self.column('timestamp')[row, 0]:g} s, which is not that "
                f"of {self._metadata.fps:g} frames a second: repair the timestamps"
            )

    def ends(self, name: str, after: bool) -> bool:
        """Whether a column of truth values, if there is one, marks the end of the episode.

        Raises:
            MemworldError: it marks an earlier row.
        """
        if name not in self._metadata.features:
            return False
        marks = self.column(name)[:, 0] != 0
        last = 1 if after else 2
        if marks[int(after) : -last].any():
            raise MemworldError(f"table {self._path} has {name} before the end of it: cut it into one for each ending")
        return bool(marks[-last:].any())


def _video(
    metadata: Metadata, camera: str, shape: tuple[int, int, int], listed: Listed, count: int
) -> Iterator[np.ndarray]:
    """The frames of an episode out of the video of a camera."""
    path = metadata.file(
        metadata.video_path,
        listed.whole(f"videos/{camera}/chunk_index"),
        listed.whole(f"videos/{camera}/file_index"),
        camera,
    )
    start = listed.seconds(f"videos/{camera}/from_timestamp")
    seconds = listed.seconds(f"videos/{camera}/to_timestamp") - start
    if seconds * metadata.fps < count - 0.5:
        raise MemworldError(
            f"table {listed.table} gives it {seconds:g} s of the video {path} for {count} frames at "
            f"{metadata.fps:g} a second: correct it"
        )
    found = 0
    for found, frame in enumerate(read_frames(path, start_time=start, end_time=start + count / metadata.fps), 1):
        if found > count:
            raise MemworldError(
                f"video {path} has more than {count} frames in the {count / metadata.fps:g} s from {start:g} s on, its "
                f"rows are {metadata.fps:g} a second: encode it again at that rate"
            )
        _check_size(path, frame.shape[:2], shape[:2])
        yield frame[..., : shape[2]]
    if found < count:
        raise MemworldError(f"video {path} has {found} frames from {start:g} s on for {count} rows: restore it")


def _images(path: Path, camera: str, shape: tuple[int, int, int], first: int, count: int) -> Iterator[np.ndarray]:
    """The frames of an episode out of the rows themselves, a few at a time."""
    for batch in read_rows(path, open_parquet(path), [camera], first, count, at_once=16):
        for value in batch.column(0).to_pylist():
            content = value.get("bytes") if isinstance(value, dict) else value
            if not isinstance(content, bytes):
                raise MemworldError(f"table {path} lacks an image in its column {camera!r}: embed the images in it")
            yield _decoded(path, content, shape)


def _decoded(path: Path, content: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    try:
        with Image.open(BytesIO(content), formats=("PNG", "JPEG")) as image:
            # Before the pixels are decoded: a small image can claim to be a huge one.
            _check_size(path, image.size[::-1], shape[:2])
            pixels = np.asarray(image.convert("L" if shape[2] == 1 else "RGB"))
    except MemworldError:
        raise
    except Exception as error:  # Pillow promises no set of errors on damaged images
        raise MemworldError(f"table {path} has a damaged image ({one_line(error)[:200]}): restore it") from error
    return pixels[..., None] if shape[2] == 1 else pixels


def _check_size(path: Path, found: tuple[int, ...], asked: tuple[int, ...]) -> None:
    if tuple(found) != tuple(asked):
        raise MemworldError(f"{path} has images of {tuple(found)}, meta/info.json says {tuple(asked)}: correct it")
