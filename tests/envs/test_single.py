"""The single imagined environment, by gymnasium's own check."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode

from memworld.actions import ActionSpace
from memworld.dynamics import DynamicsConfig
from memworld.envs import ENV_ID, EncodeObservation, ImaginedEnv, ImaginedVectorEnv
from memworld.rollout import Citation
from memworld.world_model import WorldModel
from tests.envs.toys import LINE, SPACES, line, noise, squares
from tests.helpers import PixelEncoder, one_clear_error


@pytest.fixture(scope="module")
def square_world() -> WorldModel:
    return squares()


@pytest.fixture(scope="module")
def stored(square_world: WorldModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory on disk, with its encoder."""
    path = tmp_path_factory.mktemp("square") / "memory"
    square_world.save(path)
    return path


@pytest.mark.parametrize("observations", ["frames", "latents"])
@pytest.mark.filterwarnings("ignore:.*infinity")
@pytest.mark.filterwarnings("ignore:.*doesn't have a spec|.*not having a spec")
def test_gymnasium_s_check_passes_with_analogues(square_world: WorldModel, observations: str) -> None:
    check_env(ImaginedEnv(square_world, observations=observations, render_mode="rgb_array"))


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
@pytest.mark.filterwarnings("ignore:.*not having a spec|.*symmetric and normalized|.*Box action space")
def test_gymnasium_s_check_passes_with_every_kind_of_action(space: ActionSpace) -> None:
    env = ImaginedEnv(noise(space), support_limit=None)
    assert env.action_space == space
    check_env(env)


@pytest.mark.filterwarnings("ignore:.*not having a spec")
def test_gymnasium_s_check_passes_where_dynamics_draw() -> None:
    world = noise(SPACES[0])
    drawing = WorldModel(world.encoder, world.memory, DynamicsConfig("rollout", rule="gaussian"))
    check_env(ImaginedEnv(drawing, support_limit=None))


def test_it_tells_where_it_starts_and_what_each_step_comes_from() -> None:
    env = ImaginedEnv(line(), support_limit=None)
    seen, info = env.reset(seed=3)
    episode = {e.id: e for e in LINE}[info["start_episode"]]
    assert np.array_equal(seen, episode.observations[info["start_step"]])
    seen, info = env.reset(options={"episode": "right", "step": 4})
    assert (seen[0, 0, 0], info) == (90, {"start_episode": "right", "start_step": 4})
    seen, reward, terminated, truncated, info = env.step(np.int64(1))
    assert (seen[0, 0, 0], reward, terminated, truncated) == (100, 1.0, False, False)
    assert info["support"] == 0
    assert info["citations"] == (Citation("right", 4, info["citations"][0].distance, 1.0),)
    assert info["citations"][0].distance < 1e-3  # between the start's mean and the sample of it that memory holds
    _, _, terminated, _, _ = env.step(1)
    assert terminated
    with one_clear_error("ended"):
        env.step(1)


def test_it_is_the_vector_environment_s_case_of_one(square_world: WorldModel) -> None:
    one = ImaginedEnv(square_world, horizon=30)
    many = ImaginedVectorEnv(square_world, 1, horizon=30, autoreset_mode=AutoresetMode.DISABLED)
    moment = {"episode": "e2", "step": 3}
    seen, _ = one.reset(seed=9, options=moment)
    assert np.array_equal(seen, many.reset(seed=9, options=moment)[0][0])
    for action in (1, 3, 0, 2, 1):
        ours, theirs = one.step(action), many.step(np.array([action]))
        assert data_equivalence(list(ours[:2]), [theirs[0][0], float(theirs[1][0])], exact=True)
        assert ours[4]["support"] == theirs[4]["support"][0]


def test_what_was_imagined_is_what_the_world_imagines(square_world: WorldModel) -> None:
    episode = square_world.memory.episodes[1]
    env = ImaginedEnv(square_world, support_limit=None, observations="latents")
    env.reset(options={"episode": episode.entry.id, "step": 0})
    actions = [1, 1, 2, 0, 3, 1, 1]
    frames = square_world.memory.frames([square_world.memory.row_of(episode.entry.id, 0)])
    rollout = square_world.imagine(frames[0], [actions], decode=False)
    for step, action in enumerate(actions):
        seen, reward, _, _, info = env.step(action)
        assert np.allclose(seen, rollout.latents.mu[0, step].numpy(), atol=1e-3)
        assert reward == pytest.approx(float(rollout.rewards[0, step]), abs=1e-4)
        assert info["support"] == pytest.approx(float(rollout.support[0, step]), abs=0.01)
        top = rollout.citations(0, step)[0]
        assert (info["citations"][0].episode, info["citations"][0].step) == (top.episode, top.step)


@pytest.mark.filterwarnings("ignore:.*infinity")
def test_gymnasium_makes_one_by_its_name(stored: Path) -> None:
    env = gymnasium.make(ENV_ID, memory=str(stored), observations="latents", render_mode="rgb_array")
    assert isinstance(env.unwrapped, ImaginedEnv)
    check_env(env.unwrapped)
    seen, _ = env.reset(seed=0)
    assert seen.shape == (64,)
    limited = gymnasium.make(ENV_ID, max_episode_steps=2, memory=stored, support_limit=None)
    limited.reset(seed=0)
    assert [limited.step(0)[3] for _ in range(2)] == [False, True]
    with one_clear_error("unknown option 'colour'"):
        gymnasium.make(ENV_ID, memory=stored, colour="red")
    with one_clear_error("nowhere"):
        gymnasium.make(ENV_ID, memory=stored.parent / "nowhere")


def test_gymnasium_makes_many_by_its_name(stored: Path) -> None:
    envs = gymnasium.make_vec(ENV_ID, 3, memory=stored, dynamics=DynamicsConfig("replay_l2"), horizon=7)
    assert isinstance(envs, ImaginedVectorEnv)
    assert (envs.num_envs, envs.config.horizon) == (3, 7)
    seen, _ = envs.reset(seed=0)
    assert seen.shape == (3, 16, 16, 1)
    apart = gymnasium.make_vec(ENV_ID, 2, vectorization_mode="sync", memory=stored)
    assert apart.reset(seed=0)[0].shape == (2, 16, 16, 1)


def test_gymnasium_makes_one_where_nobody_has_imported_memworld(stored: Path) -> None:
    code = (
        f"import gymnasium; print(gymnasium.make('memworld:{ENV_ID}', memory={str(stored)!r}).reset(seed=0)[0].shape)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "(16, 16, 1)", ran.stderr


class Shown(gymnasium.Env[np.ndarray, Any]):
    """A real environment that shows one recorded frame."""

    action_space: gymnasium.spaces.Discrete = gymnasium.spaces.Discrete(4)

    def __init__(self, frame: np.ndarray) -> None:
        self.frame = frame
        self.observation_space = gymnasium.spaces.Box(0, 255, frame.shape, np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self.frame, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.frame, 0.0, False, False, {}


def test_a_real_environment_shows_the_latents_that_imagined_ones_do(square_world: WorldModel) -> None:
    frame = square_world.memory.frames([square_world.memory.row_of("e1", 5)])[0]
    real = EncodeObservation(Shown(frame), square_world.encoder)
    imagined = ImaginedEnv(square_world, observations="latents")
    assert real.observation_space == imagined.observation_space
    seen, _ = real.reset(seed=0)
    assert seen in real.observation_space
    start, _ = imagined.reset(options={"episode": "e1", "step": 5})
    assert np.allclose(seen, start, atol=1e-4)
    assert np.array_equal(real.step(0)[0], seen)
    with one_clear_error("the encoder takes frames uint8 \\[1, 2, 1\\]"):
        EncodeObservation(Shown(frame), PixelEncoder())
    with one_clear_error("the environment has observations in Box"):
        EncodeObservation(real, square_world.encoder)
