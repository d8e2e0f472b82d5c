"""What dynamics learn is kept while it holds, and learned anew once it does not."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from memworld import AnalogueConfig, WorldModel
from memworld.analogues import forecast
from memworld.analogues.fitting import Fit, fit_memory
from memworld.engine import DynamicsSettings
from memworld.episodes import Episode
from memworld.hybrid import HybridConfig
from memworld.learned import _digest, learned
from memworld.learned.arrays import to_arrays
from memworld.memory import Memory
from memworld.rollout import Rollout
from memworld.storage import read_arrays, write_arrays
from memworld.store import LEARNED, forget_episodes, open_memory
from memworld.support import MOST_GROWTH
from tests.evaluate.experiments.laboratories import square_laboratory

LAB = square_laboratory()
ANALOGUES = AnalogueConfig(horizon=4)
SETTINGS: list[DynamicsSettings] = [ANALOGUES, HybridConfig(ANALOGUES, hidden=8, steps=12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    WorldModel(LAB.encoder, anew()).save(tmp_path / "memory")
    return tmp_path / "memory"


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of every memory that is learned from."""
    found: list[int] = []

    def counted(*arguments: object, **further: object) -> Fit:
        fit = fit_memory(*arguments, **further)  # type: ignore[arg-type]
        found.append(fit.rows)
        return fit

    monkeypatch.setattr(forecast, "fit_memory", counted)
    return found


def imagined(world: WorldModel, steps: int = 6) -> Rollout:
    episode = LAB.held_out[0]
    return world.imagine(episode.observations[3], episode.actions[None, 3 : 3 + steps], decode=False)


def assert_same(one: Rollout, other: Rollout) -> None:
    assert torch.equal(one.latents.mu, other.latents.mu)
    assert torch.equal(one.latents.sigma, other.latents.sigma)
    assert torch.equal(one.rows, other.rows)
    assert torch.equal(one.support, other.support)


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_is_learned_once_for_a_stored_memory(folder: Path, fits: list[int], settings: DynamicsSettings) -> None:
    first = imagined(WorldModel.open(folder, settings))
    again = imagined(WorldModel.open(folder, settings))
    assert len(fits) == 1
    assert_same(first, again)
    assert_same(first, imagined(WorldModel(LAB.encoder, LAB.memory, settings)))


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_was_just_learned_lies_in_memory_as_what_is_read(folder: Path, settings: DynamicsSettings) -> None:
    made, read = (learned(WorldModel.open(folder, settings).prepare()) for _ in range(2))
    assert made is not None
    assert read is not None
    layouts = [{name: array.stride() for name, array in to_arrays(known).items()} for known in (made, read)]
    assert layouts[0] == layouts[1], "products of another layout differ in their last bits"


def test_whoever_learns_from_a_stored_memory_keeps_it_for_all(folder: Path, fits: list[int]) -> None:
    first = imagined(WorldModel(LAB.encoder, open_memory(folder), ANALOGUES))
    assert_same(first, imagined(WorldModel(LAB.encoder, open_memory(folder), ANALOGUES)))
    assert_same(first, imagined(WorldModel.open(folder, ANALOGUES)))
    assert len(fits) == 1
    changed = open_memory(folder)
    changed.append(beginning(LAB.held_out[0], 15), LAB.encoder)
    before = {file: file.read_bytes() for file in (folder / LEARNED).iterdir()}
    imagined(WorldModel(LAB.encoder, changed, ANALOGUES))
    assert {file: file.read_bytes() for file in (folder / LEARNED).iterdir()} == before, "that one lies nowhere"


def test_all_of_learning_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    WorldModel.open(folder, ANALOGUES).prepare(progress=True)
    shown = capsys.readouterr().err
    assert "find analogues: 100%" in shown
    assert "fit analogues: 100%" in shown


def test_a_memory_too_small_to_learn_from(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory(LAB.training.info, LAB.encoder)
    memory.append(beginning(LAB.training[0], 10), LAB.encoder)
    WorldModel(LAB.encoder, memory).save(tmp_path / "memory")
    first, again = (imagined(WorldModel.open(tmp_path / "memory", SETTINGS[1])) for _ in range(2))
    assert_same(first, again)
    assert not caplog.records


def test_other_settings_are_learned_beside(folder: Path, fits: list[int]) -> None:
    other = AnalogueConfig(horizon=3)
    assert_same(imagined(WorldModel.open(folder, other)), imagined(WorldModel(LAB.encoder, LAB.memory, other)))
    imagined(WorldModel.open(folder, ANALOGUES))
    for settings in (other, ANALOGUES):
        imagined(WorldModel.open(folder, settings))
    assert len(fits) == 3
    assert len(list((folder / LEARNED).glob("*.json"))) == 2


def test_a_memory_that_grows_a_little_is_searched_at_once_and_not_learned_anew(fits: list[int]) -> None:
    memory = anew()
    world = WorldModel(LAB.encoder, memory, ANALOGUES)
    before = imagined(world)
    rows = len(memory.rows.steps)
    short = beginning(LAB.held_out[0], 15)
    memory.append(short, LAB.encoder)
    after = imagined(world)
    assert len(memory.rows.steps) <= MOST_GROWTH * rows
    assert fits == [rows]
    # The very moments asked about are in memory now, and are found.
    assert short.id in {cited.episode for cited in after.citations(0, 0)}
    assert not torch.equal(before.latents.mu, after.latents.mu)


def test_a_memory_that_grows_much_is_learned_anew(fits: list[int]) -> None:
    memory = anew()
    world = WorldModel(LAB.encoder, memory, ANALOGUES)
    imagined(world)
    memory.extend(LAB.further, LAB.encoder)
    after = imagined(world)
    assert fits == [len(anew().rows.steps), len(memory.rows.steps)]
    assert_same(after, imagined(WorldModel(LAB.encoder, memory, ANALOGUES)))


def test_nothing_of_what_is_removed_remains(fits: list[int]) -> None:
    memory = anew()
    world = WorldModel(LAB.encoder, memory, ANALOGUES)
    imagined(world)
    memory.remove([memory.ids[-1]])
    after = imagined(world)
    assert len(fits) == 2
    assert_same(after, imagined(WorldModel(LAB.encoder, memory, ANALOGUES)))


def test_a_stored_memory_that_has_grown_since(folder: Path, fits: list[int]) -> None:
    imagined(WorldModel.open(folder, ANALOGUES))
    world = WorldModel.open(folder)
    world.memory.append(beginning(LAB.held_out[0], 15), LAB.encoder)
    world.save(folder, "resume")
    imagined(WorldModel.open(folder, ANALOGUES))
    assert len(fits) == 1
    world.memory.extend(LAB.further, LAB.encoder)
    world.save(folder, "resume")
    imagined(WorldModel.open(folder, ANALOGUES))
    assert len(fits) == 2


def test_forgetting_an_episode_forgets_what_was_learned(folder: Path, fits: list[int]) -> None:
    imagined(WorldModel.open(folder, ANALOGUES))
    assert (folder / LEARNED).is_dir()
    forget_episodes(folder, [LAB.memory.ids[1]])
    assert not (folder / LEARNED).exists()
    imagined(WorldModel.open(folder, ANALOGUES))
    assert len(fits) == 2


def test_saving_a_removal_forgets_what_was_learned(folder: Path) -> None:
    imagined(WorldModel.open(folder, ANALOGUES))
    world = WorldModel.open(folder)
    world.memory.remove([LAB.memory.ids[0]])
    world.save(folder, "resume")
    assert not (folder / LEARNED).exists()


@pytest.mark.parametrize("harm", ["cut", "text", "list", "swapped", "shape", "nan", "steps"])
def test_what_is_damaged_is_learned_anew(
    folder: Path, fits: list[int], harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    right = imagined(WorldModel.open(folder, ANALOGUES))
    (index,), (stored,) = (list((folder / LEARNED).glob(f"*.{end}")) for end in ("json", "safetensors"))
    if harm == "cut":
        stored.write_bytes(stored.read_bytes()[:-100])
    elif harm == "text":
        index.write_text("{")
    elif harm == "list":
        index.write_text(json.dumps({**json.loads(index.read_text()), "episodes": 3}))
    else:
        arrays = read_arrays(stored, "test")
        if harm == "swapped":
            arrays["horizon.0.shares"] = arrays["horizon.0.shares"][::-1].copy()
        elif harm == "shape":
            arrays["horizon.1.matrix.0"] = arrays["horizon.1.matrix.0"][:, 1:]
        elif harm == "nan":
            arrays["basis.0.mean"] = np.full_like(arrays["basis.0.mean"], np.nan)
        else:
            arrays = {name: value for name, value in arrays.items() if not name.startswith("horizon.0.")}
        write_arrays(stored, arrays)
        if harm != "swapped":  # a digest that fits tells nothing of who wrote it
            index.write_text(json.dumps({**json.loads(index.read_text()), "arrays": _digest(arrays)}))
    assert_same(imagined(WorldModel.open(folder, ANALOGUES)), right)
    assert len(fits) == 2
    assert any("learned" in record.message for record in caplog.records if record.levelname == "WARNING")
    imagined(WorldModel.open(folder, ANALOGUES))
    assert len(fits) == 2


def test_a_folder_that_cannot_be_written_is_no_obstacle(folder: Path, fits: list[int]) -> None:
    (folder / LEARNED).write_text("in the way")
    right = imagined(WorldModel(LAB.encoder, LAB.memory, ANALOGUES))
    assert_same(imagined(WorldModel.open(folder, ANALOGUES)), right)


def test_the_digest_is_of_names_and_numbers() -> None:
    arrays = {"b": np.arange(3.0), "a": np.ones(2)}
    assert _digest(arrays) == _digest(dict(reversed(arrays.items())))
    assert _digest(arrays) != _digest({**arrays, "a": np.zeros(2)})
    assert len(_digest(arrays)) == len(hashlib.sha256().hexdigest())


def beginning(episode: Episode, steps: int) -> Episode:
    """The first steps of an episode."""
    states = None if episode.states is None else episode.states[: steps + 1]
    parts = {name: getattr(episode, name)[:steps] for name in ("actions", "rewards", "terminations", "truncations")}
    return replace(episode, observations=episode.observations[: steps + 1], states=states, **parts)


def anew() -> Memory:
    memory = Memory(LAB.training.info, LAB.encoder)
    memory.extend(LAB.training, LAB.encoder)
    return memory
