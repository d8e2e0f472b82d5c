"""From any Gymnasium environment with small frames to a world model by search.

    python examples/your_own_environment.py

A tiny environment of our own stands in for yours: a ball that bounces, and a wind that the action
sets. Everything below it is what you would write for your own.
"""

import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import memworld


class Ball(gymnasium.Env[np.ndarray, np.int64]):
    """A white ball on 32 x 32 black; actions push it left, not at all, or right."""

    observation_space = gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8)
    action_space: gymnasium.spaces.Discrete = gymnasium.spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Put the ball somewhere."""
        super().reset(seed=seed)
        self.place = self.np_random.uniform(4, 28, 2)
        self.speed = self.np_random.uniform(-1.5, 1.5, 2)
        return self._frame(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move it; the reward is 1 in the right half."""
        self.speed[0] += 0.3 * (int(action) - 1)
        self.speed = np.clip(self.speed, -2, 2)
        self.place += self.speed
        out = (self.place < 3) | (self.place > 29)
        self.speed[out] *= -1
        self.place = np.clip(self.place, 3, 29)
        return self._frame(), float(self.place[0] > 16), False, False, {}

    def _frame(self) -> np.ndarray:
        y, x = np.mgrid[:32, :32]
        ball = (x - self.place[0]) ** 2 + (y - self.place[1]) ** 2 < 6
        return np.repeat((ball * 255).astype(np.uint8)[..., None], 3, axis=2)


def main() -> None:
    """Record, train, remember, imagine, and say where the prediction came from."""
    folder = Path(tempfile.mkdtemp(prefix="memworld-"))
    ball = memworld.World(name="ball", make=Ball)
    episodes = memworld.record(ball, "random", folder / "episodes", episodes=12, max_steps=100, random_start=0)

    training, held_out = episodes.split(held_out=2)
    fitted, validation = training.split(held_out=1)
    trained = memworld.train_vae(
        fitted,
        validation,
        folder / "encoder",
        memworld.VAEConfig(latent_shape=(8,)),
        memworld.TrainingConfig(steps=300),
        progress=True,
    )
    memory = memworld.remember(training, trained.encoder, folder / "memory")
    world = memworld.WorldModel(trained.encoder, memory, memworld.DynamicsConfig("replay_kl"))

    episode = held_out[0]
    rollout = world.imagine(episode.observations[20], episode.actions[None, 20:30], mode="follow")
    print(rollout)
    for step in (0, 4, 9):
        cited = rollout.citations(0, step)[0]
        print(f"t={step + 1}: reward {float(rollout.rewards[0, step]):.2f}, from {cited.episode} step {cited.step}")
    print(f"everything is in {folder}")


if __name__ == "__main__":
    main()
