"""Train a policy in a memory, and play with it in the real world that the memory was recorded in.

    python examples/train_in_imagination.py [runs/demo/memory]

PPO of Stable-Baselines3 (pip install "memworld[rl]") never sees the real world: it lives in 32 imagined environments,
whose observations are latents. Before and after, it plays real episodes, whose frames are encoded.
"""

import argparse
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor

import memworld
from memworld.envs import for_stable_baselines

MOMENTS = 2
"""Latents that the policy sees at a time: one does not show how things move."""


def real_environment(world: memworld.WorldModel, max_steps: int) -> VecFrameStack:
    """The recorded world itself, seen as the policy sees."""

    def make() -> gymnasium.Env[np.ndarray, Any]:
        env = memworld.open_world(world.memory.info.world).make()
        return gymnasium.wrappers.TimeLimit(memworld.EncodeObservation(env, world.encoder), max_steps)

    return VecFrameStack(DummyVecEnv([make]), MOMENTS)


def play(model: PPO, envs: VecFrameStack, episodes: int) -> list[float]:
    """The returns of real episodes."""
    returns = []
    for _ in range(episodes):
        observations: Any = envs.reset()
        total, done = 0.0, False
        while not done:
            actions, _ = model.predict(observations)
            observations, rewards, dones, _ = envs.step(actions)
            total, done = total + float(rewards[0]), bool(dones[0])
        returns.append(total)
    return returns


def main() -> None:
    """Play, train, and play again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("memory", nargs="?", default="runs/demo/memory")
    parser.add_argument("--steps", type=int, default=200_000, help="imagined steps to train for")
    parser.add_argument("--num-envs", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=50, help="steps of an imagined episode")
    parser.add_argument("--episodes", type=int, default=5, help="real episodes to play before and after")
    parser.add_argument("--max-steps", type=int, default=1000, help="of a real episode")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    world = memworld.WorldModel.open(arguments.memory)
    imagined = memworld.ImaginedVectorEnv(
        world, arguments.num_envs, observations="latents", horizon=arguments.horizon, autoreset_mode="Disabled"
    )
    envs = VecMonitor(VecFrameStack(for_stable_baselines(imagined), MOMENTS))
    real = real_environment(world, arguments.max_steps)
    real.seed(arguments.seed)

    model = PPO("MlpPolicy", envs, n_steps=64, batch_size=256, seed=arguments.seed, device="cpu")
    print(f"real returns before: {play(model, real, arguments.episodes)}")
    model.learn(arguments.steps)
    ended = [episode["r"] for episode in model.ep_info_buffer or []]
    print(f"imagined episodes: mean return {np.mean(ended):.2f} of the last {len(ended)}")
    print(f"real returns after: {play(model, real, arguments.episodes)}")


if __name__ == "__main__":
    main()
