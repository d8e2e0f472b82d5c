import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from memworld.formats.minari import open_minari, write_minari
from tests.formats.minari.sets import edit
from tests.helpers import make_dataset, one_clear_error, unless_refused

# One broken episode among many


def break_hdf5(stored: Path, how: str) -> None:
    with h5py.File(stored / "data/main_data.hdf5", "a") as file:
        if how == "group":
            del file["episode_1"]
        elif how == "array":
            del file["episode_1/rewards"]
        elif how == "attributes":
            file["episode_1"].attrs["memworld_source"] = "{"
        elif how == "length":
            file["episode_1/rewards"].resize((2,))
        elif how == "type":
            del file["episode_1/rewards"]
            file["episode_1/rewards"] = np.array([b"x"] * 6)
        elif how == "a group for an array":
            del file["episode_1/rewards"]
            file.create_group("episode_1/rewards")


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("group", "episode episode-00001 of Minari set .*hdf5/data: episode_1 is missing"),
        ("array", "episode e1 of Minari set .*hdf5/data: rewards is missing"),
        ("attributes", "episode episode-00001 of Minari set .*hdf5/data: .* of shape .*: expected"),
        ("length", r"episode e1 .*: rewards of shape \(2,\): expected \(6,\)"),
        ("type", r"episode e1 .*: rewards of type \|S1: expected numbers"),
        ("a group for an array", "episode e1 .*: rewards is no array"),
    ],
)
def test_a_broken_group_leaves_the_others(hdf5: Path, how: str, match: str, caplog: pytest.LogCaptureFixture) -> None:
    break_hdf5(hdf5, how)
    with caplog.at_level(logging.WARNING):
        dataset = open_minari(hdf5)
    assert (dataset.ids[0], len(dataset), dataset.ids[2]) == ("e0", 3, "e2")
    assert ("episode 1 of" in caplog.text) == (how in ("group", "attributes"))
    assert [dataset[0].id, dataset[2].id] == ["e0", "e2"]
    with one_clear_error(match):
        dataset[1]


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        ({"part-0.arrow": None}, r"1/part-0.arrow is missing"),
        ({"part-0.arrow": b"some text"}, "is no Arrow file"),
        ({"part-0.arrow": b""}, "is no Arrow file"),
        ({"part-0.arrow": 800}, "episode e1 of Minari set .*arrow/data"),
        ({"metadata.json": b"{"}, "episode episode-00001 of .* rows: expected 1"),
        ({"metadata.json": b"[]"}, "episode episode-00001 of .* rows: expected 1"),
        ({"metadata.json": None}, "episode episode-00001 of .* rows: expected 1"),
        ({"metadata.json": None, "part-0.arrow": None}, "episode episode-00001 of .* is missing"),
    ],
)
def test_a_broken_folder_leaves_the_others(arrow: Path, damage: dict[str, bytes | int | None], match: str) -> None:
    for name, content in damage.items():
        file = arrow / "data/1" / name
        whole = file.read_bytes()
        file.unlink()
        if content is not None:
            file.write_bytes(whole[:content] if isinstance(content, int) else content)
    dataset = open_minari(arrow)
    assert [dataset[0].id, len(dataset), dataset[2].id] == ["e0", 3, "e2"]
    with one_clear_error(match):
        dataset[1]


def test_a_name_for_what_lost_its_own_is_not_taken_twice(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, 2)
    episodes = [replace(dataset[0], id="episode-00001"), dataset[1]]
    write_minari(type(dataset).from_episodes(dataset.info, episodes), tmp_path / "hdf5")
    break_hdf5(tmp_path / "hdf5", "group")
    assert open_minari(tmp_path / "hdf5").ids == ("episode-00001", "unread-episode-00001")


def test_more_than_half_missing_is_said_at_once(stored: Path) -> None:
    for count in (7, 10**12):
        edit(stored, total_episodes=count)
        with one_clear_error(f"it lists {count} episodes and holds 3: restore what is missing"):
            open_minari(stored)


def test_every_cut_and_flipped_byte_is_read_or_refused(arrow: Path, rng: np.random.Generator) -> None:
    file = arrow / "data/1/part-0.arrow"
    whole = file.read_bytes()
    dataset = open_minari(arrow)
    for position in rng.integers(0, len(whole), 150):
        flipped = bytearray(whole)
        flipped[position] ^= int(rng.integers(1, 256))
        for content in (whole[:position], bytes(flipped)):
            file.write_bytes(content)
            unless_refused(lambda: dataset.load("e1"))


# Broken as a whole


def test_a_truncated_or_foreign_hdf5_file(hdf5: Path) -> None:
    file = hdf5 / "data/main_data.hdf5"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"some text", b""):
        file.write_bytes(content)
        with one_clear_error("hdf5/data cannot be read"):
            open_minari(hdf5)
    file.unlink()
    with one_clear_error("main_data.hdf5 is missing: restore it"):
        open_minari(hdf5)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"total_episodes": "3"}, "its total_episodes are '3', expected a number"),
        ({"total_episodes": -1}, "its total_episodes are -1"),
        ({"minari_version": "99.0.0"}, r"written by Minari 99.0.0, the installed one reads .*0.5.4.*: update minari"),
        ({"minari_version": None}, "written by Minari None"),
        ({"data_format": "stone"}, "stored as 'stone'"),
        ({"data_format": "../x"}, "stored as '../x'"),
        ({"observation_space": '{"type": "Stone"}'}, "part of kind 'Stone': memworld reads Box"),
        ({"observation_space": {"type": "Box"}}, "observation space is dict, expected text"),
        ({"observation_space": "[" * 5000}, "cannot be read"),
        ({"action_space": '{"type": "Discrete", "n": -1, "start": 0}'}, "cannot be read"),
        ({"memworld": {"version": 2}}, "has version 2, this memworld reads 1"),
        ({"memworld": ["x"]}, "'memworld' is no object"),
        ({"memworld": {"state_names": 3}}, "cannot be read"),
    ],
)
def test_damaged_metadata(stored: Path, changes: dict[str, Any], match: str) -> None:
    edit(stored, **changes)
    with one_clear_error(match):
        open_minari(stored)


def test_metadata_that_are_no_json(stored: Path) -> None:
    (stored / "data/metadata.json").write_text("{")
    with one_clear_error("metadata.json is damaged or not a Minari set"):
        open_minari(stored)
