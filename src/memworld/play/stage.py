"""A memory that is dreamt in: what all dreams in it share, whoever dreams them."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from memworld.engine import DynamicsSettings
from memworld.envs.starts import Starts
from memworld.errors import MemworldError
from memworld.imagine import Dynamics
from memworld.memory import Memory
from memworld.pictures import decode
from memworld.play.projection import Projection
from memworld.play.settings import Choices, DreamSettings
from memworld.world_model import WorldModel

_MOST_MODELS = 8
"""Models that are kept for those who come back to their settings."""

_FRAME_BYTES = 64 << 20
"""Of recorded frames that are kept for the next time."""


class Model:
    """A world model that is asked by one at a time, and made ready by the first who asks."""

    def __init__(self, world: WorldModel) -> None:
        """Nothing is prepared yet.

        Args:
            world: its memory stays as it was when it was opened.
        """
        self.world = world
        self.lock = threading.Lock()
        """To be held while it is asked: what it makes when it is first needed, two would make at once."""

    @property
    def dynamics(self) -> Dynamics:
        """How the next state is found; the first who asks waits until memory is indexed and learned from."""
        return self.world.prepare()


class Stage:
    """A memory, as it was when it was opened, with the models that dreams in it have asked for."""

    def __init__(self, world: WorldModel) -> None:
        """Dream in the memory of a world.

        Raises:
            MemworldError: the memory is empty.
        """
        self.world = world
        self.choices = Choices(world.memory)
        self.starts = Starts(world.memory, "any")
        self.numbers = {episode: number for number, episode in enumerate(world.memory.ids)}
        """The number of each episode."""
        lengths = [0, *(entry.steps + 1 for entry in world.memory.entries[:-1])]
        self.first_rows: list[int] = np.cumsum(lengths).tolist()
        """The row of each episode's first moment."""
        self._models: OrderedDict[DynamicsSettings, Model] = OrderedDict()
        self._choosing = threading.Lock()
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()
        self._reading = threading.Lock()

    @property
    def memory(self) -> Memory:
        """What is dreamt in."""
        return self.world.memory

    @cached_property
    def projection(self) -> Projection:
        """The memory's map."""
        return Projection.fit(self.memory.rows)

    def model(self, settings: DreamSettings) -> Model:
        """The model of these settings, ready to be asked.

        Raises:
            MemworldError: the memory cannot be dreamt in so.
        """
        wanted = settings.dynamics
        with self._choosing:
            if wanted not in self._models:
                self._models[wanted] = Model(self.world.under(wanted))
                if len(self._models) > _MOST_MODELS:  # dreams that are under way keep theirs
                    self._models.popitem(last=False)
            self._models.move_to_end(wanted)
            model = self._models[wanted]
        with model.lock:  # two who ask for the same at once wait for one, and those who have another for nobody
            _ = model.dynamics
            if settings.decoding == "blend":
                _ = model.world.painter.blend  # chosen now rather than at the first step
        return model

    def row(self, episode: int, step: int) -> int:
        """The row of a recorded moment.

        Raises:
            MemworldError: there is no such moment.
        """
        entries = self.memory.entries
        if not 0 <= episode < len(entries):
            raise MemworldError(f"the memory has episodes 0 to {len(entries) - 1}, not {episode}")
        if not 0 <= step <= entries[episode].steps:
            raise MemworldError(f"episode {episode} has steps 0 to {entries[episode].steps}, not {step}")
        return self.first_rows[episode] + step

    def start(self, episode: int, step: int) -> int:
        """The row of a recorded moment that something follows.

        Raises:
            MemworldError: there is none, or nothing follows it.
        """
        row = self.row(episode, step)
        if not bool(self.memory.rows.has_successor[row]):
            raise MemworldError(
                f"nothing follows step {step}, the last of its episode: start at a step from 0 to {step - 1}"
            )
        return row

    def moment(self, row: int) -> tuple[int, int]:
        """The number of a row's episode, and its step there."""
        rows = self.memory.rows
        return int(rows.episodes[row]), int(rows.steps[row])

    def frames(self, rows: Sequence[int]) -> np.ndarray:
        """The frames of rows, uint8 (n, H, W, C): those recorded, or if none are kept, decoded ones.

        Raises:
            MemworldError: they cannot be read.
        """
        with self._reading:
            missing = sorted({row for row in rows if row not in self._frames})
            if missing:
                self._frames.update(zip(missing, self._read(missing), strict=True))
            found = np.stack([self._frames[row] for row in rows]) if rows else self._read([])
            for row in rows:
                self._frames.move_to_end(row)
            most = max(1, _FRAME_BYTES // int(np.prod(self.memory.info.observation_shape)))
            while len(self._frames) > most:
                self._frames.popitem(last=False)
        return found

    def _read(self, rows: list[int]) -> np.ndarray:
        if self.memory.keep_frames:
            return self.memory.frames(rows)
        with torch.no_grad():
            return decode(self.world.encoder, self.memory.rows.latents.mu[torch.tensor(rows, dtype=torch.int64)])
