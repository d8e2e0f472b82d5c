"""MineRL's folders, read and written: human play of Minecraft, in videos with arrays beside them.

    ROOT/VERSION                                3 or 4
    ROOT/MineRLNavigate-v0/v4_<stream>/         one recording, of N steps
        recording.mp4                           frames; the last N+1 are those of the recording
        rendered.npz                            reward (N,), action$* (N, ...), observation$* (N+1, ...)
        metadata.json                           success, true_video_frame_count, ...

What MineRL has no place for is kept beside its own entries, so that a round trip loses nothing:
`ROOT/memworld.json`, by which memworld knows the folder as its own, and `memworld` in every
`metadata.json`. MineRL 0.4 passes over both.
"""

from memworld.formats.format import Format
from memworld.formats.minerl.layout import is_minerl
from memworld.formats.minerl.reader import open_minerl
from memworld.formats.minerl.writer import MineRLWriter

__all__ = ["MINERL", "MineRLWriter", "open_minerl"]

MINERL = Format("minerl", "MineRL folders (v3, v4)", is_minerl, open_minerl, MineRLWriter)
