import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from memworld.evaluate.results import Evaluation, Table
from memworld.report import write_report
from tests.helpers import one_clear_error
from tests.report.made_up import ERRORS, HEIGHT, LABELS, METRICS, WIDTH, make_evaluation, make_rows
from tests.report.parsed import fetches_nothing_and_runs_its_own, image, parse


def write(folder: Path, evaluation: Evaluation, **changes: Any) -> str:
    arguments: dict[str, Any] = {
        "title": "A run",
        "config": {"seed": 3, "data": Path("pong")},
        "stages": {"record": 1.25, "evaluate": 2.5},
        "command": "memworld run --seed 3",
    }
    write_report(folder / "report.html", evaluation, **(arguments | changes))
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_its_links_arrive(tmp_path: Path) -> None:
    html = write(tmp_path, make_evaluation())
    assert html.startswith("<!DOCTYPE html>\n")
    page = parse(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    inner = [value[1:] for _, a in page.tags for name, value in a.items() if "href" in name]
    assert len(inner) == 9
    assert set(inner) <= set(ids)
    assert page.all("section")[0]["id"] == "warnings"


def test_every_method_is_in_the_tables_curves_and_strips(tmp_path: Path) -> None:
    html = write(tmp_path, make_evaluation())
    page = parse(html)
    strips, numbers = page.tables[:2], page.tables[2:8]
    for table in strips:
        assert [row[0].removesuffix(" uses the truth").removesuffix(" baseline") for row in table[2:]] == LABELS
    for table in numbers:
        assert table[0] == ["method", "t = 1", "t = 5", "t = 10", "t = 20"]
        assert [row[0] for row in table[1:]] == [
            "encoder_bound uses the truth",
            "persistence baseline",
            "data_mean baseline",
            *LABELS[3:6],
            "oracle uses the truth",
        ]
        assert {len(row) for row in table} == {5}
    assert page.drawings == [
        f"{name}, toy; the tables give the numbers"
        for name in (
            "error on moving pixels",
            "error of the state",
            "KL divergence (nats)",
            "structural similarity (SSIM)",
            "error of the whole frame",
        )
    ]
    names = [drawing.split(",")[0] for drawing in page.drawings]
    tables = [a["aria-label"] for a in page.all("div") if a.get("aria-label", "").startswith("Table: ")]
    assert tables[:5] == [f"Table: {name}" for name in names], "charts and tables call them alike"
    assert tables[5:7] == ["Table: error of the state: x", "Table: error on moving pixels, less that of persistence"]
    assert len(page.drawings) == len(METRICS)
    for chart in page.numbers:
        assert [line["label"] for line in chart["series"]] == LABELS
        assert [line["key"] for line in chart["series"]] == list(range(len(LABELS)))
    shown = page.numbers[0]["series"]
    assert (shown[3]["y"][0], shown[3]["low"][0], shown[3]["high"][0]) == (0.101, 0.091, 0.111)
    assert shown[0]["x"] == list(range(1, 21))
    assert "x" not in shown[1], "the same places are said once"
    assert [li["data-key"] for li in page.all("li") if "data-key" in li] == [str(key) for key in range(len(LABELS))]
    assert numbers[0][4][1] == "0.101 [0.091, 0.111]"
    assert page.tables[8][1][0] == "encoder_bound uses the truth"
    assert page.tables[8][3][1] == "0.0010 [−0.0090, 0.0110]"


def test_a_chart_comes_first_and_further_strips_are_folded(tmp_path: Path) -> None:
    html = write(tmp_path, make_evaluation())
    assert html.index('<figure class="chart"') < html.index('<figure class="film')
    folded = html[html.index(">1 more film strip<") :]
    assert html.index("Episode e0, from") < html.index("<details>") < html.index(">1 more film strip<")
    assert folded.index("Episode e1, from") < folded.index("</details>")


def test_words_are_explained_before_they_are_used(tmp_path: Path) -> None:
    text = parse(write(tmp_path, make_evaluation(rows=make_rows({**ERRORS, ("default", "follow"): 0.05})))).text
    body = text[text.index("Measured on") :]
    for word in ("Moving pixels", "Persistence", "default follow", "The encoder’s bound"):
        assert body.index(word) < body.index("At t = 5"), word
    assert body.index("called analogues") < body.index("At t = 5")
    without = parse(write(tmp_path, make_evaluation())).text
    assert "analogues" not in without


def test_the_title_says_the_world_once(tmp_path: Path) -> None:
    text = parse(write(tmp_path, make_evaluation(), title="memworld: toy")).text
    assert text[text.rindex("memworld: toy") : text.index("Curves")].count("toy") == 1


def test_frames_are_shown_as_they_are(tmp_path: Path) -> None:
    evaluation = make_evaluation()
    images = parse(write(tmp_path, evaluation)).all("img")
    strip, retrieval = evaluation.strips[0], evaluation.retrievals[0]
    assert len(images) == 2 * (5 + 4 * len(LABELS)) + 3 + 2 * 2
    assert all(a["alt"] and (a["width"], a["height"]) == (str(WIDTH), str(HEIGHT)) for a in images)
    np.testing.assert_array_equal(image(images[0]), strip.start_frame)
    np.testing.assert_array_equal(image(images[2]), strip.truth[1])
    np.testing.assert_array_equal(image(images[5 + 4 + 2]), strip.rows[1][1][2])
    assert images[5 + 4 + 2]["alt"] == "persistence, t = 10"
    np.testing.assert_array_equal(image(images[-1]), retrieval.neighbours[1].successor)


def test_frames_of_one_channel(tmp_path: Path) -> None:
    evaluation = make_evaluation(channels=1)
    first = image(parse(write(tmp_path, evaluation)).all("img")[0])
    np.testing.assert_array_equal(first, evaluation.strips[0].start_frame[..., 0])


def test_what_comes_from_outside_is_escaped(tmp_path: Path) -> None:
    hostile = """<script>alert("x")</script>' onerror='y"""
    plain = parse(write(tmp_path, make_evaluation()))
    page = parse(
        write(
            tmp_path,
            make_evaluation(hostile=hostile),
            title=hostile,
            config={hostile: hostile},
            stages={hostile: 1.0, "evaluate": 2.5},
            command=hostile,
        )
    )
    keys = ("svg", "line")  # a method that is not in the table has no key
    assert [tag for tag, _ in page.tags if tag not in keys] == [tag for tag, _ in plain.tags if tag not in keys]
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.text.count(hostile) >= 15


def test_nothing_is_fetched_and_one_script_runs(tmp_path: Path) -> None:
    fetches_nothing_and_runs_its_own(write(tmp_path, make_evaluation(hostile="</script><script>alert(1)</script>")))


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    assert write(tmp_path, make_evaluation()) == write(tmp_path, make_evaluation())


def test_one_episode_gives_no_interval(tmp_path: Path) -> None:
    rows = [replace(row, low=math.nan, high=math.nan, n=1) for row in make_rows()]
    page = parse(write(tmp_path, make_evaluation(rows=rows)))
    assert "1 held-out episode\n" in page.text
    assert page.tables[2][4][1] == "0.101 no interval"
    assert "nan" not in page.text
    marks = [a["class"] for a in page.all("span") if a.get("class") in ("better", "worse")]
    assert marks == ["better", "worse"], "the legend alone"


def test_warnings_are_shown_or_said_to_be_none(tmp_path: Path) -> None:
    evaluation = make_evaluation()
    page = parse(write(tmp_path, replace(evaluation, misses=("this did not hold",))))
    assert page.text.index("What did not hold") < page.text.index("this did not hold") < page.text.index("Warnings")
    assert page.text.index("Warnings") < page.text.index("something is wrong")
    assert "What did not hold" not in parse(write(tmp_path, evaluation)).text
    calm = parse(write(tmp_path, replace(evaluation, warnings=())))
    assert "No warnings" in calm.text
    assert calm.all("section")[0]["class"] == "box"


def test_a_report_of_the_numbers_alone(tmp_path: Path) -> None:
    rows = [row for row in make_rows() if row.horizon <= 3 and row.metric == "l1" and not row.mode]
    page = parse(write(tmp_path, Evaluation(Table(rows), (), (), (), (), {}), stages={}, config={}))
    for words in (
        "No film strips",
        "None to show",
        "No search was evaluated",
        "Nothing was timed",
        "nothing can be said",
    ):
        assert words in page.text
    assert page.tables[0][0] == ["method", "t = 1"]


def test_neighbours_facts_stages_config_and_command_are_shown(tmp_path: Path) -> None:
    page = parse(write(tmp_path, make_evaluation()))
    for words in ("n1, step 41", "distance 2.50", "weight 50.0%", "support 0.25", '"data": "pong"', "12,345"):
        assert words in page.text
    assert page.tables[-1] == [["record", "1.2"], ["evaluate", "2.5"], ["all", "3.8"]]
    assert page.tables[-2] == [["memory", "3 episodes"]]
    assert page.text.count("memworld run --seed 3") == 4


def test_what_cannot_be_shown_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    old = write(tmp_path, make_evaluation())
    with one_clear_error("no numbers"):
        write(tmp_path, make_evaluation(rows=[]))
    with one_clear_error(r"uint8\[6, 9, 2\] cannot be shown"):
        write(tmp_path, make_evaluation(channels=2))
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == old
