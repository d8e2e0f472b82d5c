"""Where have I seen this? The recorded moments most like a frame, in a memory and in a data set."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from memworld.datasets import EpisodeDataset
from memworld.dynamics import DynamicsConfig
from memworld.formats.resize import resize_frame
from memworld.gaussian import Latents
from memworld.play.panels import Neighbour
from memworld.play.stage import Stage
from memworld.stretches import one_a_stretch

_APART = 5
"""Steps that two moments of one episode must lie apart for both to be named: neighbours look alike."""

_SIDE = 16
"""Pixels of a frame of a data set as it is compared."""

_MOST_FRAMES = 20_000
"""Of a data set that are compared, evenly drawn."""


_USUAL = 0.99
"""Share of recorded moments that lie nearer to the nearest one of another episode than what counts as unlike all."""

_YARDSTICKS = 256
"""Moments of a data set that this is measured on."""

_SAME = 1e-3
"""Distance, of either kind, that tells nothing: a frame that is encoded twice may be as far from itself."""


@dataclass(frozen=True)
class Seen:
    """What looks like a frame.

    Attributes:
        found: the nearest recorded moments.
        usual: distance to the nearest moment of another episode that all but 1 % of recorded moments stay below; None
            where there is a single episode.
    """

    found: tuple[Neighbour, ...]
    usual: float | None

    @property
    def unlike(self) -> bool:
        """Whether nothing recorded is like the frame."""
        if not self.found or self.usual is None:
            return not self.found
        return self.found[0].distance > max(self.usual, _SAME)


class Recall:
    """Finds moments of a memory by the divergence of their posteriors, as Replay-KL does."""

    def __init__(self, stage: Stage) -> None:
        """Index the memory.

        Raises:
            MemworldError: it cannot be searched.
        """
        self._stage = stage
        most = min(512, stage.memory.steps)
        self._world = stage.world.under(DynamicsConfig("replay_kl", k=most, conditioning="none"))
        self._world.prepare()

    @cached_property
    def usual(self) -> float | None:
        """See `Seen`; the yardstick of support has measured it."""
        distances = self._world.lookup.support.distances
        return float(distances.quantile(_USUAL)) if len(distances) else None

    def like(self, frame: np.ndarray, count: int) -> Seen:
        """The moments most like a frame, uint8 (H, W, C), the nearest first."""
        return self._nearest(self._world.history(frame).present, count)

    def like_row(self, row: int, count: int) -> Seen:
        """The moments most like a recorded one, which is among them if something follows it."""
        return self._nearest(self._stage.memory.rows.latents[torch.tensor([row])], count)

    def _nearest(self, state: Latents, count: int) -> Seen:
        rows = self._stage.memory.rows
        matches = self._world.lookup.retrieve(state, rows.actions[:1])
        found = matches.rows[0][matches.found[0]]
        moments = zip(rows.episodes[found].tolist(), rows.steps[found].tolist(), strict=True)
        chosen = one_a_stretch(moments, _APART - 1, count)
        distances = matches.distances[0][chosen].double().numpy()
        ids, weights = self._stage.memory.ids, _shares(distances)
        named = []
        for row, distance, weight in zip(found[chosen].tolist(), distances, weights, strict=True):
            episode, step = self._stage.moment(row)
            named.append(Neighbour(episode, ids[episode], step, row, float(distance), float(weight)))
        return Seen(tuple(named), self.usual)


class PixelIndex:
    """Finds moments of a data set, which has no encoder, by their pixels, seen from afar."""

    def __init__(self, dataset: EpisodeDataset) -> None:
        """Read all episodes, one at a time.

        Raises:
            MemworldError: one is damaged.
        """
        self._ids = dataset.ids
        every = max(1, -(-(dataset.steps + len(dataset)) // _MOST_FRAMES))
        keys, episodes, steps = [], [], []
        for number, episode in enumerate(dataset):
            drawn = np.arange(0, len(episode.observations), every)
            keys.append(np.stack([_afar(episode.observations[step]) for step in drawn]))
            episodes.append(np.full(len(drawn), number))
            steps.append(drawn)
        self._keys = torch.from_numpy(np.concatenate(keys))
        self._episodes, self._steps = np.concatenate(episodes), np.concatenate(steps)
        lengths = [entry.steps + 1 for entry in dataset.entries]
        self._first = np.cumsum([0, *lengths[:-1]])

    @cached_property
    def usual(self) -> float | None:
        """See `Seen`."""
        some = np.unique(np.linspace(0, len(self._keys) - 1, _YARDSTICKS).round().astype(int))
        apart = torch.cdist(self._keys[some], self._keys, p=1) / self._keys.shape[1]
        own = torch.from_numpy(self._episodes[some][:, None] == self._episodes)
        nearest = apart.masked_fill(own, torch.inf).amin(1)
        return None if bool(nearest.isinf().any()) else float(nearest.quantile(_USUAL))

    def like(self, frame: np.ndarray, count: int) -> Seen:
        """The moments most like a frame, uint8 (H, W, C): `distance` is the mean difference of a pixel, of 255."""
        distances = (self._keys - torch.from_numpy(_afar(frame))).abs().mean(1).numpy()
        order = np.argsort(distances, kind="stable")
        moments = zip(self._episodes[order].tolist(), self._steps[order].tolist(), strict=True)
        chosen = order[one_a_stretch(moments, _APART - 1, count)]
        named = []
        for place, weight in zip(chosen, _shares(distances[chosen].astype(np.float64)), strict=True):
            episode, step = int(self._episodes[place]), int(self._steps[place])
            row = int(self._first[episode]) + step
            named.append(Neighbour(episode, self._ids[episode], step, row, float(distances[place]), float(weight)))
        return Seen(tuple(named), self.usual)


def _afar(frame: np.ndarray) -> np.ndarray:
    """A frame as it is compared, float32 (16 * 16 * C,)."""
    height, width = (min(_SIDE, side) for side in frame.shape[:2])
    return resize_frame(frame, (height, width)).astype(np.float32).reshape(-1)


def _shares(distances: np.ndarray) -> np.ndarray:
    """Shares (n,) that fall exponentially with distance, on the scale of their mean above the nearest."""
    if len(distances) == 0:
        return distances
    above = distances - distances.min()
    falling = np.exp(-above / max(float(above.mean()), 1e-12))
    return np.asarray(falling / falling.sum())
