"""Videos by PyAV itself: encoded as told, and trimmed as programs do it that do not encode again."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")


def encode(path: Path, frames: np.ndarray, fps: int = 10, **options: str) -> Path:
    """A lossless video, with keyframes where `options` put them."""
    container_options = {name: options.pop(name) for name in ("movflags",) if name in options}
    with av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream("libx264rgb", rate=fps, options={"qp": "0", **options})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "rgb24"
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def remux(source: Path, path: Path, shift: int, fps: int = 10, first: int = 0) -> Path:
    """The same frames, encoded as they are, each `shift` frames earlier, without those before `first`.

    What would come before the beginning is in the file, but an edit list in it leaves it out: so does
    `ffmpeg -ss SECONDS -i SOURCE -c copy PATH`.
    """
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(given.demux(video=0)):
            if packet.size and number >= first:
                ticks = int(Fraction(shift, fps) / packet.time_base)
                packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
                packet.stream = stream
                container.mux(packet)
    return path


def trimmed(folder: Path, frames: np.ndarray, shift: int, name: str = "trimmed") -> Path:
    """An MP4 file of which only the frames from the one numbered `shift` can be read, though it holds all."""
    source = encode(folder / f".{name}.mp4", frames, g="12", bf="2", sc_threshold="0")
    return remux(source, folder / f"{name}.mp4", shift)
