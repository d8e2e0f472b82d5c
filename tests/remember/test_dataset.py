"""A data set becomes a memory: the same whatever interrupts came between, and nothing that is stored is lost."""

import importlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from memworld.datasets import EpisodeDataset
from memworld.encoders import open_encoder
from memworld.encoders.vae import VAE
from memworld.episodes import Episode
from memworld.memory import Memory, MemoryEpisode
from memworld.remember import remember
from memworld.storage import locked
from memworld.store import check_memory, open_memory, read_index, version_numbers
from memworld.stored_frames import StoredFrames
from tests.helpers import (
    assert_same_memory,
    folder_bytes,
    make_dataset,
    moving_square_dataset,
    one_clear_error,
    small_disk,
    untrained_vae,
)
from tests.store.contents import assert_same_stored, lasting_bytes, table_of

SHAPE = (4, 4, 1)
DATASET = make_dataset(np.random.default_rng(0), 5, 3, SHAPE, states=1)
ENCODER = untrained_vae(SHAPE, (2,))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A memory of all five episodes, remembered in one go."""
    remember(DATASET, ENCODER, tmp_path / "whole")
    return tmp_path / "whole"


class Loads:
    """The data set, noting what is loaded; the n-th load is interrupted."""

    def __init__(self, interrupted: int | None = None) -> None:
        self.ids: list[str] = []
        self.interrupted = interrupted
        self.dataset = EpisodeDataset(DATASET.info, DATASET.entries, self._load)

    def _load(self, episode_id: str) -> Episode:
        self.ids.append(episode_id)
        if len(self.ids) == self.interrupted:
            raise KeyboardInterrupt
        return DATASET.load(episode_id)


def test_remembered_episodes_are_those_of_a_memory(tmp_path: Path) -> None:
    memory = remember(DATASET, ENCODER, str(tmp_path / "memory"), seed=3)
    expected = Memory(DATASET.info, ENCODER, 3)
    expected.extend(DATASET, ENCODER)
    assert_same_memory(memory, expected)
    assert_same_memory(open_memory(tmp_path / "memory"), expected)
    assert open_encoder(tmp_path / "memory/encoder").fingerprint == ENCODER.fingerprint
    assert all(isinstance(e.frames, StoredFrames) for e in memory.episodes)


def test_the_frames_may_be_left_out(tmp_path: Path) -> None:
    memory = remember(DATASET, ENCODER, tmp_path / "memory", keep_frames=False)
    assert "frame" not in table_of(tmp_path / "memory").schema.names
    assert_same_memory(open_memory(tmp_path / "memory"), memory)
    with one_clear_error("keeps no frames"):
        memory.frames([0])


def test_the_same_episodes_give_the_same_memory_and_another_seed_another(whole: Path, tmp_path: Path) -> None:
    remember(DATASET, ENCODER, tmp_path / "again")
    assert_same_stored(tmp_path / "again", whole)
    remember(DATASET, ENCODER, tmp_path / "other", seed=1)
    one, other = (open_memory(folder).rows.latents for folder in (whole, tmp_path / "other"))
    assert torch.equal(one.mu, other.mu)
    assert not torch.isclose(one.z, other.z).any(1).all()
    # The arrays are the same bytes as well.
    arrays = [{n: c for n, c in lasting_bytes(f).items() if "arrays/" in n} for f in (whole, tmp_path / "again")]
    assert arrays[0] == arrays[1]


def test_a_short_data_set_is_one_change(whole: Path) -> None:
    assert version_numbers(whole) == [read_index(whole)[1]] == [1]
    assert check_memory(whole).problems == ()


def test_episodes_may_be_encoded_elsewhere(whole: Path, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def encode(ids: Any) -> list[MemoryEpisode]:
        asked.append(list(ids))
        elsewhere = Memory(DATASET.info, ENCODER)
        return [elsewhere.encode(DATASET.load(episode_id), ENCODER) for episode_id in ids]

    remember(DATASET[:2], ENCODER, tmp_path / "memory")
    remember(DATASET, ENCODER, tmp_path / "memory", on_existing="resume", encode=encode)
    assert asked == [["e2", "e3", "e4"]]
    assert_same_stored(tmp_path / "memory", whole)


# Interrupts


@pytest.mark.parametrize("call", range(1, 6))
def test_an_interrupt_keeps_what_is_finished(whole: Path, tmp_path: Path, call: int) -> None:
    loads = Loads(interrupted=call)
    with pytest.raises(KeyboardInterrupt):
        remember(loads.dataset, ENCODER, tmp_path / "cut")
    assert open_memory(tmp_path / "cut").ids == DATASET.ids[: call - 1]
    loads = Loads()
    memory = remember(loads.dataset, ENCODER, tmp_path / "cut", on_existing="resume")
    assert loads.ids == list(DATASET.ids[call - 1 :])  # none is encoded twice
    assert_same_stored(tmp_path / "cut", whole)
    assert_same_memory(memory, open_memory(whole))


@pytest.mark.parametrize("call", [1, 2, 5, 11, 17, 20])
def test_a_kill_at_any_sync_loses_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Of what is written and of the writing itself, which is not tried again by a process that is no more."""
    real, count = os.fsync, iter(range(1, call + 1))

    def limited(handle: int) -> None:
        if next(count, call) == call:
            raise KeyboardInterrupt
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", limited)
        with pytest.raises(KeyboardInterrupt):
            remember(DATASET, ENCODER, tmp_path / "cut")
    remember(DATASET, ENCODER, tmp_path / "cut", on_existing="resume")
    assert_same_stored(tmp_path / "cut", whole)
    assert check_memory(tmp_path / "cut").problems == ()


def test_a_kill_before_the_encoder_is_written(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VAE, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            remember(DATASET, ENCODER, tmp_path / "cut")
    remember(DATASET, ENCODER, tmp_path / "cut", on_existing="resume")
    assert_same_stored(tmp_path / "cut", whole)


def test_a_disk_that_fills_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about_an_episode = 1 << 16
    monkeypatch.setattr(importlib.import_module("memworld.remember.stream"), "_BYTES", about_an_episode)
    dataset = make_dataset(np.random.default_rng(0), 6, 80, (16, 16, 3), states=1)
    encoder = untrained_vae()
    remember(dataset, encoder, tmp_path / "whole")
    with small_disk(tmp_path / "disk", 360) as resize:
        with one_clear_error("cannot write .*: free space"):
            remember(dataset, encoder, tmp_path / "disk/memory")
        kept = open_memory(tmp_path / "disk/memory")
        assert 0 < len(kept.episodes) < 6
        assert kept.frames(range(len(kept))).shape == (len(kept), 16, 16, 3)
        assert check_memory(tmp_path / "disk/memory").problems == ()
        resize(4096)
        remember(dataset, encoder, tmp_path / "disk/memory", on_existing="resume")
        assert_same_stored(tmp_path / "disk/memory", tmp_path / "whole")


# Later


def test_new_episodes_are_added_later(whole: Path, tmp_path: Path) -> None:
    remember(DATASET[:2], ENCODER, tmp_path / "grown")
    grown = remember(DATASET, ENCODER, tmp_path / "grown", on_existing="resume")
    assert_same_stored(tmp_path / "grown", whole)
    # Those that a later data set lacks stay.
    again = remember(DATASET[3:], ENCODER, tmp_path / "grown", on_existing="resume")
    assert_same_memory(again, grown)
    assert_same_stored(tmp_path / "grown", whole)


def test_overwriting_starts_anew(whole: Path, tmp_path: Path) -> None:
    remember(DATASET[:1], ENCODER, whole, seed=5, on_existing="overwrite")
    remember(DATASET[:1], ENCODER, tmp_path / "fresh", seed=5)
    assert_same_stored(whole, tmp_path / "fresh")


# Refusals


class NanEncoder(VAE):
    """An encoder that breaks its promise."""

    def encode(self, frames: np.ndarray) -> tuple[Tensor, Tensor]:
        mu, sigma = super().encode(frames)
        return mu * torch.nan, sigma


def with_units(units: int) -> VAE:
    return VAE(ENCODER.config, ENCODER.network, ENCODER.mean, ENCODER.scale, units)


@pytest.mark.parametrize(
    ("dataset", "encoder", "changes", "match"),
    [
        (DATASET[:0], ENCODER, {}, "no episodes to remember: give at least one"),
        (DATASET, with_units(0), {}, "has collapsed: 0 of its latent means vary"),
        (DATASET, with_units(1), {}, "has collapsed: 1 of its latent means vary"),
        (DATASET, untrained_vae((4, 8, 1)), {}, r"takes frames of \(4, 8, 1\), the episodes have \(4, 4, 1\)"),
        (DATASET, untrained_vae(SHAPE, (2,), seed=1), {}, "holds a memory with encoder .*, this one has"),
        (DATASET, ENCODER, {"seed": 1}, "holds a memory with seed 0, this one has 1"),
        (DATASET, ENCODER, {"keep_frames": False}, "holds a memory with frames True, this one has False"),
        (moving_square_dataset(2, 3, SHAPE), ENCODER, {}, "holds a memory with world toy, this one has square"),
        (
            EpisodeDataset.from_episodes(DATASET.info, [replace(DATASET[1], id="e0")]),
            ENCODER,
            {},
            "holds another episode e0 .length or source differ.: remove it from the memory first, or rename",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["resume", "overwrite"])
def test_refusals_leave_what_is_stored(
    whole: Path, dataset: EpisodeDataset, encoder: VAE, changes: dict[str, Any], match: str, mode: Any
) -> None:
    if mode == "overwrite" and "holds" in match:
        return  # what is about to go may be of any kind
    before = lasting_bytes(whole)
    with one_clear_error(match):
        remember(dataset, encoder, whole, on_existing=mode, **changes)
    assert lasting_bytes(whole) == before


def test_folders_that_are_not_to_be_used(whole: Path, tmp_path: Path) -> None:
    before = folder_bytes(whole)
    with one_clear_error("whole exists and is not empty: name another, or use --resume or --overwrite"):
        remember(DATASET, ENCODER, whole)
    for mode in ("resume", "overwrite"):
        with one_clear_error("holds no memory.json"):
            remember(DATASET, ENCODER, whole / "encoder", on_existing=mode)
    assert folder_bytes(whole) == before
    (whole / "memory.json").write_text("{")
    with one_clear_error("holds no memory.json of a memworld memory, so it is not memworld's to resume"):
        remember(DATASET, ENCODER, whole, on_existing="resume")


@pytest.mark.parametrize(
    ("load", "encoder", "match"),
    [
        (lambda id: replace(DATASET.load(id), id="e9"), ENCODER, "episode e0 of 3 steps was loaded as e9"),
        (DATASET.load, NanEncoder(ENCODER.config, ENCODER.network, ENCODER.mean, ENCODER.scale, 2), "mu holds NaN"),
    ],
)
def test_nothing_is_emptied_for_what_cannot_be_remembered(
    whole: Path, load: Callable[[str], Episode], encoder: VAE, match: str
) -> None:
    before = folder_bytes(whole)
    with one_clear_error(match):
        remember(EpisodeDataset(DATASET.info, DATASET.entries, load), encoder, whole, on_existing="overwrite")
    assert folder_bytes(whole) == before


def test_one_writer_at_a_time(whole: Path) -> None:
    before = folder_bytes(whole)
    for mode in ("error", "resume", "overwrite"):
        with locked(whole), one_clear_error("another memworld is writing to .*whole: wait for it"):
            remember(DATASET, ENCODER, whole, on_existing=mode)
    assert folder_bytes(whole) == before

    def load(id: str) -> Episode:
        with one_clear_error("another memworld is writing"):  # while the first is at it
            remember(DATASET, ENCODER, whole.parent / "other", on_existing="resume")
        return DATASET.load(id)

    remember(EpisodeDataset(DATASET.info, DATASET.entries, load), ENCODER, whole.parent / "other")
    assert_same_stored(whole.parent / "other", whole)


@pytest.mark.parametrize("part", ["arrays", "rows.lance", "encoder"])
def test_a_link_in_the_folder_is_not_followed(whole: Path, tmp_path: Path, part: str) -> None:
    (whole / part).rename(tmp_path / "victim")
    (whole / part).symlink_to(tmp_path / "victim")
    (tmp_path / "victim/thesis.txt").write_text("years of work")
    before = folder_bytes(tmp_path)
    with one_clear_error(f"{part} is a link, which could lead outside"):
        remember(DATASET, ENCODER, whole, on_existing="resume")
    assert folder_bytes(tmp_path) == before


def test_what_a_kill_left_in_the_encoder_s_folder_is_cleaned_away(whole: Path) -> None:
    before = lasting_bytes(whole)
    (whole / "encoder/.tmp-x.json").write_bytes(b"half")
    remember(DATASET, ENCODER, whole, on_existing="resume")
    assert lasting_bytes(whole) == before


def test_an_episode_that_cannot_be_loaded_stops_after_those_before_it(tmp_path: Path) -> None:
    short = replace(DATASET.entries[2], steps=1)
    dataset = EpisodeDataset(DATASET.info, (*DATASET.entries[:2], short), DATASET.load)
    with one_clear_error("episode e2 of 1 steps was loaded as e2 of 5"):
        remember(dataset, ENCODER, tmp_path / "memory")
    assert open_memory(tmp_path / "memory").ids == ("e0", "e1")
