"""The real world beside a dream: brought to the same recorded moment, it takes the same actions."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from memworld.actions import restore_actions, supported_space
from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.pixels import differs
from memworld.play.stage import Stage
from memworld.record import begin_recorded, recorded_start
from memworld.storage import one_line
from memworld.worlds import World, open_world
from memworld.worlds.playing import dataset_info

_SAME = 0.05
"""Latent means of one and the same frame, encoded twice, differ by less."""


def world_of(memory: Memory) -> World:
    """The real world that a memory is of, if it can be brought to moments that the memory holds.

    Raises:
        MemworldError: it cannot; the message says why.
    """
    name = memory.info.world
    if not name:
        raise MemworldError("the memory does not say which world it is of")
    world = open_world(name)
    if not world.repeatable:
        raise MemworldError(f"{name} never plays twice the same, so that it cannot be brought to a recorded moment")
    if not any(recorded_start(entry) for entry in memory.entries):
        raise MemworldError("no episode of the memory says how it began: memworld has not recorded them itself")
    return world


class RealWorld:
    """An environment that is played beside a dream.

    Attributes:
        frame: uint8 (H, W, C) what it shows.
        reward: of the last step.
        total: of all since the start.
        over: whether its episode has ended; then it stands still.
    """

    frame: np.ndarray

    def __init__(self, stage: Stage) -> None:
        """Make the environment; it begins with `begin`.

        Raises:
            MemworldError: there is none like what the memory holds.
        """
        self._stage, self._world = stage, world_of(stage.memory)
        self.reward = self.total = 0.0
        self.over = False
        with _told_of(self._world):
            self._env = self._world.make()
        try:
            found, kept = dataset_info(self._world, self._env), stage.memory.info
            for name in ("observation_shape", "action_space"):
                if getattr(found, name) != getattr(kept, name):
                    raise MemworldError(
                        f"the real {kept.world} has {name} {getattr(found, name)!s}, the memory {getattr(kept, name)!s}"
                    )
        except MemworldError:
            self.close()
            raise

    def begin(self, row: int, actions: Sequence[np.ndarray] = ()) -> None:
        """Begin at a recorded moment, and take actions from there on.

        Args:
            row: of the moment.
            actions: in the stored form.

        Raises:
            MemworldError: its episode does not say how it began, or this world does not play as it was recorded.
        """
        number, step = self._stage.moment(row)
        episode = self._stage.memory.episodes[number]
        with _told_of(self._world):
            self.frame = np.array(begin_recorded(self._env, self._world, episode.entry)[0])
        self.over = False
        for taken in episode.actions[:step]:
            self.step(taken)
        if self.over or not self._as_recorded(row):
            raise MemworldError(
                f"the real {self._world.name} does not come to step {step} of episode {episode.entry.id} as it was "
                "recorded: another version of it, or other settings, made the recording"
            )
        self.reward = self.total = 0.0
        for taken in actions:
            self.step(taken)

    def step(self, action: np.ndarray) -> None:
        """Take one action in the stored form; after the episode's end, none.

        Raises:
            MemworldError: the simulator has failed.
        """
        if self.over:
            self.reward = 0.0
            return
        taken: Any = restore_actions(np.asarray(action), supported_space(self._env.action_space))
        with _told_of(self._world):
            frame, reward, terminated, truncated, _ = self._env.step(taken)
        self.frame = np.array(frame)  # which the environment may draw the next one into
        self.reward = float(reward)
        self.total += self.reward
        self.over = bool(terminated or truncated)

    def close(self) -> None:
        """End the environment; one that has failed before may fail at that too."""
        with contextlib.suppress(MemworldError), _told_of(self._world):
            self._env.close()

    def _as_recorded(self, row: int) -> bool:
        """Whether it shows what a row was recorded from: the frame itself, or if none is kept, its latents."""
        memory, shown = self._stage.memory, self.frame[None]
        if memory.keep_frames:
            return not bool(differs(shown, memory.frames([row])[0]).any())
        with torch.no_grad():
            mu = self._stage.world.encoder.encode(shown)[0][0]
        return bool(((mu - memory.rows.latents.mu[row]).abs() < _SAME).all())


@contextlib.contextmanager
def _told_of(world: World) -> Iterator[None]:
    """What a simulator raises, which may be anything, is said in one line."""
    try:
        yield
    except MemworldError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {one_line(error)[:200]}"
        raise MemworldError(f"the real {world.name} has failed ({what}): begin it again, or go on without") from error
