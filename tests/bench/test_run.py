"""Whole runs on tiny memories: what they keep, how they go on, and the command line. No timing is asserted."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from memworld.bench import peer_times, peers, show
from memworld.bench import run as run_module
from memworld.bench.cases import Case, Imagined, Settings
from memworld.bench.measure import WrongAnswers
from memworld.bench.results import Record, make_record, read_results
from memworld.bench.run import run
from memworld.bench.timing import Budget
from memworld.cli import app
from memworld.search import Candidates, Matches, Query
from memworld.search.exact import ExactIndex
from tests.helpers import one_clear_error

SEARCHES = [("replay_l2", 10), ("replay_kl", 1), ("rollout", 1)]
CASES = tuple(Case(rows, 4, batch, s, k) for rows in (200, 1100) for s, k in SEARCHES for batch in (1, 16))
APPROXIMATE = tuple(Case(200, 4, 2, s, 10, index="approximate") for s in ("replay_l2", "replay_kl"))
TINY = Settings(
    CASES,
    Imagined(rows=1100, d=4, batch=2, horizon=2),
    budget=Budget(seconds=0, runs=1, most=1),
    recall_queries=20,
    copy_bytes=1 << 16,
    matrix_size=32,
)
ALONE = replace(TINY, cases=CASES[:1], imagined=None)


class HalfBlind:
    """An index that finds every other of the rows that there are."""

    bytes_per_row = 8.0

    def __init__(self, metric: str, memory: Candidates) -> None:
        self._exact = ExactIndex(metric, memory, device="cpu")

    def nearest(self, query: Query, k: int) -> Matches:
        found = self._exact.nearest(query, 2 * k)
        return Matches(found.rows[:, ::2], found.distances[:, ::2], found.penalties[:, ::2])

    def nearest_per_episode(self, query: Query) -> Matches:
        raise AssertionError("not asked for")


@pytest.fixture
def half_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Approximate indexes are half blind."""
    build = run_module._build

    def instead(case: Case, memory: Candidates, device: str) -> Any:
        return HalfBlind(case.metric, memory) if case.index == "approximate" else build(case, memory, device)

    monkeypatch.setattr(run_module, "_build", instead)
    monkeypatch.setattr(run_module, "has_faiss", lambda: True)


def test_a_run_measures_every_case_and_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    results = run(TINY, file)
    stored = json.loads(file.read_text())
    assert {"settings", "limits", "cases", "imagination", "left_out"} <= set(stored)
    assert sorted(r["case"] for r in stored["cases"]) == sorted(c.name for c in CASES)
    for record in stored["cases"]:
        assert set(record) == {field.name for field in fields(Record)}
        assert record["ms_per_query"] > 0
        assert record["times_faster_than_literal"] == pytest.approx(record["literal_ms"] / record["ms_per_query"])
        assert record["limit"] == ("bandwidth" if record["batch"] == 1 else "product")
        assert (record["recall"], record["recall_at_1"]) == (1, 1), "checked against the literal answers"
        assert (record["literal_unvalidated_ms"] is not None) == (record["strategy"] == "replay_kl")
    kinds = [(r["conditioning"], r["decode"]) for r in stored["imagination"]]
    assert kinds == [("none", False), ("none", True), ("hard", False), ("hard", True)]
    assert all(r["steps_per_second"] > 0 for r in stored["imagination"])
    assert read_results(file) == results


def test_precisions_have_indexes_of_their_own(tmp_path: Path) -> None:
    cases = tuple(replace(CASES[0], precision=p) for p in ("auto", "float32", "bfloat16", "float16"))
    results = run(replace(ALONE, cases=cases), tmp_path / "bench.json")
    by_precision = {r.precision: r.bytes_per_row for r in results.cases}
    assert len(by_precision) == 4
    assert by_precision["bfloat16"] == by_precision["float16"] < by_precision["float32"]


def test_large_memories_are_not_checked_literally() -> None:
    (record,) = run(replace(ALONE, checked_rows=100)).cases
    assert (record.recall, record.recall_at_1) == (None, None)


@pytest.mark.usefixtures("half_blind")
@pytest.mark.parametrize("beside_exact", [True, False])
def test_recall_of_an_approximate_index_is_against_the_exact_one(beside_exact: bool) -> None:
    exact = tuple(replace(c, index="exact") for c in APPROXIMATE)
    results = run(replace(ALONE, cases=APPROXIMATE + (exact if beside_exact else ())))
    records = [r for r in results.cases if r.index == "approximate"]
    assert [(r.recall, r.recall_at_1) for r in records] == [(0.5, 1.0)] * 2
    assert all(r.share_of_limit is None and r.limit is None for r in records)


def test_the_approximate_index_itself() -> None:
    pytest.importorskip("faiss")
    for record in run(replace(ALONE, cases=APPROXIMATE)).cases:
        assert record.recall is not None
        assert 0 <= record.recall <= 1


def test_wrong_answers_stop_the_run_and_what_was_measured_before_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = run_module._build
    monkeypatch.setattr(
        run_module, "_build", lambda c, m, d: HalfBlind(c.metric, m) if c.rows == 1100 else build(c, m, d)
    )
    file = tmp_path / "bench.json"
    cases = tuple(Case(rows, 4, 1, "replay_l2", 10) for rows in (200, 1100))
    with pytest.raises(WrongAnswers):
        run(replace(ALONE, cases=cases), file)
    assert [r.rows for r in read_results(file).cases] == [200]


def test_resume_goes_on_and_measures_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bench.json"
    left = [4]

    def interrupted(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return make_record(*arguments)

    monkeypatch.setattr(run_module, "make_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(TINY, file)
    before = read_results(file)
    assert len(before.cases) == 4
    left[0] = len(CASES) - 4
    after = run(TINY, file, "resume")
    assert after.cases[:4] == before.cases
    assert after.limits == before.limits
    assert sorted(r.case for r in after.cases) == sorted(c.name for c in CASES)
    assert run(TINY, file, "resume") == after, "nothing was left to do"


def test_a_file_is_replaced_only_if_asked_to_and_if_it_is_ours(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    run(ALONE, file)
    with one_clear_error("exists: name another file, or use --resume or --overwrite"):
        run(ALONE, file)
    with one_clear_error("other settings .seed: 0 and not 1.: use --overwrite"):
        run(replace(ALONE, seed=1), file, "resume")
    with one_clear_error("other settings .cases: others."):
        run(replace(ALONE, cases=CASES[1:2]), file, "resume")
    assert run(replace(ALONE, seed=1), file, "overwrite").settings["seed"] == 1
    for content in ("{", "[]", "{}", '{"memworld": "bench"}', '{"memworld": "bench", "settings": {}, "limits": {}}'):
        file.write_text(content)
        for existing in ("resume", "overwrite"):
            with one_clear_error("damaged"):
                run(ALONE, file, existing)
            assert file.read_text() == content
    with one_clear_error("no folder"):
        run(ALONE, tmp_path / "none" / "bench.json")


def test_what_does_not_fit_is_left_out_with_what_it_would_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "bytes_available", lambda device: 60_000.0)
    results = run(replace(TINY, imagined=None))
    assert {r.rows for r in results.cases} == {200}
    left = {x.case: x for x in results.left_out if not x.case.startswith("faiss")}
    assert set(left) == {c.name for c in CASES if c.rows == 1100}
    assert all(x.bytes is not None and x.bytes > 60_000 for x in left.values())
    assert "not enough memory, needs" in show.text(results)


def test_peers_are_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    (note,) = run(replace(ALONE, cases=CASES[4:5])).left_out
    assert note.case.startswith("faiss flat")
    for module in (peer_times, peers):
        monkeypatch.setattr(module, "has_faiss", lambda: False)
    monkeypatch.setattr(peer_times, "bytes_available", lambda device: 0.0)
    results = run(ALONE)
    (record,) = results.cases
    assert (record.literal_ms, record.numpy_ms, record.faiss_flat_ms, record.recall) == (None,) * 4
    assert (record.times_faster_than_literal, record.times_faster_than_numpy) == (None, None)
    assert {x.case.split()[0] for x in results.left_out} == {"literal", "numpy", "faiss"}


def test_peers_are_not_measured_in_large_memories() -> None:
    results = run(replace(ALONE, peer_rows=100))
    assert results.cases[0].literal_ms is results.cases[0].times_faster_than_numpy is None
    assert any("others at 200 rows" in left.case for left in results.left_out)


def test_table_and_growth(tmp_path: Path) -> None:
    results = run(ALONE)
    (record,) = results.cases
    points = [replace(record, rows=rows, ms_per_query=rows**0.5) for rows in (100, 10_000, 1000)]
    assert show.growth(points) == pytest.approx(0.5)
    assert show.growth(points[:1]) is None
    header, *lines = show.table(points).splitlines()
    assert header.split()[0] == "rows"
    assert [line.split()[0] for line in lines] == ["100", "1,000", "10,000"]
    assert all(line.endswith("0.50") for line in lines)
    assert show.table([record]).endswith(" -")
    approximate = replace(record, index="approximate", share_of_limit=None)
    picture = tmp_path / "bench.png"
    show.write_plot(picture, replace(results, cases=(*points, approximate)))
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line on tiny cases."""

    def tiny(quick: bool, **changes: Any) -> Settings:
        return replace(TINY if quick else ALONE, **{"imagined": None, **changes})

    monkeypatch.setattr("memworld.bench.cases.settings_for", tiny)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["bench", *map(str, arguments)])

    return invoke


def test_the_command(call: Callable[..., Result], tmp_path: Path) -> None:
    numbers, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    options = [
        "--quick",
        "--quiet",
        "--device",
        "cpu",
        "--rows",
        200,
        "--batch",
        1,
        "--json",
        numbers,
        "--plot",
        picture,
    ]
    result = call(*options)
    assert result.exit_code == 0, result.output
    assert "GB/s" in result.stdout
    assert "ms/query" in result.stdout
    assert str(picture) in result.stdout
    assert picture.exists()
    assert {(r.rows, r.batch) for r in read_results(numbers).cases} == {(200, 1)}
    assert call(*options, "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--resume"], "--json"),
        (["--overwrite"], "--json"),
        (["--json", "{tmp}/b.json", "--resume", "--overwrite"], "contradict"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--json", "{tmp}/x.png", "--plot", "{tmp}/x.png"], "name one file"),
        (["--rows", "7"], "no case has rows 7"),
        (["--index", "fast"], "no case has index fast"),
        (["--plot", "{tmp}/picture.jpg"], "end it in .png"),
        (["--plot", "{tmp}/none/picture.png"], "no folder"),
        (["--json", "{tmp}/none/b.json"], "no folder"),
        (["--json", "{tmp}"], "exists"),
    ],
)
def test_bad_input_is_one_line(call: Callable[..., Result], tmp_path: Path, arguments: list[str], words: str) -> None:
    result = call("--quiet", *[a.format(tmp=tmp_path) for a in arguments])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("memworld: error: ")
    assert words in line


def test_settings_without_cases_cannot_be_built() -> None:
    with one_clear_error("no case"):
        replace(TINY, cases=())
