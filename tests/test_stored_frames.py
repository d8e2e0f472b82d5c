import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.stored_frames import StoredFrames
from tests.helpers import one_clear_error, unless_refused

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)


@pytest.fixture
def stored(tmp_path: Path) -> StoredFrames:
    np.save(tmp_path / "f.npy", FRAMES)
    return StoredFrames(tmp_path / "f.npy", FRAMES.shape)


def test_stored_frames_are_the_frames(stored: StoredFrames) -> None:
    assert (len(stored), stored.nbytes) == (4, FRAMES.nbytes)
    np.testing.assert_array_equal(stored[2], FRAMES[2])
    np.testing.assert_array_equal(np.asarray(stored), FRAMES)
    stored[2][:] = 0  # a copy
    np.testing.assert_array_equal(np.stack([stored[i] for i in range(4)]), FRAMES)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (np.float32(FRAMES), r"are not uint8 \[4, 5, 6, 3\]: remember the episode again"),
        (FRAMES[:3], "are not uint8"),
        (np.asfortranarray(FRAMES), "are not uint8"),  # as a damaged header may say
        (b"", "are truncated or damaged .*: remember the episode again"),
        (b"\x93NUMPY\x01\x00\x76\x00", "are truncated or damaged"),
        (b"PK\x03\x04 a zip archive", "are truncated or damaged"),
        (b"\x80\x04K\x01.", "are truncated or damaged"),  # a pickle
        (None, "are missing: remember the episode again"),
    ],
)
def test_stored_frames_that_are_damaged(stored: StoredFrames, content: Any, match: str) -> None:
    stored.path.unlink()
    if isinstance(content, bytes):
        stored.path.write_bytes(content)
    elif content is not None:
        np.save(stored.path, content)
    for read in (lambda: StoredFrames(stored.path, FRAMES.shape), lambda: stored[0], lambda: np.asarray(stored)):
        with one_clear_error(f"remembered frames .*f.npy {match}"):
            read()


def test_stored_frames_that_are_too_long_or_a_pipe(stored: StoredFrames) -> None:
    with stored.path.open("ab") as file:
        file.write(b"x")
    with one_clear_error("are not uint8"):
        stored[0]
    stored.path.unlink()
    os.mkfifo(stored.path)
    with one_clear_error("are truncated or damaged .*Not a regular file"):
        stored[0]


@given(place=st.integers(0, 127), value=st.integers(0, 255))
@settings(max_examples=150)
def test_stored_frames_with_any_damage_to_their_header(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "f.npy"
    np.save(path, FRAMES)
    content = bytearray(path.read_bytes())
    content[place] = value
    path.write_bytes(content)
    frames = unless_refused(lambda: np.asarray(StoredFrames(path, FRAMES.shape)))
    assert frames is None or (frames.shape, frames.dtype.name) == (FRAMES.shape, "uint8")
