"""Costs for the solvers of stable-worldmodel: by hand, and with the solvers themselves where these are installed."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.vector.utils import batch_space
from torch import Tensor

from memworld.analogues import AnalogueDynamics
from memworld.datasets import DatasetInfo
from memworld.episodes import Episode
from memworld.memory import Memory
from memworld.plan import Return, SolverCost
from memworld.plan.objective import Goal
from memworld.rollout import Past
from memworld.world_model import WorldModel
from tests.envs.toys import noise
from tests.helpers import PixelEncoder, one_clear_error
from tests.plan.toys import PLANS, Corridor, corridor, picture

FORCE = Box(-1, 1, (1,), np.float32)
SHAPE = (2, 10, 3)


def light(place: float) -> np.ndarray:
    """A light that fades to both sides of where it is, in [0, 9]; the second row is dark."""
    bright = 255 * np.exp(-np.abs(np.arange(10) - place) / 3)
    return np.stack([bright, 0 * bright]).astype(np.uint8)[..., None].repeat(3, 2)


def pushed() -> WorldModel:
    """A memory of a light that goes as it is pushed; there is no reward."""
    rng = np.random.default_rng(0)
    encoder = PixelEncoder(SHAPE, sigma=4.0)
    memory = Memory(DatasetInfo(SHAPE, FORCE, "light"), encoder)
    for number in range(40):
        pushes = np.repeat(rng.uniform(-1, 1, (5, 1)), 4, 0).astype(np.float32)
        places = [rng.uniform(1, 8)]
        for push in pushes[:, 0]:
            places.append(float(np.clip(places[-1] + push, 0, 9)))
        last = np.arange(20) == 19
        frames = np.stack([light(place) for place in places])
        memory.append(Episode(f"e{number}", frames, pushes, np.zeros(20), last & False, last), encoder)
    return WorldModel(encoder, memory, PLANS)


@pytest.fixture(scope="module")
def lights() -> WorldModel:
    return pushed()


@pytest.fixture(scope="module")
def walks() -> WorldModel:
    return corridor()


def shown(frames: list[np.ndarray], samples: int, channels_first: bool = False) -> Tensor:
    """Pictures of B environments as a solver passes them: (B, S, 1, H, W, C)."""
    pictures = torch.from_numpy(np.stack(frames))[:, None, None].expand(-1, samples, 1, *frames[0].shape)
    return pictures.movedim(-1, -3) if channels_first else pictures


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("channels_first", [False, True])
def test_costs_of_numbers_are_how_far_each_future_stays_from_its_goal(
    lights: WorldModel, block: int, channels_first: bool
) -> None:
    seen, goals = [light(3), light(6)], [light(5), light(1)]
    generator = torch.Generator().manual_seed(0)
    candidates = 2 * torch.randn(2, 4, 6 // block, block, generator=generator)
    info = {
        "pixels": shown(seen, 4, channels_first),
        "goal": shown(goals, 4, channels_first).numpy(),
        "step_idx": torch.zeros(2, 4, 1),
    }
    cost = SolverCost(lights)
    costs = cost.get_cost(info, candidates)
    assert (costs.shape, costs.dtype) == ((2, 4), torch.float32)
    for env in range(2):
        actions = candidates[env].reshape(4, 6, 1).clamp(-1, 1).numpy()
        future = lights.imagine(seen[env], actions, decode=False)
        wanted = torch.from_numpy(goals[env].reshape(-1)).double()
        distances = (future.latents.mu.double() - wanted).square().mean(2).sqrt()
        apart = (distances.amin(1) + distances.mean(1)) / 2
        assert costs[env].double().numpy() == pytest.approx(apart.numpy(), rel=1e-5)
    assert torch.equal(cost.criterion(info, candidates), costs)


def test_costs_of_choices_are_returns_with_the_sign_turned(walks: WorldModel) -> None:
    objective = Return.of(walks.memory.rows, 0.9)
    choices = torch.randint(3, (2, 5, 8), generator=torch.Generator().manual_seed(0))
    candidates = torch.nn.functional.one_hot(choices, 3).float()
    seen = [picture(5), picture(9)]
    cost = SolverCost(walks, objective, key="view")
    costs = cost.get_cost({"view": shown(seen, 5)}, candidates)
    for env in range(2):
        scores = objective.score(walks.imagine(seen[env], choices[env].numpy(), decode=False))
        assert costs[env].double().numpy() == pytest.approx(-scores.numpy(), rel=1e-5)
    blocks = cost.get_cost({"view": shown(seen, 5)}, candidates.reshape(2, 5, 4, 6))
    assert torch.equal(blocks, costs)


def test_moments_before_the_present_are_its_past(walks: WorldModel) -> None:
    objective = Return.of(walks.memory.rows)
    choices = np.full((3, 6), 2)
    candidates = torch.nn.functional.one_hot(torch.from_numpy(choices), 3).float()[None]
    track = np.stack([picture(7), picture(8)])
    info = {"pixels": torch.from_numpy(track)[None, None].expand(1, 3, -1, -1, -1, -1)}
    past = Past(track[None, :1], np.zeros((1, 1), np.int64), np.ones((1, 1), bool))
    scores = objective.score(walks.imagine(track[1], choices, past=past, decode=False))
    found = SolverCost(walks, objective).get_cost(info, candidates)
    assert found[0].double().numpy() == pytest.approx(-scores.numpy(), rel=1e-5)


def test_choices_are_counted_from_the_space_s_start() -> None:
    world = noise(Discrete(3, start=-1))
    choices = torch.tensor([[[0, 2, 1]]])
    seen = np.zeros((4, 4, 3), np.uint8)
    objective = Return.of(world.memory.rows)
    found = SolverCost(world, objective).get_cost(
        {"pixels": shown([seen], 1)}, torch.nn.functional.one_hot(choices, 3).float()
    )
    scores = objective.score(world.imagine(seen, choices[0].numpy() - 1, decode=False))
    assert float(found[0, 0]) == pytest.approx(-float(scores[0]), rel=1e-5)


def test_numbers_in_a_policy_s_own_units_are_restored(lights: WorldModel) -> None:
    info = {"pixels": shown([light(3)], 2), "goal": shown([light(7)], 2)}
    candidates = torch.tensor([0.5, -0.5]).reshape(1, 2, 1, 1).expand(1, 2, 5, 1)
    plain = SolverCost(lights).get_cost(info, candidates)
    scaled = SolverCost(lights, restore=lambda numbers: numbers / 10).get_cost(info, 10 * candidates)
    torch.testing.assert_close(scaled, plain)
    assert not torch.equal(SolverCost(lights).get_cost(info, 10 * candidates), plain)


def test_what_is_learned_in_a_solver_s_inference_mode_serves_outside_of_it() -> None:
    world = corridor(4)
    candidates = torch.nn.functional.one_hot(torch.zeros(1, 2, 3, dtype=torch.int64), 3).float()
    with torch.inference_mode():
        SolverCost(world, Return.of(world.memory.rows)).get_cost({"pixels": shown([picture(4)], 2)}, candidates)
    made = world.prepare()
    assert isinstance(made, AnalogueDynamics)
    assert not made.analogues.own_variance.is_inference()


def test_bad_input(lights: WorldModel, walks: WorldModel) -> None:
    info: dict[str, Any] = {"pixels": shown([light(3)], 2), "goal": shown([light(7)], 2)}
    candidates = torch.zeros(1, 2, 4, 1)
    cost = SolverCost(lights)
    with one_clear_error("a search in memory has no gradients: use a solver that draws candidates"):
        cost.get_cost(info, candidates.clone().requires_grad_())
    with one_clear_error("no pictures under 'goal', only pixels: name their key"):
        cost.get_cost({"pixels": info["pixels"]}, candidates)
    with one_clear_error("pictures under 'pixels' are float32: give them as they were taken"):
        cost.get_cost({**info, "pixels": info["pixels"] / 255}, candidates)
    with one_clear_error(r"have shape \(1, 2, 1, 2, 9, 3\): the memory's are \(2, 10, 3\)"):
        cost.get_cost({**info, "pixels": info["pixels"][..., :9, :]}, candidates)
    with one_clear_error("there are 2 environments with candidates"):
        cost.get_cost(info, candidates.expand(2, -1, -1, -1))
    with one_clear_error("candidates hold NaN or infinity"):
        cost.get_cost(info, candidates / 0)
    for wrong in (candidates[0], torch.zeros(1, 2, 4, 0)):
        with one_clear_error("candidates have shape"):
            cost.get_cost(info, wrong)
    with one_clear_error(r"asks for \(B, S, horizon, 3\), or a multiple of 3"):
        SolverCost(walks, Return.of(walks.memory.rows)).get_cost(
            {"pixels": shown([picture(3)], 2)}, torch.zeros(1, 2, 4, 4)
        )
    for space in (MultiDiscrete([2, 3]), Dict({"way": Discrete(2)})):
        with one_clear_error("draw actions of a Box or a Discrete"):
            SolverCost(noise(space))
    encoder = PixelEncoder(SHAPE)
    with one_clear_error("the memory is empty"):
        SolverCost(WorldModel(encoder, Memory(DatasetInfo(SHAPE, FORCE), encoder)))


@pytest.fixture(scope="module")
def theirs() -> Iterator[ModuleType]:
    """The module `stable_worldmodel.solver`, and `stable_worldmodel.policy` beside it.

    Their package loads everything at once, data sets and simulators too, which need much more than the solvers do. So
    only the modules asked for are loaded, and in place of torchvision, which their policy takes for transforms alone,
    there is nothing.
    """
    found = importlib.util.find_spec("stable_worldmodel")
    if found is None or importlib.util.find_spec("loguru") is None:
        pytest.skip("not installed: pip install loguru; pip install --no-deps stable-worldmodel==0.1.1")
    package, vision = ModuleType("stable_worldmodel"), ModuleType("torchvision")
    package.__path__ = list(found.submodule_search_locations or [])
    vision.tv_tensors = None  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "stable_worldmodel", package)
        patch.setitem(sys.modules, "torchvision", vision)
        yield importlib.import_module("stable_worldmodel.solver")
    for name in [name for name in sys.modules if name.startswith("stable_worldmodel.")]:
        del sys.modules[name]


def configured(solver: Any, space: Any, envs: int, horizon: int, block: int = 1) -> Any:
    settings = SimpleNamespace(horizon=horizon, action_block=block, receding_horizon=1, warm_start=False)
    solver.configure(action_space=space, n_envs=envs, config=settings)
    return solver


NUMBERS: dict[str, dict[str, Any]] = {
    "CEMSolver": {"n_steps": 6, "topk": 12},
    "ICEMSolver": {"n_steps": 6, "topk": 12},
    "MPPISolver": {"n_steps": 6, "topk": 12, "temperature": 2.0},
    "PredictiveSamplingSolver": {},
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("block", [1, 2])
def test_their_solvers_of_numbers_find_the_way_to_a_goal(
    theirs: ModuleType, lights: WorldModel, name: str, block: int
) -> None:
    solver = getattr(theirs, name)(SolverCost(lights), num_samples=64, **NUMBERS[name])
    configured(solver, batch_space(FORCE, 2), 2, 6 // block, block)
    seen, goals = [light(3), light(6)], [light(6), light(4)]
    info = {name: torch.from_numpy(np.stack(frames))[:, None] for name, frames in (("pixels", seen), ("goal", goals))}
    plan = solver(info)["actions"]
    assert plan.shape == (2, 6 // block, block)
    for env in range(2):
        both = [plan[env].reshape(6, 1).clamp(-1, 1).numpy(), np.zeros((6, 1), np.float32)]
        futures = lights.imagine(seen[env], np.stack(both), decode=False)
        reached, stood = Goal.of(lights, goals[env]).score(futures).tolist()
        assert reached > 0.5 * stood, (reached, stood)
    # The world is as it was, outside of the solver's inference mode too.
    assert torch.is_grad_enabled()
    assert not lights.imagine(seen[0], both[0], decode=False).latents.mu.is_inference()


def test_their_solver_of_choices_finds_the_way_to_the_reward(theirs: ModuleType, walks: WorldModel) -> None:
    cost = SolverCost(walks, Return.of(walks.memory.rows))
    solver = theirs.CategoricalCEMSolver(cost, num_samples=128, n_steps=10, topk=12)
    configured(solver, Corridor.action_space, 2, 12)
    info = {"pixels": np.stack([picture(4), picture(8)])[:, None]}
    plan = solver(info)["actions"]
    assert plan.shape == (2, 12, 1)
    for env, start in enumerate((4, 8)):
        place, visited = start, []
        for choice in plan[env, :, 0].tolist():
            place = min(max(place + choice - 1, 0), Corridor.WIDTH - 1)
            visited.append(place)
        assert Corridor.WIDTH - 1 in visited


def test_their_solvers_that_follow_gradients_are_told_that_there_are_none(
    theirs: ModuleType, lights: WorldModel, walks: WorldModel
) -> None:
    info = {"pixels": torch.from_numpy(light(3))[None, None], "goal": torch.from_numpy(light(6))[None, None]}
    solver = configured(theirs.GradientSolver(SolverCost(lights), n_steps=2), batch_space(FORCE, 1), 1, 4)
    with one_clear_error("a search in memory has no gradients"):
        solver(info)
    choices = SolverCost(walks, Return.of(walks.memory.rows))
    projected = configured(theirs.PGDSolver(choices, n_steps=2), Corridor.action_space, 1, 4)
    with one_clear_error("a search in memory has no gradients"):
        projected({"pixels": torch.from_numpy(picture(3))[None, None]})


def test_their_policy_acts_by_it(theirs: ModuleType, lights: WorldModel) -> None:
    """Their loop with what their `World` gives: pictures (envs, 1, H, W, C) of bytes, and a goal beside them."""
    policies = importlib.import_module("stable_worldmodel.policy")
    solver = theirs.CEMSolver(SolverCost(lights), num_samples=48, n_steps=4, topk=8)
    policy = policies.WorldModelPolicy(solver, policies.PlanConfig(horizon=6, receding_horizon=2))
    policy.set_env(SimpleNamespace(num_envs=2, action_space=batch_space(FORCE, 2), single_action_space=FORCE))
    places, goals = np.array([2.0, 7.0]), np.array([6.0, 4.0])
    apart = [np.abs(places - goals)]
    for step in range(8):
        info = {
            "pixels": np.stack([light(place) for place in places])[:, None],
            "goal": np.stack([light(goal) for goal in goals])[:, None],
            "action": np.full((2, 1, 1), np.nan, np.float32),
            "step_idx": np.full((2, 1), step),
            "env_name": np.array([["light"], ["light"]]),
            "terminated": np.zeros(2, bool),
        }
        action = policy.get_action(info)
        assert action.shape == (2, 1)
        places = np.clip(places + action[:, 0].clip(-1, 1), 0, 9)
        apart.append(np.abs(places - goals))
    assert bool((np.min(apart, 0) < 0.75).all()), apart
