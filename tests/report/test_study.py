import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from memworld.evaluate.experiments.claims import Judged, Verdicts, judge
from memworld.evaluate.experiments.result import (
    Cell,
    ExperimentResult,
    Number,
    ResultTable,
    Row,
    read_result,
    write_result,
)
from memworld.report.result_tables import curves_over_worlds, table_view, with_interval
from memworld.report.study import Gap, claims_markdown, figures, write_claims, write_study_report
from memworld.report.verdicts import bar
from memworld.studies import PAPER
from tests.helpers import one_clear_error
from tests.report.made_up_study import (
    METHODS,
    coverage_result,
    error,
    horizon_result,
    make_strip,
    with_evidence,
)
from tests.report.parsed import Page, fetches_nothing_and_runs_its_own, image, parse

HOSTILE = """<script>alert("x")</script>' onerror='y $\\frac{1}{ & id="z"""
EXPERIMENTS = {"horizon": ("Horizons", "How far?"), "coverage": ("Coverage", "How much?")}
WORLDS = ("supertuxkart/lighthouse", "pong")


def made_up(hostile: str = "", worlds: tuple[str, ...] = WORLDS) -> list[ExperimentResult]:
    first = [with_evidence(horizon_result(w, hostile, 0.05 + 0.02 * i), [0.8, 1.3]) for i, w in enumerate(worlds)]
    return [*first, *(coverage_result(world, hostile) for world in worlds)]


def write(folder: Path, results: list[ExperimentResult], **changes: Any) -> str:
    arguments: dict[str, Any] = {
        "title": "A study",
        "gaps": [],
        "experiments": EXPERIMENTS,
        "commands": {
            (name, world): f"memworld paper --only {name} {world}" for name in EXPERIMENTS for world in WORLDS
        },
        "command": "memworld paper --all",
        "config": {"seed": 3, "data": Path("pong")},
        "facts": {world: {"memory": f"10 episodes of {world}"} for world in WORLDS},
    }
    verdicts = changes.pop("verdicts", judge(PAPER.claims, results))
    write_study_report(folder / "paper.html", results, verdicts, **(arguments | changes))
    return (folder / "paper.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("paper"), made_up())


def test_the_page_is_well_formed_its_links_arrive_and_nothing_is_fetched(html: str) -> None:
    assert html.startswith("<!DOCTYPE html>\n")
    assert "No gaps: every experiment ran in every world" in html
    fetches_nothing_and_runs_its_own(html)
    page = parse(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {a["href"][1:] for a in page.all("a")} <= set(ids)


def test_what_comes_from_outside_is_escaped(tmp_path: Path) -> None:
    def page_of(hostile: str) -> Page:
        worlds = (WORLDS[0] + hostile,)
        html = write(
            tmp_path,
            made_up(hostile, worlds),
            gaps=[Gap("doom" + hostile, "", "why" + hostile), Gap(worlds[0], "coverage", "cut" + hostile)],
            experiments={name: (title + hostile, words + hostile) for name, (title, words) in EXPERIMENTS.items()},
            commands={("horizon", worlds[0]): "again" + hostile},
            command="all" + hostile,
            config={"a" + hostile: "b" + hostile},
            facts={worlds[0]: {"memory" + hostile: "10" + hostile}},
        )
        fetches_nothing_and_runs_its_own(html)
        return parse(html)

    page, calm = page_of(HOSTILE), page_of(" harmless and long, so that heatmaps shorten it")
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in calm.tags]
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.text.count(HOSTILE) > 40


def test_the_claims_come_first_with_their_verdicts_and_worlds(html: str) -> None:
    page = parse(html)
    found = judge(PAPER.claims, made_up())
    assert [v.overall.verdict for v in found[:3]] == ["holds", "does not hold", "undecided"]
    rows = page.tables[0][1:]
    texts = [row[0] for row in rows if row[0] in {claim.text for claim in PAPER.claims}]
    assert texts == [claim.text for claim in PAPER.claims]
    first = next(row for row in rows if row[0] == PAPER.claims[0].text)
    assert first[1] == "holds"
    assert first[3].startswith(with_interval(*(getattr(found[0].overall, n) for n in ("value", "low", "high"))))
    assert "replay_kl (requery) / rssm_latents at t = 1" in first[3]
    said = " ".join(first[3].split())
    for world in WORLDS:
        assert f"8 episodes; t = 1 in {world}" in page.text
    assert said.endswith("(holds below 1.1)")
    assert "Of 16 claims, 1 holds, 1 does not, and 14 are undecided, 14 of them for want of any evidence." in page.text
    classes = [a["class"] for a in page.all("span") if a.get("class", "").startswith("verdict")]
    assert {"verdict holds", "verdict not", "verdict undecided"} == set(classes)
    assert "lies wholly below the claim's bound" in " ".join(page.text.split())


def test_every_part_says_how_it_is_made_again(tmp_path: Path, html: str) -> None:
    page = parse(html)
    for world in WORLDS:
        assert page.text.count(f"memworld paper --only horizon {world}") == 3, "charts, tables and film strips"
        assert page.text.count(f"memworld paper --only coverage {world}") == 3, "charts, heatmap and table"
    bare = parse(write(tmp_path, [ExperimentResult("horizon", "pong")], commands={}, facts={}))
    assert "Nothing was measured." in bare.text
    assert bare.text.count("memworld paper --all") == 4, "claims, the two parts, and the page"


def test_what_is_missing_is_shown_in_its_place(tmp_path: Path) -> None:
    results = [horizon_result("pong"), coverage_result("pong")]
    gaps = [Gap("doom", "", "vizdoom is not installed"), Gap("pong", "coverage", "only 5 episodes")]
    page = parse(write(tmp_path, results, gaps=gaps))
    said = " ".join(page.text.split())
    assert "missing domain doom: vizdoom is not installed" in said
    assert "pong, “Coverage”: only 5 episodes" in said
    for title in ("Horizons", "Coverage"):
        assert f"{WORLDS[0]}, “{title}”: no result was found" in said, "not announced, and still not silent"
    places = said[said.index("How far?") :]
    assert places.count("doom : missing. vizdoom is not installed") + places.count("doom: missing. vizdoom is not") == 2
    assert "Incomplete: only 5 episodes" in said
    assert "No gaps" not in said
    overview = page.tables[1]
    assert overview[0] == ["", "supertuxkart/lighthouse", "pong", "doom"]
    assert overview[1][1:] == ["–", "0.0250 [0.0225, 0.0280]", "–"]
    assert "No numbers for doom: vizdoom is not installed." in said


def test_an_experiment_that_was_not_announced_is_shown_too(tmp_path: Path) -> None:
    page = parse(write(tmp_path, [replace(coverage_result("pong"), experiment="extra")], experiments={}))
    assert "extra" in [words.strip() for words in page.text.split("\n")]
    assert "share covered" in page.text


def test_a_page_of_nothing(tmp_path: Path) -> None:
    page = parse(write(tmp_path, [], experiments={}, commands={}, facts={}, config={}, verdicts=[]))
    assert "Nothing was measured" in page.text
    assert "No claim was judged." in page.text
    missing = parse(write(tmp_path, [], facts={}))
    assert missing.text.count("missing. no result was found") == len(EXPERIMENTS) * len(WORLDS)
    assert missing.text.count("no evidence") == len(PAPER.claims)


def test_the_same_input_gives_the_same_bytes_also_after_a_round_trip(tmp_path: Path) -> None:
    results = made_up(worlds=WORLDS[:1])
    first = write(tmp_path, results)
    read = []
    for i, result in enumerate(results):
        write_result(tmp_path / str(i), result, {})
        stored = read_result(tmp_path / str(i), result.experiment, result.world, {})
        assert stored is not None
        read.append(stored)
    assert write(tmp_path, read) == first


def test_numbers_have_their_intervals_badges_and_dashes(html: str) -> None:
    page = parse(html)
    tables = {(table[0][-1], len(table)): table for table in page.tables}
    table = tables["t=50", len(METHODS) + 1]
    names = [row[0] for row in table[1:]]
    assert names[:4] == [
        "encoder_bound uses the truth", "persistence baseline", "data_mean baseline", "rssm_pixels trained",
    ]  # fmt: skip
    assert names[-1] == "oracle uses the truth"
    words = next(t for t in page.tables if t[0] == ["", "episodes", "covered", "what it says"])
    assert words[1] == ["5 episodes, for coverage", "5", "0.710 [0.650, 0.780]", "enough"]
    assert words[2] == ["30 episodes, for the lack of it", "30", "–", ""]
    assert "nan" not in page.text.lower().replace("nanosecond", "")


def test_film_strips_show_their_frames(tmp_path: Path) -> None:
    strip = make_strip("e0", 0)
    images = parse(write(tmp_path, [replace(horizon_result("pong"), strips=(strip,))])).all("img")
    assert len(images) == 5 + 4 * 4
    np.testing.assert_array_equal(image(images[0]), strip.start_frame)
    np.testing.assert_array_equal(image(images[5 + 4 + 2]), strip.rows[1][1][2])
    bad = replace(strip, start_frame=strip.start_frame[..., :2])
    with one_clear_error("cannot be shown"):
        write(tmp_path, [replace(horizon_result("pong"), strips=(bad,))])


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ((Number(0.0614, 0.0493, 0.0721), Number(0.05)), ["0.0614 [0.0493, 0.0721]", "0.0500"]),
        ((Number(512.34), Number(0.4212)), ["512", "0.42"]),
        ((Number(15000), Number(3)), ["15000", "3"]),
        ((Number(math.nan, 0.1, 0.2), "words"), ["–", "words"]),
        ((Number(math.inf), Number(-0.5, -0.6, math.nan)), ["∞", "−0.500"]),
        ((Number(0.0), Number(0.0)), ["0", "0"]),
    ],
)
def test_a_column_has_the_same_decimals(column: tuple[Cell, ...], texts: list[str]) -> None:
    view = table_view(ResultTable("", "", ("a",), tuple(Row("r", (cell,)) for cell in column)))
    assert [f"{line.cells[0].value} {line.cells[0].interval}".strip() for line in view.lines] == texts


def test_the_overview_lays_the_worlds_side_by_side() -> None:
    pong, kart = horizon_result("pong"), horizon_result("kart", scale=0.1)
    fewer = replace(
        kart.tables[0], columns=("t=1",), rows=tuple(Row(r.label, r.cells[:1]) for r in kart.tables[0].rows[1:])
    )
    tables = curves_over_worlds([pong, replace(kart, tables=(fewer,))], ["kart", "doom", "pong"], {"doom": "no engine"})
    assert [table.title.split(", ")[1] for table in tables] == ["t=1", "t=5", "t=10", "t=20"]
    for table, horizon in zip(tables, (1, 5, 10, 20), strict=True):
        assert table.columns == ("kart", "doom", "pong")
        assert sorted(row.label for row in table.rows) == sorted(METHODS)
        assert "No numbers for doom: no engine." in table.about
        for row in table.rows:
            values = [cell.value for cell in row.cells if isinstance(cell, Number)]
            there = horizon == 1 and row.label != METHODS[0]
            expected = [error(row.label, horizon, 0.1) if there else math.nan, math.nan, error(row.label, horizon)]
            assert values == pytest.approx(expected, nan_ok=True)
    assert curves_over_worlds([], ["pong"], {}) == []


def test_claims_as_json_read_back_with_null_for_what_is_no_number(tmp_path: Path) -> None:
    verdicts = judge(PAPER.claims, made_up())
    write_claims(tmp_path / "claims.json", verdicts)
    stored = json.loads((tmp_path / "claims.json").read_text())
    assert [claim["claim"] for claim in stored] == [claim.id for claim in PAPER.claims]
    first, overall = stored[0], verdicts[0].overall
    assert {key: first[key] for key in ("text", "decided_by", "bound", "verdict")} == {
        "text": PAPER.claims[0].text, "decided_by": PAPER.claims[0].decided_by, "bound": 1.1, "verdict": "holds",
    }  # fmt: skip
    assert first["evidence"] == {
        "value": overall.value, "low": overall.low, "high": overall.high, "episodes": 16, "unit": "ratio",
    }  # fmt: skip
    assert [world["world"] for world in first["worlds"]] == list(WORLDS)
    assert set(first["worlds"][0]) == {"world", "compared", "verdict", "value", "low", "high", "episodes"}
    assert stored[-1]["evidence"] == {"value": None, "low": None, "high": None, "episodes": 0, "unit": "ratio"}
    assert stored[-1]["worlds"] == []
    assert {claim["evidence"]["unit"] for claim in stored} == {"ratio", "difference"}


def test_claims_as_markdown_stay_one_row_each() -> None:
    nan = math.nan
    claim = replace(PAPER.claims[0], text="a | b\n<img src=x> `c\\")
    judged = Judged("po|ng", "c", 0.5, nan, nan, 1, "undecided")
    lines = claims_markdown([Verdicts(claim, judged, (judged,)), *judge(PAPER.claims, [])]).splitlines()
    assert len(lines) == 2 + 1 + len(PAPER.claims)
    assert all(line.count("|") == 5 for line in lines)
    assert "<img" not in lines[2]
    assert "0.500, no interval" in lines[2]
    assert "no evidence" in lines[3]


@pytest.mark.parametrize(
    ("compare", "value", "place"),
    [("ratio", 1.0, 50), ("ratio", 4.0, 100), ("ratio", 0.5, 25), ("ratio", 100.0, 100), ("ratio", 0.0, 0),
     ("difference", -0.5, 25), ("difference", 3.0, 100)],
)  # fmt: skip
def test_an_interval_is_drawn_beside_its_bound(compare: Any, value: float, place: float) -> None:
    claim = replace(PAPER.claims[0], compare=compare, bound=1.0 if compare == "ratio" else 0.0)
    drawn = bar(claim, Judged("", "", value, math.nan, math.nan, 1, "undecided"))
    assert drawn is not None
    assert (drawn.low, drawn.value, drawn.high) == pytest.approx((place, place, place))
    assert bar(claim, Judged("", "", math.nan, math.nan, math.nan, 0, "undecided")) is None


def test_figures_for_the_documentation_are_small_and_repeat(tmp_path: Path) -> None:
    results = [horizon_result(WORLDS[0]), *map(coverage_result, WORLDS)]
    written = figures(results, tmp_path / "a", PAPER.figures, WORLDS[:1])
    assert written == {
        ("horizon", WORLDS[0]): tmp_path / "a" / "horizon-supertuxkart-lighthouse.png",
        ("coverage", WORLDS[0]): tmp_path / "a" / "coverage-supertuxkart-lighthouse.png",
    }
    for path in written.values():
        content = path.read_bytes()
        assert len(content) < 60_000
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        assert picture.shape[1] == 640
        assert (picture[0] == 255).all(), "on white"
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10, "in colours"
    with matplotlib.rc_context({"axes.titlepad": 30, "grid.linestyle": ":"}):
        again = figures(results, tmp_path / "b", PAPER.figures)
    assert sorted(name for name, _ in again) == ["coverage", "coverage", "horizon"]
    for key, path in written.items():
        assert again[key].read_bytes() == path.read_bytes()
    assert figures([], tmp_path / "c", PAPER.figures) == {}
