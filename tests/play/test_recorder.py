from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memworld.datasets import DatasetInfo
from memworld.formats import open_npz
from memworld.formats.video_frames import read_frames
from memworld.play import recorder
from memworld.play.film import side_by_side
from memworld.play.panels import Panel
from memworld.play.recorder import Recorder, Recordings
from tests.helpers import DISCRETE, one_clear_error

INFO = DatasetInfo((9, 6, 1), DISCRETE, "toy", ("state",))


def panel(shade: int, kind: str = "dream", over: bool = False, reward: float = 0.5) -> Panel:
    frame = np.full((9, 6, 1), shade, np.uint8)
    return Panel("dream 1" if kind == "dream" else "the real world", kind, frame, reward, 0.0, 0.0, over)


def test_a_video_shows_the_panels_side_by_side(tmp_path: Path) -> None:
    pytest.importorskip("av")
    recording = Recorder(tmp_path / "play", INFO, ["mp4"], fps=20)
    recording.begin([panel(0), panel(250, "real")], [{}, {}])
    for shade in (80, 160):
        recording.add(np.array(1), [panel(shade), panel(250, "real")])
    [name] = recording.save()
    frames = list(read_frames(tmp_path / "play" / name))
    assert len(frames) == 3
    height, width, _ = frames[0].shape
    assert (height % 2, width % 2) == (0, 0)
    tall, wide, gap = 9 * 57, 6 * 57, 24  # every pixel a square, 512 or more on the longer side
    top = height - tall - height % 2
    for frame, shade in zip(frames, (0, 80, 160), strict=True):
        first, other = frame[top + 4 : -4, gap + 4 : gap + wide - 4], frame[top + 4 : -4, 2 * gap + wide + 4 : -gap - 4]
        assert abs(float(first.mean()) - shade) < 4
        assert abs(float(other.mean()) - 250) < 4
        assert frame[top:, wide + gap + 4 : wide + 2 * gap - 4].max() < 40  # the gap between them


def test_each_panel_of_a_video_has_its_name_above_it() -> None:
    frames = [np.full((9, 6, 3), shade, np.uint8) for shade in (0, 250)]
    named = side_by_side(frames, ["Dream 1: replay kl", "The real world"])
    bare = side_by_side(frames, ["", ""])
    differs = (named != bare).any(2)
    middle = named.shape[1] // 2
    assert differs[:, :middle].any()
    assert differs[:, middle:].any()
    assert not differs[-9 * 57 :].any()  # which nothing is written over


def test_a_dream_is_called_by_its_strategy() -> None:
    assert panel(0).label == "Dream 1"
    assert replace(panel(0), strategy="replay_kl").label == "Dream 1: replay kl"
    assert panel(0, "real").label == "The real world"


def test_the_real_world_is_recorded_up_to_its_end(tmp_path: Path) -> None:
    recording = Recorder(tmp_path / "play", INFO, ["episodes"])
    recording.begin([panel(0), panel(0, "real")], [{"a": 1}, {"b": 2}])
    recording.add(np.array(1), [panel(1), panel(1, "real", over=True)])
    recording.add(np.array(2), [panel(2, over=True), panel(1, "real", over=True)])
    dreams, reals = recording.save()
    dream, real = open_npz(tmp_path / "play" / dreams)[0], open_npz(tmp_path / "play" / reals)[0]
    assert (len(dream), len(real)) == (2, 1)
    assert dream.terminations.tolist() == [False, True]
    assert real.terminations.tolist() == [True]
    assert not real.truncations.any()
    assert (dict(dream.source), dict(real.source)) == ({"a": 1}, {"b": 2})
    assert open_npz(tmp_path / "play" / dreams).info.state_names == ()


def test_a_recording_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_MOST_BYTES", 3 * 54)
    recording = Recorder(tmp_path, INFO, ["episodes"])
    recording.begin([panel(0)], [{}])
    recording.add(np.array(1), [panel(1)])
    assert not recording.full
    recording.add(np.array(1), [panel(1)])
    assert recording.full


def test_only_recordings_are_listed(tmp_path: Path) -> None:
    pytest.importorskip("av")
    there = Recordings(tmp_path / "play")
    assert there.listed() == []
    recording = Recorder(tmp_path / "play", INFO, ["mp4", "episodes"])
    recording.begin([panel(0)], [{}])
    recording.add(np.array(1), [panel(1)])
    video, dreams = recording.save()
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    (tmp_path / "play" / "other.mp4").write_bytes(b"secret")
    (tmp_path / "play" / video.replace(video[:8], "20200101")).symlink_to(secret)
    (tmp_path / "play" / dreams.replace(dreams[:8], "20200101")).symlink_to(tmp_path)
    (tmp_path / "play" / video.replace(video[:8], "20200102")).mkdir()
    (tmp_path / "play" / video.replace(video[:8], "20200103")).write_bytes(b"no video")
    listed = {told["name"]: told for told in there.listed()}
    assert set(listed) == {video, dreams, video.replace(video[:8], "20200103")}
    assert listed[video.replace(video[:8], "20200103")]["steps"] is None
    assert there.video(video).read_bytes()[4:8] == b"ftyp"
    names = ["other.mp4", "../secret.mp4", str(secret), dreams, "", video.replace(video[:8], "20200101"), video + "\n"]
    for name in names:
        with one_clear_error("no video"):
            there.video(name)


def test_what_goes_while_it_is_listed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = [tmp_path / f"2020010{day}-000000-abcdef.mp4" for day in (1, 2)]
    for path in there:
        path.write_bytes(b"no video")

    def counted(path: Path) -> None:
        if path == there[0]:
            path.unlink()

    monkeypatch.setattr(recorder, "_steps", counted)
    assert [told["name"] for told in Recordings(tmp_path).listed()] == [there[1].name]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "play").write_bytes(b"a file")
    recording = Recorder(tmp_path / "play", INFO, ["episodes"])
    recording.begin([panel(0)], [{}])
    recording.add(np.array(1), [panel(1)])
    with one_clear_error("is a file"):
        recording.save()
    assert Recordings(tmp_path / "play").listed() == []
