"""Train a policy in a memory, and play with it in the real world that the memory was recorded in.

    python examples/train_in_imagination.py [runs/demo/memory] [--output runs/ppo]

PPO of Stable-Baselines3 (pip install "memworld[rl]") never sees the real world: it lives in 64 imagined environments,
whose observations are latents. Then it plays real episodes, whose frames are encoded, by its likeliest actions (`ppo`)
and by drawn ones (`ppo_drawn`); so do random play and the world's demonstrator, if it has one, and memory's own
episodes stand beside them.
"""

import argparse
import shlex
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor, VecNormalize

import memworld
from memworld.actions import as_actions
from memworld.analogues import AnalogueConfig
from memworld.control import PlayConfig, control
from memworld.control.show import table_text
from memworld.envs import for_stable_baselines

MOMENTS = 2
"""Latents that the policy sees at a time: one does not show how things move."""


class Learned:
    """What was learned, at work in the real world for one episode."""

    def __init__(
        self, world: memworld.WorldModel, model: PPO, seen: VecNormalize, action_repeat: int, likeliest: bool
    ) -> None:
        """Begin; `seen` knows how observations were normalised."""
        self._world, self._model, self._seen = world, model, seen
        self._action_repeat, self._likeliest, self._step = action_repeat, likeliest, 0
        size = world.memory.rows.latents.dim
        self._latents = deque([np.zeros(size, np.float32)] * MOMENTS, maxlen=MOMENTS)  # as frames are stacked at first

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> np.ndarray:
        """The action to take: a new one where the last has been held long enough."""
        if self._step % self._action_repeat == 0:
            self._latents.append(self._world.encoder.encode(observation[None])[0][0].numpy())
            recent = self._seen.normalize_obs(np.concatenate(self._latents)[None])
            action, _ = self._model.predict(recent, deterministic=self._likeliest)
            self._chosen: np.ndarray = as_actions(action, self._world.memory.info.action_space)[0]
        self._step += 1
        return self._chosen


def main() -> None:
    """Train, and play."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("memory", nargs="?", default="runs/demo/memory")
    parser.add_argument("--output", default="runs/ppo", help="folder for the report of the real episodes")
    parser.add_argument("--steps", type=int, default=300_000, help="decisions to train for")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--horizon", type=int, default=100, help="steps of an imagined episode")
    parser.add_argument("--action-repeat", type=int, default=4, help="steps for which every action is held")
    parser.add_argument("--penalty", type=float, default=0.0, help="times support, taken from every imagined reward")
    parser.add_argument(
        "--shaping",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="add to rewards what moments are worth by memory",
    )
    parser.add_argument("--discount", type=float, default=0.98, help="of a step")
    parser.add_argument("--episodes", type=int, default=20, help="real episodes to play")
    parser.add_argument("--max-steps", type=int, default=1000, help="of a real episode")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    world = memworld.WorldModel.open(options.memory, AnalogueConfig.holding(options.action_repeat))
    imagined = memworld.ImaginedVectorEnv(
        world,
        options.num_envs,
        observations="latents",
        horizon=options.horizon,
        action_repeat=options.action_repeat,
        penalty=options.penalty,
        shaping=options.discount if options.shaping else None,
        citations=0,
        autoreset_mode="Disabled",
    )
    discount = options.discount**options.action_repeat  # of a decision
    seen = VecNormalize(VecFrameStack(for_stable_baselines(imagined), MOMENTS), gamma=discount)
    model = PPO(
        "MlpPolicy",
        VecMonitor(seen),
        learning_rate=lambda left: 5e-4 * left,
        n_steps=64,
        batch_size=min(1024, 64 * options.num_envs),
        n_epochs=5,
        gamma=discount,
        gae_lambda=0.9,
        ent_coef=0.003,
        seed=options.seed,
        device="cpu",
    )
    model.learn(options.steps)
    ended = [episode["r"] for episode in model.ep_info_buffer or []]
    print(f"imagined episodes: mean return {np.mean(ended):.2f} (normalised) of the last {len(ended)}")

    result = control(
        memworld.open_world(world.memory.info.world),
        world.memory,
        {
            "ppo": lambda rng: Learned(world, model, seen, options.action_repeat, likeliest=True),
            "ppo_drawn": lambda rng: Learned(world, model, seen, options.action_repeat, likeliest=False),
        },
        PlayConfig(options.episodes, options.max_steps, seed=options.seed),
        options.output,
        "overwrite",
        command=shlex.join(["python", *sys.argv]),
        settings={"training": vars(options)},
    )
    print(table_text(result.comparison.table))
    print(f"The report is {result.report}")


if __name__ == "__main__":
    main()
