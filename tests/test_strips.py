from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memworld.strips import WIDTH, write_strips


def written(folder: Path, strips: dict[str, np.ndarray]) -> np.ndarray:
    count = len(next(iter(strips.values())))
    write_strips(folder / "strip.png", strips, [f"t = {step + 1}" for step in range(count)])
    return np.asarray(Image.open(folder / "strip.png"))


def enlarged(frame: np.ndarray, times: int) -> np.ndarray:
    """A frame with three channels, each pixel a square."""
    return np.broadcast_to(frame, (*frame.shape[:2], 3)).repeat(times, 0).repeat(times, 1)


def places(picture: np.ndarray, frame: np.ndarray) -> list[tuple[int, int]]:
    """Where a frame stands in a picture, from its top and left."""
    tall, wide = frame.shape[:2]
    corners = np.argwhere((picture == frame[0, 0]).all(-1)).tolist()
    return [(y, x) for y, x in corners if np.array_equal(picture[y : y + tall, x : x + wide], frame)]


@pytest.mark.parametrize(("side", "times", "channels"), [(62, 3, 3), (62, 3, 1), (100, 1, 3), (20, 8, 3), (300, 1, 3)])
def test_frames_are_enlarged_pixel_by_pixel_and_stand_apart(
    tmp_path: Path, side: int, times: int, channels: int
) -> None:
    strips = {
        name: np.random.default_rng(i).integers(0, 256, (3, side, side + 2, channels), np.uint8)
        for i, name in enumerate(("truth", "imagined"))
    }
    picture = written(tmp_path, strips)
    found = {name: [places(picture, enlarged(frame, times)) for frame in strip] for name, strip in strips.items()}
    assert all(len(where) == 1 for row in found.values() for where in row)
    (above,), (below,) = found["truth"][0], found["imagined"][0]
    assert above[1] == below[1], "of one step, one below the other"
    assert below[0] > above[0] + side * times, "with a gap"
    (following,) = found["truth"][1]
    if following[0] == above[0]:
        assert following[1] > above[1] + (side + 2) * times
    assert (picture[above[0] : below[0] + side * times, : above[1]] < 128).any(), "names stand at the left"
    assert (picture[: above[0]] < 128).any(), "steps stand above"
    assert picture.shape[1] <= max(WIDTH, above[1] + (side + 2) * times + 20)


def test_what_is_too_wide_goes_on_below(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    picture = written(tmp_path, {"truth": frames})
    where = [places(picture, enlarged(frame, 3))[0] for frame in frames]
    assert {y for y, _ in where[:6]} == {where[0][0]}
    assert {y for y, _ in where[6:]} == {where[6][0]}
    assert where[6][0] > where[0][0] + 192
    assert [x for _, x in where[:6]] == [x for _, x in where[6:]]
    assert picture.shape[1] <= WIDTH
