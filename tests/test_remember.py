import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from memworld import memory_files
from memworld.datasets import EpisodeDataset
from memworld.encoders import open_encoder
from memworld.encoders.vae import VAE
from memworld.episodes import Episode
from memworld.memory import Memory
from memworld.store import one_episode, open_memory
from memworld.remember import remember
from memworld.storage import locked
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
    assert not list((tmp_path / "memory").rglob("*.npy"))
    assert_same_memory(open_memory(tmp_path / "memory"), memory)
    with one_clear_error("keeps no frames"):
        memory.frames([0])


def test_the_same_episodes_give_the_same_bytes_and_another_seed_others(whole: Path, tmp_path: Path) -> None:
    remember(DATASET, ENCODER, tmp_path / "again")
    remember(DATASET, ENCODER, tmp_path / "other", seed=1)
    assert folder_bytes(tmp_path / "again") == folder_bytes(whole)
    first, other = folder_bytes(whole), folder_bytes(tmp_path / "other")
    assert {n for n in first if first[n] != other[n]} == {f"episodes/e{i}.safetensors" for i in range(5)} | {
        "memory.json"
    }


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
    assert folder_bytes(tmp_path / "cut") == folder_bytes(whole)
    assert_same_memory(memory, open_memory(whole))


@pytest.mark.parametrize("name", ["write_json", "write_arrays", "write_atomic"])
@pytest.mark.parametrize("call", [1, 2, 4])
def test_a_kill_at_any_write_loses_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int
) -> None:
    owner = memory_files if name == "write_json" else one_episode
    real: Callable[..., None] = getattr(owner, name)
    count = iter(range(1, call + 1))

    def limited(*args: Any) -> None:
        if next(count) == call:
            raise KeyboardInterrupt
        real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, limited)
        with pytest.raises(KeyboardInterrupt):
            remember(DATASET, ENCODER, tmp_path / "cut")
    # The first list is empty; frames and arrays belong to the list that follows.
    finished = max(0, call - 2) if name == "write_json" else call - 1
    if (name, call) != ("write_json", 1):
        assert open_memory(tmp_path / "cut").ids == DATASET.ids[:finished]
    remember(DATASET, ENCODER, tmp_path / "cut", on_existing="resume")
    assert folder_bytes(tmp_path / "cut") == folder_bytes(whole)


def test_a_kill_before_the_encoder_is_written(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VAE, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            remember(DATASET, ENCODER, tmp_path / "cut")
    remember(DATASET, ENCODER, tmp_path / "cut", on_existing="resume")
    assert folder_bytes(tmp_path / "cut") == folder_bytes(whole)


def test_a_disk_that_fills_keeps_what_is_finished(tmp_path: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0), 6, 10, (16, 16, 3), states=1)
    encoder = untrained_vae()
    remember(dataset, encoder, tmp_path / "whole")
    with small_disk(tmp_path / "disk", 64) as resize:
        with one_clear_error("cannot write .*: free space or change its permissions"):
            remember(dataset, encoder, tmp_path / "disk/memory")
        kept = open_memory(tmp_path / "disk/memory")
        assert 0 < len(kept.episodes) < 6
        assert kept.frames(range(len(kept))).shape == (len(kept), 16, 16, 3)
        resize(512)
        remember(dataset, encoder, tmp_path / "disk/memory", on_existing="resume")
        assert folder_bytes(tmp_path / "disk/memory") == folder_bytes(tmp_path / "whole")


# Later


def test_new_episodes_are_added_later(whole: Path, tmp_path: Path) -> None:
    remember(DATASET[:2], ENCODER, tmp_path / "grown")
    grown = remember(DATASET, ENCODER, tmp_path / "grown", on_existing="resume")
    assert folder_bytes(tmp_path / "grown") == folder_bytes(whole)
    # Those that a later data set lacks stay.
    again = remember(DATASET[3:], ENCODER, tmp_path / "grown", on_existing="resume")
    assert_same_memory(again, grown)
    assert folder_bytes(tmp_path / "grown") == folder_bytes(whole)


def test_overwriting_starts_anew(whole: Path, tmp_path: Path) -> None:
    remember(DATASET[:1], ENCODER, whole, seed=5, on_existing="overwrite")
    remember(DATASET[:1], ENCODER, tmp_path / "fresh", seed=5)
    assert folder_bytes(whole) == folder_bytes(tmp_path / "fresh")


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
        (DATASET, ENCODER, {"keep_frames": False}, "holds a memory with keep_frames True, this one has False"),
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
    before = folder_bytes(whole)
    with one_clear_error(match):
        remember(dataset, encoder, whole, on_existing=mode, **changes)
    assert folder_bytes(whole) == before


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
            remember(DATASET, ENCODER, whole, on_existing="resume")
        return DATASET.load(id)

    shutil.rmtree(whole)
    remember(EpisodeDataset(DATASET.info, DATASET.entries, load), ENCODER, whole)
    assert folder_bytes(whole) == before


@pytest.mark.parametrize("part", ["episodes", "encoder"])
def test_a_link_in_the_folder_is_not_followed(whole: Path, tmp_path: Path, part: str) -> None:
    (whole / part).rename(tmp_path / "victim")
    (whole / part).symlink_to(tmp_path / "victim")
    (tmp_path / "victim/thesis.txt").write_text("years of work")
    before = folder_bytes(tmp_path)
    with one_clear_error(f"{part} is a link, which could lead outside"):
        remember(DATASET, ENCODER, whole, on_existing="resume")
    assert folder_bytes(tmp_path) == before


def test_what_a_kill_left_in_the_encoder_s_folder_is_cleaned_away(whole: Path) -> None:
    before = folder_bytes(whole)
    (whole / "encoder/.tmp-x.json").write_bytes(b"half")
    remember(DATASET, ENCODER, whole, on_existing="resume")
    assert folder_bytes(whole) == before


def test_an_episode_that_cannot_be_loaded_stops_after_those_before_it(tmp_path: Path) -> None:
    short = replace(DATASET.entries[2], steps=1)
    dataset = EpisodeDataset(DATASET.info, (*DATASET.entries[:2], short), DATASET.load)
    with one_clear_error("episode e2 of 1 steps was loaded as e2 of 5"):
        remember(dataset, ENCODER, tmp_path / "memory")
    assert open_memory(tmp_path / "memory").ids == ("e0", "e1")
