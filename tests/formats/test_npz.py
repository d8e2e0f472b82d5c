import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.errors import MemworldError
from memworld.formats import npz
from memworld.formats.npz import NpzWriter, open_npz, write_npz
from tests.helpers import (
    DISCRETE,
    assert_same_dataset,
    assert_same_episode,
    make_dataset,
    make_episode,
    one_clear_error,
)

BOX = gymnasium.spaces.Box(np.array([-1, -np.inf], np.float32), np.array([1, 2], np.float32))
SPACES = [DISCRETE, gymnasium.spaces.Discrete(3, start=5), BOX]
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@given(
    seed=st.integers(0, 2**32 - 1),
    episodes=st.integers(0, 3),
    steps=st.integers(1, 4),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3])),
    space=st.sampled_from(SPACES),
    states=st.integers(0, 2),
)
@settings(max_examples=20)
def test_a_round_trip_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, episodes: int, steps: int, shape: Any, space: Any, states: int
) -> None:
    dataset = make_dataset(np.random.default_rng(seed), episodes, steps, shape, space, states)
    folder = tmp_path_factory.mktemp("npz") / "set"
    assert_same_dataset(write_npz(dataset, folder), dataset)
    assert_same_dataset(open_npz(folder), dataset)


def test_version_1_still_opens() -> None:
    dataset = open_npz(GOLDEN / "npz-v1")
    assert dataset.info == DatasetInfo((8, 8, 1), BOX, "toy", ("x", "y"))
    episode = dataset[0]
    assert (episode.id, len(episode), dict(episode.source)) == ("e0", 3, {"policy": "random", "seed": 934})
    assert episode.observations.sum() == 32340
    np.testing.assert_array_equal(episode.actions[0], np.array([0.27392337, -6.0323462], np.float32))


def test_the_same_episodes_give_the_same_bytes(tmp_path: Path, rng: np.random.Generator) -> None:
    episode = make_episode(rng, states=2)
    # The same content in another memory order, written at another time.
    other = replace(episode, observations=np.asfortranarray(episode.observations))
    for name, one in (("a", episode), ("b", other)):
        NpzWriter(tmp_path / name, DatasetInfo((8, 8, 3), DISCRETE, state_names=("x", "y"))).append(one)
    for file in ("dataset.json", "episodes/e0.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    with zipfile.ZipFile(tmp_path / "a/episodes/e0.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_episodes_are_loaded_only_when_asked_for(tmp_path: Path, rng: np.random.Generator) -> None:
    write_npz(make_dataset(rng), tmp_path / "set")
    (tmp_path / "set/episodes/e1.npz").unlink()
    dataset = open_npz(tmp_path / "set")
    assert (dataset.steps, dataset[0].id, dataset[2].id) == (18, "e0", "e2")
    with one_clear_error("e1.npz is missing"):
        dataset[1]


# Writing


def test_resume_keeps_what_is_there(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng)
    NpzWriter(tmp_path, dataset.info, "resume").append(dataset[0])
    before = (tmp_path / "episodes/e0.npz").stat().st_mtime_ns
    assert NpzWriter(tmp_path, dataset.info, "resume").ids == ("e0",)
    assert_same_dataset(write_npz(dataset, tmp_path, "resume"), dataset)
    assert (tmp_path / "episodes/e0.npz").stat().st_mtime_ns == before


def test_resume_with_other_info_names_both(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng)
    write_npz(dataset, tmp_path)
    with one_clear_error("world 'toy', now it is 'other'"):
        NpzWriter(tmp_path, replace(dataset.info, world="other"), "resume")
    with one_clear_error(r"action_space .*'n': 4.* now it is .*'n': 5"):
        NpzWriter(tmp_path, replace(dataset.info, action_space=gymnasium.spaces.Discrete(5)), "resume")


def test_an_existing_folder_is_refused_and_overwritten_on_request(tmp_path: Path, rng: np.random.Generator) -> None:
    write_npz(make_dataset(rng), tmp_path / "set")
    with one_clear_error("exists and is not empty"):
        write_npz(make_dataset(rng), tmp_path / "set")
    assert write_npz(make_dataset(rng, 1), tmp_path / "set", "overwrite").ids == ("e0",)
    assert not (tmp_path / "set/episodes/e1.npz").exists()
    with one_clear_error("holds no dataset.json .* not memworld's to overwrite: name another folder"):
        write_npz(make_dataset(rng), tmp_path, "overwrite")


@pytest.mark.parametrize("content", ['{"name": "my website"}', '{"memworld": "encoder"}', "[]", "{"])
@pytest.mark.parametrize("on_existing", ["resume", "overwrite"])
def test_a_dataset_json_of_others_is_left_alone(
    tmp_path: Path, rng: np.random.Generator, content: str, on_existing: Any
) -> None:
    (tmp_path / "dataset.json").write_text(content)
    (tmp_path / "thesis.txt").write_text("years of work")
    with one_clear_error("holds no dataset.json of a memworld data set"):
        write_npz(make_dataset(rng), tmp_path, on_existing)
    assert (tmp_path / "dataset.json").read_text() == content
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("on_existing", ["resume", "overwrite"])
def test_a_data_set_is_not_written_over_itself(tmp_path: Path, rng: np.random.Generator, on_existing: Any) -> None:
    dataset = make_dataset(rng)
    folder = tmp_path / "set"
    opened = write_npz(dataset, folder)
    by_hand = open_npz(folder / "episodes")
    for source, output in ((opened, folder), (opened[:1], folder / "episodes/x"), (by_hand, folder)):
        with one_clear_error("which the episodes are read from: name another"):
            write_npz(source, output, on_existing)
    assert_same_dataset(open_npz(folder), dataset)


def test_a_kill_while_an_old_set_is_removed_leaves_no_list_of_what_is_gone(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_npz(make_dataset(rng), tmp_path / "set")
    remove = shutil.rmtree

    def killed(path: Path) -> None:
        remove(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        NpzWriter(tmp_path / "set", make_dataset(rng).info, "overwrite")
    assert len(open_npz(tmp_path / "set")) == 0


def test_resume_notices_files_that_are_gone(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng)
    write_npz(dataset, tmp_path)
    (tmp_path / "episodes/e1.npz").unlink()
    with one_clear_error("e1.npz is missing, and dataset.json lists it: restore it, or overwrite the data set"):
        write_npz(dataset, tmp_path, "resume")
    assert_same_dataset(write_npz(dataset, tmp_path, "overwrite"), dataset)


def test_a_taken_id_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    writer = NpzWriter(tmp_path, DatasetInfo((8, 8, 3), DISCRETE))
    episode = make_episode(rng)
    writer.append(episode)
    with one_clear_error("already has an episode e0"):
        writer.append(make_episode(rng))
    assert_same_episode(open_npz(tmp_path)[0], episode)


@pytest.mark.parametrize("value", [float("nan"), np.float32(1), {1, 2}])
def test_a_source_that_json_cannot_hold_is_refused(tmp_path: Path, rng: np.random.Generator, value: Any) -> None:
    writer = NpzWriter(tmp_path, DatasetInfo((8, 8, 3), DISCRETE))
    with one_clear_error("episode e0 has a source that is not plain JSON"):
        writer.append(replace(make_episode(rng), source={"score": value}))
    assert list((tmp_path / "episodes").iterdir()) == []


@pytest.mark.parametrize("step", ["episode", "index"])
def test_an_interrupted_append_loses_only_its_episode(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    dataset = make_dataset(rng, 2)
    writer = NpzWriter(tmp_path, dataset.info)
    writer.append(dataset[0])

    def interrupt(target: Path, *_: object, **__: object) -> None:
        if step == "episode":
            target.write_bytes(b"half of a file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "episode":
            patch.setattr(np, "savez_compressed", interrupt)
        else:
            patch.setattr(npz, "write_json", interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.append(dataset[1])

    assert writer.ids == open_npz(tmp_path).ids == ("e0",)
    with one_clear_error("another memworld is writing"):
        write_npz(dataset, tmp_path, "resume")
    writer.close()
    assert (tmp_path / "episodes/e1.npz").exists() == (step == "index")
    assert_same_dataset(write_npz(dataset, tmp_path, "resume"), dataset)


# Damaged data sets


@pytest.fixture
def stored(tmp_path: Path, rng: np.random.Generator) -> Path:
    write_npz(make_dataset(rng), tmp_path / "set")
    return tmp_path / "set"


def drop(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.pop(name)


def put(name: str, new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value.update({name: new})


def put_episode(name: str, new: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: value["episodes"][1].update({name: new})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (put("version", 2), "version 2, this memworld reads 1"),
        (drop("version"), "KeyError: 'version'"),
        (drop("world"), "KeyError: 'world'"),
        (put("observation_shape", [8, 8]), "dataset.json is damaged"),
        (put("observation_shape", [8, 8, float("inf")]), "dataset.json is damaged"),
        (put("action_space", {"type": "Tuple"}), "unknown action space"),
        (put("episodes", 3), "dataset.json is damaged"),
        (put("episodes", [1]), "dataset.json is damaged"),
        (put_episode("id", "../evil"), "'../evil' cannot be a file name"),
        (put_episode("id", "e0"), "same id"),
        (put_episode("id", 3), "cannot be a file name"),
        (put("world", "\x1b[2J"), "dataset.json cannot be used: .* cannot be printed"),
        (put("action_space", {"type": "Discrete", "n": 10**12, "start": 0}), "takes at most 4096"),
        (put_episode("source", "x"), "dataset.json is damaged"),
    ],
)
def test_a_damaged_index_is_named(stored: Path, change: Callable[[dict[str, Any]], Any], match: str) -> None:
    value = json.loads((stored / "dataset.json").read_text())
    change(value)
    (stored / "dataset.json").write_text(json.dumps(value))
    with one_clear_error(match):
        open_npz(stored)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'"x"'])
def test_an_index_that_is_no_json_object(stored: Path, content: bytes) -> None:
    (stored / "dataset.json").write_bytes(content)
    with one_clear_error("dataset.json is damaged"):
        open_npz(stored)


def test_an_index_that_disagrees_with_an_episode(stored: Path) -> None:
    (stored / "episodes/e0.npz").write_bytes((stored / "episodes/e1.npz").read_bytes())
    with one_clear_error(r"observations of .* shape \(7, 8, 8, 3\), dataset.json says .* shape \(6, 8, 8, 3\)"):
        open_npz(stored)[0]


@given(data=st.data())
@settings(max_examples=150)
def test_any_damage_to_a_file_gives_one_error_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz") / "set"
    original = make_dataset(np.random.default_rng(0), 1, 2, (2, 2, 1), states=1)
    dataset = write_npz(original, folder)
    content = bytearray((folder / "episodes/e0.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "episodes/e0.npz").write_bytes(content)
    try:
        loaded = dataset[0]
    except MemworldError:
        return
    assert_same_episode(loaded, original[0])


def test_write_npz_holds_one_episode_at_a_time(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, 4)
    written: list[int] = []

    def load(episode_id: str) -> Any:
        # Every episode loaded before must be on the disk by now.
        written.append(len(list((tmp_path / "set/episodes").iterdir())))
        return dataset.load(episode_id)

    write_npz(EpisodeDataset(dataset.info, dataset.entries, load), tmp_path / "set")
    assert written == [0, 1, 2, 3]
