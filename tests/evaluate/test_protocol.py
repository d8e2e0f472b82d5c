"""The protocol on a world whose every number can be worked out by hand."""

import numpy as np
import pytest
import torch

from memworld.datasets import EpisodeDataset
from memworld.evaluate.collect import Numbers
from memworld.evaluate.config import EvaluationConfig, paper_strategies, usual_dynamics
from memworld.evaluate.methods import data_mean, encoder_bound, oracle, persistence, search_methods
from memworld.evaluate.protocol import evaluate
from memworld.evaluate.results import KINDS, USES_TRUTH, Evaluation
from memworld.evaluate.windows import held_out_windows
from memworld.imagine import MODES
from memworld.memory import Memory
from memworld.world_model import WorldModel
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, walk

ENCODER = PixelEncoder((1, 2, 1), sigma=0.5)
TRAINING = EpisodeDataset.from_episodes(LEFT_RIGHT, [walk(f"t{i}", 20 + i, [1] * 12, lane=3 * i) for i in range(4)])
HELD_OUT = EpisodeDataset.from_episodes(LEFT_RIGHT, [walk(f"h{i}", 21 + i, [1] * 12, lane=1) for i in range(3)])
CONFIG = EvaluationConfig(horizon=4, starts=5, shown=(1, 4), timing_batch=3)


def memory() -> Memory:
    made = Memory(LEFT_RIGHT, ENCODER)
    made.extend(TRAINING, ENCODER)
    return made


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(ENCODER, memory(), TRAINING, HELD_OUT, CONFIG)


def test_all_that_takes_long_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(ENCODER, memory(), TRAINING, HELD_OUT, CONFIG, progress=True)
    shown = capsys.readouterr().err
    assert "evaluate 11 methods on 3 episodes: 100%" in shown
    assert "33/33" in shown
    assert "time a step: 100%" in shown


def test_facts_are_written_for_people(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluation.facts["memory"] == "4 episodes, 48 transitions"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    one = evaluate(ENCODER, memory(), TRAINING, HELD_OUT[:2], CONFIG)
    assert one.facts["arithmetic"] == "1 thread"


def test_windows_never_leave_their_episode_and_start_where_chance_says() -> None:
    windows = list(held_out_windows(HELD_OUT, ENCODER, horizon=4, starts=5, seed=0))
    assert [w.episode for w in windows] == ["h0", "h1", "h2"]
    for number, w in enumerate(windows):
        assert len(set(w.starts.tolist())) == 5
        assert w.starts.min() >= 0
        assert w.starts.max() + 4 <= 12
        first = 21 + number + 10 * w.starts
        assert w.start_frames[:, 0, 0, 0].tolist() == first.tolist()
        assert w.true_frames[:, :, 0, 0, 0].tolist() == (first[:, None] + [10, 20, 30, 40]).tolist()
        assert w.true_states is not None
        assert w.true_states[..., 0].tolist() == w.true_frames[:, :, 0, 0, 0].tolist()
    others = list(held_out_windows(HELD_OUT, ENCODER, horizon=4, starts=5, seed=1))
    assert any((a.starts != b.starts).any() for a, b in zip(windows, others, strict=True))
    all_starts = next(iter(held_out_windows(HELD_OUT, ENCODER, horizon=4, starts=99, seed=0)))
    assert all_starts.starts.tolist() == list(range(9))


def test_a_method_that_may_not_see_the_truth_does_not_change_with_it() -> None:
    """Strategies and baselines get windows whose truth is scrambled and must say the same."""
    windows = next(iter(held_out_windows(HELD_OUT, ENCODER, horizon=4, starts=5, seed=0)))
    scrambled = type(windows)(
        **{
            **vars(windows),
            "true_frames": 255 - windows.true_frames,
            "true_latents": windows.true_latents[torch.arange(4, -1, -1)],
            "true_states": None,
        }
    )
    made = memory()
    honest = [persistence(), data_mean(made, TRAINING[0].observations[0], None)]
    for name, dynamics in usual_dynamics().items():
        honest += search_methods(WorldModel(ENCODER, made, dynamics), name, MODES, 0)
    for method in honest:
        assert KINDS.get(method.name) != USES_TRUTH
        np.testing.assert_array_equal(method.predict(windows).frames, method.predict(scrambled).frames)
    for method in (encoder_bound(ENCODER), oracle(ENCODER, made, 0)):
        assert KINDS[method.name] == USES_TRUTH
        assert (method.predict(windows).frames != method.predict(scrambled).frames).any()


def value(evaluation: Evaluation, method: str, mode: str, metric: str, horizon: int) -> float:
    row = evaluation.table.get(method, mode, metric, horizon)
    assert row is not None, (method, mode, metric, horizon)
    return row.value


def test_baselines_have_the_errors_that_arithmetic_gives_them(evaluation: Evaluation) -> None:
    for t in range(1, 5):
        assert value(evaluation, "encoder_bound", "", "l1", t) == 0
        assert value(evaluation, "encoder_bound", "", "kl", t) == 0
        # Persistence misses 10 grey levels a step on one of the two pixels.
        assert value(evaluation, "persistence", "", "l1", t) == pytest.approx(10 * t / 2 / 255)
        assert value(evaluation, "persistence", "", "kl", t) == pytest.approx((10 * t) ** 2 / (2 * 0.5**2))
        assert value(evaluation, "data_mean", "", "state_error", t) > 0


def test_searches_come_near_the_truth_and_the_oracle_nearer_than_it_should(evaluation: Evaluation) -> None:
    for mode in ("requery", "follow"):
        for t in (1, 4):
            assert value(evaluation, "replay_kl", mode, "l1", t) < 0.3 * value(evaluation, "persistence", "", "l1", t)
            assert value(evaluation, "replay_kl", mode, "l1_minus_persistence", t) < 0
    assert value(evaluation, "oracle", "", "state_error", 4) < 5


def test_every_table_carries_every_baseline_metric_and_horizon(evaluation: Evaluation) -> None:
    table = evaluation.table
    assert table.methods == [
        ("encoder_bound", ""), ("persistence", ""), ("data_mean", ""),
        ("rollout", "requery"), ("rollout", "follow"), ("replay_l2", "requery"), ("replay_l2", "follow"),
        ("replay_kl", "requery"), ("replay_kl", "follow"), ("default", "follow"),
        ("oracle", ""),
    ]  # fmt: skip
    assert table.horizons == [1, 2, 3, 4]
    for method, mode in table.methods:
        for metric in ("kl", "l1", "ssim", "moving_pixel_l1", "state_error", "state_error:position"):
            row = table.get(method, mode, metric, 3)
            assert row is not None
            assert (row.world, row.n) == ("line", 0 if metric == "ssim" else 3)
            # Frames of two pixels have no SSIM.
            assert row.low <= row.value <= row.high or metric == "ssim"
    assert table.get("rollout", "follow", "support", 1) is not None


def test_same_seed_same_numbers(evaluation: Evaluation) -> None:
    again = evaluate(ENCODER, memory(), TRAINING, HELD_OUT, CONFIG)
    # As text, in which no number equals no number.
    assert str(again.table.rows) == str(evaluation.table.rows)


def test_pictures_show_what_was_measured(evaluation: Evaluation) -> None:
    strip = evaluation.strips[0]
    assert (strip.episode, strip.horizons, strip.truth.shape) == ("h0", (1, 4), (2, 1, 2, 1))
    assert [label for label, _ in strip.rows][:3] == ["encoder_bound", "persistence", "data_mean"]
    np.testing.assert_array_equal(dict(strip.rows)["encoder_bound"], strip.truth)
    for retrieval in evaluation.retrievals:
        distances = [n.distance for n in retrieval.neighbours]
        assert distances == sorted(distances)
        for neighbour in retrieval.neighbours:
            recorded = TRAINING.load(neighbour.episode).observations
            np.testing.assert_array_equal(neighbour.frame, recorded[neighbour.step])
            np.testing.assert_array_equal(neighbour.successor, recorded[neighbour.step + 1])
    assert {r.method for r in evaluation.retrievals} == {"rollout", "replay_l2", "replay_kl", "default"}


def test_bad_input() -> None:
    with one_clear_error("held-out episode t0 is in the memory"):
        evaluate(ENCODER, memory(), TRAINING, TRAINING, CONFIG)
    with one_clear_error("no held-out episode has 20 steps"):
        evaluate(ENCODER, memory(), TRAINING, HELD_OUT, EvaluationConfig())
    with one_clear_error("horizon must be at least 1"):
        EvaluationConfig(horizon=0)
    with one_clear_error("at least one dynamics"):
        EvaluationConfig(dynamics={})
    with one_clear_error("unknown mode 'walk'"):
        EvaluationConfig(modes=("walk",))  # type: ignore[arg-type]
    with one_clear_error("shown steps must be at least 1"):
        EvaluationConfig(shown=(0, 1))
    with one_clear_error("seed must be at least 0"):
        EvaluationConfig(seed=-1)
    with one_clear_error("held-out episode h1 trained the encoder"):
        trained = PixelEncoder(sigma=0.5)
        trained.episodes_seen = ("t0", "h1")
        evaluate(trained, memory(), TRAINING, HELD_OUT, CONFIG)
    with one_clear_error("made by encoder"):
        evaluate(PixelEncoder(sigma=1.0), memory(), TRAINING, HELD_OUT, CONFIG)


def test_differences_from_persistence_are_taken_window_by_window() -> None:
    """A window in which one of the two has no number is left out of the difference, and of no more."""
    nan = float("nan")
    numbers = Numbers()
    numbers.add(
        {
            ("persistence", ""): {"moving_pixel_l1": np.array([[1.0], [nan], [4.0]])},
            ("rollout", "follow"): {"moving_pixel_l1": np.array([[2.0], [7.0], [nan]])},
        }
    )
    found = {(r.method, r.metric): r.value for r in numbers.table("w", seed=0)}
    assert found["persistence", "moving_pixel_l1"] == 2.5
    assert found["rollout", "moving_pixel_l1"] == 4.5
    assert found["rollout", "moving_pixel_l1_minus_persistence"] == 1.0


def test_every_episode_has_noise_of_its_own() -> None:
    made = memory()
    [method] = search_methods(WorldModel(ENCODER, made, paper_strategies()["replay_kl"]), "replay_kl", ("follow",), 0)
    noise = []
    for windows in held_out_windows(HELD_OUT, ENCODER, horizon=4, starts=5, seed=0):
        latents = method.predict(windows).latents
        noise.append((latents.z - latents.mu) / latents.sigma)
    assert not torch.isclose(noise[0], noise[1], atol=1e-3).any(-1).all()
