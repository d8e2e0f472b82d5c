import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Discrete

from memworld.datasets import EpisodeDataset
from memworld.episodes import Episode
from memworld.formats.minari import MinariWriter, open_minari, write_minari
from tests.formats.minari.sets import edit, make_foreign
from tests.helpers import assert_same_dataset, folder_bytes, make_dataset, make_episode, one_clear_error, small_disk


def stopping(dataset: EpisodeDataset, at: str, error: BaseException) -> EpisodeDataset:
    """The same data set, in which loading the episode `at` raises `error`."""

    def load(episode_id: str) -> Episode:
        if episode_id == at:
            raise error
        return dataset.load(episode_id)

    return EpisodeDataset(dataset.info, dataset.entries, load)


def interrupt(dataset: EpisodeDataset, path: Path, storage: str, on_existing: str = "error") -> None:
    """Write `dataset` until before its last episode."""
    with pytest.raises(KeyboardInterrupt):
        write_minari(
            stopping(dataset, dataset.ids[-1], KeyboardInterrupt()),
            path,
            on_existing,  # type: ignore[arg-type]
            storage=storage,
        )


def names(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("No space left on device")])
def test_an_interrupt_keeps_what_is_there_and_resume_goes_on(
    stored: Path, rng: np.random.Generator, storage: str, error: BaseException
) -> None:
    new, before = make_dataset(rng, 4), folder_bytes(stored)
    with pytest.raises(type(error)):
        write_minari(stopping(new, "e2", error), stored, "overwrite", storage=storage)
    assert folder_bytes(stored) == before
    assert names(stored.parent) == [".set.unfinished", "set"]
    with MinariWriter(stored, new.info, "resume") as writer:
        assert [entry.to_json() for entry in writer.entries] == [entry.to_json() for entry in new.entries[:2]]
        for episode in new[2:]:
            writer.append(episode)
    assert_same_dataset(open_minari(stored), new)
    assert names(stored.parent) == ["set"]


def test_resume_gives_the_bytes_of_one_go(tmp_path: Path, rng: np.random.Generator, storage: str) -> None:
    dataset = make_dataset(rng, 4)
    write_minari(dataset, tmp_path / "whole", storage=storage)
    interrupt(dataset, tmp_path / "set", storage)
    write_minari(dataset, tmp_path / "set", "resume")
    assert folder_bytes(tmp_path / "set") == folder_bytes(tmp_path / "whole")


def test_an_interrupt_before_the_first_episode_leaves_nothing(
    tmp_path: Path, rng: np.random.Generator, storage: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_minari(stopping(make_dataset(rng), "e0", KeyboardInterrupt()), tmp_path / "set", storage=storage)
    assert names(tmp_path) == []


@pytest.mark.parametrize("on_existing", ["error", "overwrite"])
def test_without_resume_an_unfinished_set_is_begun_anew(
    tmp_path: Path, rng: np.random.Generator, storage: str, on_existing: str
) -> None:
    interrupt(make_dataset(rng), tmp_path / "set", storage)
    other = make_dataset(rng, 2, shape=(4, 4, 1))
    write_minari(other, tmp_path / "set", on_existing, storage=storage)  # type: ignore[arg-type]
    assert_same_dataset(open_minari(tmp_path / "set"), other)
    assert names(tmp_path) == ["set"]


def test_a_complete_set_is_added_to(tmp_path: Path, rng: np.random.Generator, storage: str) -> None:
    dataset = make_dataset(rng, 5)
    write_minari(dataset[:2], tmp_path / "set", dataset_id="toy/mine-v2", storage=storage)
    edit(tmp_path / "set", author=["A. Hand"])
    before = folder_bytes(tmp_path / "set")
    interrupt(dataset[:4], tmp_path / "set", storage, "resume")
    assert folder_bytes(tmp_path / "set") == before
    assert_same_dataset(write_minari(dataset, tmp_path / "set", "resume"), dataset)
    assert b'"toy/mine-v2"' in (metadata := (tmp_path / "set/data/metadata.json").read_bytes())
    assert b"A. Hand" in metadata
    assert names(tmp_path) == ["set"]
    # With nothing to add, not a byte changes.
    before = folder_bytes(tmp_path / "set")
    write_minari(dataset, tmp_path / "set", "resume")
    assert (folder_bytes(tmp_path / "set"), names(tmp_path)) == (before, ["set"])


def test_resume_asks_for_the_same_settings(stored: Path, rng: np.random.Generator, storage: str) -> None:
    info = make_dataset(rng, states=1).info
    other = {"hdf5": "arrow", "arrow": "hdf5"}[storage]
    for match, changed, settings in (
        ("begun with action_space .*now it is", replace(info, action_space=Discrete(9)), {}),
        ("begun with storage", info, {"storage": other}),
        ("begun with id 'memworld/episodes-v0', now it is 'other-v0'", info, {"dataset_id": "other-v0"}),
    ):
        with one_clear_error(match):
            MinariWriter(stored, changed, "resume", **settings)
        assert names(stored.parent) == ["set"]
    interrupt(make_dataset(rng, 4, states=1), stored.parent / "new", storage)
    with one_clear_error("begun with world 'toy', now it is 'other'"):
        MinariWriter(stored.parent / "new", replace(info, world="other"), "resume")
    with MinariWriter(stored.parent / "new", info, "resume") as writer:
        assert len(writer.entries) == 3


def test_a_set_from_elsewhere_is_not_added_to(root: Path, rng: np.random.Generator) -> None:
    make_foreign("toy-v0", [make_episode(rng, shape=(40, 36, 3))])
    with one_clear_error("was not written by memworld, which cannot add to it"):
        MinariWriter(root / "toy-v0", open_minari("toy-v0").info, "resume")


def test_a_damaged_episode_of_an_unfinished_set_is_written_again(
    tmp_path: Path, rng: np.random.Generator, storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make_dataset(rng, 4)
    interrupt(dataset, tmp_path / "set", storage)
    name = "episodes/1.hdf5" if storage == "hdf5" else "set/data/1/metadata.json"
    (tmp_path / ".set.unfinished" / name).write_bytes(b"{")
    with caplog.at_level(logging.WARNING):
        writer = MinariWriter(tmp_path / "set", dataset.info, "resume")
    assert "1.hdf5 is damaged" in caplog.text or "data/1 is damaged" in caplog.text
    with writer:
        assert [entry.id for entry in writer.entries] == ["e0"]
        for episode in dataset[1:]:
            writer.append(episode)
    assert_same_dataset(open_minari(tmp_path / "set"), dataset)


def test_what_is_not_memworlds_own_is_not_removed(tmp_path: Path, rng: np.random.Generator) -> None:
    (tmp_path / ".set.unfinished").mkdir()
    (tmp_path / ".set.unfinished/notes").write_text("mine")
    for on_existing in ("error", "resume", "overwrite"):
        with one_clear_error("holds no memworld.json of a memworld unfinished Minari set"):
            MinariWriter(tmp_path / "set", make_dataset(rng).info, on_existing)
    assert (tmp_path / ".set.unfinished/notes").read_text() == "mine"


@pytest.mark.parametrize("there", [True, False])
def test_an_interrupt_while_the_sets_change_places_puts_the_old_one_back(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, storage: str, there: bool
) -> None:
    new = make_dataset(rng, 2)
    if there:
        write_minari(make_dataset(rng), tmp_path / "set", storage=storage)
    before = folder_bytes(tmp_path / "set")
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == "set" and path.parent.name == ".set.unfinished":
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", failing)
        with pytest.raises(KeyboardInterrupt):
            write_minari(new, tmp_path / "set", "overwrite", storage=storage)
    assert ((tmp_path / "set").exists(), folder_bytes(tmp_path / "set")) == (there, before)
    assert_same_dataset(write_minari(new, tmp_path / "set", "resume"), new)
    assert names(tmp_path) == ["set"]


def killed_at(moment: int, dataset: EpisodeDataset, path: Path, storage: str) -> bool:
    """Write `dataset` over what is at `path` in a process that kills itself at this call that touches the disk."""
    child = os.fork()
    if child == 0:
        calls = 0

        def watch(event: str, arguments: object) -> None:
            nonlocal calls
            if event in ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree", "shutil.copyfile"):
                calls += 1
                if calls == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(watch)
            write_minari(dataset, path, "overwrite", storage=storage)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


def test_a_kill_at_any_moment_loses_neither_the_old_set_nor_a_whole_episode(
    tmp_path: Path, rng: np.random.Generator, storage: str
) -> None:
    old, new = make_dataset(rng, 2), make_dataset(rng, 3)
    # Not each of some 50 moments: a write, a process and a few more writes take half a second.
    moment, killed = -2, True
    while killed:
        moment += 5
        path = tmp_path / str(moment) / "set"
        write_minari(old, path, storage=storage)
        killed = killed_at(moment, new, path, storage)
        if not path.exists():
            # Killed between the two renames: whatever the next writer does, it puts the old set back first.
            with one_clear_error("exists and is not empty"):
                MinariWriter(path, new.info)
        assert_same_dataset(open_minari(path), old if open_minari(path).ids == old.ids else new)
        # The first two episodes of both have the same names, so resuming takes what is there for them.
        done = open_minari(path).ids == new.ids
        with MinariWriter(path, new.info, "resume") as writer:
            for episode in new[len(writer.entries) :]:
                writer.append(episode)
        ours = open_minari(path)
        assert ours.ids == new.ids
        assert_same_dataset(ours[2:], new[2:])
        assert not done or names(path.parent) == ["set"]
        assert_same_dataset(write_minari(new, path, "overwrite", storage=storage), new)
        assert names(path.parent) == ["set"]
    assert moment > 12


def test_a_full_disk_is_said_and_resume_goes_on(tmp_path: Path, rng: np.random.Generator, storage: str) -> None:
    dataset = make_dataset(rng, 8, 60, (32, 32, 3))
    with small_disk(tmp_path / "disk", 700) as resize:
        with one_clear_error("cannot write|free space"):
            write_minari(dataset, tmp_path / "disk/set", storage=storage)
        assert names(tmp_path / "disk") == [".set.unfinished"]
        resize(20_000)
        assert_same_dataset(write_minari(dataset, tmp_path / "disk/set", "resume"), dataset)


def test_a_disk_too_small_for_one_file_is_said_before_it_is_begun(tmp_path: Path, rng: np.random.Generator) -> None:
    dataset = make_dataset(rng, 8, 60, (32, 32, 3))
    with small_disk(tmp_path / "disk", 2200) as resize:
        with one_clear_error("needs 1 MiB to put the episodes into one file, 0 MiB are free"):
            write_minari(dataset, tmp_path / "disk/set")
        resize(20_000)
        with MinariWriter(tmp_path / "disk/set", dataset.info, "resume") as writer:
            assert len(writer.entries) == 8
        assert_same_dataset(open_minari(tmp_path / "disk/set"), dataset)
