import importlib.util
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from memworld.worlds import open_world
from memworld.worlds.crafter import FAMILY, CrafterEnv
from memworld.worlds.crafter.cells import DIRECTIONS, ENEMIES, FREE, USES, Cell
from memworld.worlds.world import World
from tests.helpers import one_clear_error

pytestmark = pytest.mark.skipif(bool(FAMILY.missing()), reason=f"missing: {'; '.join(FAMILY.missing())}")

# Plays at random, with other memory in use than before, and tells all that was seen as one number.
PLAY = """
import hashlib, sys
import numpy as np
from memworld.worlds.crafter import CrafterEnv
sizes = np.random.default_rng(int(sys.argv[1])).integers(1, 300, 4000)
clutter = [np.zeros(int(size)) for size in sizes][:: int(sys.argv[2])]
env = CrafterEnv()
def play(seed, steps):
    digest = hashlib.sha256()
    actions = np.random.default_rng(seed).integers(17, size=steps)
    observation, info = env.reset(seed=seed)
    for action in actions:
        observation, reward, terminated, _, info = env.step(action)
        for seen in (observation, info["state"], info["semantic"], np.float64(reward)):
            digest.update(seen.tobytes())
        if terminated:
            break
    return digest.hexdigest()
if sys.argv[1] == "1":
    np.random.seed(7)
    play(1, 50)
print(play(3, 200))
"""


def play(world: World, policy: str, seed: int, steps: int) -> tuple[float, set[str]]:
    """Play an episode; its return and what was achieved."""
    env = world.make()
    act = world.policies[policy](env.action_space, np.random.default_rng(seed), 1.0)  # type: ignore[arg-type]
    observation, info = env.reset(seed=seed)
    gained = 0.0
    for _ in range(steps):
        observation, reward, terminated, _, info = env.step(act(observation, info))
        gained += float(reward)
        if terminated:
            break
    return gained, {name for name, count in info["achievements"].items() if count}


def test_the_world_is_what_it_says() -> None:
    assert FAMILY.names() == ("crafter",)
    world = FAMILY.open("crafter")
    assert world.repeatable
    assert sorted(world.policies) == ["demonstrator", "random"]
    env = world.make()
    assert env.action_space == gymnasium.spaces.Discrete(17)
    observation, info = env.reset(seed=0)
    for _ in range(5):
        assert observation.shape == (64, 64, 3)
        assert observation.dtype == np.uint8
        assert observation.flags.c_contiguous
        assert (info["state"].shape, info["state"].dtype) == ((len(world.state_names),), np.float32)
        named = dict(zip(world.state_names, info["state"], strict=True))
        assert all(named[name] == info["inventory"][name] for name in info["inventory"] if name in named)
        np.testing.assert_array_equal([named["x"], named["y"]], info["player_pos"])
        assert info["semantic"][tuple(info["player_pos"])] == Cell.PLAYER
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert type(reward) is float
        assert (terminated, truncated) == (False, False)


@pytest.mark.filterwarnings("ignore:.*render:UserWarning")
def test_it_keeps_gymnasiums_rules() -> None:
    check_env(CrafterEnv(), skip_render_check=True)


def test_names_and_numbers_are_the_games() -> None:
    import crafter

    game: Any = crafter.Env(seed=0)
    assert FAMILY.open("crafter").action_names == tuple(game.action_names)
    view = game._sem_view
    numbers = {str(name).upper(): number for name, number in view._mat_ids.items() if name}
    numbers |= {kind.__name__.upper(): number for kind, number in view._obj_ids.items()}
    assert {cell.name: int(cell) for cell in Cell if cell != Cell.OUTSIDE} == numbers
    assert {cell.name.lower() for cell in FREE} == set(crafter.constants.walkable)
    assert len(ENEMIES) == 3
    uses = {f"place_{name}": given["uses"] for name, given in crafter.constants.place.items()}
    uses |= {f"make_{name}": given["uses"] for name, given in crafter.constants.make.items()}
    assert uses == USES


def test_the_state_follows_the_actions() -> None:
    env = CrafterEnv()
    info = env.reset(seed=0)[1]
    moved = 0
    for number, direction in enumerate(DIRECTIONS, start=1):
        before = info["player_pos"]
        info = env.step(number)[4]
        np.testing.assert_array_equal(info["facing"], direction)
        step = info["player_pos"] - before
        assert (step == direction).all() or (step == 0).all()
        moved += int(abs(step).sum())
    assert moved > 0


def test_same_seed_and_actions_same_episode_in_all_processes_and_whatever_was_played_before() -> None:
    seen = set()
    for clutter in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", PLAY, clutter, str(2 + int(clutter))], capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, "")
        seen.add(done.stdout)
    assert len(seen) == 1


def test_an_episode_without_a_seed_follows_from_the_one_before() -> None:
    env = CrafterEnv()
    first = env.reset(seed=4)[1]["semantic"]
    second = env.reset()[1]["semantic"]
    assert (first != second).any()
    np.testing.assert_array_equal(env.reset(seed=4)[1]["semantic"], first)
    np.testing.assert_array_equal(env.reset()[1]["semantic"], second)


def test_numpys_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1]  # type: ignore[index]  # noqa: NPY002
    env = CrafterEnv()
    env.reset(seed=0)
    for _ in range(30):
        env.step(5)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002


def test_death_ends_an_episode_and_the_limit_cuts_it() -> None:
    env = CrafterEnv(length=3)
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
    with one_clear_error("no episode is under way: call reset"):
        env.step(0)
    env.reset()
    player = env._game._player
    player.inventory["health"] = 1
    player._recover = -15.5  # starved until now
    player.inventory["food"] = 0
    _, reward, terminated, truncated, info = env.step(0)
    assert (terminated, truncated, info["inventory"]["health"]) == (True, False, 0)
    assert reward < 0
    with one_clear_error("no episode is under way"):
        env.step(0)


def test_what_is_achieved_first_is_rewarded_once() -> None:
    env = CrafterEnv()
    env.reset(seed=0)
    env._game._player.inventory["stone"] = 2
    place, back = env.action_names.index("place_stone"), env.action_names.index("move_up")
    rewards = [env.step(place)[1], env.step(back)[1], env.step(place)[1]]
    assert rewards == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_demonstrator_achieves_much_and_chance_little(seed: int) -> None:
    world = FAMILY.open("crafter")
    gained, achieved = play(world, "demonstrator", seed, 300)
    assert gained > 10
    assert {"collect_wood", "place_table", "make_wood_pickaxe", "make_stone_pickaxe", "eat_cow"} < achieved
    assert play(world, "random", seed, 300)[0] < 6


def test_chance_is_reproducible() -> None:
    world = FAMILY.open("crafter")

    def actions(skill: float) -> list[int]:
        env = world.make()
        act = world.policies["demonstrator"](env.action_space, np.random.default_rng(2), skill)  # type: ignore[arg-type]
        observation, info = env.reset(seed=2)
        taken = []
        for _ in range(60):
            taken.append(int(act(observation, info)))
            observation, _, _, _, info = env.step(taken[-1])
        return taken

    assert actions(0.4) == actions(0.4) != actions(1.0)


def test_bad_use() -> None:
    with one_clear_error("length is 0: use at least 1"):
        CrafterEnv(length=0)
    env = CrafterEnv()
    with one_clear_error("no episode is under way"):
        env.step(0)
    env.reset(seed=0)
    for action in (17, -1, 0.5, "do"):
        with one_clear_error("action"):
            env.step(action)
    env.close()
    env.close()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crafter", None)
    assert importlib.util.find_spec("crafter") is None
    assert "memworld[crafter]" in FAMILY.missing()[0]
    for use in (lambda: open_world("crafter"), CrafterEnv):
        with one_clear_error(r'pip install "memworld\[crafter\]"'):
            use()
