"""What `meta/info.json` says of a LeRobot data set."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memworld.errors import MemworldError
from memworld.formats.tables import MOST_COLUMNS, inside, shorten
from memworld.storage import one_line, read_json

INFO = Path("meta", "info.json")

_MOST_PIXELS = 8192
_FIELD = re.compile(r"\{(chunk_index|file_index|video_key)(?::0([1-9])d)?\}")
_CONVERT = (
    "convert it with LeRobot 0.4's own script, `python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 "
    "--repo-id=USER/NAME` (later versions have it as lerobot.scripts.convert_dataset_v21_to_v30)"
)
_CONVERT_OLDER = "to version 2.1 with LeRobot 0.3.3, `python -m lerobot.datasets.v21.convert_dataset_v20_to_v21`; then"


@dataclass(frozen=True)
class Feature:
    """What a column of the rows, or a camera, is.

    Attributes:
        dtype: "video", "image", or the type of its numbers.
        shape: of one row.
        names: names of the numbers of a row, or of the axes of an image; empty if there are none.
        depth: whether it is a map of depths, not a picture.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    depth: bool

    @property
    def width(self) -> int:
        """How many numbers there are in a row."""
        return math.prod(self.shape)

    @property
    def whole(self) -> bool:
        """Whether the numbers are integers or truth values."""
        return self.dtype == "bool" or "int" in self.dtype


@dataclass(frozen=True)
class Metadata:
    """What holds for all episodes.

    Attributes:
        root: the data set's folder.
        fps: rows, and frames, a second.
        robot_type: the recorded robot, "" if unknown.
        features: columns and cameras by name.
        data_path: where the rows lie, with places for numbers.
        video_path: where the videos lie, likewise; "" if there are none.
        episodes: how many episodes there should be; -1 if that is not said.
    """

    root: Path
    fps: float
    robot_type: str
    features: Mapping[str, Feature]
    data_path: str
    video_path: str
    episodes: int

    def file(self, template: str, chunk_index: int, file_index: int, video_key: str = "") -> Path:
        """The file that a `data_path` or `video_path` with these numbers leads to.

        Raises:
            MemworldError: it lies outside the data set.
        """
        values: Mapping[str, int | str] = {
            "chunk_index": chunk_index,
            "file_index": file_index,
            "video_key": video_key,
        }

        def fill(field: re.Match[str]) -> str:
            name, digits = field.groups()
            return str(values[name]).zfill(int(digits or 0))

        return inside(self.root, self.root / _FIELD.sub(fill, template))


def read_metadata(root: Path) -> Metadata:
    """Read `meta/info.json`.

    Raises:
        MemworldError: it is missing, damaged, or of another version than 3.
    """
    path = root / INFO
    value = read_json(inside(root, path), "LeRobot data set")
    try:
        _check_version(root, str(value["codebase_version"]))
        features = value["features"]
        if len(features) > MOST_COLUMNS:
            raise MemworldError(f"{path} lists {len(features)} features, memworld takes {MOST_COLUMNS}: remove some")
        fps = float(value["fps"])
        if not 0 < fps < math.inf:
            raise MemworldError(f"{path} says fps {fps}: correct it")
        return Metadata(
            root,
            fps,
            str(value.get("robot_type") or "")[:200],
            {str(name): _feature(feature) for name, feature in features.items()},
            str(value["data_path"]),
            str(value.get("video_path") or ""),
            int(value.get("total_episodes", -1)),
        )
    except MemworldError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise MemworldError(
            f"{path} is damaged ({type(error).__name__}: {one_line(error)[:200]}): restore it"
        ) from error


def _check_version(root: Path, version: str) -> None:
    found = re.fullmatch(r"v?(\d{1,3})\.(\d{1,3})(?:\.\d+)*", version)
    if not found:
        raise MemworldError(f"{root} has the LeRobot version {version[:50]!r}, which is none: correct {INFO}")
    major, minor = map(int, found.groups())
    if (major, minor) == (2, 1):
        raise MemworldError(f"{root} is a LeRobot data set of version 2.1, memworld reads 3: {_CONVERT}")
    if major < 3:
        raise MemworldError(
            f"{root} is a LeRobot data set of version {major}.{minor}, memworld reads 3: bring it {_CONVERT_OLDER} "
            f"{_CONVERT}"
        )
    if major > 3:
        raise MemworldError(
            f"{root} is a LeRobot data set of version {major}.{minor}, memworld reads 3: update memworld"
        )


def _feature(value: Any) -> Feature:
    described = {**(value.get("video_info") or {}), **(value.get("info") or {})}
    return Feature(
        str(value["dtype"]),
        tuple(map(int, value["shape"])),
        _names(value.get("names")),
        bool(described.get("is_depth_map") or described.get("video.is_depth_map")),
    )


def _names(value: Any) -> tuple[str, ...]:
    """The names out of ["x", "y"], {"motors": ["x", "y"]} or {"x": 0, "y": 1}, the forms that there are."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), list):
        value = next(iter(value.values()))
    if isinstance(value, dict) and all(isinstance(place, int) for place in value.values()):
        value = sorted(value, key=lambda name: int(value[name]))
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    return ()


def choose_camera(metadata: Metadata, camera: str | None) -> str:
    """The name of the camera to read: the one whose name, or its last part, is `camera`, or the only one.

    Raises:
        MemworldError: there is none, or several and `camera` does not say which.
    """
    seen = [name for name, feature in metadata.features.items() if feature.dtype in ("video", "image")]
    cameras = [name for name in seen if not metadata.features[name].depth]
    if not cameras:
        raise MemworldError(f"{metadata.root} has no camera images: record some, memworld's worlds are seen")
    wanted = cameras if camera is None else [name for name in cameras if camera in (name, name.rsplit(".", 1)[-1])]
    if camera in cameras:
        return str(camera)
    if len(wanted) != 1:
        which = f"no camera {camera!r}" if not wanted else f"{len(wanted)} cameras"
        raise MemworldError(f"{metadata.root} has {which}: choose one of {shorten(cameras, 20)} with --camera")
    return wanted[0]


def image_shape(metadata: Metadata, camera: str) -> tuple[int, int, int]:
    """(H, W, C) of a camera's images.

    Raises:
        MemworldError: they are no images of 1 or 3 channels, or too large.
    """
    feature = metadata.features[camera]
    shape = feature.shape
    if len(shape) == 3:
        # Both orders occur; the names of the axes tell, or else the number of channels.
        first = feature.names[0].lower().startswith("c") if len(feature.names) == 3 else shape[2] not in (1, 3)
        height, width, channels = (*shape[1:], shape[0]) if first else shape
        if channels in (1, 3) and 1 <= min(height, width) <= max(height, width) <= _MOST_PIXELS:
            return height, width, channels
    raise MemworldError(
        f"camera {camera!r} of {metadata.root} has images of {shape}: memworld takes 1 or 3 channels and up to "
        f"{_MOST_PIXELS} pixels a side"
    )
