"""Frames in `.npy` files, as memories of format 1 have them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.store.first_format import NpyFrames
from tests.helpers import one_clear_error, unless_refused

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)


@pytest.fixture
def frames(tmp_path: Path) -> NpyFrames:
    np.save(tmp_path / "f.npy", FRAMES)
    return NpyFrames(tmp_path / "f.npy", FRAMES.shape)


def test_they_are_the_frames(frames: NpyFrames) -> None:
    assert (len(frames), frames.nbytes) == (4, FRAMES.nbytes)
    np.testing.assert_array_equal(frames[2], FRAMES[2])
    np.testing.assert_array_equal(frames.take([3, 0, 3]), FRAMES[[3, 0, 3]])
    np.testing.assert_array_equal(np.asarray(frames), FRAMES)
    frames[2][:] = 0  # a copy
    np.testing.assert_array_equal(np.stack([frames[i] for i in range(4)]), FRAMES)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (np.float32(FRAMES), r"are not uint8 \[4, 5, 6, 3\]: remember the episode again"),
        (FRAMES[:3], "are not uint8"),
        (np.asfortranarray(FRAMES), "are not uint8"),  # as a damaged header may say
        (np.array([{}], object), "are (not uint8|truncated or damaged)"),
        (b"", "are truncated or damaged .*: remember the episode again"),
        (b"\x93NUMPY\x01\x00\x76\x00", "are truncated or damaged"),
        (b"PK\x03\x04 a zip archive", "are truncated or damaged"),
        (b"\x80\x04K\x01.", "are truncated or damaged"),  # a pickle
        (None, "are missing: remember the episode again"),
    ],
)
def test_frames_that_are_damaged(frames: NpyFrames, content: Any, match: str) -> None:
    frames.path.unlink()
    if isinstance(content, bytes):
        frames.path.write_bytes(content)
    elif content is not None:
        np.save(frames.path, content, allow_pickle=True)
    for read in (lambda: NpyFrames(frames.path, FRAMES.shape), lambda: frames[0], lambda: np.asarray(frames)):
        with one_clear_error(f"remembered frames .*f.npy {match}"):
            read()


def test_frames_that_are_too_long_or_a_pipe(frames: NpyFrames) -> None:
    with frames.path.open("ab") as file:
        file.write(b"x")
    with one_clear_error("are not uint8"):
        frames[0]
    frames.path.unlink()
    os.mkfifo(frames.path)
    with one_clear_error("are truncated or damaged .*Not a regular file"):
        frames[0]


@given(place=st.integers(0, 127), value=st.integers(0, 255))
@settings(max_examples=150)
def test_frames_with_any_damage_to_their_header(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "f.npy"
    np.save(path, FRAMES)
    content = bytearray(path.read_bytes())
    content[place] = value
    path.write_bytes(content)
    frames = unless_refused(lambda: np.asarray(NpyFrames(path, FRAMES.shape)))
    assert frames is None or (frames.shape, frames.dtype.name) == (FRAMES.shape, "uint8")
