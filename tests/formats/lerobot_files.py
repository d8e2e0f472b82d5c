"""Small LeRobot data sets of version 3, written by hand with pyarrow and PyAV."""

import json
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

FPS = 10
SIDE = 64
LENGTHS = (7, 5, 9)
TOP, WRIST = "observation.images.top", "observation.images.wrist"
DATA = "data/chunk-000/file-000.parquet"
LIST = "meta/episodes/chunk-000/file-000.parquet"
CODEC = "libsvtav1"
"""AV1, as LeRobot encodes by default; PyAV's wheels bring this encoder."""


def bars(index: int, inverted: bool = False) -> np.ndarray:
    """A frame, uint8 (64, 64, 3), whose eight vertical bars spell `index` in bits, which survives lossy coding."""
    bits = (index >> np.arange(8)) & 1 ^ inverted
    frame = np.repeat(bits * 255, SIDE // 8)[None, :, None]
    return np.broadcast_to(frame, (SIDE, SIDE, 3)).astype(np.uint8)


def index_of(frame: np.ndarray, inverted: bool = False) -> int:
    """The index that a frame of `bars`, of any size, spells."""
    columns = frame.reshape(frame.shape[0], 8, -1).mean((0, 2))
    return int((((columns > 127) ^ inverted) << np.arange(8)).sum())


def encode(path: Path, frames: list[np.ndarray], codec: str = CODEC, fps: int = FPS, gop: int = 2) -> None:
    """Write a video with a keyframe every `gop` frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps, options={"g": str(gop), "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def png(frame: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(frame).save(stream, "PNG")
    return stream.getvalue()


def feature(dtype: str, shape: list[int], names: Any = None, **info: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "names": names, "info": info}


def camera_feature(dtype: str = "video") -> dict[str, Any]:
    return feature(dtype, [SIDE, SIDE, 3], ["height", "width", "channels"])


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def edit_info(root: Path, **changes: Any) -> None:
    """Change entries of meta/info.json."""
    path = root / "meta" / "info.json"
    write_json(path, json.loads(path.read_text()) | changes)


def edit_features(root: Path, **changes: Any) -> None:
    """Replace features by their names with `_` for `.`; None drops one."""
    path = root / "meta" / "info.json"
    info = json.loads(path.read_text())
    for name, value in changes.items():
        info["features"].pop(name.replace("_", "."), None)
        if value is not None:
            info["features"][name.replace("_", ".")] = value
    write_json(path, info)


def edit_table(path: Path, **columns: Any) -> None:
    """Set columns, by name with `__` for `/` and `_.` kept, of a Parquet file; None drops one."""
    table = pq.read_table(path)
    for name, values in columns.items():
        name = name.replace("__", "/").replace("DOT", ".")
        if name in table.column_names:
            table = table.drop_columns([name])
        if values is not None:
            table = table.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    pq.write_table(table, path)


def rows() -> dict[str, Any]:
    """The columns of all rows; every value follows from the row's number in the data set."""
    total = sum(LENGTHS)
    frame = np.concatenate([np.arange(length) for length in LENGTHS])
    index = np.arange(total)
    actions = np.stack([index, -index, index / 4], 1).astype(np.float32)
    states = np.stack([index * 10, index * 100], 1).astype(np.float32)
    return {
        "action": pa.FixedSizeListArray.from_arrays(pa.array(actions.ravel()), 3),
        "observation.state": pa.FixedSizeListArray.from_arrays(pa.array(states.ravel()), 2),
        "timestamp": (frame / FPS).astype(np.float32),
        "frame_index": frame,
        "episode_index": np.repeat(np.arange(len(LENGTHS)), LENGTHS),
        "index": index,
        "task_index": np.zeros(total, np.int64),
        "next.reward": index.astype(np.float32),
        "next.done": np.isin(index, [LENGTHS[0] - 1]),
    }


def write_set(root: Path, codec: str = CODEC, gop: int = 2, group: int = 4) -> Path:
    """Three episodes that share one file of rows, in row groups of `group`, and one video of each of two cameras."""
    total = sum(LENGTHS)
    starts = np.cumsum([0, *LENGTHS[:-1]])
    scalar = {name: feature("int64", [1]) for name in ("frame_index", "episode_index", "index", "task_index")}
    write_json(
        root / "meta" / "info.json",
        {
            "codebase_version": "v3.0",
            "robot_type": "so101",
            "total_episodes": len(LENGTHS),
            "total_frames": total,
            "fps": FPS,
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": {
                "action": feature("float32", [3], ["x", "y", "grip"]),
                "observation.state": feature("float32", [2], {"motors": ["shoulder", "elbow"]}),
                TOP: camera_feature(),
                WRIST: camera_feature(),
                "timestamp": feature("float32", [1]),
                **scalar,
                "next.reward": feature("float32", [1]),
                "next.done": feature("bool", [1]),
            },
        },
    )
    (root / DATA).parent.mkdir(parents=True)
    pq.write_table(pa.table(rows()), root / DATA, row_group_size=group)
    columns: dict[str, Any] = {
        "episode_index": np.arange(len(LENGTHS)),
        "tasks": [["pick the cube"], ["pick the cube"], ["rest", "wave"]],
        "length": np.array(LENGTHS),
        "data/chunk_index": np.zeros(3, np.int64),
        "data/file_index": np.zeros(3, np.int64),
        "dataset_from_index": starts,
        "dataset_to_index": starts + LENGTHS,
        "stats/action/mean": [[0.0] * 3] * 3,
    }
    for camera in (TOP, WRIST):
        columns |= {
            f"videos/{camera}/chunk_index": np.zeros(3, np.int64),
            f"videos/{camera}/file_index": np.zeros(3, np.int64),
            f"videos/{camera}/from_timestamp": starts / FPS,
            f"videos/{camera}/to_timestamp": (starts + LENGTHS) / FPS,
        }
        frames = [bars(i, camera == WRIST) for i in range(total)]
        encode(video_of(root, camera), frames, codec, gop=gop)
    (root / LIST).parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), root / LIST)
    return root


def video_of(root: Path, camera: str = TOP) -> Path:
    return root / "videos" / camera / "chunk-000" / "file-000.mp4"
