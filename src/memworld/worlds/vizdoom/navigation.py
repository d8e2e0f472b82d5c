"""The way to a place on a map of walls."""

import heapq

import numpy as np

# Sides of the squares into which the floor is divided, and the least distance between the walls and a
# square's centre that is walked on. The player is 16 wide to each side; doors are 64 wide.
_CELL = 16.0
_CLEARANCE = 22.0
# How many squares ahead a waypoint may be.
_LOOK_AHEAD = 12

_DIAGONAL = float(np.sqrt(2.0))
_NEIGHBOURS = [(i, j, _DIAGONAL if i and j else 1.0) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


class Navigation:
    """Shortest ways to one goal over a grid of squares that keep clear of the walls (Dijkstra's algorithm)."""

    def __init__(self, walls: np.ndarray, goal: np.ndarray) -> None:
        """Draw the map.

        Args:
            walls: (L, 4) lines that nothing can pass, as x1, y1, x2, y2.
            goal: (2,) where the ways lead.
        """
        ends = walls.astype(np.float64).reshape(-1, 2, 2)
        self._goal = goal.astype(np.float64)
        self._corner = ends.min((0, 1))
        shape = np.ceil((ends.max((0, 1)) - self._corner) / _CELL).astype(int)
        centres = self._centre(np.indices(shape).reshape(2, -1).T)
        self._free = (_distances(centres, ends).min(1) > _CLEARANCE).reshape(shape)
        self._ahead = self._search()

    def waypoint(self, position: np.ndarray) -> np.ndarray:
        """Where to walk straight to from `position`, (2,): far along the way, but around no corner."""
        i, j = self._reachable[np.square(self._centre(self._reachable) - position).sum(1).argmin()]
        here = best = (int(i), int(j))
        for _ in range(_LOOK_AHEAD):
            following = self._ahead.get(here)
            if following is None:
                # The goal itself may lie closer to a wall than squares do, so only its square must be in sight.
                return self._goal if best == here else self._centre(np.array(best))
            here = following
            if self._clear(position, self._centre(np.array(here))):
                best = here
        return self._centre(np.array(best))

    def _search(self) -> dict[tuple[int, int], tuple[int, int]]:
        """The next square towards the goal of each square from which it can be reached; the goal's has none."""
        squares = np.argwhere(self._free)
        i, j = squares[np.square(self._centre(squares) - self._goal).sum(1).argmin()]
        start = (int(i), int(j))
        ahead: dict[tuple[int, int], tuple[int, int]] = {}
        lengths, queue = {start: 0.0}, [(0.0, start)]
        while queue:
            length, (i, j) = heapq.heappop(queue)
            if length > lengths[i, j]:
                continue
            for di, dj, step in _NEIGHBOURS:
                other = (i + di, j + dj)
                if self._is_free(other) and length + step < lengths.get(other, np.inf):
                    lengths[other] = length + step
                    ahead[other] = (i, j)
                    heapq.heappush(queue, (length + step, other))
        self._reachable = np.array(list(lengths))
        return ahead

    def _clear(self, start: np.ndarray, end: np.ndarray) -> bool:
        """Whether a straight line keeps to free squares; it may begin next to a wall."""
        length = float(np.linalg.norm(end - start))
        along = np.arange(_CELL, length, _CELL / 2)
        points = start + along[:, None] / max(length, 1e-9) * (end - start)
        squares = np.floor((points - self._corner) / _CELL).astype(int)
        return bool(self._free[tuple(squares.T)].all())

    def _is_free(self, square: tuple[int, int]) -> bool:
        i, j = square
        return 0 <= i < self._free.shape[0] and 0 <= j < self._free.shape[1] and bool(self._free[i, j])

    def _centre(self, squares: np.ndarray) -> np.ndarray:
        return np.asarray(self._corner + (squares + 0.5) * _CELL)


def _distances(points: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Distances (N, L) between points (N, 2) and lines (L, 2 ends, 2)."""
    along = ends[:, 1] - ends[:, 0]
    offset = points[:, None] - ends[:, 0]
    share = (offset * along).sum(-1) / np.maximum(np.square(along).sum(-1), 1e-9)
    nearest = ends[:, 0] + share.clip(0, 1)[..., None] * along
    return np.asarray(np.linalg.norm(points[:, None] - nearest, axis=-1))
