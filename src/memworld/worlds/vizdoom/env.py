"""Scenarios of the first-person shooter Doom as Gymnasium environments, run by ViZDoom without a window."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from memworld.actions import as_actions
from memworld.errors import MemworldError
from memworld.extras import import_extra
from memworld.storage import one_line
from memworld.worlds.vizdoom.scenarios import SCENARIOS

SIZE = 64
FRAMESKIP = 4

# Without these sections in its configuration the engine makes a folder in the current one.
_AUTOEXEC_SECTIONS = ("Doom", "Heretic", "Hexen", "Strife", "Chex")

_ENGINE_ERRORS = (
    "FileDoesNotExistException",
    "MessageQueueException",
    "SharedMemoryException",
    "ViZDoomErrorException",
    "ViZDoomIsNotRunningException",
    "ViZDoomUnexpectedExitException",
)


class VizDoomEnv(gymnasium.Env[np.ndarray, Any]):
    """One scenario.

    Observations are uint8 (64, 64, 3), the screen of 160 x 120 reduced by averaging over areas. Actions
    are the scenario's (see `scenarios.SCENARIOS`), as `Discrete`; one is held for 4 tics of the game, of
    which a second has 35. The reward is the scenario's own. Besides the end of its story (the vest is
    found, the player dies), after which it is terminated, an episode has the scenario's limit of tics,
    at which it is truncated. The engine has no picture of the end itself: the last observation, state
    and objects are those of the tic before.

    Info has

    - `state`: float32 (S,), named by the scenario's `state_names`: position in map units, cosine and
      sine of the heading, counter-clockwise from the x axis, and where it matters the health, 0 to 100;
    - `objects`: positions float32 (N, 2) of all things but the player, by the name of their class;
    - `walls`: float32 (L, 4), x1, y1, x2, y2 of the lines of the map that nothing can pass.

    The seed decides where things are: the same seed and actions give the same frames and states.
    """

    action_space: gymnasium.spaces.Discrete

    def __init__(self, world: str) -> None:
        """Prepare a scenario; the engine is started by the first `reset`.

        Args:
            world: one of `SCENARIOS`.

        Raises:
            MemworldError: unknown scenario, or vizdoom is not installed.
        """
        if world not in SCENARIOS:
            raise MemworldError(f"unknown Doom scenario {world!r}: use {' or '.join(SCENARIOS)}")
        self._vizdoom = import_extra("vizdoom", "vizdoom", "worlds of Doom")
        self._scenario = SCENARIOS[world]
        buttons = self._scenario.buttons
        self._presses = [[button in pressed for button in buttons] for pressed in self._scenario.actions.values()]
        self._engine: _Engine | None = None
        self._seen: Any = None
        self._walls = np.zeros((0, 4), np.float32)
        self.action_names = tuple(self._scenario.actions)
        self.action_space = gymnasium.spaces.Discrete(len(self._presses))
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode.

        Returns:
            observation uint8 (64, 64, 3) and info, see the class.

        Raises:
            MemworldError: the engine failed.
        """
        super().reset(seed=seed)
        with self._errors():
            if self._engine is None:
                self._engine = _Engine(self._vizdoom, self._scenario.file, self._scenario.buttons)
            game = self._engine.game
            game.set_seed(int(self.np_random.integers(2**31)))
            game.new_episode()
            self._seen = game.get_state()
            self._walls = _walls(self._seen.sectors)
        return self._frame(), self._info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Hold an action for 4 tics, or fewer if the episode ends.

        Returns:
            observation uint8 (64, 64, 3), reward, terminated, truncated and info, see the class.

        Raises:
            MemworldError: `action` is outside the action space, the episode has ended or none was begun,
                or the engine failed.
        """
        pressed = self._presses[int(as_actions(action, self.action_space))]
        if self._engine is None or self._engine.game.is_episode_finished():
            raise MemworldError("no episode is under way: call reset before step")
        game, reward = self._engine.game, 0.0
        with self._errors():
            for _ in range(FRAMESKIP):
                reward += game.make_action(pressed, 1)
                # Looked at in every tic, as none is left to look at once the episode has ended.
                if finished := game.is_episode_finished():
                    break
                self._seen = game.get_state()
            truncated = finished and game.is_episode_timeout_reached() and not game.is_player_dead()
        return self._frame(), float(reward), finished and not truncated, truncated, self._info()

    def close(self) -> None:
        """End the engine. A `reset` would start it again."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the engine's errors into a MemworldError, after which `reset` starts a new engine."""
        try:
            yield
        except tuple(getattr(self._vizdoom, name) for name in _ENGINE_ERRORS) as error:
            self.close()
            raise MemworldError(
                f"the Doom engine failed ({one_line(error)}): reset starts it again; if it goes on failing, "
                "see that there is memory left and that programs in vizdoom's package folder may be run"
            ) from error

    def _frame(self) -> np.ndarray:
        screen = Image.fromarray(self._seen.screen_buffer)
        return np.array(screen.resize((SIZE, SIZE), Image.Resampling.BOX))

    def _info(self) -> dict[str, Any]:
        x, y, angle, health = self._seen.game_variables
        heading = np.deg2rad(angle)
        state = np.array([x, y, np.cos(heading), np.sin(heading), health], np.float32)
        return {
            "state": state[: len(self._scenario.state_names)],
            "objects": _objects(self._seen.objects),
            "walls": self._walls.copy(),
        }


class _Engine:
    """A process that runs the game, and the folder in which it keeps its settings; both go when this does."""

    def __init__(self, vizdoom: ModuleType, scenario: str, buttons: tuple[str, ...]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="memworld-vizdoom-"))
        self.game = vizdoom.DoomGame()
        self.close = weakref.finalize(self, _end, self.game, folder)
        settings = folder / "vizdoom.ini"
        nothing = folder / "autoexec.cfg"
        settings.write_text("".join(f"[{game}.AutoExec]\nPath={nothing}\n" for game in _AUTOEXEC_SECTIONS), "utf-8")
        variables = ("POSITION_X", "POSITION_Y", "ANGLE", "HEALTH")
        self.game.load_config(str(Path(vizdoom.scenarios_path) / f"{scenario}.cfg"))
        self.game.set_doom_config_path(str(settings))
        self.game.set_window_visible(False)
        self.game.set_mode(vizdoom.Mode.PLAYER)
        self.game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
        self.game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        self.game.set_available_buttons([getattr(vizdoom.Button, button) for button in buttons])
        self.game.set_available_game_variables([getattr(vizdoom.GameVariable, name) for name in variables])
        self.game.set_objects_info_enabled(True)
        self.game.set_sectors_info_enabled(True)
        self.game.init()


def _end(game: Any, folder: Path) -> None:
    game.close()
    shutil.rmtree(folder, ignore_errors=True)


def _objects(objects: Any) -> Mapping[str, np.ndarray]:
    """Positions float32 (N, 2) by the name of the class, without the player's."""
    positions: dict[str, list[tuple[float, float]]] = {}
    for thing in objects:
        if thing.name != "DoomPlayer":
            positions.setdefault(thing.name, []).append((thing.position_x, thing.position_y))
    return {name: np.array(found, np.float32) for name, found in positions.items()}


def _walls(sectors: Any) -> np.ndarray:
    """The lines that block, float32 (L, 4)."""
    lines = [(line.x1, line.y1, line.x2, line.y2) for sector in sectors for line in sector.lines if line.is_blocking]
    return np.array(lines, np.float32).reshape(-1, 4)
