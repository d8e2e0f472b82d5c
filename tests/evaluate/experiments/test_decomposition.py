"""Error decomposition: its sums, its fit of growth, and walks on which all can be worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memworld.datasets import EpisodeDataset
from memworld.evaluate.experiments.decomposition import in_words, run
from memworld.evaluate.experiments.error_parts import growth, shares, squared_parts, typical_step
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import evaluation_config, methods_of, windows_of
from memworld.evaluate.experiments.result import ExperimentResult, Number, ResultTable
from memworld.memory import Memory
from memworld.rollout import Imagined, Past
from memworld.world_model import WorldModel
from tests.evaluate.experiments.laboratories import SMALL, pong_laboratory, square_laboratory
from tests.helpers import LEFT_RIGHT, PixelEncoder, walk


def walks(horizon: int) -> Laboratory:
    """Walks that go right by 10 grey levels a step, for ever; the encoder loses nothing."""
    encoder = PixelEncoder()
    training = EpisodeDataset.from_episodes(LEFT_RIGHT, [walk(f"t{i}", i, [1] * 24, lane=9 * i) for i in range(3)])
    held_out = EpisodeDataset.from_episodes(LEFT_RIGHT, [walk(f"h{i}", 3 + i, [1] * 24, lane=5) for i in range(2)])
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend(training, encoder)
    sizes = replace(SMALL, horizon=horizon, shown=(1, 5, 10, 20, 50), starts=3)
    return Laboratory("walks", training, held_out, training[:0], encoder, memory, {}, config=sizes)


@pytest.fixture(scope="module")
def far() -> ExperimentResult:
    return run(walks(20))


def cells(found: ExperimentResult | ResultTable, title: str, label: str) -> list[Any]:
    table = next(t for t in found.tables if t.title == title) if isinstance(found, ExperimentResult) else found
    (row,) = [row for row in table.rows if row.label == label]
    return [cell.value if isinstance(cell, Number) else cell for cell in row.cells]


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3))
def test_total_is_drift_and_decoding_and_twice_the_cross_term(seed: int, windows: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    x, r, p = rng.integers(0, 256, (3, windows, steps, 2, 3, 3), np.uint8)
    found = squared_parts(x, r, p)
    true, bound, predicted = (frames.astype(np.float64) / 255 for frames in (x, r, p))
    axes = (0, 2, 3, 4)
    cross = 2 * ((predicted - bound) * (bound - true)).mean(axes)
    expected = [((a - b) ** 2).mean(axes) for a, b in ((predicted, true), (predicted, bound), (bound, true))]
    np.testing.assert_allclose(found, np.stack(expected, 1), rtol=1e-9)
    drift, decoding, twice_cross = np.moveaxis(shares(found), -1, 0)
    np.testing.assert_allclose(drift + decoding + twice_cross, 1)
    np.testing.assert_allclose(twice_cross, cross / found[:, 0], atol=1e-9)


def test_shares_of_no_error_are_nothing() -> None:
    assert np.isnan(shares(np.zeros((2, 3)))).all()


@given(st.floats(-2, 3), st.floats(1e-3, 1e3))
def test_growth_finds_the_power(power: float, scale: float) -> None:
    steps = np.arange(1, 21)
    drift = np.stack([scale * steps**power, np.where(steps % 3 == 0, 0, scale * steps**power)])
    np.testing.assert_allclose(growth(drift), [power, power], atol=1e-6)
    assert np.isnan(growth(np.zeros((1, 20)))).all()


@pytest.mark.parametrize(
    ("power", "words"),
    [
        (Number(1.4, 1.1, 1.7), "compounding"),
        (Number(0.5, 0.2, 0.9), "saturating"),
        (Number(0.9, 0.6, 1.2), "cannot be told"),
        (Number(0.1, -0.1, 0.3), "no growth"),
        (Number(0.5, -0.5, 1.5), "cannot be told"),
        (Number(-0.2, -0.3, -0.1), "shrinking"),
        (Number(0.5), "no interval"),
        (Number(float("nan")), "no drift"),
    ],
)
def test_growth_in_words(power: Number, words: str) -> None:
    assert words in in_words(power)


def test_walks_by_hand(far: ExperimentResult) -> None:
    lab = walks(20)
    assert typical_step(lab.memory.rows) == pytest.approx(10)
    # Persistence stays where the world moves one typical step at a time: its drift is t, exactly in proportion.
    for t in (1, 5, 10, 20):
        title = f"What the error is made of, t={t}"
        persistence = cells(far, title, "persistence")
        assert persistence[2] == pytest.approx(np.sqrt((10 * t / 255) ** 2 / 2))
        assert persistence[3:] == pytest.approx([1, 0, 0, t, t])
        bound = cells(far, title, "encoder_bound")
        assert bound[:3] == [0, 0, 0]
        assert np.isnan(bound[3:6]).all()
    power, first, last, words = cells(far, "How latent drift grows", "persistence")
    assert (power, first, last) == pytest.approx((1, 1, 20))
    assert "cannot be told from proportional" in words
    assert cells(far, "How latent drift grows", "encoder_bound") == ["", 0, 0, "no drift"]
    assert far.experiment == "decomposition"
    assert not any("oracle" in row.label for table in far.tables for row in table.rows)


def test_evidence_is_what_a_slow_computation_gives(far: ExperimentResult) -> None:
    lab = walks(20)
    config = evaluation_config(lab)
    (method,) = [m for m in methods_of(lab, config) if (m.name, m.mode) == ("replay_kl", "requery")]
    remembered = lab.memory.rows.latents.mu.numpy().astype(np.float64)
    drift, nearest, truth = [], [], []
    for windows in windows_of(lab, config, "test"):
        latents = method.predict(windows).latents
        true = windows.true_latents.mu.numpy().astype(np.float64)
        drift.append(np.sqrt(((latents.mu.numpy() - true) ** 2).sum(2).mean(0)))
        z = latents.z[:, 19].numpy().astype(np.float64)
        nearest.append(np.mean([np.sqrt(((one - remembered) ** 2).sum(1)).min() for one in z]))
        truth.append(np.sqrt(((z - true[:, 19]) ** 2).sum(1)).mean())
    compound, coherent = far.evidence
    assert (compound.claim, coherent.claim) == ("errors_compound", "coherent_but_drifting")
    errors = np.stack(drift) / 10
    np.testing.assert_allclose(compound.a, 20 * errors[:, 0], rtol=1e-5)
    np.testing.assert_allclose(compound.b, errors[:, 19], rtol=1e-5)
    np.testing.assert_allclose(coherent.a, np.array(nearest) / 10, rtol=1e-4)
    np.testing.assert_allclose(coherent.b, np.array(truth) / 10, rtol=1e-4)


def test_short_horizons_give_no_evidence_on_long_ones() -> None:
    result = run(square_laboratory())
    assert result.evidence == ()
    titles = [table.title for table in result.tables]
    assert titles[:2] == ["What the error is made of, t=1", "What the error is made of, t=5"]
    for label in ("rollout requery", "replay_l2 follow", "replay_kl requery", "persistence", "data_mean"):
        total, drift, rmse, *parts = cells(result, titles[1], label)
        assert 0 < drift <= 1
        assert 0 < total <= 1
        assert rmse > 0
        assert sum(parts[:3]) == pytest.approx(1)
    rollout = cells(result, titles[1], "rollout requery")
    assert rollout[7] != rollout[6], "the sample lies elsewhere than the mean"
    assert any("add up" in note or "do not" in note or "may or may not" in note for note in result.notes)


class Still:
    """A trained model that says that nothing changes, in the encoder's latents."""

    about = "says that nothing changes"
    episodes_seen: tuple[str, ...] = ()

    def __init__(self, world: WorldModel) -> None:
        self.encoder_fingerprint = world.encoder.fingerprint
        self._world = world

    def imagine(
        self, observations: np.ndarray, actions: Any, *, past: Past | None = None, seed: int = 0, decode: bool = True
    ) -> Imagined:
        world = self._world
        rollout = world.imagine(observations, actions)
        start = world.encode(observations)
        latents = type(start)(*(start.mu[:, None].expand_as(rollout.latents.mu) for _ in range(3)))
        return Imagined(latents, world.decode(latents), rollout.rewards, rollout.termination)


def test_models_with_their_own_decoder_are_left_out() -> None:
    lab = square_laboratory()
    still = Still(WorldModel(lab.encoder, lab.memory))
    result = run(replace(lab, models={"latent_gru": still, "rssm_pixels": still}))
    labels = [row.label for row in result.tables[0].rows]
    assert "latent_gru" in labels
    assert "rssm_pixels" not in labels
    assert any("rssm_pixels" in note for note in result.notes)
    title = result.tables[0].title
    assert cells(result, title, "latent_gru") == pytest.approx(cells(result, title, "persistence"))
    assert any("latent_gru" in chart.title for chart in result.charts)


def test_a_real_recording_with_one_held_out_episode_says_so() -> None:
    result = run(pong_laboratory())
    assert cells(result, "How latent drift grows", "replay_kl requery")[3] == "one episode: no interval"
