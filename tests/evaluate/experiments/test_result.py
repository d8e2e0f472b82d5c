"""Results on disk: what is written is read again, and what is damaged or another's is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.evaluate.experiments.result import (
    Chart,
    Curve,
    Evidence,
    ExperimentResult,
    Heatmap,
    Number,
    ResultTable,
    Row,
    read_result,
    write_result,
)
from memworld.evaluate.results import MetricRow, Strip
from tests.helpers import one_clear_error

NAN = float("nan")
SETTINGS = {"starts": 2}
RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (3, 4, 4, 3), np.uint8)
WHOLE = ExperimentResult(
    "horizon",
    "toy/world",
    tables=(
        ResultTable(
            "errors",
            "lower is better",
            ("t=1", "words"),
            (Row("persistence", (Number(0.1, 0.05, 0.2), "none"), "baseline"), Row("<b>", (Number(NAN), ""))),
        ),
    ),
    charts=(Chart("c", "x", "y", (Curve("m", (1.0, 2.0), (3.0, NAN), (2.0, NAN), (4.0, NAN)),), log_x=True),),
    heatmaps=(Heatmap("h", ("a", "b"), np.array([[0, NAN], [1, 2.5]]), "steps"),),
    strips=(Strip("e0", 7, (1, 5), FRAMES[0], FRAMES[:2], (("m", FRAMES[1:]),)),),
    evidence=(Evidence("long_horizon_better", "t = 20", (1.0, NAN), (2.0, 3.0)),),
    metrics=(MetricRow("toy/world", "m", "", 1, "kl", 0.5, NAN, NAN, 1),),
    notes=("a note",),
    seconds=1.5,
)


def same(a: ExperimentResult, b: ExperimentResult) -> bool:
    """Equal in all they hold; NaN equals NaN, as text has it."""
    with np.printoptions(threshold=10**6):
        return repr(a) == repr(b)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_result(tmp_path / "r", WHOLE, SETTINGS)
    found = read_result(tmp_path / "r", "horizon", "toy/world", SETTINGS)
    assert found is not None
    assert same(found, WHOLE)
    json.loads((tmp_path / "r" / "result.json").read_text(), parse_constant=pytest.fail)


@given(
    values=st.lists(st.floats(width=64) | st.just(NAN), min_size=1, max_size=5),
    labels=st.lists(st.text(max_size=8), min_size=1, max_size=3),
)
@settings(max_examples=30)
def test_any_numbers_and_words_survive(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], labels: list[str]
) -> None:
    finite = [v if np.isfinite(v) else NAN for v in values]
    cells = tuple(Number(v) for v in finite)
    table = ResultTable("t", "", tuple(f"{i}" for i in range(len(cells))), tuple(Row(label, cells) for label in labels))
    result = replace(WHOLE, tables=(table,), evidence=(Evidence("x", "y", tuple(finite), tuple(finite)),))
    folder = tmp_path_factory.mktemp("r")
    write_result(folder, result, SETTINGS)
    found = read_result(folder, "horizon", "toy/world")
    assert found is not None
    assert same(found, result)


def test_what_is_not_there_is_not_finished(tmp_path: Path) -> None:
    assert read_result(tmp_path / "r", "horizon", "toy/world", SETTINGS) is None


def test_other_settings_are_refused(tmp_path: Path) -> None:
    write_result(tmp_path, WHOLE, SETTINGS)
    with one_clear_error("made with other settings"):
        read_result(tmp_path, "horizon", "toy/world", {"starts": 3})


def without_a_column(folder: Path) -> None:
    stored = json.loads((folder / "result.json").read_text())
    stored["result"]["tables"][0]["columns"].pop()
    (folder / "result.json").write_text(json.dumps(stored))


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: (f / "result.json").write_text("{"),
        lambda f: (f / "result.json").write_text('{"memworld": "experiment", "settings": {"starts": 2}}'),
        lambda f: (f / "arrays.safetensors").unlink(),
        lambda f: (f / "arrays.safetensors").write_bytes(b"0"),
        lambda f: (f / "metrics.parquet").write_bytes(b"0"),
        lambda f: (f / "metrics.parquet").unlink(),
        lambda f: (f / "result.json").write_text('{"memworld": "experiment", "settings": {"starts": 2}, "result": []}'),
        without_a_column,
    ],
)
def test_damage_is_one_clear_error(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    write_result(tmp_path, WHOLE, SETTINGS)
    damage(tmp_path)
    with one_clear_error("result.json|arrays"):
        read_result(tmp_path, "horizon", "toy/world", SETTINGS)


def test_the_first_version_s_files_still_open() -> None:
    found = read_result(Path(__file__).parents[2] / "golden" / "result-v1", "horizon", "toy/world", SETTINGS)
    assert found is not None
    assert same(found, WHOLE)


@pytest.mark.parametrize("other", [("coverage", "toy/world"), ("horizon", "moon")])
def test_a_result_of_something_else_is_refused(tmp_path: Path, other: tuple[str, str]) -> None:
    write_result(tmp_path, WHOLE, SETTINGS)
    with one_clear_error("it is of horizon in toy/world"):
        read_result(tmp_path, *other, SETTINGS)
