"""Video files with a table of actions each, by hand or by memworld.

    NAME.mp4 (or .mkv, .avi, .mov, .webm)   the frames of one episode
    NAME.csv (or .parquet)                  its actions, rewards, endings and states

What a table made by hand may hold is said in `table`; what memworld writes so that nothing is lost,
in `writer`. NAME is the episode's id.
"""

from memworld.formats.format import Format
from memworld.formats.video.pairs import video_without_table
from memworld.formats.video.reader import find_video, open_video
from memworld.formats.video.writer import VideoWriter

__all__ = ["VIDEO", "VideoWriter", "open_video", "video_without_table"]

VIDEO = Format("video", "video files with an action table (CSV or Parquet) each", find_video, open_video, VideoWriter)
