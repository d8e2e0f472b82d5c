"""What an agent lives is remembered as it was lived: a toy world by every turn, and a real game."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary

from memworld.datasets import DatasetInfo
from memworld.memory import Memory
from memworld.remember import MemoryStream, RememberWrapper
from memworld.store import check_memory, open_memory, save_memory
from memworld.world_model import WorldModel
from memworld.worlds import open_world
from tests.helpers import one_clear_error, untrained_vae

SHAPE = (4, 4, 1)
ENCODER = untrained_vae(SHAPE, (2,))
INFO = DatasetInfo(SHAPE, Discrete(4), "toy", ("place", "time"))


class Toy(gymnasium.Env[np.ndarray, Any]):
    """A pixel that moves; an episode terminates at place 15, and is truncated after `limit` steps.

    The one array of its observation is used again for the next, as some simulators do.
    """

    def __init__(self, space: gymnasium.Space[Any] = INFO.action_space, limit: int = 100) -> None:
        self.observation_space = Box(0, 255, SHAPE, np.uint8)
        self.action_space = space
        self.limit, self.closed = limit, False
        self._frame = np.zeros(SHAPE, np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        self.place, self.time = int((options or {}).get("place", 0)), 0
        return self._seen()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Any]:
        self.place, self.time = min(15, self.place + int(np.sum(action))), self.time + 1
        frame, info = self._seen()
        return frame, self.place / 10, self.place == 15, self.time == self.limit, info

    def _seen(self) -> tuple[np.ndarray, dict[str, Any]]:
        self._frame[...] = 7 * self.time
        self._frame.flat[self.place] = 255
        return self._frame, {"state": np.array([self.place, self.time])}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_memory(Memory(INFO, ENCODER), tmp_path / "memory", encoder=ENCODER)
    return tmp_path / "memory"


def lived(env: gymnasium.Env[Any, Any], actions: list[Any], **reset: Any) -> list[np.ndarray]:
    """The frames of an episode."""
    frames = [np.array(env.reset(**reset)[0])]
    frames += [np.array(env.step(action)[0]) for action in actions]
    return frames


def test_an_episode_is_remembered_as_it_was_lived(folder: Path) -> None:
    with MemoryStream.open(folder) as stream:
        env = RememberWrapper(Toy(), stream)
        frames = lived(env, [3, 3, 0, 2, 3, 3, 1])
        assert stream.ids == {"lived-000000"}
        assert list(stream.memory.ids) == []  # it waits for others
        env.close()
        assert list(stream.memory.ids) == ["lived-000000"]
    memory = open_memory(folder)
    [one] = memory.episodes
    assert dict(one.entry.source) == {"recorded": "lived", "world": "toy"}
    assert one.actions.tolist() == [3, 3, 0, 2, 3, 3, 1]
    np.testing.assert_array_equal(one.rewards, np.array([0.3, 0.6, 0.6, 0.8, 1.1, 1.4, 1.5], np.float32))
    assert one.terminations.tolist() == [False] * 6 + [True]
    assert not one.truncations.any()
    np.testing.assert_array_equal(memory.frames(range(8)), frames)
    # Encoded as one would encode it afterwards.
    mu, _ = ENCODER.encode(np.stack(frames))
    np.testing.assert_array_equal(memory.rows.latents.mu, mu)


def test_what_the_agent_sees_is_what_the_environment_says(folder: Path) -> None:
    with MemoryStream.open(folder) as stream:
        plain, wrapped = Toy(), RememberWrapper(Toy(), stream)
        for one, other in (
            (plain.reset(options={"place": 5}), wrapped.reset(options={"place": 5})),
            (plain.step(3), wrapped.step(3)),
            (plain.step(3), wrapped.step(3)),
        ):
            assert one[1:-1] == other[1:-1]
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[-1]["state"], other[-1]["state"])
        assert wrapped.action_space == plain.action_space


def test_an_episode_ends_as_truncated_by_its_limit_a_reset_and_a_close(folder: Path) -> None:
    with MemoryStream.open(folder) as stream:
        toy = Toy(limit=3)
        env = RememberWrapper(toy, stream)
        lived(env, [1, 1, 1])
        lived(env, [1, 2])
        lived(env, [])  # nothing happened
        lived(env, [3], options={"place": 12})
        env.step(0)  # after the end, and nobody's
        lived(env, [1])
        env.close()
        assert toy.closed
        env.close()
    memory = open_memory(folder)
    assert [e.entry.steps for e in memory.episodes] == [3, 2, 1, 1]
    ends = [(bool(e.terminations[-1]), bool(e.truncations[-1])) for e in memory.episodes]
    assert ends == [(False, True), (False, True), (True, False), (False, True)]
    assert check_memory(folder).problems == ()


def test_ids_go_on_where_there_are_some_already(folder: Path) -> None:
    for _ in range(2):
        with MemoryStream.open(folder) as stream:
            # Two environments, one after the other in the same stream.
            for name in ("lived", "other", "lived"):
                env = RememberWrapper(Toy(), stream, name=name)
                lived(env, [1])
                lived(env, [2])
                env.close()
    assert sorted(open_memory(folder).ids) == [
        *(f"lived-{n:06}" for n in range(8)),
        *(f"other-{n:06}" for n in range(4)),
    ]


def test_two_environments_at_once(folder: Path) -> None:
    with MemoryStream.open(folder) as stream:
        one, other = (RememberWrapper(Toy(), stream) for _ in range(2))
        one.reset()
        other.reset()
        for action in (1, 2, 3):
            one.step(action)
            other.step(3 - action)
        other.close()
        one.close()
    memory = open_memory(folder)
    assert memory.ids == ("lived-000000", "lived-000001")
    assert [e.actions.tolist() for e in memory.episodes] == [[2, 1, 0], [1, 2, 3]]


def test_buttons_are_remembered_as_choices(tmp_path: Path) -> None:
    info = DatasetInfo(SHAPE, MultiBinary(3))  # type: ignore[arg-type]
    with MemoryStream(tmp_path / "memory", Memory(info, ENCODER), ENCODER) as stream:
        env = RememberWrapper(Toy(MultiBinary(3)), stream)
        lived(env, [np.array([0, 1, 1], np.int8), np.array([1, 0, 0], np.int8)])
        env.close()
    assert open_memory(tmp_path / "memory").episodes[0].actions.tolist() == [[0, 1, 1], [1, 0, 0]]


def test_measured_actions(tmp_path: Path) -> None:
    space = Box(-1, 2, (2,))
    with MemoryStream(tmp_path / "memory", Memory(DatasetInfo(SHAPE, space), ENCODER), ENCODER) as stream:
        env = RememberWrapper(Toy(space), stream)
        lived(env, [[0.5, 1.5], np.array([2.0, -1.0])])
        env.close()
    assert open_memory(tmp_path / "memory").episodes[0].actions.tolist() == [[0.5, 1.5], [2, -1]]


def test_frames_made_of_other_observations(folder: Path) -> None:
    class Told(gymnasium.ObservationWrapper[dict[str, Any], Any, np.ndarray]):
        def __init__(self, env: Toy) -> None:
            super().__init__(env)
            self.observation_space = gymnasium.spaces.Dict({"picture": Box(0, 1, (4, 4))})

        def observation(self, observation: np.ndarray) -> dict[str, Any]:
            return {"picture": observation[..., 0] / 255}

    with MemoryStream.open(folder) as stream:
        with one_clear_error(r"the environment has observations in Dict.*, the memory frames uint8 \[4, 4, 1\]: wrap"):
            RememberWrapper(Told(Toy()), stream)
        env = RememberWrapper(
            Told(Toy()), stream, frame=lambda seen: (255 * seen["picture"][..., None]).round().astype(np.uint8)
        )
        lived(env, [1, 2])
        env.close()
    np.testing.assert_array_equal(open_memory(folder).frames(range(3)), lived(Toy(), [1, 2]))


# Refusals


@pytest.mark.parametrize(
    ("space", "match"),
    [
        (Discrete(5), r"the environment has actions Discrete.5., the memory Discrete.4.: remember them apart"),
        (Discrete(4, start=1), r"actions Discrete.4, start=1., the memory Discrete.4."),
        (Box(-1, 1, (2, 2)), "action space Box.* is not supported"),
    ],
)
def test_environments_of_other_actions(folder: Path, space: gymnasium.Space[Any], match: str) -> None:
    with MemoryStream.open(folder) as stream, one_clear_error(match):
        RememberWrapper(Toy(space), stream)


@pytest.mark.parametrize("space", [Box(0, 255, (8, 8, 1), np.uint8), Box(0, 1, SHAPE, np.float32), Discrete(3)])
def test_environments_of_other_observations(folder: Path, space: gymnasium.Space[Any]) -> None:
    env = Toy()
    env.observation_space = space
    with MemoryStream.open(folder) as stream, one_clear_error("the memory frames uint8 .*or give `frame`"):
        RememberWrapper(env, stream)


@pytest.mark.parametrize("name", ["", "../evil", "a b", "-x"])
def test_names_that_cannot_be_a_file_s(folder: Path, name: str) -> None:
    with MemoryStream.open(folder) as stream, one_clear_error("cannot be a file name"):
        RememberWrapper(Toy(), stream, name=name)


class Broken(Toy):
    """Says something else from its third step on."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def _seen(self) -> tuple[np.ndarray, dict[str, Any]]:
        frame, info = super()._seen()
        if self.time < 3:
            return frame, info
        wrong: dict[str, tuple[Any, dict[str, Any]]] = {
            "small": (frame[:2], info),
            "float": (frame.astype(np.float32), info),
            "no state": (frame, {}),
            "more states": (frame, {"state": np.zeros(3)}),
            "words": (frame, {"state": "left"}),
        }
        return wrong[self.what]


@pytest.mark.parametrize(
    ("what", "match"),
    [
        (
            "small",
            r"gave a frame uint8 \[2, 4, 1\], the memory has uint8 \[4, 4, 1\]: mend `frame`, or the environment",
        ),
        ("float", r"gave a frame float32 \[4, 4, 1\]"),
        ("no state", "the memory has 2 state variables, but the environment's info has no 'state' of as many numbers"),
        ("more states", "has 2 state variables"),
        ("words", "has 2 state variables"),
    ],
)
def test_a_step_that_cannot_be_remembered_ends_the_episode_before_it(folder: Path, what: str, match: str) -> None:
    """So that no step is remembered as following one that it did not follow."""
    with MemoryStream.open(folder) as stream:
        env = RememberWrapper(Broken(what), stream)
        frames = lived(env, [1, 2])
        with one_clear_error(match):
            env.step(3)
        env.step(0)  # is not remembered, and so not refused
        env.close()
    memory = open_memory(folder)
    assert memory.episodes[0].actions.tolist() == [1, 2]
    assert memory.episodes[0].truncations.tolist() == [False, True]
    np.testing.assert_array_equal(memory.frames(range(3)), frames)
    assert memory.ids == ("lived-000000",)


def test_an_action_outside_the_space_ends_the_episode_before_it(folder: Path) -> None:
    with MemoryStream.open(folder) as stream:
        env = RememberWrapper(Toy(), stream)
        lived(env, [1])
        with one_clear_error("action 9 is outside Discrete.4."):
            env.step(9)
        lived(env, [2])
        env.close()
    assert [e.actions.tolist() for e in open_memory(folder).episodes] == [[1], [2]]


def test_closing_after_the_stream_closes_the_environment_all_the_same(folder: Path) -> None:
    with MemoryStream.open(folder) as stream:
        toy = Toy()
        env = RememberWrapper(toy, stream)
        lived(env, [1])
    with one_clear_error("the stream into .*memory is closed"):
        env.close()
    assert toy.closed
    assert open_memory(folder).ids == ()


# A real game


def test_a_world_learns_of_a_real_game_while_it_is_played(tmp_path: Path) -> None:
    game = open_world("pong")
    encoder = untrained_vae((64, 64, 3), (4,))
    info = DatasetInfo((64, 64, 3), game.action_space(), "pong", game.state_names)
    with MemoryStream(tmp_path / "memory", Memory(info, encoder), encoder, episodes=1) as stream:
        env = RememberWrapper(game.make(), stream, name="pong")
        env.action_space.seed(0)
        frames = lived(env, [0] * 6)
        env.reset()
        world = WorldModel.open(tmp_path / "memory", device="cpu")
        assert list(world.memory.ids) == ["pong-000000"]
        for _ in range(12):
            env.step(env.action_space.sample())
        env.close()
        assert world.refresh()
        assert list(world.memory.ids) == ["pong-000000", "pong-000001"]
        assert world.memory.steps == 18
        np.testing.assert_array_equal(world.memory.frames(range(7)), frames)
        assert world.imagine(frames[0], [[0, 0, 0]]).frames is not None
    assert check_memory(tmp_path / "memory").problems == ()
