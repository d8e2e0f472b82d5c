"""The real game beside a dream of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memworld.datasets import EpisodeEntry
from memworld.encoders import open_encoder
from memworld.formats import open_npz
from memworld.memory import Memory
from memworld.play.real import RealWorld, world_of
from memworld.play.recorder import Recordings
from memworld.play.session import PlaySession
from memworld.play.stage import Stage
from memworld.record import begin_recorded
from memworld.world_model import WorldModel
from memworld.worlds import open_world
from tests.helpers import one_clear_error

SETTINGS = {"strategy": "replay_l2"}
"""Which nothing must be learned for."""


@pytest.fixture(scope="module")
def pong(quick_run: Path) -> Path:
    return quick_run


@pytest.fixture(scope="module")
def stage(pong: Path) -> Stage:
    return Stage(WorldModel.open(pong / "memory"))


def test_what_was_recorded_begins_again(pong: Path) -> None:
    dataset, world = open_npz(pong / "episodes"), open_world("pong")
    env = world.make()
    for episode, entry in zip(dataset, dataset.entries, strict=True):
        np.testing.assert_array_equal(begin_recorded(env, world, entry)[0], episode.observations[0])
    env.close()


@pytest.mark.parametrize(
    "entry",
    [
        EpisodeEntry("seed0-00001", 5),
        EpisodeEntry("seed0-00001", 5, {"seed": 1, "random_start": 3}),
        EpisodeEntry("seed0-00001", 5, {"seed": 0, "random_start": -1}),
        EpisodeEntry("seed0-00001", 5, {"seed": 0, "random_start": 10**9}),
        EpisodeEntry("seed0-00001", 5, {"seed": False, "random_start": 3}),
        EpisodeEntry("first", 5, {"seed": 0, "random_start": 3}),
        EpisodeEntry("seed0-00001", 5, {"seed": 0, "random_start": 3, "piece_of": "seed0-00001", "first_step": 9}),
    ],
    ids=lambda entry: str(dict(entry.source)),
)
def test_what_does_not_say_how_it_began_does_not(entry: EpisodeEntry) -> None:
    world = open_world("pong")
    env = world.make()
    with one_clear_error("does not say how it began"):
        begin_recorded(env, world, entry)
    env.close()


def test_it_plays_as_it_was_recorded(stage: Stage, pong: Path) -> None:
    number, step = 1, 7
    episode = open_npz(pong / "episodes").load(stage.memory.ids[number])
    real = RealWorld(stage)
    real.begin(stage.row(number, step))
    np.testing.assert_array_equal(real.frame, episode.observations[step])
    assert (real.total, real.over) == (0, False)
    for later in range(step, step + 10):
        real.step(episode.actions[later])
        np.testing.assert_array_equal(real.frame, episode.observations[later + 1])
        assert real.reward == episode.rewards[later]
    real.close()


def test_it_goes_on_beside_a_dream(stage: Stage, tmp_path: Path) -> None:
    session = PlaySession(stage, [SETTINGS], {"episode": 0, "step": 5}, True, Recordings(tmp_path / "play"))
    dream, real = session.panels()
    assert (real.title, real.kind, session.why_not_real) == ("the real world", "real", None)
    np.testing.assert_array_equal(dream.frame, real.frame)
    session.record(True, ["episodes"])
    for action in (2, 3, 3, 0):
        session.step(action)
    shown = session.panels()[1].frame
    session.record(False)
    dreams, reals = session.saved
    assert open_npz(tmp_path / "play" / dreams)[0].source["imagined"]
    played = open_npz(tmp_path / "play" / reals)[0]
    assert not played.source["imagined"]
    np.testing.assert_array_equal(played.observations[-1], shown)
    # One that comes later has taken the same actions.
    session.beside_real(False)
    assert len(session.panels()) == 1
    session.beside_real(True)
    np.testing.assert_array_equal(session.panels()[1].frame, shown)
    session.reset({"episode": 1, "step": 2})
    dream, real = session.panels()
    np.testing.assert_array_equal(dream.frame, real.frame)
    session.close()


def test_it_stands_still_when_it_is_over(stage: Stage) -> None:
    session = PlaySession(stage, [SETTINGS], {"episode": 0, "step": 0}, True)
    assert session.real is not None
    session.real.over = True
    before = session.real.frame
    session.step(1)
    assert session.real.frame is before
    assert session.panels()[1].over
    session.close()


def test_a_simulator_that_fails_is_left(stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    session = PlaySession(stage, [SETTINGS], {"episode": 0, "step": 0}, True, Recordings(tmp_path / "play"))
    session.step(1)
    session.record(True, ["episodes"])
    session.step(1)
    assert session.real is not None
    none: dict[str, int] = {}
    monkeypatch.setattr(session.real._env, "step", lambda action: none["gone"])
    session.step(1)
    assert [panel.kind for panel in session.panels()] == ["dream"]
    assert "the real pong has failed (KeyError: 'gone')" in str(session.why_not_real)
    assert len(session.saved) == 2  # what was recorded until then
    assert not session.recording
    session.step(1)
    session.close()


def test_a_simulator_that_fails_is_left_though_nothing_can_be_written(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = PlaySession(stage, [SETTINGS], {"episode": 0, "step": 0}, True, Recordings(tmp_path / "play"))
    session.record(True, ["episodes"])
    session.step(1)
    assert session.real is not None
    none: dict[str, int] = {}
    monkeypatch.setattr(session.real._env, "step", lambda action: none["gone"])
    (tmp_path / "play").write_bytes(b"in the way")
    for _ in range(2):
        with one_clear_error("is a file"):
            session.step(1)
    assert [panel.kind for panel in session.panels()] == ["dream"]
    (tmp_path / "play").unlink()
    session.step(1)
    assert [len(open_npz(tmp_path / "play" / name)[0]) for name in session.saved] == [1, 1]
    assert not session.recording
    session.close()


def changed(stage: Stage, **entry: object) -> Stage:
    """The same memory, with something else said of its episodes."""
    stored = stage.memory
    episodes = [replace(episode, entry=replace(episode.entry, **entry)) for episode in stored.episodes[:1]]  # type: ignore[arg-type]
    memory = Memory.restore(stored.info, stored.encoder_fingerprint, stored.latent_shape, 0, True, episodes)
    return Stage(WorldModel(stage.world.encoder, memory))


def test_another_beginning_is_noticed(stage: Stage) -> None:
    source = {**stage.memory.entries[0].source, "random_start": 9}
    session = PlaySession(changed(stage, source=source), [SETTINGS], {"episode": 0, "step": 3}, True)
    assert session.real is None
    assert session.why_not_real is not None
    assert "does not come to step 3 of episode" in session.why_not_real
    assert len(session.panels()) == 1


def test_without_frames_it_is_known_by_its_latents(pong: Path, stage: Stage) -> None:
    encoder = open_encoder(pong / "memory" / "encoder")
    dataset = open_npz(pong / "episodes")
    memory = Memory(dataset.info, encoder, keep_frames=False)
    memory.append(dataset.load(stage.memory.ids[0]), encoder)
    without = Stage(WorldModel(encoder, memory))
    real = RealWorld(without)
    real.begin(without.row(0, 6))
    np.testing.assert_array_equal(real.frame, dataset.load(stage.memory.ids[0]).observations[6])
    source = {**stage.memory.entries[0].source, "random_start": 3}
    other = Memory(dataset.info, encoder, keep_frames=False)
    other.append(replace(dataset.load(stage.memory.ids[0]), source=source), encoder)
    with one_clear_error("does not come to step 6"):
        RealWorld(Stage(WorldModel(encoder, other))).begin(6)


def test_memories_of_worlds_that_are_not_there(stage: Stage) -> None:
    def of(world: str) -> Memory:
        stored = stage.memory
        info = replace(stored.info, world=world)
        return Memory.restore(info, stored.encoder_fingerprint, stored.latent_shape, 0, True, stored.episodes)

    with one_clear_error("does not say which world"):
        world_of(of(""))
    with one_clear_error("unknown world 'mars'"):
        world_of(of("mars"))
    with one_clear_error("has action_space Discrete"):
        RealWorld(Stage(WorldModel(stage.world.encoder, of("freeway"))))
    with one_clear_error("no episode of the memory says how it began"):
        world_of(changed(stage, source={}).memory)
