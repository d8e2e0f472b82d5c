"""A lap on a SuperTuxKart track as a Gymnasium environment."""

import itertools
import logging
from typing import Any

import gymnasium
import numpy as np

from memworld.actions import as_actions
from memworld.errors import MemworldError
from memworld.worlds.supertuxkart.assets import missing, tracks
from memworld.worlds.supertuxkart.engine import Engine
from memworld.worlds.supertuxkart.lap import Lap

_log = logging.getLogger(__name__)

SIZE = 64

STATE_NAMES = (
    *(f"{quantity}_{axis}" for quantity in ("position", "velocity") for axis in "xyz"),
    "heading_x",
    "heading_z",
    "progress",
)

PATH_AHEAD = np.array([5.0, 10.0, 15.0, 20.0, 30.0])
"""How far ahead on the track's centre line the points of `info["path"]` lie, in metres."""

_STEERING = {"left": -1.0, "straight": 0.0, "right": 1.0}
_PEDALS = {"accelerate": (1.0, False), "coast": (0.0, False), "brake": (0.0, True)}

# Action number 3 i + j is the i-th way to steer with the j-th pedal.
ACTION_NAMES = tuple(f"{way} {pedal}" for way, pedal in itertools.product(_STEERING, _PEDALS))
_CONTROLS = tuple(
    {"steer": steer, "acceleration": acceleration, "brake": brake}
    for steer, (acceleration, brake) in itertools.product(_STEERING.values(), _PEDALS.values())
)

# The kart starts up to so many metres and radians off its place on the grid.
_ASIDE, _TURN = 1.5, 0.2

# Seconds after which the engine counts as hanging: many times what it takes on a busy machine.
_START_TIMEOUT, _STEP_TIMEOUT = 60.0, 30.0


class SuperTuxKartEnv(gymnasium.Env[np.ndarray, Any]):
    """One kart, alone, drives one lap.

    Observations are uint8 (64, 64, 3), the view from behind the kart without the game's display of
    time, speed and map. A step is 0.1 s of the game's time. Actions are `Discrete(9)`, see
    `ACTION_NAMES`: left, straight or right, each with accelerate, coast or brake, which is also the
    reverse gear.

    The reward is the progress made: the share of the lap that lies between the positions before and
    after the step, negative on the way back. A whole lap is worth 1 in all and ends the episode. The
    game counts no progress on short cuts past its check lines, nor behind the starting line.

    `info["state"]` is float32 (9,), see `STATE_NAMES`: position in metres and velocity in m/s, both
    with y upwards; the direction in which the kart points, seen from above, as a unit vector, which
    is the sine and cosine of its heading; and the progress, the sum of the rewards, at most 1.
    `info["path"]` is float32 (5, 2), where the centre line will be `PATH_AHEAD` metres on: metres to
    the kart's right, and ahead.

    The seed decides where on the grid the kart stands and how it is turned there, by up to 1.5 m and
    0.2 radians, and what the game's item boxes hold. With the same seed and actions, rewards, states and
    paths repeat exactly, whatever was driven before. Pictures do not, as the game animates water, flags
    and other scenery by the computer's clock: they differ by 0.01 to 0.8 grey levels on average over
    200 steps on the paper's tracks, and single ones, with a moving thing close by, by up to 12.

    The engine runs in a process of its own, 500 MB large, from the first reset to `close`. If it
    crashes or hangs, `reset` and `step` raise a MemworldError, and the next reset starts a new one.
    """

    action_space: gymnasium.spaces.Discrete

    def __init__(self, track: str) -> None:
        """Choose the track; the engine starts with the first reset.

        Args:
            track: one of `assets.tracks()`.

        Raises:
            MemworldError: unknown track, or something that the engine needs is not installed.
        """
        if lacking := missing():
            raise MemworldError(f"SuperTuxKart cannot run, install what is missing: {'; '.join(lacking)}")
        if track not in tracks():
            raise MemworldError(f"SuperTuxKart has no track {track!r}: use one of {', '.join(tracks())}")
        self._track = track
        self._engine: Engine | None = None
        self._lap: Lap | None = None
        self.action_space = gymnasium.spaces.Discrete(len(ACTION_NAMES))
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a new race.

        Returns:
            observation uint8 (64, 64, 3) and info with the state, float32 (9,), and the path,
            float32 (5, 2).

        Raises:
            MemworldError: the engine does not start, twice; another reset tries it again.
        """
        super().reset(seed=seed)
        self._lap = None
        if self._engine is None or self._engine.failed:
            self._engine = Engine(SIZE)
        request = {
            "do": "race",
            "track": self._track,
            "seed": int(self.np_random.integers(2**31)),
            "aside": self.np_random.uniform(-_ASIDE, _ASIDE),
            "turn": self.np_random.uniform(-_TURN, _TURN),
        }
        what = f"starting a race on {self._track}"
        try:
            reply, frame = self._engine.ask(what, _START_TIMEOUT, request)
        except MemworldError as error:
            # Rarely the engine ends itself while it loads a track, and does not when it is started again.
            _log.info("%s", error)
            self._engine = Engine(SIZE)
            reply, frame = self._engine.ask(what, _START_TIMEOUT, request)
        self._lap = Lap(reply)
        return frame, self._info(reply, self._lap)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Drive for 0.1 s.

        Returns:
            observation uint8 (64, 64, 3), reward, terminated, truncated and info with the state,
            float32 (9,), and the path, float32 (5, 2).

        Raises:
            MemworldError: `action` is outside the action space, no race is running, or the engine failed.
        """
        chosen = as_actions(action, self.action_space)
        if chosen.shape:
            raise MemworldError(f"action has shape {chosen.shape}: give one number, a race has one driver")
        if self._engine is None or self._lap is None:
            raise MemworldError("no race is running: call reset() before the first step and after a race's end")
        lap = self._lap
        # It returns only where the engine does not fail.
        self._lap = None
        reply, frame = self._engine.ask(
            f"driving on {self._track}", _STEP_TIMEOUT, {"do": "step", **_CONTROLS[int(chosen)]}
        )
        reward = lap.advance(reply)
        terminated = bool(reply["finished"])
        self._lap = None if terminated else lap
        return frame, reward, terminated, False, self._info(reply, lap)

    def close(self) -> None:
        """End the engine."""
        self._lap = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _info(self, reply: dict[str, Any], lap: Lap) -> dict[str, Any]:
        location, velocity = np.array(reply["location"]), np.array(reply["velocity"])
        position = location[[0, 2]]
        heading = np.array(reply["front"])[[0, 2]] - position
        heading /= max(np.linalg.norm(heading), 1e-9)
        right = np.array([heading[1], -heading[0]])
        ahead = lap.centre_line.ahead(position, reply["node"], PATH_AHEAD) - position
        return {
            "state": np.concatenate([location, velocity, heading, [lap.progress]]).astype(np.float32),
            "path": np.stack([ahead @ right, ahead @ heading], 1).astype(np.float32),
        }
