import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from memworld.actions import restore_actions
from memworld.formats import FORMATS
from memworld.formats.npz import open_npz
from memworld.record import load_policy, record
from memworld.storage import locked
from memworld.worlds import World, open_world
from tests.helpers import assert_same_dataset, one_clear_error


@pytest.fixture(scope="module")
def pong() -> World:
    return open_world("pong")


class Toy(gymnasium.Env[np.ndarray, Any]):
    """Counts its steps, and terminates at the sixth."""

    observation_space = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)

    def __init__(self, action_space: gymnasium.Space[Any]) -> None:
        self.action_space = action_space
        self.frame = np.zeros((64, 64, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.frame[:] = 0
        return self.frame, {"state": np.zeros(1, np.float32)}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.frame += 1  # in place: what was returned before changes too
        count = int(self.frame[0, 0, 0])
        return self.frame, float(count), count == 6, False, {"state": np.full(1, count, np.float32)}


DISCRETE = gymnasium.spaces.Discrete(3, start=2)
BOX = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


def toy(action_space: gymnasium.Space[Any] = DISCRETE) -> World:
    return World("toy", lambda: Toy(action_space), ("count",), (), {})


def always_two(observation: np.ndarray, info: Any) -> int:
    return 2


def interrupted(world: World, steps: int) -> World:
    """The same world, but Ctrl-C is pressed at a step."""

    def make() -> gymnasium.Env[np.ndarray, Any]:
        env = world.make()
        step, left = env.step, iter(range(steps))

        def limited(action: Any) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return step(action)

        env.step = limited  # type: ignore[method-assign]
        return env

    return replace(world, make=make)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_recorded_episodes_are_what_was_played(pong: World, tmp_path: Path) -> None:
    dataset = record(pong, "demonstrator", tmp_path, episodes=3, max_steps=40, seed=7, skills=(1, 0.5), random_start=5)
    assert dataset.info.world == "pong"
    assert dataset.info.state_names == pong.state_names
    assert dataset.info.action_names == pong.action_names
    assert dataset.ids == ("seed7-00000", "seed7-00001", "seed7-00002")
    assert [episode.source["skill"] for episode in dataset] == [1.0, 0.5, 1.0]
    for episode in dataset:
        assert len(episode) == 40
        assert episode.observations.shape == (41, 64, 64, 3)
        assert episode.states is not None
        assert episode.states.shape == (41, 4)
        assert not episode.terminations.any()
        assert episode.truncations.tolist() == [False] * 39 + [True]
        expected = {"world": "pong", "frameskip": 4, "policy": "demonstrator", "max_steps": 40, "seed": 7}
        assert dict(episode.source).items() >= expected.items()
        assert 0 <= episode.source["random_start"] <= 5
    # Without a random start, the recorded actions lead through the recorded episode again.
    (episode,) = record(pong, "random", tmp_path / "replay", episodes=1, max_steps=30, random_start=0)
    env = pong.make()
    np.testing.assert_array_equal(env.reset()[0], episode.observations[0])
    for t, action in enumerate(episode.actions):
        observation, reward, _, _, info = env.step(action)
        np.testing.assert_array_equal(observation, episode.observations[t + 1])
        np.testing.assert_array_equal(info["state"], episode.states[t + 1])  # type: ignore[index]
        assert reward == episode.rewards[t]


def test_the_seed_decides(pong: World, tmp_path: Path) -> None:
    def made(name: str, seed: int) -> dict[str, bytes]:
        record(pong, "demonstrator", tmp_path / name, episodes=2, max_steps=30, seed=seed, skills=(0.5,))
        return files(tmp_path / name)

    once, again, other = made("once", 1), made("again", 1), made("other", 2)
    assert once == again
    one, two = open_npz(tmp_path / "once"), open_npz(tmp_path / "other")
    assert (one[0].actions != two[0].actions).any()
    assert (one[0].actions != one[1].actions).any()
    assert once.keys() != other.keys()  # ids name the seed, so that data sets can be joined


@pytest.mark.parametrize("world", ["atari/adventure"])
def test_a_world_without_states(world: str, tmp_path: Path) -> None:
    dataset = record(open_world(world), "random", tmp_path, episodes=1, max_steps=5)
    assert dataset[0].states is None
    assert dataset.info.state_names == ()


def test_endings(tmp_path: Path) -> None:
    kept = {}
    for max_steps in (5, 6, 7):
        output = tmp_path / str(max_steps)
        (episode,) = record(toy(), always_two, output, episodes=1, max_steps=max_steps, random_start=0)
        kept[max_steps] = (len(episode), bool(episode.terminations[-1]), bool(episode.truncations[-1]))
        assert episode.observations[:, 0, 0, 0].tolist() == list(range(len(episode) + 1))
        np.testing.assert_array_equal(episode.states, np.arange(len(episode) + 1)[:, None])
        np.testing.assert_array_equal(episode.rewards, np.arange(len(episode)) + 1)
    assert kept == {5: (5, False, True), 6: (6, True, False), 7: (6, True, False)}


def test_a_game_that_ends_in_the_random_start_starts_over(tmp_path: Path) -> None:
    dataset = record(toy(), always_two, tmp_path, episodes=30, max_steps=50, random_start=20)
    starts = [episode.source["random_start"] for episode in dataset]
    assert min(starts) == 0
    assert max(starts) == 20
    for episode in dataset:
        assert episode.observations[0, 0, 0, 0] == episode.source["random_start"] % 6
        assert episode.terminations[-1]


@pytest.mark.parametrize(("cut", "kept_episodes"), [(3, 0), (60, 1), (130, 3)])
def test_interrupted_and_resumed_is_as_if_never_interrupted(
    pong: World, tmp_path: Path, cut: int, kept_episodes: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings: dict[str, Any] = {"episodes": 4, "max_steps": 40, "seed": 3, "skills": (1.0, 0.3), "random_start": 10}
    record(pong, "demonstrator", whole, **settings)
    with pytest.raises(KeyboardInterrupt):
        record(interrupted(pong, cut), "demonstrator", parts, **settings)
    # Before the first episode is whole, no folder is made.
    assert parts.exists() == (kept_episodes > 0)
    if parts.exists():
        kept = open_npz(parts)
        assert len(kept) == kept_episodes
        assert_same_dataset(kept, open_npz(whole)[: len(kept)])
    record(pong, "demonstrator", parts, on_existing="resume", **settings)
    assert files(parts) == files(whole)
    # Nothing is left to do, and then more is asked for.
    record(interrupted(pong, 0), "demonstrator", parts, on_existing="resume", **settings)
    assert files(parts) == files(whole)
    longer = record(pong, "demonstrator", parts, on_existing="resume", **{**settings, "episodes": 5})
    assert_same_dataset(longer[:4], open_npz(whole))
    assert len(longer) == 5


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "id 'seed3-00000'.*'seed4-00000'"),
        ({"skills": (0.9,)}, "skill 1.0.*0.9"),
        ({"max_steps": 6}, "max_steps 5.*6"),
        ({"random_start": 1000}, "random_start"),
        ({"policy": "random"}, "policy 'demonstrator'.*'random'"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    pong: World, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    settings: dict[str, Any] = {"policy": "demonstrator", "episodes": 1, "max_steps": 5, "seed": 3}
    record(pong, output=tmp_path, **settings)
    before = files(tmp_path)
    with one_clear_error(named):
        record(pong, output=tmp_path, on_existing="resume", **{**settings, **change})
    assert files(tmp_path) == before


def test_an_existing_output(pong: World, tmp_path: Path) -> None:
    def run(**settings: Any) -> Any:
        return record(pong, "random", tmp_path, episodes=1, max_steps=5, **settings)

    run()
    with one_clear_error("exists and is not empty"):
        run()
    assert run(seed=1, on_existing="overwrite").ids == ("seed1-00000",)


def test_an_output_that_cannot_be_written(pong: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for output, message in ((tmp_path / "file", "is a file"), (tmp_path / "file" / "sub", "cannot be written")):
        with one_clear_error(message):
            record(pong, "random", output, episodes=1, max_steps=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"episodes": 0}, "episodes is 0: use a whole number from 1 to 100000"),
        ({"episodes": 10**9}, "episodes is 1000000000"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"max_steps": 10**9}, "max_steps is 1000000000"),
        ({"max_steps": 2.5}, "max_steps is 2.5: use a whole number"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296: use a whole number from 0 to 4294967295"),
        ({"random_start": -1}, "random_start is -1"),
        ({"random_start": 10**7}, "random_start is 10000000: use a whole number from 0 to 10000"),
        ({"skills": ()}, "skills is empty"),
        ({"skills": (1.0, 1.5)}, "skill is 1.5"),
    ],
)
def test_numbers_out_of_range(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with one_clear_error(message):
        record(toy(), always_two, tmp_path / "out", **{"episodes": 1, "max_steps": 5, **settings})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("space", "action", "message"),
    [
        (DISCRETE, 5, "action 5 is outside"),
        (DISCRETE, 2.0, "takes integers"),
        (DISCRETE, None, "takes integers"),
        (DISCRETE, [2], r"shape \(1,\)"),
        (DISCRETE, [2, [2, 2]], "inhomogeneous"),
        (BOX, [0.0, 1.5], "outside"),
        (BOX, [0.0, np.nan], "NaN"),
        (BOX, 0.5, "asks for"),
        (BOX, [[0.0, 0.5]], r"shape \(1, 2\)"),
    ],
)
def test_bad_actions_name_the_step(tmp_path: Path, space: gymnasium.Space[Any], action: Any, message: str) -> None:
    def policy(observation: np.ndarray, info: Any) -> Any:
        return action if info["state"][0] == 3 else 2 if space is DISCRETE else [0.0, 1.0]

    with one_clear_error(f"policy .*policy returned a bad action at step 3 of episode seed0-00000: .*{message}"):
        record(toy(space), policy, tmp_path, episodes=1, max_steps=5, random_start=0)


def test_box_actions_are_recorded(tmp_path: Path) -> None:
    (episode,) = record(toy(BOX), lambda o, i: (0.5, -1), tmp_path, episodes=1, max_steps=3, random_start=2)
    np.testing.assert_array_equal(episode.actions, np.tile(np.array([0.5, -1], np.float32), (3, 1)))


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a module into the current folder, out of which a user runs the program."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


def test_a_users_policy_by_name(tmp_path: Path, write_module: Callable[[str, str], None]) -> None:
    write_module("my_policy", "def act(observation, info):\n    return 3 + int(info['state'][0]) % 2\n")
    (episode,) = record(toy(), "my_policy:act", tmp_path / "out", episodes=1, max_steps=4, random_start=0)
    assert episode.actions.tolist() == [3, 4, 3, 4]
    assert episode.source["policy"] == "my_policy:act"


def test_skill_applies_to_a_users_policy_too(tmp_path: Path) -> None:
    dataset = record(toy(), always_two, tmp_path, episodes=40, max_steps=6, skills=(1.0, 0.5), random_start=0)
    own = [float((episode.actions == 2).mean()) for episode in dataset]
    assert set(own[::2]) == {1.0}
    assert 0.4 < sum(own[1::2]) / len(own[1::2]) < 0.9


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_module:act", "cannot import no_such_module.*check its name"),
        ("broken:act", "cannot import broken .ZeroDivisionError"),
        ("wrong_syntax:act", "cannot import wrong_syntax .SyntaxError"),
        ("mine:no_such_function", "mine has no no_such_function"),
        ("mine:NUMBER", "is of type int and cannot be called"),
        ("mine:", "module:function"),
        (":act", "module:function"),
        ("mine", "module:function"),
        ("..relative:act", "cannot import"),
    ],
)
def test_bad_policies(spec: str, message: str, write_module: Callable[[str, str], None]) -> None:
    write_module("mine", "NUMBER = 5\n")
    write_module("broken", "1 / 0\n")
    write_module("wrong_syntax", "def act(:\n")
    with one_clear_error(message):
        load_policy(spec)


def test_an_unknown_policy_lists_the_worlds(pong: World, tmp_path: Path) -> None:
    with one_clear_error("pong has no policy 'expert': use random, demonstrator, or your own as module:function"):
        record(pong, "expert", tmp_path / "out", episodes=1, max_steps=5)
    assert not (tmp_path / "out").exists()


def test_a_policy_that_fails_is_named_with_its_step(tmp_path: Path) -> None:
    left = iter(range(8))

    def broken(observation: np.ndarray, info: Any) -> int:
        if next(left, None) is None:
            raise LookupError("lost\nits way")
        return 2

    failed = r"policy .*broken failed at step 3 of episode seed0-00001 \(LookupError: lost its way\): correct it"
    with one_clear_error(failed):
        record(toy(), broken, tmp_path, episodes=2, max_steps=5, random_start=0)
    assert open_npz(tmp_path).ids == ("seed0-00000",)


def test_resuming_with_fewer_episodes_than_stored_is_refused(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_steps": 5, "random_start": 0}
    record(toy(), always_two, tmp_path, episodes=3, **settings)
    with one_clear_error("has 3 episodes already, 1 was asked for: ask for 3 or more"):
        record(toy(), always_two, tmp_path, episodes=1, on_existing="resume", **settings)
    (tmp_path / "episodes/seed0-00001.npz").unlink()
    with one_clear_error("seed0-00001.npz is missing"):
        record(toy(), always_two, tmp_path, episodes=4, on_existing="resume", **settings)


def test_overwriting_keeps_the_old_data_until_an_episode_was_played(tmp_path: Path) -> None:
    def broken(observation: np.ndarray, info: Any) -> int:
        raise LookupError("lost")

    settings: dict[str, Any] = {"max_steps": 5, "on_existing": "overwrite"}
    record(toy(), always_two, tmp_path / "out", episodes=2, **settings)
    before = files(tmp_path / "out")
    with one_clear_error("LookupError: lost"):
        record(toy(), broken, tmp_path / "out", episodes=2, seed=1, **settings)
    with pytest.raises(KeyboardInterrupt):
        record(interrupted(toy(), 0), always_two, tmp_path / "out", episodes=2, seed=1, **settings)
    assert files(tmp_path / "out") == before
    # What it then makes is what a new folder would have got.
    record(toy(), always_two, tmp_path / "out", episodes=2, seed=1, **settings)
    record(toy(), always_two, tmp_path / "new", episodes=2, seed=1, max_steps=5)
    assert files(tmp_path / "out") == files(tmp_path / "new") != before


def test_a_folder_that_is_not_ours_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with one_clear_error("not memworld's to overwrite: name another folder"):
        record(interrupted(toy(), 0), always_two, tmp_path, episodes=1, max_steps=5, on_existing="overwrite")
    assert (tmp_path / "thesis.txt").exists()


def test_progress_goes_to_stderr_and_only_when_asked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record(toy(), always_two, tmp_path / "a", episodes=2, max_steps=6, random_start=0)
    assert capfd.readouterr() == ("", "")
    record(toy(), always_two, tmp_path / "b", episodes=2, max_steps=6, random_start=0, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "2/2" in err
    assert "return=21" in err


@pytest.mark.parametrize("mode", ["resume", "overwrite"])
def test_two_recordings_never_share_a_folder(tmp_path: Path, mode: Any) -> None:
    data = tmp_path / "data"
    whole = record(toy(), always_two, data, episodes=2, max_steps=9, random_start=0)
    with locked(data), one_clear_error("another memworld"):
        record(toy(), always_two, data, episodes=3, max_steps=9, random_start=0, on_existing=mode)
    assert_same_dataset(open_npz(data), whole)
    again = record(toy(), always_two, data, episodes=3, max_steps=9, random_start=0, on_existing=mode)
    assert len(again) == 3


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (gymnasium.spaces.Box(-1, 1, (4,), np.float32), "Box"),
        (gymnasium.spaces.Box(0, 255, (64, 64), np.uint8), "Box"),
        (gymnasium.spaces.Dict({"image": Toy.observation_space}), "Dict"),
    ],
)
def test_worlds_without_pictures_are_refused(
    tmp_path: Path, space: gymnasium.Space[Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "observation_space", space)
    with one_clear_error(f"toy has observations in {named}.*memworld needs uint8 frames"):
        record(toy(), always_two, tmp_path / "set", episodes=1, max_steps=5)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("state", [None, np.zeros(2), "here"])
def test_states_that_are_not_as_the_world_says(tmp_path: Path, state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    info = {} if state is None else {"state": state}
    monkeypatch.setattr(Toy, "reset", lambda self, *, seed=None, options=None: (frame, info))
    with one_clear_error("toy names 1 state variables, but its info has no 'state' of as many numbers"):
        record(toy(), always_two, tmp_path, episodes=1, max_steps=5, random_start=0)


def test_a_world_of_mixed_actions_is_recorded_in_every_format(tmp_path: Path) -> None:
    space = gymnasium.spaces.Dict(
        {"jump": gymnasium.spaces.Discrete(2), "turn": BOX, "keys": gymnasium.spaces.MultiBinary(2)}
    )
    taken: list[dict[str, Any]] = []

    class Watched(Toy):
        def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            assert space.contains({**action, "keys": action["keys"].astype(np.int8)})
            taken.append(action)
            return super().step(action)

    world = World("toy", lambda: Watched(space), ("count",), ("jump=no", "jump=yes"))
    for name, format in FORMATS.items():
        if format.writer is None:
            continue
        taken.clear()
        dataset = record(world, "random", tmp_path / name, episodes=2, max_steps=9, random_start=0, format=name, seed=3)
        recorded = [restore_actions(action, dataset.info.action_space) for e in dataset for action in e.actions]
        assert len(recorded) == len(taken) == 12
        for one, other in zip(recorded, taken, strict=True):
            for key in space.spaces:
                np.testing.assert_array_equal(one[key], other[key])
        again = record(
            world, "random", tmp_path / name, episodes=3, max_steps=9, random_start=0, format=name, seed=3,
            on_existing="resume",
        )  # fmt: skip
        assert_same_dataset(again[:2], dataset)
        assert len(again) == 3
