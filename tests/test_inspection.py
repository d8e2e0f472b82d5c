import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.formats import write_npz
from memworld.inspection import inspect_dataset, inspect_memory, inspect_path
from memworld.memory import Memory
from memworld.store import save_memory
from tests.helpers import (
    LEFT_RIGHT,
    PixelEncoder,
    make_dataset,
    make_episode,
    moving_square_dataset,
    one_clear_error,
    walk,
)

DATASET = moving_square_dataset(4, 12, (8, 8, 1))
ENCODER = PixelEncoder((8, 8, 1))


def memory_of(dataset: EpisodeDataset, encoder: PixelEncoder = ENCODER, keep_frames: bool = True) -> Memory:
    memory = Memory(dataset.info, encoder, keep_frames=keep_frames)
    memory.extend(dataset, encoder)
    return memory


def counted(dataset: EpisodeDataset) -> dict[str, Any]:
    """What an inspection says of a data set, counted one step at a time."""
    actions: Counter[str] = Counter({str(i): 0 for i in range(4)})
    returns, rewards = [], []
    for episode in dataset:
        total = 0.0
        for action, reward in zip(episode.actions.tolist(), episode.rewards.tolist(), strict=True):
            actions[str(action)] += 1
            rewards.append(reward)
            total += reward
        returns.append(total)
    steps = [len(episode) for episode in dataset]
    return {"actions": dict(actions), "returns": spread(returns), "steps": spread(steps), "rewards": rewards}


def spread(values: list[Any]) -> dict[str, float]:
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return {"min": ordered[0], "median": median, "max": ordered[-1]}


def test_a_memory_is_counted() -> None:
    found, expected = inspect_memory(memory_of(DATASET)), counted(DATASET)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["world"], found["episodes"], found["transitions"], found["rows"]) == ("square", 4, 48, 52)
    assert found["steps_per_episode"] == expected["steps"]
    assert found["actions"] == expected["actions"]
    assert found["action_names"] == ["left", "right", "up", "down"]
    assert found["returns"] == expected["returns"]
    rewards = expected["rewards"]
    assert sum(rewards) > 0
    assert found["rewards"] == {
        "min": 0,
        "mean": pytest.approx(sum(rewards) / 48),
        "max": 1,
        "steps_with_reward": sum(r != 0 for r in rewards),
    }
    assert (found["terminated_episodes"], found["truncated_episodes"]) == (0, 4)
    assert (found["frames_kept"], found["latent_shape"], found["observation_shape"]) == (True, [64], [8, 8, 1])
    assert found["bytes"] == {"latents": 52 * 64 * 3 * 4, "frames": 52 * 64}
    assert found["episode_ids"] == ["e0", "e1", "e2", "e3"]
    assert found["encoder"] == ENCODER.fingerprint


def test_endings_are_counted_apart() -> None:
    dataset = make_dataset(np.random.default_rng(3), 6, 2, (8, 8, 1))
    found = inspect_memory(memory_of(dataset))
    terminated = sum(bool(e.terminations[-1]) for e in dataset)
    assert 0 < terminated < 6
    assert (found["terminated_episodes"], found["truncated_episodes"]) == (terminated, 6 - terminated)


def test_a_memory_on_disk_without_frames(tmp_path: Path) -> None:
    save_memory(memory_of(DATASET), tmp_path / "with")
    save_memory(memory_of(DATASET, keep_frames=False), tmp_path / "without")
    found = {name: inspect_path(tmp_path / name) for name in ("with", "without")}
    assert found["with"] == inspect_memory(memory_of(DATASET))
    assert found["without"]["bytes"]["frames"] == 0
    assert not found["without"]["frames_kept"]


def naive_coverage(memory: Memory) -> dict[str, float]:
    """Coverage over all rows, by loops."""
    places = [e.latents.mu.double().numpy() for e in memory.episodes]
    moved = sorted(((mu[t + 5] - mu[t]) ** 2).sum() for mu in places for t in range(len(mu) - 5))
    typical = moved[(len(moved) - 1) // 2]
    nearest = []
    for number, mu in enumerate(places):
        others = [row for i, other in enumerate(places) if i != number for row in other[:-1]]
        nearest += [min(((row - other) ** 2).sum() for other in others) for row in mu[:-1]]
    nearest.sort()
    return {
        "covered": float(np.mean([n <= typical for n in nearest])),
        "nearest_of_another_episode": nearest[(len(nearest) - 1) // 2] ** 0.5,
        "moved_in_5_steps": typical**0.5,
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_coverage_is_that_of_the_literal_count(seed: int) -> None:
    memory = memory_of(moving_square_dataset(3, 15, (8, 8, 1), seed))
    expected = naive_coverage(memory)
    assert 0 < expected["covered"] <= 1
    assert inspect_memory(memory)["coverage"] == pytest.approx(expected, rel=1e-6)


def test_coverage_tells_memories_apart() -> None:
    encoder = PixelEncoder()
    near = [walk("a", 100, [1] * 6), walk("b", 100, [1] * 6)]
    far = [walk("a", 100, [1] * 6), walk("b", 100, [1] * 6, lane=200)]
    for episodes, covered in ((near, 1.0), (far, 0.0)):
        memory = memory_of(EpisodeDataset.from_episodes(LEFT_RIGHT, episodes), encoder)
        assert inspect_memory(memory)["coverage"] == {
            "covered": covered,
            "nearest_of_another_episode": 200 * (1 - covered),
            "moved_in_5_steps": 50,
        }
        sampled = inspect_memory(memory, samples=3, seed=5)["coverage"]
        assert sampled["covered"] == covered


def test_coverage_that_cannot_be_measured() -> None:
    one = EpisodeDataset.from_episodes(DATASET.info, [DATASET[0]])
    assert inspect_memory(memory_of(one))["coverage"] is None
    # No episode is five steps long, so the world has moved in none.
    short = make_dataset(np.random.default_rng(0), 3, 1, (8, 8, 1))
    assert inspect_memory(memory_of(short))["coverage"] is None
    # Five steps are enough, in one of them.
    long = make_dataset(np.random.default_rng(0), 3, 3, (8, 8, 1))
    assert inspect_memory(memory_of(long))["coverage"] is not None


def test_a_data_set_is_counted(tmp_path: Path) -> None:
    write_npz(DATASET, tmp_path / "set")
    found, expected = inspect_path(tmp_path / "set"), counted(DATASET)
    assert found == inspect_dataset(DATASET)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["world"], found["episodes"], found["transitions"]) == ("square", 4, 48)
    assert found["steps_per_episode"] == expected["steps"]
    assert found["actions"] == expected["actions"]
    assert found["returns"] == expected["returns"]
    assert (found["state_names"], found["observation_shape"]) == (["x", "y"], [8, 8, 1])
    assert found["episode_ids"] == ["e0", "e1", "e2", "e3"]


def test_continuous_actions_are_described_in_one_line() -> None:
    space = gymnasium.spaces.Box(np.linspace(-1, 0, 30, dtype=np.float32), np.ones(30, np.float32))
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, n, (8, 8, 1), space, f"e{n}") for n in (2, 3)]
    dataset = EpisodeDataset.from_episodes(DatasetInfo((8, 8, 1), space), episodes)
    actions = np.concatenate([e.actions for e in episodes])
    for found in (inspect_dataset(dataset), inspect_memory(memory_of(dataset))):
        assert "\n" not in found["action_space"]
        np.testing.assert_allclose(found["actions"]["mean"], actions.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found["actions"]["std"], actions.std(0), rtol=1e-6)


def test_what_cannot_be_inspected(tmp_path: Path) -> None:
    with one_clear_error("the memory is empty: remember at least one episode first"):
        inspect_memory(memory_of(DATASET[:0]))
    with one_clear_error("the data set is empty: record at least one episode first"):
        inspect_dataset(DATASET[:0])
    for path in (tmp_path, tmp_path / "none"):
        with one_clear_error(f"no data set at {path}"):
            inspect_path(path)
    save_memory(memory_of(DATASET), tmp_path / "memory")
    (tmp_path / "memory/memory.json").write_text("{}")
    with one_clear_error("memory.json is damaged"):
        inspect_path(tmp_path / "memory")


def test_an_episode_of_a_data_set_that_is_damaged() -> None:
    wrong = [replace(entry, steps=entry.steps + 1) for entry in DATASET.entries]
    with one_clear_error("episode e0 of 13 steps was loaded as e0 of 12"):
        inspect_dataset(EpisodeDataset(DATASET.info, wrong, DATASET.load))
