from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.actions import action_features
from memworld.datasets import DatasetInfo
from memworld.encoders.vae import VAE
from memworld.episodes import Episode
from memworld.memory import Memory, Rows
from tests.helpers import (
    DISCRETE,
    LEFT_RIGHT,
    PixelEncoder,
    literal_rows,
    make_episode,
    one_clear_error,
    untrained_vae,
    walk,
)

ENCODER = PixelEncoder()
POOL = [
    walk("a", 20, [1, 1, 0], lane=1),
    walk("b", 90, [0], lane=2),
    walk("c", 50, [1, 0, 0, 1, 1], lane=3),
    walk("d", 70, [1, 1], lane=4),
]


def memory_of(episodes: Sequence[Episode], seed: int = 0, keep_frames: bool = True) -> Memory:
    memory = Memory(LEFT_RIGHT, ENCODER, seed, keep_frames)
    memory.extend(episodes, ENCODER)
    return memory


def assert_same_rows(a: Rows, b: Rows) -> None:
    for name in ("mu", "sigma", "z"):
        assert torch.equal(getattr(a.latents, name), getattr(b.latents, name)), name
    for name in ("actions", "rewards", "terminations", "episodes", "steps", "has_successor", "candidates"):
        left, right = getattr(a, name), getattr(b, name)
        assert left.dtype == right.dtype, name
        assert torch.equal(left, right), name


# Rows


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), seed=st.integers(0, 2**31))
@settings(max_examples=40)
def test_rows_are_the_episodes_end_to_end(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = gymnasium.spaces.Discrete(3, start=int(rng.integers(-3, 4)))
    encoder = PixelEncoder((2, 3, 1))
    memory = Memory(DatasetInfo((2, 3, 1), space), encoder, seed)
    memory.extend([make_episode(rng, n, (2, 3, 1), space, f"e{i}") for i, n in enumerate(lengths)], encoder)
    rows, expected = memory.rows, literal_rows(memory.episodes)
    assert len(memory) == len(expected) == sum(lengths) + len(lengths)
    assert memory.steps == len(rows.candidates) == sum(lengths)
    assert rows.actions.dtype == torch.float64
    for i, row in enumerate(expected):
        for name in ("mu", "sigma", "z"):
            assert getattr(rows.latents, name)[i].tolist() == row[name]
        assert (int(rows.episodes[i]), int(rows.steps[i])) == (row["episode"], row["step"])
        assert (float(rows.rewards[i]), bool(rows.terminations[i])) == (row["reward"], row["terminated"])
        assert bool(rows.has_successor[i]) == (i in rows.candidates.tolist()) == row["candidate"]
        if row["candidate"]:
            np.testing.assert_array_equal(rows.actions[i], action_features(np.array([row["action"]]), space)[0])
        else:
            assert not rows.actions[i].any()


def test_the_successor_of_a_row_is_the_next_one() -> None:
    memory = memory_of(POOL)
    rows = memory.rows
    for row in rows.candidates.tolist():
        assert rows.episodes[row + 1] == rows.episodes[row]
        assert rows.steps[row + 1] == rows.steps[row] + 1
        # What the walk on the line did: the pixel of the next row is one step to the side.
        moved = float(rows.latents.mu[row + 1, 0] - rows.latents.mu[row, 0])
        assert moved == (10 if float(rows.rewards[row]) == 1 else -10)
    assert rows.candidates.tolist() == sorted(rows.candidates.tolist())


def test_the_last_row_of_an_episode_is_no_candidate() -> None:
    memory = memory_of(POOL)
    last = [3, 5, 11, 14]
    assert memory.rows.has_successor.logical_not().nonzero()[:, 0].tolist() == last
    assert not set(last) & set(memory.rows.candidates.tolist())
    # Its termination belongs to the step before it.
    assert memory.rows.terminations.nonzero()[:, 0].tolist() == [2, 4, 10, 13]


def test_rows_of_continuous_actions() -> None:
    rng, space = np.random.default_rng(0), gymnasium.spaces.Box(-2, 2, (3,))
    encoder = PixelEncoder((2, 2, 1))
    memory = Memory(DatasetInfo((2, 2, 1), space), encoder)
    episodes = [make_episode(rng, n, (2, 2, 1), space, f"e{n}") for n in (1, 4)]
    memory.extend(episodes, encoder)
    assert memory.rows.actions.shape == (7, 3)
    np.testing.assert_array_equal(memory.rows.actions[2:6], episodes[1].actions / np.float64(2))
    assert not memory.rows.actions[[1, 6]].any()


def test_rows_are_a_new_object_after_every_change_and_only_then() -> None:
    memory = memory_of(POOL[:2])
    rows = memory.rows
    assert memory.rows is rows
    assert memory.frames([0]).shape == (1, 1, 2, 1)
    assert memory.rows is rows
    memory.append(POOL[2], ENCODER)
    grown = memory.rows
    assert grown is not rows
    memory.remove(["c"])
    assert memory.rows not in (rows, grown)


def test_an_empty_memory() -> None:
    memory = memory_of([])
    assert (len(memory), memory.steps, memory.ids, memory.episodes) == (0, 0, (), ())
    assert repr(memory) == "Memory(0 episodes, 0 transitions, latents [2])"
    with one_clear_error("the memory is empty: remember at least one episode first"):
        memory.rows  # noqa: B018


# The one sample z


def test_z_is_drawn_once_whatever_the_order_of_arrival() -> None:
    forward, backward = memory_of(POOL), memory_of(POOL[::-1])
    for one in forward.episodes:
        [other] = [e for e in backward.episodes if e.entry.id == one.entry.id]
        for name in ("mu", "sigma", "z"):
            assert torch.equal(getattr(one.latents, name), getattr(other.latents, name))
    z = forward.rows.latents.z.clone()
    forward.remove(["b"])
    forward.append(POOL[1], ENCODER)
    assert torch.equal(forward.rows.latents.z[:4], z[:4])
    assert torch.equal(forward.rows.latents.z[-2:], z[4:6])


def test_z_differs_by_seed_and_by_episode() -> None:
    noise = {}
    for seed in (0, 1, 10, -1, 2**40):
        for id in ("a", "b", "0a"):
            latents = memory_of([replace(POOL[2], id=id)], seed).episodes[0].latents
            noise[seed, id] = tuple(((latents.z - latents.mu) / latents.sigma).flatten().tolist())
    assert len(set(noise.values())) == len(noise)


def test_z_is_a_sample_of_the_posterior() -> None:
    memory = memory_of([walk(f"e{i}", 100, [0, 1] * 50) for i in range(20)])
    latents = memory.rows.latents
    noise = (latents.z - latents.mu) / latents.sigma
    assert float(noise.mean()) == pytest.approx(0, abs=0.05)
    assert float(noise.std()) == pytest.approx(1, abs=0.05)
    # No two rows share their noise.
    assert len(torch.unique(noise, dim=0)) == len(noise)


# Adding and removing

operations = st.lists(st.tuples(st.sampled_from(["append", "remove"]), st.integers(0, len(POOL) - 1)), max_size=12)


@given(operations=operations, look=st.booleans())
@settings(max_examples=80)
def test_a_memory_is_what_it_was_given_less_what_was_taken(operations: list[tuple[str, int]], look: bool) -> None:
    memory, expected = memory_of([]), []
    for what, number in operations:
        episode = POOL[number]
        if what == "append" and episode not in expected:
            memory.append(episode, ENCODER)
            expected.append(episode)
        elif what == "append":
            with one_clear_error(f"has an episode {episode.id} already"):
                memory.append(episode, ENCODER)
        elif episode in expected:
            memory.remove([episode.id])
            expected.remove(episode)
        else:
            with one_clear_error(f"has no episode '{episode.id}'"):
                memory.remove([episode.id])
        if look and expected:
            memory.rows  # noqa: B018  what was laid out before must not stay
    assert memory.ids == tuple(e.id for e in expected)
    if expected:
        fresh = memory_of(expected)
        assert_same_rows(memory.rows, fresh.rows)
        everything = range(len(memory))
        np.testing.assert_array_equal(memory.frames(everything), fresh.frames(everything))


def test_removing_several_at_once_is_all_or_nothing() -> None:
    memory = memory_of(POOL)
    rows = memory.rows
    with one_clear_error("the memory has no episode 'x': see memworld inspect for those it has"):
        memory.remove(["a", "x", "b"])
    assert memory.rows is rows
    memory.remove(id for id in ("d", "a"))  # type: ignore[arg-type]
    assert memory.ids == ("b", "c")
    assert_same_rows(memory.rows, memory_of(POOL[1:3]).rows)
    memory.remove([])
    assert memory.ids == ("b", "c")


def test_what_an_episode_came_with_is_kept() -> None:
    [stored] = memory_of([replace(POOL[2], source={"seed": 7})]).episodes
    assert (stored.entry.id, stored.entry.steps, dict(stored.entry.source)) == ("c", 5, {"seed": 7})
    for name in ("actions", "rewards", "terminations", "truncations"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(POOL[2], name))


@pytest.mark.parametrize(
    ("episode", "match"),
    [
        (replace(POOL[0], observations=np.zeros((4, 2, 2, 1), np.uint8)), r"a has frames of \(2, 2, 1\), the data set"),
        (replace(POOL[0], actions=np.array([0, 1, 2])), "episode a: action 2 is outside"),
        (replace(POOL[0], actions=np.zeros((3, 2))), "episode a: Discrete.2. takes integers"),
        (replace(POOL[0], states=None), "a has 0 state variables, the data set 1"),
    ],
)
def test_an_episode_that_does_not_fit(episode: Episode, match: str) -> None:
    memory = memory_of(POOL[1:])
    rows = memory.rows
    with one_clear_error(match):
        memory.append(episode, ENCODER)
    assert memory.rows is rows


# Encoders


def test_only_its_own_encoder_adds_to_a_memory() -> None:
    memory = memory_of(POOL[:1])
    other = PixelEncoder(sigma=0.2)
    match = (
        r"made by encoder pixels-\(1, 2 with latents \[2\], this is encoder pixels-\(1, 2 with latents \[2\]: "
        "use the memory's own, or remember the episodes again"
    )
    with one_clear_error(match):
        memory.append(POOL[1], other)
    with one_clear_error(match):
        memory.check_encoder(other)
    memory.check_encoder(PixelEncoder())
    assert memory.ids == ("a",)


def test_an_encoder_that_fits_no_memory() -> None:
    with one_clear_error(r"the encoder takes frames of \(2, 2, 1\), the episodes have \(1, 2, 1\): resize them"):
        Memory(LEFT_RIGHT, PixelEncoder((2, 2, 1)))
    sound = untrained_vae()
    collapsed = VAE(sound.config, sound.network, sound.mean, sound.scale, 1)
    with one_clear_error("has collapsed: 1 of its latent means vary"):
        Memory(DatasetInfo((16, 16, 3), DISCRETE), collapsed)


@pytest.mark.parametrize(
    ("codes", "match"),
    [
        (
            lambda mu, sigma: (mu[:-1], sigma),
            r"float32 \[3, 2\] for episode a, expected torch.float32 \[4, 2\]",
        ),
        (lambda mu, sigma: (mu, sigma[:, :1]), r"gave torch.float32 \[4, 1\]"),
        (lambda mu, sigma: (mu.double(), sigma.double()), r"gave torch.float64 \[4, 2\]"),
        (lambda mu, sigma: (mu * torch.nan, sigma), "episode a: mu holds NaN or infinity"),
        (lambda mu, sigma: (mu, sigma * 0), "episode a: sigma must be above 0, found 0"),
    ],
)
def test_an_encoder_that_breaks_its_promise(monkeypatch: pytest.MonkeyPatch, codes: Any, match: str) -> None:
    memory = memory_of(POOL[1:])
    real = ENCODER.encode
    monkeypatch.setattr(ENCODER, "encode", lambda frames: codes(*real(frames)))
    with one_clear_error(match):
        memory.append(POOL[0], ENCODER)
    assert memory.ids == ("b", "c", "d")


# Frames


def test_the_frames_of_rows() -> None:
    memory = memory_of(POOL)
    every = np.concatenate([e.observations for e in POOL])
    for rows in ([0], [14], [3, 4, 5, 3], list(range(15))[::-1]):
        np.testing.assert_array_equal(memory.frames(rows), every[rows])
        np.testing.assert_array_equal(memory.frames(torch.tensor(rows)), every[rows])  # type: ignore[arg-type]
    assert memory.frames([]).shape == (0, 1, 2, 1)
    assert memory.frames([0]).dtype == np.uint8


def test_the_row_of_a_step() -> None:
    memory = memory_of(POOL)
    for row, (episode, step) in enumerate(zip(memory.rows.episodes, memory.rows.steps, strict=True)):
        assert memory.row_of(memory.ids[int(episode)], int(step)) == row
    for step in (-1, 2):
        with one_clear_error(f"episode b has steps 0 to 1, not {step}"):
            memory.row_of("b", step)
    with one_clear_error("the memory has no episode 'x'"):
        memory.row_of("x", 0)


@pytest.mark.parametrize("row", [-1, 15, 10**9])
def test_frames_of_rows_that_are_none(row: int) -> None:
    with one_clear_error(f"the memory has no row {row}: give 0 to 14"):
        memory_of(POOL).frames([0, row])


@pytest.mark.parametrize("number", [1.0, 1.7, None, True, "1", torch.tensor(1.0)])
def test_numbers_that_are_no_whole_ones(number: Any) -> None:
    memory = memory_of(POOL)
    for ask, name in (
        (lambda: memory.frames([0, number]), "row"),
        (lambda: memory.row_of("a", number), "step"),
        (lambda: Memory(LEFT_RIGHT, ENCODER, number), "seed"),
    ):
        with one_clear_error(f"{name} must be a whole number, got "):
            ask()


def test_whole_numbers_of_any_type_are_python_s_own() -> None:
    assert type(Memory(LEFT_RIGHT, ENCODER, np.int64(3)).seed) is int  # type: ignore[arg-type]
    assert memory_of(POOL).row_of("a", np.int32(2)) == 2  # type: ignore[arg-type]


def test_frames_that_are_not_kept() -> None:
    memory = memory_of(POOL, keep_frames=False)
    assert all(e.frames is None for e in memory.episodes)
    assert_same_rows(memory.rows, memory_of(POOL).rows)
    with one_clear_error("the memory keeps no frames: remember the episodes with frames to see them"):
        memory.frames([0])
