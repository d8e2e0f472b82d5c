"""LeRobot's data sets of version 3, read with pyarrow and PyAV; the `lerobot` library is not needed.

    meta/info.json                             version, frames a second, features, where files lie
    meta/episodes/chunk-000/file-000.parquet   a row for each episode: its rows, its part of the videos
    data/chunk-000/file-000.parquet            a row for each frame, of many episodes
    videos/CAMERA/chunk-000/file-000.mp4       the frames, of many episodes

Of an episode, the rows and the part of the video that are its own are read. How its N rows become an
`Episode` of N observations and T = N - 1 steps is said in `episode`.
"""

from memworld.formats.format import Format
from memworld.formats.lerobot.metadata import INFO
from memworld.formats.lerobot.reader import open_lerobot

__all__ = ["LEROBOT", "open_lerobot"]

LEROBOT = Format("lerobot", "LeRobot v3", lambda path: (path / INFO).is_file(), open_lerobot, cameras=True)
