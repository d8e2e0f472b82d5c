"""Atari 2600 games as Gymnasium environments, run by ale-py without chance: no sticky actions."""

from collections import deque
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from memworld.actions import as_actions
from memworld.errors import MemworldError

SIZE = 64
FRAMESKIP = 4

# Addresses of state variables in the console's 128 bytes of RAM. A value is the pixel position on
# the 210 x 160 screen plus a constant, or, for Freeway's player, which counts from below, minus it;
# for Space Invaders' rows half of it. What is left of something is counted.
# Left out is what has no such place at all times, as errors and averages of states would be wrong for
# it: Freeway's cars (`FREEWAY_CARS`) and all that swims in Seaquest go around the screen's edge, and
# divers, bombs and shots come and go.
STATE_ADDRESSES: dict[str, dict[str, int]] = {
    "pong": {"ball_x": 49, "ball_y": 54, "player_y": 51, "opponent_y": 50},
    "freeway": {"player_y": 14},
    "seaquest": {"player_x": 70, "player_y": 97, "oxygen": 102, "divers": 62},
    "space_invaders": {"player_x": 28, "invaders_x": 26, "invaders_y": 16, "invaders_left": 17},
}

# Addresses of the cars' horizontal positions, from the lowest lane, the first that the player crosses.
FREEWAY_CARS = slice(108, 118)

# Many games draw some things only in every other frame: Space Invaders the player's shot in one and the
# bombs in the next, so that with 4 frames a step one or the other would never be seen. The usual remedy
# is to take the brighter of the last two frames; not in these games, which were found to draw everything
# in every frame, and where it would only smear what moves.
_STEADY = {"pong", "freeway", "seaquest"}

# ale-py holds these too, but they have no game for one player, and loading one ends the process.
_TWO_PLAYERS_ONLY = {"combat", "joust", "maze_craze", "warlords"}


def rom_names() -> list[str]:
    """Names of the games that can be played, in order.

    Raises:
        MemworldError: ale-py is not installed.
    """
    return sorted(set(_ale_py().roms.get_all_rom_ids()) - _TWO_PLAYERS_ONLY)


class AtariEnv(gymnasium.Env[np.ndarray, Any]):
    """One game.

    Observations are uint8 (64, 64, 3), the screen reduced by averaging over areas; in games that may
    draw some things only in every other frame it is the brighter of the last two, pixel by pixel.
    Actions are those that have an effect in this game, as `Discrete`. `info["state"]` is float32 (S,),
    the variables of `STATE_ADDRESSES`, with S of 0 for a game that has none there, and `info["ram"]`
    all of the console's memory, uint8 (128,). The reward is the game's score.

    Nothing in a game depends on chance: every episode starts in the same state, whatever the seed,
    and the same actions give the same frames and states.
    """

    action_space: gymnasium.spaces.Discrete

    def __init__(self, rom: str, frameskip: int = FRAMESKIP) -> None:
        """Load a game.

        Args:
            rom: one of `rom_names()`.
            frameskip: frames of the game for which an action is held, and that a step takes.

        Raises:
            MemworldError: unknown game, `frameskip` below 1, or ale-py is not installed.
        """
        if rom not in rom_names():
            raise MemworldError(f"ale-py has no game {rom!r} for one player: use one of memworld.worlds.world_names()")
        if frameskip < 1:
            raise MemworldError(f"frameskip is {frameskip}: use at least 1")
        ale_py = _ale_py()
        self._frameskip = frameskip
        self._ale = ale_py.ALEInterface()
        # The default seed is the time.
        self._ale.setInt("random_seed", 0)
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.loadROM(ale_py.roms.get_rom_path(rom))
        self._ale.reset_game()
        shown = 1 if rom in _STEADY else 2
        self._screens = deque([self._ale.getScreenRGB()], maxlen=shown)
        while len(self._screens) < shown:
            self._act(ale_py.Action.NOOP)
        # ale-py's own reset leaves some games in another state than loading does, and restoring
        # leaves the old screen until the next frame: so both are kept.
        self._first_state = self._ale.cloneState(include_rng=True)
        self._first_screens = tuple(self._screens)
        self._actions = self._ale.getMinimalActionSet()
        self._addresses = list(STATE_ADDRESSES.get(rom, {}).values())
        self.action_names = tuple(str(action.name) for action in self._actions)
        self.action_space = gymnasium.spaces.Discrete(len(self._actions))
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start the game over.

        Returns:
            observation uint8 (64, 64, 3) and info with the state, float32 (S,).
        """
        super().reset(seed=seed)
        self._ale.restoreState(self._first_state)
        self._screens.extend(self._first_screens)
        return self._frame(), self._info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Hold an action for `frameskip` frames.

        Returns:
            observation uint8 (64, 64, 3), reward, terminated, truncated and info with the state,
            float32 (S,).

        Raises:
            MemworldError: `action` is outside the action space.
        """
        held = self._actions[int(as_actions(action, self.action_space))]
        looked_at = min(self._frameskip, len(self._screens))
        reward = sum(self._ale.act(held) for _ in range(self._frameskip - looked_at))
        reward += sum(self._act(held) for _ in range(looked_at))
        return self._frame(), float(reward), bool(self._ale.game_over()), False, self._info()

    def _act(self, action: Any) -> int:
        """Play one frame that is looked at, and return its reward."""
        reward = self._ale.act(action)
        self._screens.append(self._ale.getScreenRGB())
        return int(reward)

    def _frame(self) -> np.ndarray:
        screen = Image.fromarray(np.maximum.reduce(list(self._screens)))
        return np.array(screen.resize((SIZE, SIZE), Image.Resampling.BOX))

    def _info(self) -> dict[str, Any]:
        ram = self._ale.getRAM()
        return {"state": ram[self._addresses].astype(np.float32), "ram": ram}


def _ale_py() -> ModuleType:
    """Import ale-py and silence it.

    Raises:
        MemworldError: it is not installed.
    """
    try:
        import ale_py
        import ale_py.roms
    except ModuleNotFoundError as error:
        raise MemworldError(f"Atari worlds need the package ale-py ({error}): pip install ale-py") from error
    # Before the first interface is made, which would print a banner.
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    return ale_py
