"""Videos, written and read: bit for bit, by number and by time, and damaged in every way."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.errors import MemworldError
from memworld.formats.video_frames import count_frames, import_av, read_frames, write_frames
from tests.formats.trimmed import encode, remux, trimmed
from tests.helpers import one_clear_error, unless_refused

av = pytest.importorskip("av")


def noise(count: int, height: int = 12, width: int = 16, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)


@settings(max_examples=20)
@given(
    count=st.integers(1, 5),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    channels=st.sampled_from([1, 3]),
    fps=st.integers(1, 60),
)
def test_frames_of_every_size_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, count: int, height: int, width: int, channels: int, fps: int
) -> None:
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    frames = noise(count, height, width, channels)
    assert write_frames(path, frames, fps) == count
    read = np.stack(list(read_frames(path)))
    np.testing.assert_array_equal(read, np.broadcast_to(frames, (count, height, width, 3)))
    assert count_frames(path) == count


@pytest.mark.parametrize("shift", [0, 3, 7, -5])
def test_frames_that_an_edit_list_leaves_out_are_not_counted(tmp_path: Path, shift: int) -> None:
    frames = noise(24)
    path = trimmed(tmp_path, frames, shift)
    read = np.stack(list(read_frames(path)))
    np.testing.assert_array_equal(read, frames[max(shift, 0) :])
    assert count_frames(path) == len(read)


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mov"])
def test_frames_are_counted_in_every_container(tmp_path: Path, suffix: str) -> None:
    """The header of an AVI may count something else than frames."""
    source = encode(tmp_path / "v.mp4", noise(24), g="12", bf="2", sc_threshold="0")
    path = remux(source, tmp_path / f"copy.{suffix}", 0)
    assert count_frames(path) == len(list(read_frames(path))) == 24


def test_the_same_frames_give_the_same_bytes_and_replace_what_was_there(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "a.mp4"):
        write_frames(tmp_path / name, iter(noise(20, 40, 40)), 20)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(("first", "count"), [(0, 5), (3, None), (17, 3), (3, 0), (0, None), (19, 1)])
def test_frames_by_number(tmp_path: Path, first: int, count: int | None) -> None:
    frames = noise(20)
    path = encode(tmp_path / "v.mp4", frames, g="4")
    read = list(read_frames(path, first=first, count=count))
    expected = frames[first : None if count is None else first + count]
    assert len(read) == len(expected)
    for left, right in zip(read, expected, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("bframes", ["0", "2"])
@pytest.mark.parametrize(("start", "end"), [(0, 0.5), (0.5, 1.2), (0.51, 1.19), (0.46, 1.24), (1.9, 9), (0.0, None)])
def test_frames_by_time_are_those_within_half_a_frame(
    tmp_path: Path, start: float, end: float | None, bframes: str
) -> None:
    frames = noise(20)
    path = encode(tmp_path / "v.mp4", frames, fps=10, g="6", bf=bframes, sc_threshold="0")
    read = list(read_frames(path, start_time=start, end_time=end))
    first, last = round(start * 10), 20 if end is None else min(20, round(end * 10))
    np.testing.assert_array_equal(np.stack(read), frames[first:last])


def test_numbers_count_from_the_start_time(tmp_path: Path) -> None:
    frames = noise(20)
    path = encode(tmp_path / "v.mp4", frames, fps=10, g="6")
    read = list(read_frames(path, start_time=0.7, first=2, count=3))
    np.testing.assert_array_equal(np.stack(read), frames[9:12])
    with one_clear_error("holds 3 frames of the time asked for, 4 after the first 0 were expected"):
        list(read_frames(path, start_time=0.7, end_time=1.0, count=4))
    with one_clear_error("at least one"):
        list(read_frames(path, start_time=7))


def test_frames_are_resized_one_by_one(tmp_path: Path) -> None:
    frames = noise(3, 10, 20)
    write_frames(tmp_path / "v.mp4", frames, 10)
    read = np.stack(list(read_frames(tmp_path / "v.mp4", size=(5, 4))))
    means = frames.reshape(3, 5, 2, 4, 5, 3).astype(float).mean((2, 4))
    assert np.abs(read - means).max() <= 1  # Pillow rounds once for each side


def test_reading_is_lazy(tmp_path: Path) -> None:
    """A video damaged in the middle gives what comes before, and says how much that was."""
    path = encode(tmp_path / "v.mp4", noise(40), movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    read = []
    with one_clear_error("v.mp4 .* after 1[89] frames that could be read"):
        for frame in read_frames(path):
            read.append(frame)
    np.testing.assert_array_equal(np.stack(read[:18]), noise(40)[:18])
    assert len(list(read_frames(path, count=10))) == 10


def test_a_video_cut_between_two_frames_is_found_out(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", noise(10), movflags="faststart")
    with av.open(str(path)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: ends[6]])
    with one_clear_error("after 7 frames that could be read"):
        list(read_frames(path))
    assert len(list(read_frames(path, end_time=0.5))) == 5


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is no video"),
        (b"hello world" * 100, "is no video"),
        # Playlists name other files, or addresses: they are not followed.
        (b"#EXTM3U\n#EXTINF:9.0,\nother.mp4\n#EXT-X-ENDLIST\n", "is no video"),
        (b"ffconcat version 1.0\nfile 'other.mp4'\n", "is no video"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes, match: str) -> None:
    write_frames(tmp_path / "other.mp4", noise(2), 10)
    (tmp_path / "v.mp4").write_bytes(content)
    for read in (lambda: list(read_frames(tmp_path / "v.mp4")), lambda: count_frames(tmp_path / "v.mp4")):
        with one_clear_error(f"v.mp4 {match}"):
            read()


def test_missing_cut_off_and_without_pictures(tmp_path: Path) -> None:
    with one_clear_error("nothing.mp4 is missing"):
        list(read_frames(tmp_path / "nothing.mp4"))
    path = tmp_path / "cut.mp4"
    write_frames(path, noise(10), 10)
    path.write_bytes(path.read_bytes()[:-200])
    with one_clear_error("cut.mp4 .* cut off"):
        list(read_frames(path))
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with one_clear_error("holds no video stream"):
        list(read_frames(tmp_path / "sound.mp4"))


def test_frames_of_absurd_size_are_refused_before_decoding(tmp_path: Path) -> None:
    path = encode(tmp_path / "wide.mp4", noise(1, 2, 8200))
    with one_clear_error("frames of 8200 x 2 pixels"):
        next(read_frames(path))


@settings(max_examples=25)
@given(data=st.data())
def test_damage_anywhere_gives_frames_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    encode(path, noise(8, 8, 8), g="3", movflags="faststart")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    for frame in unless_refused(lambda: list(read_frames(path, start_time=0.1))) or []:
        assert frame.dtype == np.uint8
        assert frame.ndim == 3


@pytest.mark.parametrize(
    ("frames", "fps", "match"),
    [
        ([], 10, "no frames to write"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], 10, "frame 2 .* frames of one kind"),
        ([np.zeros((4, 4, 3), np.float32)], 10, "frame 1 .* is float32"),
        ([np.zeros((4, 4, 2), np.uint8)], 10, "C of 1 or 3"),
        ([np.zeros((4, 4), np.uint8)], 10, "C of 1 or 3"),
        ([np.zeros((1, 9000, 3), np.uint8)], 10, "at most 8192"),
        ([np.zeros((4, 4, 3), np.uint8)], 0, "give at least 1"),
    ],
)
def test_frames_that_are_no_video_are_refused(tmp_path: Path, frames: list[np.ndarray], fps: int, match: str) -> None:
    with one_clear_error(match):
        write_frames(tmp_path / "v.mp4", frames, fps)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_and_a_missing_folder_are_said(tmp_path: Path) -> None:
    with one_clear_error("cannot write"):
        write_frames(tmp_path / "missing" / "v.mp4", noise(2), 10)


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with one_clear_error(r'pip install "memworld\[video\]"'):
        import_av()
    with pytest.raises(MemworldError):
        list(read_frames(tmp_path / "v.mp4"))


def test_nothing_is_said_on_standard_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", noise(30), movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code = (
        "import sys; from pathlib import Path; from memworld.formats.video_frames import read_frames\n"
        "try: list(read_frames(Path(sys.argv[1])))\nexcept ValueError: pass"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
