"""Videos with tables by hand that were trimmed without encoding them again."""

from pathlib import Path

import numpy as np

from memworld.episodes import Episode
from memworld.formats.format import ReadOptions
from memworld.formats.video import open_video
from memworld.formats.video_frames import write_frames
from tests.formats.trimmed import encode, remux, trimmed
from tests.helpers import one_clear_error

# Frames that are all alike but for their grey level, which is their number times 10.
FRAMES = np.arange(24, dtype=np.uint8).repeat(4 * 6 * 3).reshape(24, 4, 6, 3) * 10


def numbers_of(episode: Episode) -> list[int]:
    return [int(level) // 10 for level in episode.observations[:, 0, 0, 0]]


def write_actions(path: Path, actions: str) -> None:
    path.write_text("\n".join(["action", *actions]) + "\n")


def test_a_trimmed_video_has_the_frames_that_can_be_read(tmp_path: Path) -> None:
    """As `ffmpeg -ss 0.3 -i all.mp4 -c copy run.mp4` makes it: all are in the file, and three are not to be seen."""
    trimmed(tmp_path, FRAMES, 3, "run")
    write_actions(tmp_path / "run.csv", "01" * 10)
    for options in (ReadOptions(), ReadOptions(most_steps=8)):
        dataset = open_video(tmp_path, options)
        assert sum(entry.steps for entry in dataset.entries) == 20
        seen = [numbers_of(episode) for episode in dataset]
        assert seen[0][:3] == [3, 4, 5]
        assert seen[-1][-1] == 23
        assert [action for episode in dataset for action in episode.actions] == [0, 1] * 10


def test_frames_that_are_listed_and_cannot_be_decoded(tmp_path: Path) -> None:
    """Cut without its first keyframe, as some cameras do it."""
    whole = encode(tmp_path / ".whole.mp4", FRAMES, g="12", sc_threshold="0")
    remux(whole, tmp_path / "run.mp4", 0, first=5)
    write_frames(tmp_path / "good.mp4", FRAMES[:2], 10)
    write_actions(tmp_path / "good.csv", "1")
    for rows in (18, 19):
        write_actions(tmp_path / "run.csv", "1" * rows)
        dataset = open_video(tmp_path)
        agree = f"table .*run.csv has {rows} rows and video .*run.mp4 lists 19 frames, but 12 can be decoded: encode"
        with one_clear_error(f"episode run in .*: {agree}"):
            dataset.load("run")
        assert len(dataset.load("good")) == 1
    for rows in (11, 12):  # as many as can be decoded: what then is wrong is the table
        write_actions(tmp_path / "run.csv", "1" * rows)
        with one_clear_error(f"episode run in .*run.csv has {rows} rows and .*19 frames, but 12 can be decoded"):
            open_video(tmp_path).load("run")
