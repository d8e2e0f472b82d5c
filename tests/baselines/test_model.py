"""A trained baseline in use, and its files: what it imagines, what it refuses, what damage does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memworld.baselines.model import TrainedBaseline
from memworld.rollout import Past
from tests.baselines.toys import ENCODER, HELD_OUT, train
from tests.helpers import PixelEncoder, one_clear_error

EPISODE = HELD_OUT[0]
FRAME, ACTIONS = EPISODE.observations[4], EPISODE.actions[4:9]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model") / "model"
    train(made)
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> TrainedBaseline:
    return TrainedBaseline.open(folder, ENCODER)


def test_one_frame_serves_many_sequences_and_many_frames_one(model: TrainedBaseline) -> None:
    many = np.stack([ACTIONS, (ACTIONS + 1) % 4])
    both = model.imagine(FRAME, many)
    assert both.frames is not None
    assert both.frames.shape == (2, 5, 8, 8, 1)
    assert both.rewards.shape == both.termination.shape == (2, 5)
    assert bool(((both.termination >= 0) & (both.termination <= 1)).all())
    for row in range(2):
        alone = model.imagine(FRAME, many[row])
        torch.testing.assert_close(alone.latents.mu[0], both.latents.mu[row])
    spread = model.imagine(EPISODE.observations[:3], ACTIONS)
    torch.testing.assert_close(spread.latents.mu[1], model.imagine(EPISODE.observations[1], ACTIONS).latents.mu[0])


def test_more_futures_than_a_pass_takes(model: TrainedBaseline) -> None:
    frames = np.tile(EPISODE.observations, (4, 1, 1, 1))
    many = model.imagine(frames, ACTIONS[:2], decode=False)
    assert many.frames is None
    assert many.latents.mu.shape == (len(frames), 2, 64)
    torch.testing.assert_close(many.latents.mu[-1], many.latents.mu[len(EPISODE.observations) - 1])


def test_a_past_counts_as_far_as_it_is_known(model: TrainedBaseline) -> None:
    starts = np.array([0, 1, 7])
    past = Past.of(EPISODE, starts, 3)
    assert past.known.tolist() == [[False] * 3, [False, False, True], [True] * 3]
    told = model.imagine(EPISODE.observations[starts], ACTIONS, past=past)
    blank = model.imagine(EPISODE.observations[starts], ACTIONS)
    torch.testing.assert_close(told.latents.mu[0], blank.latents.mu[0])
    assert not torch.allclose(told.latents.mu[2], blank.latents.mu[2])


def test_frames_are_the_samples_decoded(model: TrainedBaseline) -> None:
    imagined = model.imagine(FRAME, ACTIONS)
    np.testing.assert_array_equal(imagined.frames[0], ENCODER.decode(imagined.latents.z[0]))  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": ACTIONS[:0]}, "horizon is 0"),
        ({"actions": ACTIONS + 9}, "9|1[0-9]"),
        ({"actions": np.zeros((2, 3, 4), int)}, "actions have shape"),
        ({"observations": FRAME[:4]}, "frames must be uint8"),
        ({"observations": FRAME / 255}, "frames must be uint8"),
        ({"observations": EPISODE.observations[:0]}, "frames must be uint8"),
        ({"observations": EPISODE.observations[:3], "actions": np.tile(ACTIONS, (2, 1))}, "3 observations and 2"),
        ({"past": Past.of(EPISODE, np.array([3, 4]), 2)}, "a past of 2 and 1 observations"),
        (
            {"past": Past(EPISODE.observations[None, :2, :4], ACTIONS[None, :2], np.ones((1, 2), bool))},
            "a past of frames",
        ),
        ({"past": Past(EPISODE.observations[None, :3], ACTIONS[None, :1], np.ones((1, 3), bool))}, "a past of frames"),
    ],
)
def test_what_cannot_be_imagined(model: TrainedBaseline, change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"observations": FRAME, "actions": ACTIONS, **change}
    with one_clear_error(message):
        model.imagine(**given)


def test_a_past_of_no_moments(model: TrainedBaseline) -> None:
    past = Past.of(EPISODE, np.array([4]), 0)
    assert isinstance(past, Past)
    assert torch.equal(model.imagine(FRAME, ACTIONS, past=past).latents.mu, model.imagine(FRAME, ACTIONS).latents.mu)


def described(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "model.json"
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.json").unlink(), "model.json"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
        (lambda f: (f / "model.json").write_text("{"), "model.json"),
        (lambda f: (f / "training.json").write_text('{"history": [3]}'), "training.json is damaged"),
        (lambda f: (f / "training.json").write_text('{"history": [{"step": 1}]}'), "training.json is damaged"),
        (described(lambda d: d.update(format=99)), "update memworld"),
        (described(lambda d: d.update(name="other")), "update memworld"),
        (described(lambda d: d.update(encoder="0" * 64)), "trained with encoder"),
        (described(lambda d: d.update(weights="")), "not those that were saved"),
        (described(lambda d: d["config"].update(hidden=9)), "is damaged"),
        (described(lambda d: d["config"].update(extra=9)), "is damaged"),
        (described(lambda d: d.pop("action_space")), "is damaged"),
    ],
)
def test_damaged_files(folder: Path, tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    damage(copy)
    with one_clear_error(message):
        TrainedBaseline.open(copy, ENCODER)


def test_another_encoder_cannot_open_it(folder: Path) -> None:
    with one_clear_error("open it with the memory's own encoder"):
        TrainedBaseline.open(folder, PixelEncoder((8, 8, 1), 0.2))


def test_the_first_version_s_files_still_open_and_answer_alike() -> None:
    golden = Path(__file__).parents[1] / "golden" / "baseline-v1"
    imagined = TrainedBaseline.open(golden, ENCODER).imagine(FRAME, ACTIONS)
    expected = np.load(golden / "imagined.npy", allow_pickle=False)
    np.testing.assert_allclose(imagined.latents.mu[0].numpy(), expected, rtol=1e-4, atol=1e-4)
