"""Failure signatures against slow computations of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memworld.dynamics import DynamicsConfig
from memworld.evaluate.experiments.failures import KL_NEIGHBOURS, run
from memworld.evaluate.experiments.measuring import evaluation_config, methods_of, windows_of
from memworld.evaluate.experiments.result import Cell, ExperimentResult, Number
from memworld.evaluate.experiments.signatures import (
    SIGNATURES,
    Seen,
    auroc,
    disagreement,
    nearby_disagreement,
    usual_disagreement,
)
from memworld.memory import Memory
from memworld.world_model import WorldModel
from tests.evaluate.experiments.laboratories import pong_laboratory, square_laboratory
from tests.helpers import literal_distances, literal_nearest

LAB = square_laboratory
NAN = float("nan")


@pytest.fixture(scope="module")
def squares() -> ExperimentResult:
    return run(square_laboratory())


def cells(result: ExperimentResult, title: str, label: str) -> tuple[Cell, ...]:
    (table,) = [t for t in result.tables if t.title == title]
    (row,) = [row for row in table.rows if row.label == label]
    return row.cells


def slow_disagreement(rows: np.ndarray) -> float:
    """Of the successors of one query's rows."""
    mu = LAB().memory.rows.latents.mu.double().numpy()
    successors = mu[rows[rows >= 0] + 1]
    return float(np.sqrt(successors.var(0, ddof=1).mean())) if len(successors) > 1 else NAN


@given(st.lists(st.lists(st.integers(-1, 29), min_size=4, max_size=4), min_size=1, max_size=5))
def test_disagreement_is_the_root_of_the_mean_variance(asked: list[list[int]]) -> None:
    found = np.array(asked)
    expected = [slow_disagreement(rows) for rows in found]
    np.testing.assert_allclose(disagreement(LAB().memory.rows, torch.from_numpy(found)), expected, atol=1e-9)


@given(
    st.lists(st.integers(0, 5) | st.just(NAN), max_size=8),
    st.lists(st.integers(0, 5) | st.just(NAN), max_size=8),
)
def test_auroc_counts_pairs(bad: list[float], good: list[float]) -> None:
    pairs = [(b > g) + (b == g) / 2 for b in bad for g in good if not np.isnan([b, g]).any()]
    expected = np.mean(pairs) if pairs else NAN
    np.testing.assert_allclose(auroc(np.array(bad, np.float64), np.array(good, np.float64)), expected)


@pytest.mark.parametrize("strategy", ["replay_l2", "rollout"])
def test_usual_disagreement_leaves_the_own_episode_out(strategy: str) -> None:
    memory = LAB().memory
    rows = memory.rows
    candidates = rows.candidates.numpy()
    apart = literal_distances("l2", rows.latents[rows.candidates], rows.latents[rows.candidates])
    episodes = rows.episodes.numpy()[candidates]
    values = []
    for place in range(len(candidates)):
        others = episodes != episodes[place]
        if strategy == "replay_l2":
            nearest = literal_nearest(apart[place : place + 1], others, 3)[0][0]
        else:
            each = [np.where(episodes == e, apart[place], np.inf) for e in set(episodes) - {episodes[place]}]
            nearest = np.array([d.argmin() for d in each])
        values.append(slow_disagreement(candidates[nearest]))
    world = WorldModel(LAB().encoder, memory, DynamicsConfig(strategy, conditioning="none"))
    assert usual_disagreement(world, 3) == pytest.approx(np.quantile(values, 0.95))


def test_a_single_row_or_episode_has_no_usual_disagreement() -> None:
    lab = LAB()
    assert np.isnan(usual_disagreement(WorldModel(lab.encoder, lab.memory, DynamicsConfig("replay_kl")), 1))
    single = Memory(lab.training.info, lab.encoder)
    single.append(lab.training[0], lab.encoder)
    for strategy in ("rollout", "replay_l2"):
        world = WorldModel(lab.encoder, single, DynamicsConfig(strategy, conditioning="none"))
        assert np.isnan(usual_disagreement(world, 3))


def test_signatures_are_shown_above_their_limits() -> None:
    seen = Seen(
        error=np.zeros((1, 1)),
        disagreement=np.array([[0.5, 2.0, NAN]]),
        support=np.array([[0.95, 0.96, NAN]]),
        beyond=np.array([[-0.1, 0.1, NAN]]),
        limit=1.0,
    )
    for signature in SIGNATURES:
        np.testing.assert_array_equal(seen.shows(signature), [[0, 1, NAN]])
    np.testing.assert_array_equal(replace(seen, limit=NAN).shows("hallucination"), [[NAN] * 3])


def test_counts_and_evidence_are_what_a_slow_computation_gives(squares: ExperimentResult) -> None:
    lab = LAB()
    config = evaluation_config(lab)
    methods = {method.label: method for method in methods_of(lab, config)}
    rollout: list[float] = []
    l2: list[float] = []
    moved, drifting, mismatched = [], [], []
    kl_world = WorldModel(lab.encoder, lab.memory, config.dynamics["replay_kl"])
    for windows in windows_of(lab, config, "test"):
        true, start = windows.true_latents.mu.double(), windows.start_latents.mu[:, None].double()
        still = (start - true).norm(dim=2)
        moved.append(float((still[:, 0] / 2).mean()))  # the root of the mean over 4 latents
        for label, spreads in (("rollout requery", rollout), ("replay_l2 requery", l2)):
            predicted = methods[label].predict(windows)
            assert predicted.rollout is not None
            spreads.append(float(np.mean([slow_disagreement(rows) for rows in predicted.rollout.rows[:, 0].numpy()])))
        predicted = methods["replay_kl requery"].predict(windows)
        assert predicted.rollout is not None
        apart = (predicted.latents.mu.double() - true).norm(dim=2)
        drifting.append(float((apart > still).double()[:, 4].mean()))
        mismatched.append(float((predicted.rollout.support > 0.95).double()[:, 4].mean()))
        near = nearby_disagreement(kl_world, windows, predicted, 3)
        for step, query in ((0, windows.start_latents), (3, predicted.latents[:, 2])):
            stored = lab.memory.rows.latents[lab.memory.rows.candidates]
            distances = literal_distances("kl_stored_query", query, stored)
            nearest, _ = literal_nearest(distances, np.ones(len(stored), bool), 3)
            expected = [slow_disagreement(lab.memory.rows.candidates.numpy()[rows]) for rows in nearest]
            np.testing.assert_allclose(near[:, step], expected, atol=1e-9)
    steadier, hallucinates = squares.evidence
    assert (steadier.claim, hallucinates.claim) == ("rollout_steadier", "l2_hallucinates")
    np.testing.assert_allclose(np.array(steadier.a), np.array(rollout))
    np.testing.assert_allclose(np.array(steadier.b), np.array(l2))
    np.testing.assert_allclose(np.array(hallucinates.a), np.array(moved), rtol=1e-6)
    np.testing.assert_allclose(np.array(hallucinates.b), np.array(l2))
    counted = cells(squares, "Failure signatures, t=5", "replay_kl requery")
    assert isinstance(counted[2], Number)
    assert isinstance(counted[3], Number)
    assert counted[2].value == pytest.approx(np.mean(mismatched))
    assert counted[3].value == pytest.approx(np.mean(drifting))


def test_what_a_method_cannot_show_is_left_blank(squares: ExperimentResult) -> None:
    title = "Failure signatures, t=1"
    assert cells(squares, title, "persistence")[1:] == ("", "", "", "")
    bound = cells(squares, title, "encoder_bound")
    assert [bound[1], bound[2], bound[4]] == ["", "", ""]
    assert isinstance(bound[3], Number)
    assert bound[3].value == 0
    assert cells(squares, title, "replay_kl requery")[1] == ""
    assert isinstance(cells(squares, title, KL_NEIGHBOURS)[1], Number)
    assert cells(squares, title, KL_NEIGHBOURS)[2:4] == cells(squares, title, "replay_kl requery")[2:4]
    for cell in cells(squares, title, "rollout requery"):
        assert isinstance(cell, Number)
        assert 0 <= cell.value <= 1


def test_the_worst_tenth_is_worse(squares: ExperimentResult) -> None:
    (table,) = [t for t in squares.tables if "worst" in t.title]
    assert table.title.endswith("t=5")
    for row in table.rows:
        worst, others = row.cells[:2]
        assert isinstance(worst, Number)
        assert isinstance(others, Number)
        assert worst.value >= others.value


def test_film_strips_show_what_their_label_says(squares: ExperimentResult) -> None:
    lab = LAB()
    for strip in squares.strips:
        label = strip.rows[0][0]
        assert label.split()[0] in SIGNATURES
        episode = lab.held_out.load(strip.episode)
        np.testing.assert_array_equal(strip.start_frame, episode.observations[strip.start])
        np.testing.assert_array_equal(strip.truth, episode.observations[[strip.start + h for h in strip.horizons]])
        assert len(strip.rows) == (3 if "replay_l2" in label else 1)
    told = {strip.rows[0][0].split()[0] for strip in squares.strips}
    missing = [note for note in squares.notes if note.startswith("No film strip")]
    assert all((signature in told) != any(signature in note for note in missing) for signature in SIGNATURES)


def test_a_memory_of_one_episode_has_no_yardsticks() -> None:
    lab = LAB()
    memory = Memory(lab.training.info, lab.encoder)
    memory.append(lab.training[0], lab.encoder)
    result = run(replace(lab, memory=memory, training=lab.training[:1]))
    assert cells(result, "Failure signatures, t=1", "replay_l2 requery")[1:3] == ("", "")
    assert any("no yardstick" in note for note in result.notes)
    assert [item.claim for item in result.evidence] == ["l2_hallucinates"]


def test_a_real_recording_with_one_held_out_episode() -> None:
    result = run(pong_laboratory())
    for row in result.tables[0].rows:
        assert all(np.isnan(cell.low) for cell in row.cells if isinstance(cell, Number))
