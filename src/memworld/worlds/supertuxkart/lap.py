"""A lap on a track: the line along the middle of its road, and how far along it a kart has come."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class CentreLine:
    """The middle of a track's road, seen from above, as segments that each lead to one other.

    Where the road forks, the line goes the main way; segments of the other ways lead back to it.
    """

    def __init__(self, segments: np.ndarray, following: Sequence[int]) -> None:
        """Take over a track.

        Args:
            segments: (N, 2, 2) x and z of the first and last point of each segment, in metres.
            following: N indices, each segment's next.
        """
        self._segments = segments
        self._following = following

    def ahead(self, position: np.ndarray, segment: int, distances: np.ndarray) -> np.ndarray:
        """Points on the line ahead of a position.

        Args:
            position: (2,) x and z in metres.
            segment: index of the segment that it is at.
            distances: (P,) how far along the line to go on from the point beside the position, in
                metres, increasing.

        Returns:
            (P, 2) x and z in metres.
        """
        start, end = self._segments[segment]
        way = end - start
        share = np.clip((position - start) @ way / max(way @ way, 1e-9), 0.0, 1.0)
        points, lengths = [start + share * way, end], [0.0, float(np.linalg.norm((1 - share) * way))]
        # A broken track whose segments have no length must not keep us here for ever.
        for _ in self._segments:
            if lengths[-1] >= distances[-1]:
                break
            segment = self._following[segment]
            points.append(self._segments[segment][1])
            lengths.append(lengths[-1] + float(np.linalg.norm(points[-1] - points[-2])))
        columns = np.stack(points).T
        return np.stack([np.interp(distances, lengths, column) for column in columns], 1)


class Lap:
    """How far a lap has come.

    Attributes:
        centre_line: the track's.
        progress: the share of the lap that is behind the kart, at most 1.
    """

    def __init__(self, reply: Mapping[str, Any]) -> None:
        """Begin with the worker's reply to the start of the race."""
        track = reply["track"]
        self.centre_line = CentreLine(np.array(track["nodes"])[:, :, [0, 2]], track["next"])
        self.progress = 0.0
        self._length = float(track["length"])
        self._distance = float(reply["distance"])
        self._driven = 0.0

    def advance(self, reply: Mapping[str, Any]) -> float:
        """Take in the reply to a step; returns the progress made.

        The game's distance starts over at the line, also for a kart that comes back over it. So the
        shorter way around is taken for the one that was driven.
        """
        half = self._length / 2
        self._driven += (reply["distance"] - self._distance + half) % self._length - half
        self._distance = reply["distance"]
        before = self.progress
        # A kart past the line that has missed a check line must go round once more, for nothing.
        self.progress = 1.0 if reply["finished"] else min(self._driven / self._length, 1.0)
        return self.progress - before
