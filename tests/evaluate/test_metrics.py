import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.evaluate.metrics import StateProbe, median_picture, ssim
from memworld.memory import Memory
from memworld.pixels import MOVING, l1, moving_pixel_l1
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, walk


def noise(seed: int, count: int = 3, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, channels), np.uint8)


def naive_moving(true: np.ndarray, predicted: np.ndarray, median: np.ndarray) -> float:
    """METHOD section 6, a pixel at a time."""
    errors = []
    for y in range(true.shape[0]):
        for x in range(true.shape[1]):
            t, p, m = (f[y, x].astype(float) / 255 for f in (true, predicted, median))
            if (abs(t - m) > MOVING).any() or (abs(p - m) > MOVING).any():
                errors.append(abs(t - p).mean())
    return float(np.mean(errors)) if errors else float("nan")


@settings(max_examples=20)
@given(seed=st.integers(0, 999), still=st.floats(0, 1), channels=st.sampled_from([1, 3]))
def test_moving_pixel_l1_is_the_naive_one(seed: int, still: float, channels: int) -> None:
    true, predicted, median = noise(seed, 2, channels), noise(seed + 1, 2, channels), noise(seed + 2, 1, channels)[0]
    quiet = np.random.default_rng(seed).random((2, 16, 16, 1)) < still
    true, predicted = np.where(quiet, median, true), np.where(quiet, median + 5, predicted).astype(np.uint8)
    measured = moving_pixel_l1(true, predicted, median)
    for i in range(2):
        assert measured[i] == pytest.approx(naive_moving(true[i], predicted[i], median), nan_ok=True, abs=1e-6)


def test_a_phantom_costs_as_much_as_a_miss() -> None:
    empty, ball = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)
    ball[0, 3, 3] = 200
    assert moving_pixel_l1(ball, empty, empty[0]) == moving_pixel_l1(empty, ball, empty[0]) == pytest.approx(200 / 255)
    assert np.isnan(moving_pixel_l1(empty, empty, empty[0]))


def test_whole_frame_l1_cannot_see_what_moving_pixel_l1_sees() -> None:
    empty, ball = np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 64, 3), np.uint8)
    ball[0, 3, 3] = 255
    assert l1(ball, empty) == pytest.approx(1 / 4096)
    assert moving_pixel_l1(ball, empty, empty[0]) == pytest.approx(1)


def test_l1_and_ssim_of_equal_frames() -> None:
    frames = noise(0)
    assert (l1(frames, frames) == 0).all()
    np.testing.assert_allclose(ssim(frames, frames), 1, atol=1e-6)
    assert (ssim(frames, noise(1)) < 0.2).all()


def test_ssim_is_the_naive_one() -> None:
    """Wang et al. 2004: a Gaussian window of 11, sigma 1.5, around every pixel, mirrored at the edges."""
    true, predicted = noise(2, 1, 1), noise(3, 1, 1)
    a, b = (np.pad(f[0, ..., 0] / 255.0, 5, mode="reflect") for f in (true, predicted))
    offsets = np.arange(11) - 5
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / np.outer(line, line).sum()
    values = []
    for y in range(16):
        for x in range(16):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
            cov = (window * p * q).sum() - mp * mq
            c1, c2 = 0.01**2, 0.03**2
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    assert ssim(true, predicted)[0] == pytest.approx(np.mean(values), abs=1e-4)


def test_state_probe_reads_the_state_of_the_nearest_training_latents() -> None:
    dataset = EpisodeDataset.from_episodes(LEFT_RIGHT, [walk("a", 50, [1] * 8), walk("b", 50, [1] * 8)])
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    with one_clear_error("no training episode is in the memory: remember them first"):
        StateProbe.fit(dataset, memory)
    memory.extend(dataset, encoder)
    probe = StateProbe.fit(dataset, memory)
    assert probe.names == ("position",)
    z, _ = encoder.encode(np.array([[[[70], [0]]]], np.uint8))
    # The five nearest of two equal walks: 70 twice, then 60 twice and 80 once, as ties go to the lower row.
    assert probe.read(z).tolist() == [[pytest.approx((70 + 70 + 60 + 80 + 60) / 5)]]
    nameless = EpisodeDataset.from_episodes(DatasetInfo((1, 2, 1), LEFT_RIGHT.action_space), [])
    with one_clear_error("has no states"):
        StateProbe.fit(nameless, memory)


def test_median_picture() -> None:
    dataset = EpisodeDataset.from_episodes(LEFT_RIGHT, [walk("a", 50, [1, 1, 1, 1], lane=9)])
    assert median_picture(dataset)[0, :, 0].tolist() == [70, 9]
