"""A corridor to walk in, rows of rewards, and futures made by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from torch import Tensor

from memworld.actions import ActionSpace, as_actions
from memworld.analogues import AnalogueConfig
from memworld.datasets import DatasetInfo
from memworld.episodes import Episode
from memworld.gaussian import at_mean
from memworld.memory import Memory, Rows
from memworld.plan.problem import Problem, Proposals
from memworld.plan.sequences import held_actions
from memworld.rollout import Rollout
from memworld.world_model import WorldModel
from tests.analogues.toys import rows_of
from tests.helpers import PixelEncoder

SPACES: tuple[ActionSpace, ...] = (
    Discrete(3, start=-1),
    MultiDiscrete([2, 9], start=[1, -1]),
    Box(-2, 2, (3,), np.float32),
    Box(np.array([-np.inf, 5.0, -np.inf]), np.array([np.inf, np.inf, -3.0]), dtype=np.float64),
    Box(-3, 9, (2,), np.int16),
    Dict({"attack": Discrete(2, start=4), "camera": Box(-180, 180, (2,)), "speed": Box(0, 0.1, (), np.float64)}),
)
"""One of every kind that memory stores, with bounds, without, and of whole numbers."""

PLANS = AnalogueConfig.steering()
STEPS = 24


class Corridor(gymnasium.Env[np.ndarray, Any]):
    """Walk left or right or stand: the right end gives 1 at every step, the left one a tenth of it."""

    WIDTH = 12
    observation_space = Box(0, 255, (2, WIDTH, 1), np.uint8)
    action_space = Discrete(3)
    render_mode = "rgb_array"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(3, 6)), 0
        return self.render(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.place = int(np.clip(self.place + int(action) - 1, 0, self.WIDTH - 1))
        self.steps += 1
        reward = 1.0 if self.place == self.WIDTH - 1 else 0.1 if self.place == 0 else 0.0
        return self.render(), reward, False, self.steps == STEPS, {}

    def render(self) -> np.ndarray:
        return picture(self.place)


def picture(place: int) -> np.ndarray:
    """The corridor's frame: a light that fades to both sides."""
    light = 255 * np.exp(-np.abs(np.arange(Corridor.WIDTH) - place) / 2)
    return np.tile(light.astype(np.uint8)[None, :, None], (2, 1, 1))


Act = Callable[[np.ndarray, dict[str, Any]], Any]


def play(act: Act, seed: int, id: str = "e") -> Episode:
    """One episode in the corridor."""
    env = Corridor()
    frame, info = env.reset(seed=seed)
    frames, actions, rewards, cut = [frame], [], [], False
    while not cut:
        actions.append(int(act(frame, info)))
        frame, reward, _, cut, info = env.step(actions[-1])
        frames.append(frame)
        rewards.append(reward)
    last = np.arange(len(actions)) == len(actions) - 1
    return Episode(
        id, np.stack(frames), np.array(actions), np.array(rewards, np.float32), last & False, last, None, {"seed": seed}
    )


def at_random(seed: int) -> Act:
    """Walks that turn now and then."""
    drawn = iter(held_actions(Corridor.action_space, 1, STEPS, np.random.default_rng(seed))[0])
    return lambda frame, info: next(drawn)


def corridor(episodes: int = 40) -> WorldModel:
    """A memory of random walks in the corridor."""
    encoder = PixelEncoder(Corridor.observation_space.shape, sigma=4.0)  # type: ignore[arg-type]
    memory = Memory(DatasetInfo(encoder.frame_shape, Corridor.action_space, "corridor"), encoder)
    memory.extend([play(at_random(i), 1000 + i, f"e{i}") for i in range(episodes)], encoder)
    return WorldModel(encoder, memory, PLANS)


def rewarded(rewards: Sequence[Sequence[float]], terminated: Sequence[bool]) -> Rows:
    """Rows of episodes that gathered these rewards, and terminated at their ends or were cut short there."""
    rows = rows_of([torch.zeros(len(r) + 1, 1) for r in rewards], [torch.zeros(len(r), 1) for r in rewards])
    given = [torch.tensor([*r, 0.0]) for r in rewards]
    over = [torch.arange(len(r) + 1) == (len(r) - 1 if t else -1) for r, t in zip(rewards, terminated, strict=True)]
    return Rows(**{**vars(rows), "rewards": torch.cat(given), "terminations": torch.cat(over)})


def futures(rewards: Tensor, termination: Tensor | None = None, **given: Any) -> Rollout:
    """Futures (B, T) as far as objectives look at them: of one row each, well supported, unless others are given."""
    batch, steps = rewards.shape
    rows = torch.zeros(batch, steps, 1, dtype=torch.int64)
    standing = torch.zeros(batch, steps, 1)
    return Rollout(
        **{
            "latents": at_mean(standing, torch.ones_like(standing)),
            "frames": None,
            "rewards": rewards,
            "termination": torch.zeros_like(rewards) if termination is None else termination,
            "rows": rows,
            "distances": rows.double(),
            "weights": torch.ones(batch, steps, 1),
            "support": torch.zeros(batch, steps, dtype=torch.float64),
            "searched": torch.ones(batch, steps, dtype=torch.bool),
            "episode_ids": ("e",),
            "episodes": rows,
            "steps": rows,
            **given,
        }
    )


def problem(
    space: ActionSpace,
    horizon: int,
    good: Callable[[np.ndarray], np.ndarray],
    proposals: Proposals | None = None,
    unit: float = 1.0,
) -> Problem:
    """A problem whose sequences are scored by a function, and proposed evenly unless some are given."""

    def propose(count: int, rng: np.random.Generator) -> Proposals:
        return proposals or Proposals.alike(held_actions(space, count, horizon, rng))

    def score(proposed: Proposals) -> Tensor:
        as_actions(proposed.actions, space)  # whatever a planner asks about can be done
        return torch.from_numpy(np.asarray(good(proposed.actions), np.float64))

    return Problem(space, horizon, propose, score, unit)
