"""The program that runs the engine for `engine.Engine`, in a process of its own that may crash.

It is started by its path, so that nothing else of memworld is loaded, with the number of the open
socket on which it is told what to do. Requests are JSON; a reply is JSON and, unless it says "error",
a second message with the frame, uint8 (size, size, 3).

    {"do": "race", "track": name, "seed": n, "aside": metres, "turn": radians}
    {"do": "step", "steer": -1, 0 or 1, "acceleration": 0 or 1, "brake": false or true}
"""

import json
import os
import shutil
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

KART = "tux"
STEP_SECONDS = 0.1
INTRO_STEPS = 600
# Far more than any request takes: a hanging engine whose parent was killed must not stay for ever.
LONGEST_SECONDS = 300


class _Game:
    """The engine, and the race that runs in it, of which there can be one at a time."""

    def __init__(self, size: int) -> None:
        import pystk2

        self._stk: Any = pystk2
        graphics = self._stk.GraphicsConfig.ld()
        graphics.display = False
        graphics.screen_width = graphics.screen_height = size
        self._stk.init(graphics)
        self._race: Any = None
        self._world: Any = None

    def race(self, track: str, seed: int, aside: float, turn: float) -> tuple[dict[str, Any], bytes]:
        """Start a race, up to the moment when the karts may go.

        The kart is put `aside` metres to the right of its place and turned by `turn` to the right.
        """
        if self._race is not None:
            self._world = None
            self._race.stop()
            # The engine crashes if a race is made while the last is still referred to.
            self._race = None
        config = self._stk.RaceConfig(track=track, num_kart=1, laps=1, seed=seed, step_size=STEP_SECONDS, overlay=False)
        config.players[0].controller = self._stk.PlayerConfig.Controller.PLAYER_CONTROL
        config.players[0].kart = KART
        self._race = self._stk.Race(config)
        self._race.start()
        self._world = self._stk.WorldState()
        for _ in range(INTRO_STEPS):
            self._race.step(self._stk.Action())
            self._world.update()
            if self._world.time > 0:
                break
        else:
            raise RuntimeError(f"the race had not begun after {INTRO_STEPS} steps")
        # Before, the engine would put the kart back.
        self._place(aside, turn)
        # The camera turns after the kart only in the step after this one.
        self._race.step(self._stk.Action())
        reply, frame = self.step(0, 0, False)
        return reply | {"track": self._track()}, frame

    def step(self, steer: float, acceleration: float, brake: bool) -> tuple[dict[str, Any], bytes]:
        """Drive for a step of the game's time."""
        going = self._race.step(self._stk.Action(steer=steer, acceleration=acceleration, brake=brake))
        self._world.update()
        kart = self._world.karts[0]
        reply = {
            "location": _numbers(kart.location),
            "front": _numbers(kart.front),
            "velocity": _numbers(kart.velocity),
            "node": int(kart.node),
            "distance": float(kart.distance_down_track),
            "finished": not going or bool(kart.has_finished_race),
        }
        # Only here is the picture made. It is copied, as the engine's own goes with the race.
        return reply, np.array(self._race.render_data[0].image, np.uint8).tobytes()

    def _place(self, aside: float, turn: float) -> None:
        kart = self._world.karts[0]
        x, y, z = _numbers(kart.location)
        front_x, _, front_z = _numbers(kart.front)
        ahead = np.array([front_x - x, front_z - z])
        right_x, right_z = aside * np.array([ahead[1], -ahead[0]]) / np.linalg.norm(ahead)
        half = (np.arctan2(*ahead) + turn) / 2
        rotation = [0.0, float(np.sin(half)), 0.0, float(np.cos(half))]
        self._world.set_kart_location(kart.id, [x + float(right_x), y, z + float(right_z)], rotation, 0.0)

    def _track(self) -> dict[str, Any]:
        track = self._stk.Track()
        track.update()
        return {
            "length": float(track.length),
            "nodes": np.array(track.path_nodes, np.float64).tolist(),
            "next": [int(next(iter(after))) for after in track.successors],
        }


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in values]


def _serve(connection: Connection, size: int) -> None:
    """Answer requests until the other end is closed."""
    game = None
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        signal.alarm(LONGEST_SECONDS)
        try:
            game = game or _Game(size)
            reply, frame = getattr(game, {"race": "race", "step": "step"}[request.pop("do")])(**request)
        except Exception as error:  # whatever the engine's binding raises
            reply, frame = {"error": f"{type(error).__name__}: {error}"}, b""
        signal.alarm(0)
        try:
            connection.send_bytes(json.dumps(reply).encode())
            if frame:
                connection.send_bytes(frame)
        except OSError:
            return


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
    # Who started this may have been killed, and then cannot.
    shutil.rmtree(Path(sys.argv[3]), ignore_errors=True)
    # The engine crashes in an ordinary exit that finds a race running.
    os._exit(0)
