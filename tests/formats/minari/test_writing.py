import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memworld.datasets import EpisodeDataset
from memworld.episodes import Episode
from memworld.formats.minari import MINARI, MinariWriter, open_minari, write_minari
from tests.formats.minari.sets import edit
from tests.helpers import assert_same_dataset, make_dataset, make_episode, one_clear_error


def names(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir())


def test_an_existing_folder_is_refused_and_overwritten_on_request(
    stored: Path, rng: np.random.Generator, storage: str
) -> None:
    with one_clear_error("exists and is not empty"):
        write_minari(make_dataset(rng), stored, storage=storage)
    assert len(open_minari(stored)) == 3
    assert write_minari(make_dataset(rng, 1), stored, "overwrite", storage=storage).ids == ("e0",)
    with one_clear_error("holds no data/metadata.json, .* name another folder"):
        write_minari(make_dataset(rng), stored.parent, "overwrite")
    assert names(stored.parent) == ["set"]


@pytest.mark.parametrize("on_existing", ["overwrite", "resume"])
def test_what_is_not_a_set_alone_is_not_replaced(stored: Path, rng: np.random.Generator, on_existing: str) -> None:
    (stored / "thesis.tex").write_text("years of work")
    with one_clear_error("has thesis.tex beside its data, so it is not a Minari set alone"):
        MinariWriter(stored, make_dataset(rng).info, on_existing)  # type: ignore[arg-type]
    (stored / "thesis.tex").unlink()
    edit(stored, total_episodes=None)
    with one_clear_error("has no total_episodes in data/metadata.json, so it is not"):
        MinariWriter(stored, make_dataset(rng).info, on_existing)  # type: ignore[arg-type]
    assert names(stored.parent) == ["set"]


def test_a_set_is_not_written_over_itself(stored: Path, rng: np.random.Generator) -> None:
    for output in (stored, stored.parent, stored / "data"):
        with one_clear_error("which the episodes are read from: name another"):
            write_minari(open_minari(stored), output, "overwrite")
    assert_same_dataset(open_minari(stored), make_dataset(np.random.default_rng(0), states=1))


@pytest.mark.parametrize("dataset_id", ["no version", "toy/none", "", "../x-v0"])
def test_a_malformed_id_is_refused(tmp_path: Path, rng: np.random.Generator, dataset_id: str) -> None:
    with one_clear_error("is no Minari id"):
        write_minari(make_dataset(rng), tmp_path / "set", dataset_id=dataset_id)
    with one_clear_error("unknown Minari storage 'stone': use hdf5 or arrow"):
        write_minari(make_dataset(rng), tmp_path / "set", storage="stone")
    assert names(tmp_path) == []


def test_a_writer_writes_an_episode_at_a_time(tmp_path: Path, rng: np.random.Generator, storage: str) -> None:
    dataset = make_dataset(rng, 2)
    with MinariWriter(tmp_path / "set", dataset.info, storage=storage) as writer:
        for number, episode in enumerate(dataset):
            writer.append(episode)
            assert writer.entries[number].to_json() == dataset.entries[number].to_json()
        with one_clear_error("already has an episode e1"):
            writer.append(dataset[1])
        with one_clear_error("frames of .* the data set of"):
            writer.append(make_episode(rng, shape=(4, 4, 3), id="x"))
        with one_clear_error("another memworld is writing to"):
            MinariWriter(tmp_path / "set", dataset.info, "resume")
        assert not (tmp_path / "set").exists()
    with one_clear_error("is closed: open another"):
        writer.append(make_episode(rng, id="late"))
    assert_same_dataset(open_minari(tmp_path / "set"), dataset)
    assert names(tmp_path) == ["set"]


def test_the_format_makes_writers(tmp_path: Path, rng: np.random.Generator) -> None:
    assert MINARI.writer is not None
    with MINARI.writer(tmp_path / "set", make_dataset(rng).info, "error"):
        pass
    assert len(open_minari(tmp_path / "set")) == 0


def test_writing_does_not_collect_the_episodes_in_memory(
    tmp_path: Path, rng: np.random.Generator, storage: str
) -> None:
    dataset = make_dataset(rng, 5)
    alive: list[weakref.ref[Episode]] = []
    most = 0

    def load(episode_id: str) -> Episode:
        nonlocal most
        episode = replace(dataset.load(episode_id))
        alive.append(weakref.ref(episode))
        gc.collect()
        most = max(most, sum(reference() is not None for reference in alive))
        return episode

    write_minari(EpisodeDataset(dataset.info, dataset.entries, load), tmp_path / "set", storage=storage)
    # The one that is loaded and the one before, which the loop still names.
    assert len(alive) == 5
    assert most <= 2
