"""An index that has grown against one of everything."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memworld.gaussian import DISTANCES, Latents
from memworld.lookup import candidates
from memworld.memory import Rows
from memworld.search import Candidates, Conditioning, Index, Matches, Query
from memworld.search.approximate import ApproximateIndex
from memworld.search.exact import ExactIndex
from memworld.search.growing import GrownIndex, Run, has_grown
from tests.analogues.toys import rows_of
from tests.helpers import one_clear_error
from tests.search.trajectories import assert_same, trajectories

DIM = 3
CHOICES = 3
"""Choices of a discrete action, which are the first features; one number that is not discrete is the last."""


def made_rows(rng: np.random.Generator, lengths: Sequence[int], repeats: bool = False) -> Rows:
    """Episodes of so many actions; where moments repeat, many rows are equally near."""
    count = sum(lengths) + len(lengths)
    sigma = np.exp(rng.normal(size=(count, DIM)))
    mu = rng.normal(size=(count, DIM))
    if repeats:
        same = rng.integers(0, max(1, count // 4), count)
        mu, sigma = mu[same], sigma[same]
    latents = Latents(*(torch.from_numpy(x.astype(np.float32)) for x in (mu, sigma, mu + sigma)))
    discrete = torch.arange(CHOICES + 1) < CHOICES
    actions = [torch.cat([one_hot(rng, n), torch.from_numpy(rng.integers(0, 3, (n, 1)) / 2)], 1) for n in lengths]
    ends = np.cumsum([n + 1 for n in lengths])
    means = [latents.mu[end - n - 1 : end] for end, n in zip(ends, lengths, strict=True)]
    return replace(rows_of(means, actions), latents=latents, discrete=discrete)


def one_hot(rng: np.random.Generator, count: int) -> Tensor:
    return torch.from_numpy(np.eye(CHOICES)[rng.integers(0, CHOICES, count)] / 2**0.5)


def beginning(rows: Rows, episodes: int) -> Rows:
    """The memory when it had so many episodes, in tensors of its own."""
    then = Run.of(rows, 0, int((rows.episodes < episodes).sum())).rows
    return replace(then, latents=Latents(*(x.clone() for x in vars(then.latents).values())))


def grown(
    rows: Rows, cuts: Sequence[int], context: int, make: Callable[[Candidates], Index], index: GrownIndex | None = None
) -> GrownIndex:
    """The index of a memory that had so many episodes each time it was looked at."""
    for episodes in sorted({*cuts, int(rows.episodes[-1]) + 1}):
        then = rows if episodes > int(rows.episodes[-1]) else beginning(rows, episodes)
        index = GrownIndex.of(then, lambda run: candidates(run.rows, context), make, index)
    assert index is not None
    return index


@settings(max_examples=80)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    cuts=st.sets(st.integers(1, 9)),
    metric=st.sampled_from(sorted(DISTANCES)),
    conditioning=st.sampled_from(["none", "hard", "soft", "mixed"]),
    context=st.sampled_from([1, 1, 2, 4]),
    exclude=st.booleans(),
    by_action=st.booleans(),
    weighted=st.booleans(),
    repeats=st.booleans(),
    ratio=st.sampled_from([0, 2]),
    seed=st.integers(0, 2**20),
)
def test_a_grown_index_answers_as_one_of_everything(
    lengths: list[int],
    cuts: set[int],
    metric: str,
    conditioning: Conditioning,
    context: int,
    exclude: bool,
    by_action: bool,
    weighted: bool,
    repeats: bool,
    ratio: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    rows = made_rows(rng, lengths, repeats)
    weights = torch.from_numpy(rng.uniform(0.1, 2, context * DIM)) if weighted else None
    make = functools.partial(ExactIndex, metric, device="cpu", by_action=by_action, weights=weights)
    everything = candidates(rows, context)
    whole = make(everything)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memworld.search.growing._RATIO", ratio)  # 0 joins nothing
        parts = grown(rows, [c for c in cuts if c < len(lengths)], context, make)
    assert len(parts) == len(everything)
    # Half of the queries are rows of the memory themselves.
    own = everything.latents[torch.from_numpy(rng.integers(0, len(rows), 4))]
    other = candidates(made_rows(rng, [3]), context).latents
    asked = Latents(*(torch.cat([getattr(own, name), getattr(other, name)]) for name in ("mu", "sigma", "z")))
    actions = torch.cat([one_hot(rng, len(asked)), torch.from_numpy(rng.integers(0, 3, (len(asked), 1)) / 2)], 1)
    # Also of episodes that there are not.
    excluded = torch.from_numpy(rng.integers(-1, len(lengths) + 1, len(asked))) if exclude else None
    query = Query(asked, actions, conditioning, 0.5, excluded)
    for k in {1, min(3, len(everything)), len(everything)}:
        assert_same(parts.nearest(query, k), whole.nearest(query, k))
    assert_same(parts.nearest_per_episode(query), whole.nearest_per_episode(query))


@settings(max_examples=40)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=40))
def test_there_are_few_parts_and_no_row_is_indexed_often(lengths: list[int]) -> None:
    rows = made_rows(np.random.default_rng(0), lengths)
    indexed = torch.zeros(len(rows))
    index, begun = None, False

    def chosen(run: Run) -> Candidates:
        indexed[run.own] += 1
        return candidates(run.rows, 1)

    for episodes in range(1, len(lengths) + 1):
        index = GrownIndex.of(beginning(rows, episodes), chosen, functools.partial(ExactIndex, "l2"), index)
        sizes = [part.own.stop - part.own.start for part in index.parts]
        assert all(large > 2 * small for large, small in itertools.pairwise(sizes))
        begun = begun or len(sizes) > 1
    assert begun == (len(lengths) > 1 and any(2 * (n + 1) < sum(lengths[:i]) + i for i, n in enumerate(lengths)))
    assert float(indexed.max()) <= 1 + math.log(len(rows), 1.5)


def test_what_is_new_is_all_that_is_indexed() -> None:
    rows = made_rows(np.random.default_rng(0), [50, 50, 4, 5])
    sizes: list[int] = []

    def make(keys: Candidates) -> Index:
        sizes.append(len(keys))
        return ExactIndex("l2", keys)

    index = grown(rows, [2, 3], 1, make)
    # The second time the small part is joined with what is new.
    assert sizes == [100, 4, 9]
    assert GrownIndex.of(rows, lambda run: None, make, index).parts == index.parts


def test_the_smaller_memory_is_let_go() -> None:
    rows = made_rows(np.random.default_rng(0), [50, 20, 4])
    for make in (functools.partial(ExactIndex, "kl_stored_query"), functools.partial(ApproximateIndex, "l2")):
        index = grown(rows, [1, 2], 1, make)
        assert len(index.parts) == 3
        own = rows.latents.mu.untyped_storage().data_ptr()
        for part in index.parts:
            latents = part.index._candidates.latents  # type: ignore[attr-defined]
            assert latents.mu.untyped_storage().data_ptr() == own
            assert torch.equal(latents.z, rows.latents.z[part.own])


def test_keys_of_its_own_stay_where_they_are() -> None:
    rows = made_rows(np.random.default_rng(0), [50, 20, 4])
    index = grown(rows, [1, 2], 2, functools.partial(ExactIndex, "l2"))
    assert [part.borrowed for part in index.parts] == [None] * 3


def test_a_run_in_which_nothing_may_answer() -> None:
    rows = made_rows(np.random.default_rng(0), [40, 30, 1, 20, 9])

    def chosen(run: Run) -> Candidates | None:
        """The first rows of episodes that last; as of moments that have a long past."""
        keys = candidates(run.rows, 1)
        lasting = torch.nonzero(run.rows.steps[keys.rows] > 2)[:, 0]
        if len(lasting) == 0:
            return None
        return Candidates(keys.latents, keys.rows[lasting], keys.episodes[lasting], keys.actions[lasting])

    make = functools.partial(ExactIndex, "l2")
    index: GrownIndex | None = None
    for episodes in range(1, 6):
        index = GrownIndex.of(beginning(rows, episodes), chosen, make, index)
        then = beginning(rows, episodes)
        everything = chosen(Run.of(then, 0, len(then)))
        assert everything is not None
        query = Query(rows.latents[:7], exclude_episode=torch.tensor([0, 1, 2, 3, 4, -1, 1]))
        assert_same(index.nearest(query, 9), make(everything).nearest(query, 9))
        assert_same(index.nearest_per_episode(query), make(everything).nearest_per_episode(query))
    short = made_rows(np.random.default_rng(0), [1, 2])
    assert len(GrownIndex.of(short, chosen, make)) == 0


def test_what_cannot_be_asked_is_refused_as_by_one_index() -> None:
    rows = made_rows(np.random.default_rng(0), [50, 4])
    index = grown(rows, [1], 1, functools.partial(ExactIndex, "l2"))
    query = Query(rows.latents[:2])
    for k in (0, 55, 1.5):
        with one_clear_error("k=" if k != 1.5 else "k must be a whole number"):
            index.nearest(query, k)  # type: ignore[arg-type]
    with one_clear_error("query has d=2, memory has d=3"):
        index.nearest(Query(Latents(*(x[:2, :2] for x in vars(rows.latents).values()))), 1)
    for wrong in (torch.zeros(2), torch.zeros(3, dtype=torch.int64)):
        with one_clear_error("excluded episodes must be int64"):
            index.nearest_per_episode(Query(rows.latents[:2], exclude_episode=wrong))


def test_the_tail_of_an_approximate_index_is_exact_until_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_UP_TO", 300)
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_FROM", 1)
    steps, episodes = 101, 14
    latents = trajectories(np.random.default_rng(3), episodes, steps, 20)
    numbers = torch.arange(len(latents))
    rows = replace(
        rows_of([torch.zeros(steps, 20)] * episodes, [torch.zeros(steps - 1, 1)] * episodes), latents=latents
    )
    index: GrownIndex | None = None
    for now, expected in (
        (9, ["proxy"]),
        (11, ["proxy", "exact"]),
        (13, ["proxy", "proxy"]),
        (14, ["proxy", "proxy", "exact"]),
    ):
        index = grown(beginning(rows, now), [], 1, functools.partial(ApproximateIndex, "l2"), index)
        assert [part.index.codes for part in index.parts] == expected  # type: ignore[attr-defined]
    assert index is not None
    query = Query(latents[numbers % 17 == 5], exclude_episode=rows.episodes[numbers % 17 == 5])
    found, right = (i.nearest(query, 10) for i in (index, ExactIndex.of(rows, "l2")))
    assert _shared(found, right) > 0.95
    assert bool((rows.episodes[found.rows] != query.exclude_episode[:, None]).all())  # type: ignore[index]


def _shared(found: Matches, right: Matches) -> float:
    """The share of the right rows that were found."""
    return float((found.rows[:, :, None] == right.rows[:, None]).any(1).double().mean())


def test_rows_that_have_grown_and_rows_that_have_not() -> None:
    rows = made_rows(np.random.default_rng(0), [5, 4, 3])
    then = beginning(rows, 2)
    assert has_grown(then, rows)
    assert not has_grown(rows, then)
    assert has_grown(rows, rows)
    assert has_grown(then, replace(rows, lineage=then.lineage))
    changes = [replace(rows, actions=rows.actions + 1), replace(rows, episodes=rows.episodes + 1)]
    for name in ("mu", "sigma", "z"):
        changes.append(replace(rows, latents=replace(rows.latents, **{name: getattr(rows.latents, name) + 1})))
    assert not any(has_grown(then, changed) for changed in changes)
