"""Imagined vector environments: gymnasium's rules, and what happens in them."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from memworld.actions import ActionSpace
from memworld.envs import ImaginedVectorEnv
from memworld.memory import Memory
from memworld.world_model import WorldModel
from tests.envs.toys import LINE, NEAREST, SPACES, line, noise, squares
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, walk

FREE: dict[str, Any] = {"support_limit": None}
"""Nothing ends for want of support."""


@pytest.fixture(scope="module")
def square_world() -> WorldModel:
    return squares()


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("observations", ["frames", "latents"])
def test_it_obeys_gymnasium(square_world: WorldModel, mode: AutoresetMode, observations: str) -> None:
    envs = ImaginedVectorEnv(square_world, 5, observations=observations, horizon=4, autoreset_mode=mode)
    assert isinstance(envs, gymnasium.vector.VectorEnv)
    assert (envs.num_envs, envs.metadata["autoreset_mode"]) == (5, mode)
    assert envs.observation_space == batch_space(envs.single_observation_space, 5)
    assert envs.action_space == batch_space(envs.single_action_space, 5)
    seen, infos = envs.reset(seed=1)
    assert isinstance(infos, dict)
    envs.action_space.seed(1)
    for _ in range(12):
        assert seen in envs.observation_space
        assert (seen.dtype, seen.shape) == (envs.observation_space.dtype, envs.observation_space.shape)
        before = seen.copy()
        seen, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
        assert not np.shares_memory(before, seen)
        assert (str(rewards.dtype), rewards.shape) == ("float64", (5,))
        for ends in (terminations, truncations):
            assert (str(ends.dtype), ends.shape) == ("bool", (5,))
        for name, values in infos.items():
            if not name.startswith("_"):
                assert len(values) == 5 or isinstance(values, dict)
                assert infos[f"_{name}"].dtype == bool
        over = terminations | truncations
        if mode is AutoresetMode.DISABLED and over.any():
            seen, _ = envs.reset(options={"reset_mask": over})
    envs.close()
    assert envs.closed
    envs.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_seed_decides_everything(square_world: WorldModel, mode: AutoresetMode) -> None:
    def lived(envs: ImaginedVectorEnv, seed: int) -> list[Any]:
        told: list[Any] = [envs.reset(seed=seed)]
        envs.action_space.seed(0)
        for _ in range(8):
            told.append(envs.step(envs.action_space.sample()))
            if mode is AutoresetMode.DISABLED and (over := told[-1][2] | told[-1][3]).any():
                told.append(envs.reset(options={"reset_mask": over}))
        return told

    one, other = (ImaginedVectorEnv(square_world, 3, horizon=3, autoreset_mode=mode) for _ in range(2))
    first = lived(one, seed=5)
    assert data_equivalence(first, lived(other, seed=5), exact=True)
    assert data_equivalence(first, lived(one, seed=5), exact=True)
    assert not data_equivalence(first, lived(one, seed=6))


def test_what_is_seen_is_what_memory_recorded() -> None:
    envs = ImaginedVectorEnv(line(), 2, **FREE)
    seen, infos = envs.reset(options={"episode": "right", "step": 1})
    assert seen[:, 0, :, 0].tolist() == [[60, 0]] * 2
    assert (infos["start_episode"].tolist(), infos["start_step"].tolist()) == (["right"] * 2, [1, 1])
    seen, rewards, terminations, truncations, infos = envs.step(np.array([1, 0]))
    assert seen[:, 0, :, 0].tolist() == [[70, 0], [50, 0]]  # as in "right", and as in "back", which passed there
    assert rewards.tolist() == [1, 0]
    assert [[(c.episode, c.step, c.weight) for c in cited] for cited in infos["citations"]] == [
        [("right", 1, 1.0)],
        [("back", 5, 1.0)],
    ]
    assert terminations.tolist() == [False, True]  # the walk back ended there
    assert not truncations.any()


def test_terminations_are_drawn_with_the_predicted_probability() -> None:
    # At 60 one of four walks ends, and all count alike.
    episodes = [walk(f"e{i}", 50, [1] * (2 if i == 0 else 5)) for i in range(4)]
    encoder = PixelEncoder(sigma=0.01)
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend(episodes, encoder)
    world = WorldModel(encoder, memory, type(NEAREST)("replay_l2", k=4, rule="mean", conditioning="none"))
    envs = ImaginedVectorEnv(world, 400, **FREE)
    envs.reset(seed=0, options={"episode": "e1", "step": 1})
    _, rewards, terminations, _, _ = envs.step(np.ones(400, int))
    assert rewards.tolist() == [1.0] * 400
    assert 70 < terminations.sum() < 130
    envs.reset(seed=0, options={"episode": "e1", "step": 0})
    assert not envs.step(np.ones(400, int))[2].any()


def test_it_is_truncated_at_the_horizon_each_by_its_own_age() -> None:
    envs = ImaginedVectorEnv(line(), 2, horizon=3, autoreset_mode="Disabled", **FREE)
    envs.reset(options={"episode": "right"})
    one = np.array([1, 1])
    assert not envs.step(one)[3].any()
    seen, infos = envs.reset(options={"reset_mask": np.array([False, True]), "episode": "right"})
    assert seen[:, 0, 0, 0].tolist() == [60, 50]
    assert infos["_start_step"].tolist() == [False, True]
    assert not envs.step(one)[3].any()
    assert envs.step(one)[3].tolist() == [True, False]
    with one_clear_error("reset"):
        envs.step(one)
    envs.reset(options={"reset_mask": np.array([True, False])})
    assert envs.step(one)[3].tolist() == [False, True]


def test_at_the_next_step_those_that_ended_begin_anew_and_nothing_else_happens_to_them() -> None:
    envs = ImaginedVectorEnv(line(), 2, horizon=2, starts="first", **FREE)
    envs.reset(seed=0, options={"episode": "right"})
    one = np.array([1, 1])
    envs.step(one)
    seen, _, _, truncations, infos = envs.step(one)
    assert truncations.all()
    assert infos["_support"].all()
    seen, rewards, terminations, truncations, infos = envs.step(one)
    assert rewards.tolist() == [0, 0]
    assert not (terminations | truncations).any()
    assert infos["_start_step"].all()
    assert "support" not in infos
    starts = {e.id: e.observations[0, 0, 0, 0] for e in LINE}
    assert seen[:, 0, 0, 0].tolist() == [starts[name] for name in infos["start_episode"]]


def test_in_the_same_step_the_final_observation_is_told() -> None:
    envs = ImaginedVectorEnv(line(), 2, horizon=1, starts="first", autoreset_mode=AutoresetMode.SAME_STEP, **FREE)
    envs.reset(seed=0, options={"episode": "right"})
    seen, rewards, _, truncations, infos = envs.step(np.array([1, 1]))
    assert (truncations.tolist(), rewards.tolist()) == ([True, True], [1, 1])
    assert [final[0, 0, 0] for final in infos["final_obs"]] == [60, 60]
    assert [c[0].episode for c in infos["final_info"]["citations"]] == ["right"] * 2
    starts = {e.id: e.observations[0, 0, 0, 0] for e in LINE}
    assert seen[:, 0, 0, 0].tolist() == [starts[name] for name in infos["start_episode"]]


def test_where_support_runs_out_it_is_truncated_or_halted() -> None:
    # Nobody went right: under hard conditioning nothing is found, and support is the worst.
    world = line(walk("left", 120, [0] * 6), walk("beside", 120, [0] * 6, lane=1))
    options: dict[str, Any] = {"episode": "left"}
    envs = ImaginedVectorEnv(world, 1, support_limit=1.0)
    envs.reset(options=options)
    assert not envs.step(np.array([1]))[3].any()  # the first step is never refused, as in `imagine`
    _, rewards, terminations, truncations, infos = envs.step(np.array([1]))
    assert (infos["support"].tolist(), infos["citations"].tolist()) == ([1.0], [()])
    assert (terminations.tolist(), truncations.tolist()) == ([False], [True])
    halting = ImaginedVectorEnv(world, 1, support_limit=1.0, halt_reward=-7.0)
    halting.reset(options=options)
    _, rewards, terminations, truncations, _ = halting.step(np.array([1]))
    assert (rewards.tolist(), terminations.tolist(), truncations.tolist()) == ([-7.0], [True], [False])
    going = ImaginedVectorEnv(world, 1, support_limit=None, penalty=2.0)
    going.reset(options=options)
    _, rewards, terminations, truncations, infos = going.step(np.array([1]))
    plain = ImaginedVectorEnv(world, 1, support_limit=None)
    plain.reset(options=options)
    assert (rewards.tolist(), plain.step(np.array([1]))[1].tolist()) == ([-2.0], [0.0])
    assert not (terminations | truncations).any()


@pytest.mark.parametrize("terminated", [True, False])
def test_shaped_rewards_are_what_is_better_than_was_known(terminated: bool) -> None:
    # Whoever does what was done gets what was got: at every step that was known before.
    right = dataclasses.replace(LINE[0], terminations=np.array([False] * 5 + [terminated]))
    envs = ImaginedVectorEnv(line(right, LINE[1]), 1, shaping=0.5, **FREE)
    envs.reset(seed=0, options={"episode": "right"})
    for _ in range(6):
        assert envs.step(np.array([1]))[1].tolist() == pytest.approx([0], abs=1e-6)
    # Nearest to 90, where "right" comes to after 4 steps, somebody turns back and never is rewarded again.
    envs = ImaginedVectorEnv(line(right, walk("back", 90, [0] * 6)), 1, shaping=0.5, **FREE)
    envs.reset(seed=0, options={"episode": "right", "step": 4})
    worth = 1 + (0.5 if terminated else 0.5 / (1 - 0.5))
    assert envs.step(np.array([0]))[1].tolist() == pytest.approx([0 - worth])


def test_shaping_leaves_returns_apart_by_what_the_first_moment_was_worth() -> None:
    def discounted(shaping: float | None, seed: int) -> float:
        envs = ImaginedVectorEnv(line(), 1, shaping=shaping, **FREE)
        envs.reset(seed=seed, options={"episode": "right"})
        actions = np.random.default_rng(seed)
        total, over = 0.0, False
        for step in range(100):
            _, rewards, terminations, truncations, _ = envs.step(actions.integers(2, size=1))
            total += 0.7**step * float(rewards[0])
            over = bool(terminations[0] | truncations[0])
            if over:
                break
        assert over
        return total

    known = sum(0.7**step for step in range(6))
    for seed in range(8):
        assert discounted(0.7, seed) == pytest.approx(discounted(None, seed) - known, abs=1e-4)


def test_shaping_goes_by_what_memory_holds_at_a_reset_of_all() -> None:
    world = line(walk("left", 120, [0] * 6))
    envs = ImaginedVectorEnv(world, 1, shaping=0.5, **FREE)
    with one_clear_error("no reward was ever given"):
        envs.reset(seed=0)
    world.memory.append(walk("right", 50, [1] * 6), world.encoder)
    envs.reset(seed=0)
    world.memory.remove(["right"])
    with one_clear_error("no reward was ever given"):
        envs.reset(seed=0)


def test_an_action_that_is_held_is_what_it_would_be_if_taken_again_and_again() -> None:
    world = line(*LINE, walk("on", 60, [1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1], lane=7))
    kinds: list[dict[str, Any]] = [{"shaping": None}, {"shaping": 0.6}]
    held = [ImaginedVectorEnv(world, 32, action_repeat=3, **kind, **FREE) for kind in kinds]
    infos = [envs.reset(seed=2)[1] for envs in held]
    actions = np.random.default_rng(0).integers(2, size=32)
    (seen, plain, terminations, truncations, told), (_, shaped, *_) = (envs.step(actions) for envs in held)
    lengths = set()
    for place, asked in enumerate(actions):
        moment = {"episode": infos[0]["start_episode"][place], "step": int(infos[0]["start_step"][place])}
        alone = [ImaginedVectorEnv(world, 1, **kind, **FREE) for kind in kinds]
        for envs in alone:
            envs.reset(options=moment)
        gained = []
        for _ in range(3):
            (frames, one, over, cut, last), (_, other, *_) = (envs.step(np.array([asked])) for envs in alone)
            gained.append((one[0], other[0] - one[0]))
            if over[0] | cut[0]:
                break
        lengths.add(len(gained))
        assert np.array_equal(seen[place], frames[0])
        assert (terminations[place], truncations[place]) == (over[0], cut[0])
        assert (told["support"][place], told["citations"][place]) == (last["support"][0], last["citations"][0])
        # Rewards are summed; what shaping adds is discounted at every step.
        assert plain[place] == pytest.approx(sum(reward for reward, _ in gained))
        added = sum(0.6**step * worth for step, (_, worth) in enumerate(gained))
        assert shaped[place] - plain[place] == pytest.approx(added, abs=1e-6)
    assert lengths == {1, 2, 3}


def test_a_single_episode_has_no_support_to_decide_by() -> None:
    alone = line(walk("alone", 50, [1] * 6))
    wanting: list[dict[str, Any]] = [{}, {"support_limit": None, "penalty": 1.0}]
    for options in wanting:
        envs = ImaginedVectorEnv(alone, 1, **options)
        envs.reset(seed=0, options={"episode": "alone"})
        with one_clear_error("single episode"):
            envs.step(np.array([1]))
    envs = ImaginedVectorEnv(alone, 1, **FREE)
    envs.reset(seed=0, options={"episode": "alone"})
    assert envs.step(np.array([1]))[1].tolist() == [1]


def test_starts_are_any_moment_that_something_follows_or_the_first_ones() -> None:
    envs = ImaginedVectorEnv(line(), 300, **FREE)
    _, infos = envs.reset(seed=0)
    drawn = set(zip(infos["start_episode"], infos["start_step"].tolist(), strict=True))
    assert drawn == {(e.id, step) for e in LINE for step in range(6)}
    first = ImaginedVectorEnv(line(), 300, starts="first", **FREE)
    _, infos = first.reset(seed=0)
    assert set(zip(infos["start_episode"], infos["start_step"].tolist(), strict=True)) == {(e.id, 0) for e in LINE}


def test_memory_counts_as_it_is_at_a_reset_of_all() -> None:
    world = line()
    envs = ImaginedVectorEnv(world, 2, autoreset_mode="Disabled", **FREE)
    envs.reset(seed=0)
    world.memory.append(walk("new", 10, [1] * 3, lane=9), world.encoder)
    with one_clear_error("no episode 'new'"):
        envs.reset(options={"reset_mask": np.array([True, False]), "episode": "new"})
    envs.reset(options={"episode": "new"})
    assert envs.step(np.array([1, 1]))[4]["citations"][0][0].episode == "new"
    world.memory.remove(["right"])
    with one_clear_error("no episode 'right'"):
        envs.reset(options={"episode": "right"})


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_all_actions_of_the_recorded_world_are_taken(space: ActionSpace) -> None:
    world = noise(space)
    envs = ImaginedVectorEnv(world, 3, **FREE)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(3):
        envs.step(envs.action_space.sample())
    assert envs.single_action_space == space
    assert envs.single_action_space is not world.memory.info.action_space


def test_frames_are_rendered_at_the_recorded_size(square_world: WorldModel) -> None:
    envs = ImaginedVectorEnv(square_world, 2, render_mode="rgb_array", observations="latents")
    envs.reset(seed=0)
    frames = envs.render()
    assert frames is not None
    assert [(f.shape, str(f.dtype)) for f in frames] == [((16, 16, 3), "uint8")] * 2
    seen, _ = ImaginedVectorEnv(square_world, 2).reset(seed=0)
    assert np.array_equal(np.stack(frames)[..., :1], seen)
    assert ImaginedVectorEnv(square_world, 2).render() is None


def test_citations_are_as_many_as_asked_for_and_sum_to_one() -> None:
    world = noise(SPACES[0])
    for most in (0, 1, 5):
        envs = ImaginedVectorEnv(world, 2, citations=most, **FREE)
        envs.reset(seed=0)
        assert all(len(cited) <= most for cited in envs.step(np.array([0, 1]))[4]["citations"])
    envs = ImaginedVectorEnv(squares(), 2, citations=10_000)
    envs.reset(seed=0)
    for cited in envs.step(np.array([0, 1]))[4]["citations"]:
        assert sum(c.weight for c in cited) == pytest.approx(1, abs=1e-4)
        assert [c.weight for c in cited] == sorted((c.weight for c in cited), reverse=True)
        assert len({(c.episode, c.step) for c in cited}) == len(cited)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"observations": "pixels"}, "observations must be frames or latents, got 'pixels'"),
        ({"starts": "last"}, "starts must be any or first"),
        ({"horizon": 0}, "horizon must be a whole number from 1, got 0"),
        ({"horizon": 2.5}, "horizon"),
        ({"citations": -1}, "citations"),
        ({"support_limit": 0.0}, "support_limit is a quantile"),
        ({"support_limit": "high"}, "support_limit must be a finite number"),
        ({"support_limit": None, "halt_reward": -1.0}, "halt_reward is for running out of support"),
        ({"halt_reward": float("nan")}, "halt_reward must be a finite number"),
        ({"penalty": -1}, "penalty"),
        ({"action_repeat": 0}, "action_repeat must be a whole number from 1, got 0"),
        ({"shaping": 1.0}, "discount is 1.0"),
        ({"shaping": "high"}, "shaping must be a finite number"),
        ({"mode": "wander"}, "unknown mode 'wander'"),
        ({"max_steps": 3}, "unknown option 'max_steps'.*horizon"),
        ({"num_envs": 0}, "num_envs must be a whole number from 1, got 0"),
        ({"render_mode": "human"}, "render_mode must be rgb_array or None, got 'human'"),
        ({"autoreset_mode": "sometimes"}, "unknown autoreset mode 'sometimes'.*Disabled"),
    ],
)
def test_a_wrong_option_is_one_clear_error(options: dict[str, Any], match: str) -> None:
    with one_clear_error(match):
        ImaginedVectorEnv(line(), **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"episode": "none"}, "no episode 'none'"),
        ({"episode": "right", "step": 6}, "steps 0 to 5 are followed by others, not 6"),
        ({"episode": "right", "step": "two"}, "step must be a whole number, got 'two'"),
        ({"step": 2}, "without its episode"),
        ({"start": 2}, "unknown option 'start'"),
        ({"reset_mask": [1, 0]}, "reset_mask must be bool"),
        ({"reset_mask": np.zeros(2, bool)}, "reset_mask must be bool"),
        ({"reset_mask": np.array([True, False])}, "reset the environment first"),
    ],
)
def test_a_wrong_reset_is_one_clear_error(options: dict[str, Any], match: str) -> None:
    with one_clear_error(match):
        ImaginedVectorEnv(line(), 2).reset(options=options)


def test_a_wrong_step_is_one_clear_error() -> None:
    envs = ImaginedVectorEnv(line(), 2, **FREE)
    with one_clear_error("reset the environment first"):
        envs.step(np.array([0, 1]))
    envs.reset(seed=0)
    for actions, match in (
        (np.array([0, 7]), "action 7 is outside"),
        (np.array([0]), "2 environments take"),
        (0, "2 "),
    ):
        with one_clear_error(match):
            envs.step(actions)
    empty = Memory(LEFT_RIGHT, PixelEncoder(sigma=0.01))
    with one_clear_error("memory is empty"):
        ImaginedVectorEnv(WorldModel(PixelEncoder(sigma=0.01), empty, NEAREST))
