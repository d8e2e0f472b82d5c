import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from memworld.distill import Curve, DistillConfig, choose, distill, latent_curve, write_curve
from memworld.distill.curve import AHEAD, kept_of
from memworld.evaluate.protocol import split_by_memory
from memworld.formats import open_dataset
from memworld.store import check_memory, open_memory, save_memory
from memworld.world_model import WorldModel
from tests.helpers import folder_bytes, one_clear_error
from tests.toy_memories import ENCODER, episode, memory_of


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with five episodes of 20 steps."""
    save_memory(memory_of(*(episode(i, 20) for i in range(5))), tmp_path / "memory", encoder=ENCODER)
    return tmp_path / "memory"


@pytest.mark.parametrize("how", [{"rows": 40}, {"share": 40 / 105}])
def test_a_smaller_memory_opens_and_the_larger_is_as_it_was(
    stored: Path, tmp_path: Path, how: dict[str, float]
) -> None:
    before = folder_bytes(stored)
    made = distill(stored, tmp_path / "small", config=DistillConfig(piece=5), **how)  # type: ignore[arg-type]
    assert folder_bytes(stored) == before
    small = open_memory(tmp_path / "small")
    assert small.ids == made.memory.ids
    assert 30 < len(small) <= 40
    assert check_memory(tmp_path / "small").problems == ()
    assert WorldModel.open(tmp_path / "small").encoder.fingerprint == ENCODER.fingerprint
    # Every row is one of the larger memory's, frame and all.
    large = open_memory(stored)
    for number, part in enumerate(small.entries):
        origin, first = part.origin
        for step in range(part.steps + 1):
            mine, its = small.row_of(part.id, step), large.row_of(origin, first + step)
            assert np.array_equal(small.rows.latents.z[mine], large.rows.latents.z[its])
            assert np.array_equal(small.frames([mine]), large.frames([its]))
        assert number <= len(small.entries)


def test_what_cannot_be_asked(stored: Path, tmp_path: Path) -> None:
    output = tmp_path / "small"
    for wrong, match in (
        ({}, "say how much to keep: a number of rows, or a share of them"),
        ({"rows": 10, "share": 0.5}, "say how much to keep"),
        ({"share": 1.0}, "a share to keep is above 0 and below 1, got 1.0"),
        ({"share": float("nan")}, "a share to keep is above 0 and below 1, got nan"),
        ({"rows": 105}, "the memory has 105 rows: keep at least 1 and fewer than that, not 105"),
        ({"rows": 0}, "keep at least 1"),
        ({"rows": 5}, "have no room for a piece"),
        ({"rows": 40, "on_existing": "resume"}, "a distillation is made in one go"),
    ):
        with one_clear_error(match):
            distill(stored, output, **wrong)
    assert not output.exists()
    with one_clear_error("is the memory itself: name another folder"):
        distill(stored, tmp_path / "memory", rows=40, on_existing="overwrite")
    with one_clear_error("is no memory"):
        distill(tmp_path / "none", output, rows=40)


def test_another_folder_is_replaced_only_if_it_is_a_memory_and_one_asks_for_it(stored: Path, tmp_path: Path) -> None:
    config, output = DistillConfig(piece=5), tmp_path / "small"
    distill(stored, output, rows=30, config=config)
    with one_clear_error("exists and is not empty"):
        distill(stored, output, rows=60, config=config)
    distill(stored, output, rows=60, config=config, on_existing="overwrite")
    assert len(open_memory(output)) > 30
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/text").write_text("years of work")
    with one_clear_error("is not memworld's to overwrite"):
        distill(stored, tmp_path / "thesis", rows=30, config=config, on_existing="overwrite")


def test_an_episode_can_be_forgotten_by_the_name_it_was_recorded_under(stored: Path, tmp_path: Path) -> None:
    from memworld.store import forget_episodes

    distill(stored, tmp_path / "small", rows=60, config=DistillConfig(piece=5))
    small = open_memory(tmp_path / "small")
    gone = small.entries[0].origin[0]
    kept = [entry.id for entry in small.entries if entry.origin[0] != gone]
    forget_episodes(tmp_path / "small", [gone])
    assert list(open_memory(tmp_path / "small").ids) == kept
    small.remove([gone])
    assert list(small.ids) == kept


def test_the_curve_in_latents_is_measured_as_it_says() -> None:
    memory = memory_of(*(episode(i, 12) for i in range(3)))
    config = DistillConfig(piece=12, context=1)
    choice = choose(memory, 26, config)
    curve = latent_curve(memory, choice, [26], config)
    assert curve.rows == (26, 39)
    assert [growth.value for growth in curve.growth] == [curve.errors[0].value / curve.errors[1].value, 1.0]
    mu = [one.latents.mu.numpy() for one in memory.episodes]
    moments = [(e, t) for e in range(3) for t in range(12 - AHEAD + 1)]

    def literal(kept: list[int]) -> float:
        errors = []
        for e, t in moments:
            others = [(o, s) for o, s in moments if o in kept and o != e]
            if others:
                o, s = min(others, key=lambda m: float(np.linalg.norm(mu[m[0]][m[1]] - mu[e][t])))
                errors.append(np.linalg.norm(mu[o][s + AHEAD] - mu[e][t + AHEAD]))
        return float(np.mean(errors))

    kept = [piece.episode for piece in kept_of(memory, choice, 26)]
    assert curve.errors[0].value == pytest.approx(literal(kept), rel=1e-5)
    assert curve.errors[1].value == pytest.approx(literal([0, 1, 2]), rel=1e-5)
    still = np.mean([np.linalg.norm(mu[e][t] - mu[e][t + AHEAD]) for e, t in moments])
    assert curve.baselines["persistence"].value == pytest.approx(float(still), rel=1e-5)


def test_where_no_curve_can_be_measured() -> None:
    single = memory_of(episode(0, 20))
    with one_clear_error("the memory has a single one"):
        latent_curve(single, choose(single, 11, DistillConfig(piece=10)), [11])
    short = memory_of(episode(0, 3), episode(1, 3))
    with one_clear_error(f"no episode has {AHEAD} steps"):
        latent_curve(short, choose(short, 4), [4])
    long = memory_of(episode(0, 20), episode(1, 20))
    with one_clear_error(f"no kept piece has {AHEAD} steps"):
        latent_curve(long, choose(long, 8, DistillConfig(piece=2)), [4])


def test_the_command_measures_in_pictures_on_held_out_episodes(
    quick_run: Path, tmp_path: Path, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[distill.__module__], "SHARES", (0.25,))
    run = quick_run
    small, curves = tmp_path / "small", tmp_path / "curves"
    asked = ("distill", run / "memory", "-o", small, "--share", 0.5, "--piece", 10, "-q")
    result = call(*asked, "--curve", curves, "--data", run / "episodes")
    assert result.exit_code == 0, result.output
    assert "error on moving pixels, 5 steps ahead, of analogues" in result.output
    assert "persistence" in result.output
    measured = json.loads((curves / "curves.json").read_text())
    assert [curve["name"] for curve in measured] == ["latent error", "moving-pixel L1"]
    for curve in measured:
        assert len(curve["rows"]) == len(curve["errors"]) == len(curve["growth"])
        assert curve["rows"][-1] == len(open_memory(run / "memory"))
        assert curve["growth"][-1]["value"] == 1
    for picture in ("latent-error.png", "moving-pixel-l1.png"):
        with Image.open(curves / picture) as image:
            assert min(image.size) > 300
    # The pieces' own episodes are not taken for held-out ones.
    training, held_out = split_by_memory(open_dataset(run / "episodes"), open_memory(small))
    assert set(held_out.ids).isdisjoint(open_memory(run / "memory").ids) or len(training) < len(
        open_memory(run / "memory").ids
    )
    for more, match in (
        (("--data", run / "episodes", "--overwrite"), "--data measures a curve: name a folder for it with --curve"),
        ((), "exists and is not empty"),
    ):
        result = call(*asked, *more)
        assert result.exit_code == 2
        assert match in result.output


def test_a_curve_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with one_clear_error("is a file: name a folder"):
        write_curve(tmp_path / "file", [Curve("a", "b", (), (), (), {})])
