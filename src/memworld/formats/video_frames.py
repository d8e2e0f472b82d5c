"""Frames in and out of video files, one by one, through PyAV, an optional dependency.

Videos may come from anywhere: of a file nothing but plain containers is taken, as playlists could
lead to other files, and its frames are bounded in size before one is decoded.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from memworld.errors import MemworldError
from memworld.extras import import_extra
from memworld.formats.resize import resize_frame
from memworld.storage import one_line, write_atomic

_MOST_PIXELS = 8192
"""The most pixels that a side of a frame may have."""

_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,gif"
_OPEN_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
# Lossless, in RGB and in every size; the same frames give the same bytes only if no threads race.
_LOSSLESS = ("libx264rgb", {"qp": "0", "preset": "veryfast"})
# With half of the colours' resolution, which every player knows.
_WATCHED = ("libx264", {"crf": "16", "preset": "veryfast"})


def import_av() -> Any:
    """The module `av`.

    Raises:
        MemworldError: PyAV is not installed.
    """
    return import_extra("av", "video", "videos")


def count_frames(path: Path) -> int:
    """How many frames can be read of a video, by its container's index or else by its packets; nothing is decoded.

    Those that an edit list leaves out, as in a video that was trimmed without encoding it again, do
    not count. A damaged video may hold fewer.

    Raises:
        MemworldError: there is no video at `path`, or PyAV is not installed.
    """
    av = import_av()
    with _opened(av, path) as (container, stream):
        entries = stream.index_entries
        # What a header says is a count of frames in MP4 alone; in fragments it is of some of them.
        if "mp4" in container.format.name and 0 < stream.frames == len(entries):
            return sum(not entry.is_discard for entry in entries)
        try:
            return sum(packet.size > 0 and not packet.is_discard for packet in container.demux(stream))
        except av.FFmpegError as error:
            raise _damaged(path, error) from error


def read_frames(
    path: Path,
    *,
    first: int = 0,
    count: int | None = None,
    start_time: float | None = None,
    end_time: float | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[np.ndarray]:
    """Decode frames of a video in their order, one at a time.

    Args:
        path: the video; of several streams the first is taken.
        first: how many frames to skip, of those that the times leave.
        count: how many frames to yield; None yields all that follow.
        start_time: skip frames before this timestamp, in seconds. All times are met within half a
            frame, as they are often rounded.
        end_time: stop before the frame of this timestamp, in seconds.
        size: (H, W) to which each frame is resized by averaging over areas; None keeps it as it is.

    Yields:
        uint8 (H, W, 3) in RGB, all of one size.

    Raises:
        MemworldError: there is no video at `path`, it is damaged, holds fewer frames than `count`
            asks for or none, has frames of several sizes or of more than 8192 pixels a side, or PyAV
            is not installed.
    """
    assert first >= 0
    assert count is None or count >= 0
    if count == 0:
        return
    av = import_av()
    with _opened(av, path) as (container, stream):
        # Half a frame before a frame's own time, no other frame is meant.
        tolerance = float(Fraction(1, 2) / (stream.average_rate or stream.guessed_rate or 1000))
        start = None if start_time is None else start_time - tolerance
        end = None if end_time is None else end_time - tolerance
        shape: tuple[int, int] | None = None
        wanted = yielded = 0
        try:
            for frame in _frames_from(container, stream, start):
                if (start is not None or end is not None) and frame.time is None:
                    raise MemworldError(f"{path} has frames without timestamps: encode the video again")
                if end is not None and frame.time >= end:
                    break
                wanted += 1
                if wanted <= first:
                    continue
                shape = _check_shape(path, frame, shape)
                picture = frame.to_ndarray(format="rgb24")
                yield picture if size is None else resize_frame(picture, size)
                yielded += 1
                if yielded == count:
                    return
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, MemworldError):
                raise
            raise _damaged(path, error, wanted) from error
        if count is not None or not yielded:
            asked = "at least one" if count is None else f"{count}"
            raise MemworldError(
                f"{path} holds {wanted} frames{' of the time asked for' if (start, end) != (None, None) else ''}, "
                f"{asked} after the first {first} were expected: the video is cut off, or is not of these data"
            )
        # What lies behind `end_time` was not asked for, and may be missing.
        if end is None and (last := _listed_end(stream)) > (held := path.stat().st_size):
            raise _damaged(path, f"it has {held} bytes and lists frames up to byte {last}", wanted)


def gather_frames(frames: Iterable[np.ndarray], size: tuple[int, int] | None = None) -> np.ndarray:
    """Frames, one by one, in one array, which grows with them: how many a file has is not to be believed.

    Args:
        frames: uint8 (H, W, C), at least one, all of one shape.
        size: (H, W) to which each is resized by averaging over areas; None keeps them as they are.

    Returns:
        uint8 (N, H, W, C), read-only, so that an `Episode` takes it without a copy.
    """
    gathered = bytearray()
    shape: tuple[int, ...] = ()
    for frame in frames:
        kept = frame if size is None else resize_frame(frame, size)
        shape = kept.shape
        gathered += kept.tobytes()
    array = np.frombuffer(gathered, np.uint8).reshape(-1, *shape)
    array.setflags(write=False)
    return array


def write_frames(path: Path, frames: Iterable[np.ndarray], fps: int, *, lossless: bool = True) -> int:
    """Write frames as an H.264 video in an MP4 file, atomically.

    The same frames and the same version of PyAV give the same bytes.

    Args:
        path: the video, which is replaced if it is there.
        frames: uint8 (H, W, C) all of one shape, C of 1 or 3; grey ones become RGB of equal channels.
        fps: frames a second, at least 1.
        lossless: whether `read_frames` must give the same frames back; else the video is one that browsers and
            other players show, and H and W must be even.

    Returns:
        How many there were.

    Raises:
        MemworldError: there are none, they differ in shape, are too large or not uint8, the disk
            refuses them, or PyAV is not installed.
    """
    av = import_av()
    if fps < 1:
        raise MemworldError(f"a video of {fps} frames a second cannot be written: give at least 1")
    written = 0

    def write(temporary: Path) -> None:
        nonlocal written
        try:
            written = _encode(av, path, temporary, frames, fps, lossless)
        except av.FFmpegError as error:
            # As an error of the disk, which most are; `write_atomic` finds the words.
            raise OSError(error.errno, one_line(error.strerror)) from error

    write_atomic(path, write)
    return written


def _encode(av: Any, path: Path, temporary: Path, frames: Iterable[np.ndarray], fps: int, lossless: bool) -> int:
    """Encode `frames` into the file `temporary`, which is to become `path`."""
    shape: tuple[int, ...] | None = None
    number = 0
    with av.open(f"file:{temporary}", "w", format="mp4") as container:
        stream = None
        for number, frame in enumerate(frames, 1):
            if shape is None or stream is None:
                shape = frame.shape
                if (
                    len(shape) != 3
                    or shape[2] not in (1, 3)
                    or not 1 <= min(shape[:2]) <= max(shape[:2]) <= _MOST_PIXELS
                ):
                    raise MemworldError(
                        f"frames of shape {shape} cannot go into {path}: they must be (H, W, C) of at most "
                        f"{_MOST_PIXELS} pixels a side, C of 1 or 3"
                    )
                encoder, options = _LOSSLESS if lossless else _WATCHED
                stream = container.add_stream(encoder, rate=fps, options=options)
                stream.height, stream.width = shape[:2]
                stream.pix_fmt = "rgb24" if lossless else "yuv420p"
                stream.codec_context.thread_count = 1
            if frame.shape != shape or frame.dtype != np.uint8:
                raise MemworldError(
                    f"frame {number} for {path} is {frame.dtype} {frame.shape}, the first was uint8 {shape}: "
                    "a video takes frames of one kind"
                )
            rgb = np.ascontiguousarray(np.broadcast_to(frame, (*shape[:2], 3)))
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts, picture.time_base = number - 1, Fraction(1, fps)
            container.mux(stream.encode(picture))
        if stream is None:
            raise MemworldError(f"no frames to write to {path}: a video needs at least one")
        container.mux(stream.encode())
    return number


@contextmanager
def _opened(av: Any, path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and the first video stream of a file, closed in the end."""
    if not path.is_file():
        raise MemworldError(f"video {path} is missing: restore it")
    try:
        # With "file:", a name that looks like an address is still the name of a file.
        container = av.open(f"file:{path}", options=_OPEN_OPTIONS)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise _damaged(path, error) from error
    with container:
        if not container.streams.video:
            raise MemworldError(f"{path} holds no video stream: name a video file")
        stream = container.streams.video[0]
        context = stream.codec_context
        if context is None:
            raise MemworldError(f"{path} is of a codec that PyAV does not decode: encode the video again, as H.264")
        if max(context.width, context.height) > _MOST_PIXELS or min(context.width, context.height) < 1:
            raise _unusable_size(path, context.height, context.width)
        # With threads a damaged frame would take those before it along, which are fine.
        context.thread_count = 1
        # A damaged or hostile stream may ask for more than its container says.
        context.options = {"max_pixels": str(_MOST_PIXELS**2)}
        yield container, stream


def _frames_from(container: Any, stream: Any, start: float | None) -> Iterator[Any]:
    """Frames decoded in their order, from the first whose time is `start` seconds or later."""
    frames = _sought(container, stream, start) if start is not None and start > 0 else container.decode(stream)
    return (frame for frame in frames if start is None or frame.time is None or frame.time >= start)


def _sought(container: Any, stream: Any, start: float) -> Iterator[Any]:
    """All frames from a keyframe before `start` seconds on; from the first of all if none can be sought exactly."""
    container.seek(int(start / stream.time_base), stream=stream)
    frames = iter(container.decode(stream))
    landed = next(frames, None)
    if landed is None or landed.time is None or landed.time > start:
        # Sought too far, as inexact tables of keyframes make it: what lies before must not be lost.
        container.seek(0)
        yield from container.decode(stream)
    else:
        yield landed
        yield from frames


def _listed_end(stream: Any) -> int:
    """Where in the file the last frame ends that the container lists, in bytes; 0 if it lists none.

    Videos that end between two frames decode without an error.
    """
    return max((int(entry.pos + entry.size) for entry in stream.index_entries), default=0)


def _check_shape(path: Path, frame: Any, shape: tuple[int, int] | None) -> tuple[int, int]:
    """The frame's (H, W); it must be `shape` unless that is None."""
    found = (frame.height, frame.width)
    if max(found) > _MOST_PIXELS:
        raise _unusable_size(path, *found)
    if shape not in (None, found):
        raise MemworldError(f"{path} changes from frames of {shape} to {found}: encode it again in one size")
    return found


def _unusable_size(path: Path, height: int, width: int) -> MemworldError:
    return MemworldError(
        f"{path} has frames of {width} x {height} pixels, memworld takes 1 to {_MOST_PIXELS} a side: scale the video"
    )


def _damaged(path: Path, error: object, frames: int = 0) -> MemworldError:
    # FFmpeg's errors bring numbers and the file's name again around what they say.
    reason = one_line(getattr(error, "strerror", None) or error)
    read = f" after {frames} frames that could be read" if frames else ""
    return MemworldError(f"{path} is no video, or is cut off or damaged{read} ({reason}): replace it")
