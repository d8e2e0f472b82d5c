import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch

from memworld.gaussian import DISTANCES, Latents
from memworld.search import Candidates, Query
from memworld.search.approximate import ApproximateIndex
from memworld.search.approximate.codes import product_codes
from memworld.search.approximate.files import read_index, write_index
from memworld.search.exact import ExactIndex
from tests.helpers import folder_bytes, one_clear_error, unless_refused
from tests.search.trajectories import asked_actions, assert_same, candidates_of, queries_of_20, trajectories

pytest.importorskip("faiss")

GOLDEN = Path(__file__).parent.parent / "golden"
METRICS = sorted(DISTANCES)


@pytest.fixture(params=["proxy", "product", "exact"])
def saved(request: Any, few: Candidates, monkeypatch: Any, tmp_path: Path) -> tuple[Path, Candidates, Any]:
    vary = 1.5 if request.param == "product" else 0.2
    if request.param == "exact":
        monkeypatch.setattr("memworld.search.approximate.index._EXACT_UP_TO", 5000)
    candidates = candidates_of(trajectories(np.random.default_rng(11), 12, 101, 20, vary), 101)
    index = ApproximateIndex("kl_stored_query", candidates, seed=2)
    assert index.codes == request.param
    index.save(tmp_path / "index")
    return tmp_path / "index", candidates, index


def test_what_is_opened_answers_as_what_was_saved(saved: tuple[Path, Candidates, ApproximateIndex]) -> None:
    path, candidates, index = saved
    opened = ApproximateIndex.open(path, candidates)
    assert (opened.metric, opened.codes, opened.effort, opened.recall, opened.bytes_per_row) == (
        index.metric,
        index.codes,
        index.effort,
        index.recall,
        index.bytes_per_row,
    )
    for query in (Query(queries_of_20()), Query(queries_of_20(), asked_actions(40), "hard")):
        assert_same(opened.nearest(query, 20), index.nearest(query, 20))
        assert_same(opened.nearest_per_episode(query), index.nearest_per_episode(query))
    before = folder_bytes(path)
    assert list(before) == ["approximate.safetensors"]
    opened.save(str(path))
    assert ApproximateIndex.open(str(path), candidates).effort == index.effort
    assert folder_bytes(path) == before


def test_an_index_of_another_memory_is_refused(saved: tuple[Path, Candidates, ApproximateIndex]) -> None:
    path, candidates, _ = saved
    sigma = candidates.latents.sigma.clone()
    sigma[7, 3] *= 1.001
    others = [
        replace(candidates, latents=Latents(candidates.latents.mu, sigma, candidates.latents.z)),
        replace(candidates, episodes=candidates.episodes + 1),
        Candidates(candidates.latents, candidates.rows[1:], candidates.episodes[1:], candidates.actions[1:]),
        candidates_of(trajectories(np.random.default_rng(12), 3, 10, 8), 10),
    ]
    for other in others:
        with one_clear_error("was built on another memory or on other rows of it: build it again"):
            ApproximateIndex.open(path, other)


def test_damaged_files_are_refused(saved: tuple[Path, Candidates, ApproximateIndex]) -> None:
    path, candidates, index = saved
    file = path / "approximate.safetensors"
    whole, rng = file.read_bytes(), np.random.default_rng(13)
    expected = index.nearest(Query(queries_of_20()), 5)
    for place in [*range(0, min(len(whole), 300), 7), *rng.integers(0, len(whole), 60).tolist()]:
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(bytes(broken) if place % 2 else whole[:place])
        opened = unless_refused(lambda: ApproximateIndex.open(path, candidates))
        # Spaces in the header may have changed, but nothing that is read.
        if opened is not None:
            assert_same(opened.nearest(Query(queries_of_20()), 5), expected)
    file.unlink()
    with one_clear_error("approximate index .* is missing"):
        ApproximateIndex.open(path, candidates)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"metric": "cosine"},
        {"codes": "other"},
        {"codes": "product"},
        {"codes": "exact", "probes": 0, "candidates": 0},
        {"metric": ["l2"]},
        {"memory": None},
        {"probes": 0},
        {"probes": 10**9},
        {"probes": True},
        {"probes": "1"},
        {"probes": 1.0},
        {"candidates": -1},
        {"candidates": 50.5},
        {"recall": 7.0},
        {"recall": float("nan")},
        {"recall": None},
        {"recall": "0.99"},
        {"recall": True},
        {"seed": "x"},
        {"seed": -1},
        {"seed": 0.0},
    ],
)
def test_descriptions_that_do_not_fit_are_refused(
    few: Candidates, tmp_path: Path, change: Any, monkeypatch: Any
) -> None:
    index = ApproximateIndex("l2", few)
    index.save(tmp_path)
    description, arrays = read_index(tmp_path)
    monkeypatch.setattr("memworld.search.approximate.files.FORMAT", change.get("format", 1))
    write_index(tmp_path, {**description, **change}, arrays)
    monkeypatch.undo()
    with one_clear_error("build the index again|unknown metric|seed must be"):
        ApproximateIndex.open(tmp_path, few)


@pytest.mark.parametrize("change", [{"recall": 0.5}, {"probes": 2}, {"seed": 1}, {"sha256": "0"}, {"sha256": None}])
def test_no_entry_can_be_changed_unnoticed(few: Candidates, tmp_path: Path, change: dict[str, object]) -> None:
    ApproximateIndex("l2", few).save(tmp_path)
    file = tmp_path / "approximate.safetensors"
    with safetensors.safe_open(file, "np") as opened:
        description = json.loads(opened.metadata()["memworld"])
    arrays = safetensors.numpy.load_file(file)
    safetensors.numpy.save_file(arrays, file, {"memworld": json.dumps({**description, **change})})
    with one_clear_error("is damaged .it is not what was saved.: build the index again"):
        ApproximateIndex.open(tmp_path, few)
    safetensors.numpy.save_file(arrays, file)
    with one_clear_error("is damaged"):
        ApproximateIndex.open(tmp_path, few)


def test_arrays_that_do_not_fit_are_refused_though_their_sum_is_right(few: Candidates, tmp_path: Path) -> None:
    index = ApproximateIndex("l2", few)
    assert index._codes is not None
    arrays = dict(index._codes.arrays)
    for name, array in {
        "centroids": arrays["centroids"][:, :-1],
        "book": arrays["book"][:-1],
        "turn": arrays["turn"].astype(np.float32),
        "mean": np.full_like(arrays["mean"], 1e300),
    }.items():
        object.__setattr__(index._codes, "arrays", {**arrays, name: array})
        index.save(tmp_path)
        with one_clear_error("is damaged .*: build the index again"):
            ApproximateIndex.open(tmp_path, few)


def test_scales_must_be_above_0(tmp_path: Path, monkeypatch: Any, few: Candidates) -> None:
    monkeypatch.setattr("memworld.search.approximate.effort.proxy_codes", lambda p, c, s: product_codes(p, c, 8))
    index = ApproximateIndex("kl_stored_query", few)
    assert index._codes is not None
    arrays = index._codes.arrays
    for scale in (0.0, -1.0):
        object.__setattr__(index._codes, "arrays", {**arrays, "scale": arrays["scale"] * scale})
        index.save(tmp_path)
        with one_clear_error("is damaged .*scale is not above 0.*: build the index again"):
            ApproximateIndex.open(tmp_path, few)


def test_an_interrupted_save_leaves_what_was_there(few: Candidates, tmp_path: Path, monkeypatch: Any) -> None:
    ApproximateIndex("l2", few).save(tmp_path)
    before = folder_bytes(tmp_path)

    def fail(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        ApproximateIndex("l2", few, seed=5).save(tmp_path)
    assert folder_bytes(tmp_path) == before


@pytest.mark.parametrize("metric", METRICS)
def test_what_codes_cannot_hold_is_left_to_exact_search(few: Candidates, metric: str) -> None:
    mu = few.latents.mu.clone()
    mu[3, 3] = 1e38
    extreme = replace(few, latents=Latents(mu, few.latents.sigma, mu))
    if metric == "l2":  # one far row leaves nothing of the rest, which is said
        assert ApproximateIndex(metric, extreme).recall < 0.9
        return
    with one_clear_error(f"too extreme for approximate search under {metric} .*: use ExactIndex"):
        ApproximateIndex(metric, extreme)


def test_latents_that_want_gradients_are_searched_without(few: Candidates, tmp_path: Path) -> None:
    def wanting(x: Latents) -> Latents:
        return Latents(*(part.double().clone().requires_grad_() for part in (x.mu, x.sigma, x.z)))

    index = ApproximateIndex("kl_stored_query", replace(few, latents=wanting(few.latents)))
    index.save(tmp_path)
    index = ApproximateIndex.open(tmp_path, replace(few, latents=wanting(few.latents)))
    found = index.nearest(Query(wanting(queries_of_20())), 5)
    assert not found.distances.requires_grad
    assert_same(found, ApproximateIndex("kl_stored_query", few).nearest(Query(queries_of_20()), 5))


def golden_memory() -> Candidates:
    """Rows that are the same to the last bit everywhere: integers over powers of two."""
    rng = np.random.default_rng(7)
    mu = rng.integers(-4096, 4096, (400, 5)).astype(np.float32) / 1024
    sigma = rng.integers(256, 1024, (400, 5)).astype(np.float32) / 2048
    z = mu + rng.integers(-512, 512, (400, 5)).astype(np.float32) / 2048
    return candidates_of(Latents(*(torch.from_numpy(x) for x in (mu, sigma, z))), 100)


@pytest.mark.parametrize("metric", ["l2", "kl_query_stored"])
def test_the_first_version_still_opens(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written with `ApproximateIndex(metric, golden_memory())`, _EXACT_UP_TO at 100, and `save`."""
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_UP_TO", 100)
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_FROM", 1)
    candidates = golden_memory()
    index = ApproximateIndex.open(GOLDEN / f"approximate-v1-{metric}", candidates)
    assert index.codes != "exact"
    query = Query(candidates.latents[candidates.rows[::7]])
    found, exact = (i.nearest(query, 5).rows for i in (index, ExactIndex(metric, candidates, device="cpu")))
    assert float((found[:, :, None] == exact[:, None]).any(2).double().mean()) > 0.9
