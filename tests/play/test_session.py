from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats import NpzWriter, open_npz
from memworld.play import recorder
from memworld.play.recorder import Recordings
from memworld.play.session import PlaySession
from memworld.play.stage import Stage
from memworld.world_model import WorldModel
from tests.envs.toys import SPACES, noise
from tests.helpers import one_clear_error, sampled_actions

START = {"episode": 1, "step": 3}


def test_two_dreams_take_the_same_actions(stage: Stage) -> None:
    session = PlaySession(stage, [{}, {"strategy": "replay_l2", "k": 1}], START)
    alone = [PlaySession(stage, [settings.to_json()], START) for settings in session.settings]
    for action in (0, 1, 2, 3, 1):
        session.step(action)
        for other in alone:
            other.step(action)
    for panel, other in zip(session.panels(), alone, strict=True):
        [expected] = other.panels()
        np.testing.assert_array_equal(panel.frame, expected.frame)
        assert (panel.total, panel.neighbours) == (expected.total, expected.neighbours)
    assert [panel.title for panel in session.panels()] == ["dream 1", "dream 2"]


def test_a_reset_begins_anew(stage: Stage) -> None:
    session = PlaySession(stage, [{}], START)
    first = session.panels()[0].frame
    session.step(1)
    session.reset({"episode": 1, "step": 3})
    assert (session.steps, session.start, session.panels()[0].total) == (0, (1, 3), 0)
    np.testing.assert_array_equal(session.panels()[0].frame, first)
    session.reset({"episode": 4})
    assert session.start == (4, 0)
    starts = set()
    for _ in range(20):
        session.reset(None)
        starts.add(session.start)
    assert len(starts) > 5


def test_a_neighbour_is_where_it_says(stage: Stage) -> None:
    session = PlaySession(stage, [{}], START)
    session.step(2)
    for near in session.panels()[0].neighbours:
        assert stage.row(near.episode, near.step) == near.row
        assert stage.memory.ids[near.episode] == near.id
        session.reset({"episode": near.episode, "step": near.step})


def test_settings_change_under_way(stage: Stage) -> None:
    session = PlaySession(stage, [{}], START)
    session.step(1)
    before = session.panels()[0]
    session.change(0, {"decoding": "frame"})
    np.testing.assert_array_equal(session.panels()[0].frame, before.frame)
    assert (session.steps, session.settings[0].decoding) == (1, "frame")
    with one_clear_error("no dream 1"):
        session.change(1, {})
    with one_clear_error("cannot be"):
        session.change(0, {"decoding": "sharp"})
    assert session.settings[0].decoding == "frame"


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_actions_of_every_kind(space: Any) -> None:
    from memworld.actions import as_actions

    stage = Stage(noise(space))
    session = PlaySession(stage, [{"strategy": "replay_l2"}], {"episode": 0, "step": 0})
    for action in as_actions(sampled_actions(space, 5, 0), space).tolist():
        session.step(action)
    assert session.steps == 5


@pytest.mark.parametrize("action", [None, "up", 4, -1, 1.5, True, [1], [[1, 2], [3]], {}, 10**30, [None], "1"])
def test_what_is_no_action_is_refused(stage: Stage, action: Any) -> None:
    session = PlaySession(stage, [{}], START)
    with one_clear_error("action|Discrete"):
        session.step(action)
    assert session.steps == 0


def test_what_no_prediction_can_hold_is_refused() -> None:
    stage = Stage(noise(Box(-np.inf, np.inf, (1,))))
    settings = [{"strategy": "replay_l2"}, {"strategy": "analogues"}]
    session, other = (PlaySession(stage, settings, {"episode": 0, "step": 0}) for _ in range(2))
    session.step([0.5])
    other.step([0.5])
    with one_clear_error("numbers this large"):
        session.step([1e38])
    assert session.steps == 1
    session.step([-0.5])
    other.step([-0.5])
    for panel, expected in zip(session.panels(), other.panels(), strict=True):
        assert np.isfinite([panel.reward, panel.total, panel.termination, *(panel.place or ())]).all()
        assert panel.title != "dream 1" or panel.neighbours == expected.neighbours


@pytest.mark.parametrize(
    "start",
    [3, [], "first", {"step": 3}, {"episode": "e1"}, {"episode": 6}, {"episode": -1}, {"episode": 0, "step": 20},
     {"episode": 0, "step": -1}, {"episode": 0, "step": 1.0}, {"episode": True}, {"episode": 0, "row": 3}],
)  # fmt: skip
def test_what_is_no_start_is_refused(stage: Stage, start: Any) -> None:
    session = PlaySession(stage, [{}], START)
    session.step(1)
    with one_clear_error("start|episodes 0 to 5|steps 0 to 20"):
        session.reset(start)
    assert (session.start, session.steps) == ((1, 3), 1)


@pytest.mark.parametrize("dreams", [None, {}, "analogues", [], [{}, {}, {}], [None]])
def test_what_are_no_dreams_is_refused(stage: Stage, dreams: Any) -> None:
    with one_clear_error("dreams|settings"):
        PlaySession(stage, dreams)


def test_the_number_of_dreams(stage: Stage) -> None:
    session = PlaySession(stage, [{}], START)
    session.step(1)
    session.dream(2)
    one, other = session.panels()
    assert (one.total, one.neighbours) == (other.total, other.neighbours)
    session.dream(2)
    session.step(0)
    session.dream(1)
    assert len(session.panels()) == 1
    for count in (0, 3, True, "2", None):
        with one_clear_error("count"):
            session.dream(count)


def test_it_records_across_resets(stage: Stage, tmp_path: Path) -> None:
    session = PlaySession(stage, [{}, {"decoding": "decoder"}], START, recordings=Recordings(tmp_path / "play"))
    session.step(0)
    session.record(True, ["episodes"])
    frames, rewards = [session.panels()[0].frame], []
    for action in (1, 2):
        session.step(action)
        frames.append(session.panels()[0].frame)
        rewards.append(session.panels()[0].reward)
    session.reset({"episode": 2, "step": 0})
    session.step(3)
    with one_clear_error("recording is under way"):
        session.dream(1)
    with one_clear_error("recording is under way"):
        session.beside_real(True)
    session.record(False)
    [name] = session.saved
    episodes = open_npz(tmp_path / "play" / name)
    assert len(episodes) == 4
    first = episodes[0]
    np.testing.assert_array_equal(first.observations, np.stack(frames))
    np.testing.assert_array_equal(first.actions, [1, 2])
    np.testing.assert_allclose(first.rewards, rewards, rtol=1e-6)
    assert first.truncations.tolist() == [False, True]
    assert dict(first.source) == {
        "world": "square",
        "policy": "played by hand",
        "start_episode": "e1",
        "start_step": 3,
        "steps_before": 1,
        "imagined": True,
        "settings": session.settings[0].to_json(),
    }
    assert episodes[3].source["start_episode"] == "e2"
    assert episodes[3].source["settings"]["decoding"] == "decoder"


def test_recording_is_begun_and_ended_once(stage: Stage, tmp_path: Path) -> None:
    session = PlaySession(stage, [{}], START, recordings=Recordings(tmp_path / "play"))
    with one_clear_error("nothing is being recorded"):
        session.record(False)
    session.record(True, ["episodes"])
    with one_clear_error("already"):
        session.record(True, ["episodes"])
    session.record(False)
    assert session.saved == []  # nothing had happened
    assert not (tmp_path / "play").exists()
    for forms in ([], ["gif"], "mp4", None, [3], [["mp4"]]):
        with one_clear_error("a recording is written as"):
            session.record(True, forms)
    for fps in (0, 121, 2.0, True, "15"):
        with one_clear_error("frames a second"):
            session.record(True, ["episodes"], fps)
    with one_clear_error("nothing can be recorded here"):
        PlaySession(stage, [{}], START).record(True, ["episodes"])
    assert not session.recording


def test_what_could_not_be_written_can_be_written_later(stage: Stage, tmp_path: Path) -> None:
    session = PlaySession(stage, [{}], START, recordings=Recordings(tmp_path / "play"))
    session.record(True, ["episodes"])
    session.step(1)
    (tmp_path / "play").write_bytes(b"in the way")
    with one_clear_error("is a file"):
        session.record(False)
    assert session.recording
    (tmp_path / "play").unlink()
    session.record(False)
    assert len(session.saved) == 1


def test_what_was_written_in_part_is_written_over(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = PlaySession(stage, [{}, {}], START, recordings=Recordings(tmp_path / "play"))
    session.record(True, ["episodes"])
    session.step(1)
    with monkeypatch.context() as full:

        def refuse(writer: NpzWriter, episode: Episode) -> None:
            if writer.ids:
                raise MemworldError("the disk is full")
            append(writer, episode)

        append = NpzWriter.append
        full.setattr(NpzWriter, "append", refuse)
        with one_clear_error("the disk is full"):
            session.record(False)
    session.record(False)
    assert [path.name for path in (tmp_path / "play").iterdir()] == session.saved
    assert len(open_npz(tmp_path / "play" / session.saved[0])) == 2


def test_a_recording_that_is_full_waits_until_it_can_be_written(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_MOST_BYTES", 3 * 16 * 16)
    session = PlaySession(stage, [{}], START, recordings=Recordings(tmp_path / "play"))
    session.record(True, ["episodes"])
    (tmp_path / "play").write_bytes(b"in the way")
    session.step(1)
    for action in (2, 3):
        with one_clear_error("is a file"):
            session.step(action)
    (tmp_path / "play").unlink()
    session.reset(START)
    session.step(0)
    assert not session.recording
    [episode] = open_npz(tmp_path / "play" / session.saved[0])
    assert episode.actions.tolist() == [1, 2]


def test_closing_writes_what_is_being_recorded(stage: Stage, tmp_path: Path) -> None:
    session = PlaySession(stage, [{}], START, recordings=Recordings(tmp_path / "play"))
    session.record(True, ["episodes"])
    session.step(1)
    session.close()
    assert len(list((tmp_path / "play").iterdir())) == 1


def test_a_memory_that_grows_meanwhile_stays_as_it_was(memory: Path, tmp_path: Path) -> None:
    import shutil

    from memworld.store import forget_episodes
    from tests.helpers import moving_square_dataset

    shutil.copytree(memory, tmp_path / "memory")
    stage = Stage(WorldModel.open(tmp_path / "memory"))
    session = PlaySession(stage, [{}], START)
    other = WorldModel.open(tmp_path / "memory")
    other.memory.append(moving_square_dataset(episodes=8, steps=20)[7], other.encoder)
    other.save(tmp_path / "memory", "resume")
    forget_episodes(tmp_path / "memory", ["e0"])
    session.step(1)
    session.change(0, {"strategy": "replay_l2"})
    session.step(2)
    assert stage.memory.ids == tuple(f"e{number}" for number in range(6))
    assert stage.frames([near.row for near in session.panels()[0].neighbours]).shape[1:] == (16, 16, 1)
