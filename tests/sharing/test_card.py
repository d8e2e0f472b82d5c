"""What a card says, and that names out of data stay text in it."""

import ast
import io
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from memworld.actions import ActionSpace
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.memory import Memory
from memworld.sharing import push_memory
from memworld.sharing.facts import SourceEntry, measure, sources_of
from memworld.sharing.figures import FRAMES, coverage_png, strip_steps, strips
from memworld.sharing.markdown import code, quoted
from memworld.store import open_memory, save_memory
from tests.helpers import DISCRETE, make_episode
from tests.toy_memories import BOX, ENCODER, SHAPE, episode, memory_of

SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
"""Code in a line, as CommonMark has it."""


def card_of(memory: Memory, folder: Path, license: str | None = None) -> str:
    save_memory(memory, folder / "memory", encoder=ENCODER)
    push_memory(folder / "memory", folder / "pushed", license=license)
    return (folder / "pushed/README.md").read_text()


# What it says


def test_the_hub_s_own_reader_reads_the_front_matter(made: Path) -> None:
    card = DatasetCard.load(made / "pushed/README.md")
    assert card.data.to_dict() == {
        "pretty_name": "A memory of toy",
        "license": "cc-by-4.0",
        "task_categories": ["reinforcement-learning"],
        "tags": ["memworld", "world-model", "reinforcement-learning", "retrieval", "episodic-memory"],
        "size_categories": ["n<1K"],
        "viewer": False,
    }


@pytest.mark.parametrize(
    ("steps", "category"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (9_999, "1K<n<10K"), (10_000, "10K<n<100K")]
)
def test_the_category_of_size(steps: int, category: str, tmp_path: Path) -> None:
    card_of(memory_of(make_episode(np.random.default_rng(0), steps, SHAPE)), tmp_path)
    assert DatasetCard.load(tmp_path / "pushed/README.md").data.to_dict()["size_categories"] == [category]


def test_every_number_is_the_memory_s(made: Path) -> None:
    memory, card = open_memory(made / "pushed"), (made / "pushed/README.md").read_text()
    returns = [float(e.rewards.sum(dtype=np.float64)) for e in memory.episodes]
    rewards = np.concatenate([e.rewards for e in memory.episodes])

    def shown(value: float) -> str:
        return f"{value:.3g}".replace("-", "−")

    ended = sum(bool(e.terminations[-1]) for e in memory.episodes)
    size = sum(f.stat().st_size for f in (made / "pushed").rglob("*") if f.is_file() and f.name != "README.md")
    for line in (
        "3 recorded episodes, 27 transitions, encoded to latents",
        "| world | `toy` |",
        f"| episodes | 3: {ended} terminated, {3 - ended} truncated |",
        "| steps of an episode | 8 to 10, median 9 |",
        "| frames | 4 x 4, grey, kept |",
        f"| returns | mean {shown(float(np.mean(returns)))}, from {shown(min(returns))} to {shown(max(returns))} |",
        f"| rewards | from {shown(rewards.min())} to {shown(rewards.max())}, other than 0 in 27 steps |",
        f"| size | {size / 1e6:,.1f} MB |",
        "Space: `Discrete(4)`.",
        *(f"| `{a}` | {n} | {100 * n / 27:.1f}% |" for a, n in enumerate(np.bincount(actions_of(memory)))),
        "- **Kind**: `vae`",
        "- **Latents**: 2 numbers, of which 2 vary over the training frames",
        "- **Training**: it has seen no episodes",
        f"- **Fingerprint**: `{ENCODER.fingerprint}`",
        "- `policy`: `random` (3)",
        "`cc-by-4.0`\n",
        "memworld pull pushed --output memory",
    ):
        assert line in card, line


def actions_of(memory: Memory) -> np.ndarray:
    return np.concatenate([e.actions for e in memory.episodes])


def test_coverage_is_what_a_plain_count_finds(made: Path) -> None:
    memory, card = open_memory(made / "pushed"), (made / "pushed/README.md").read_text()
    means = [e.latents.mu.double().numpy() for e in memory.episodes]
    nearest = [
        min(float(np.linalg.norm(moment - other)) for j, rows in enumerate(means) if j != i for other in rows[:-1])
        for i, mine in enumerate(means)
        for moment in mine[:-1]
    ]
    moves = np.concatenate([np.linalg.norm(rows[5:] - rows[:-5], axis=1) for rows in means])
    coverage = measure(memory).coverage
    assert coverage is not None
    np.testing.assert_allclose(coverage.distances, np.sort(nearest), rtol=1e-4)
    moved = np.sort(moves)[(len(moves) - 1) // 2]  # the lower of two middle ones, as PyTorch has it
    assert coverage.moved == pytest.approx(moved, rel=1e-4)
    assert coverage.covered == pytest.approx(np.mean(np.array(nearest) <= moved))
    assert f"For each of {len(nearest)} moments" in card
    for line in (
        f"- **Median distance**: {np.median(nearest):.3g}",
        f"- **90% quantile**: {np.quantile(nearest, 0.9):.3g}",
        f"- **Typical move in five steps**: {moved:.3g}",
        f"- **Covered**: {100 * coverage.covered:.1f}% of the moments",
    ):
        assert line in card, line


def test_the_figures_are_there_and_described(made: Path) -> None:
    card = (made / "pushed/README.md").read_text()
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", card)
    assert [path for _, path in pictures] == ["figures/strip.png", "figures/coverage.png"]
    for text, path in pictures:
        assert len(text) > 20
        with Image.open(made / "pushed" / path) as picture:
            assert min(picture.size) > 200


def test_a_strip_shows_recorded_frames_as_they_are_and_below_them_their_reconstructions(made: Path) -> None:
    memory = open_memory(made / "pushed")
    recorded, decoded = strips(memory, ENCODER, 2)
    steps = strip_steps(memory, 2)
    assert (len(steps), steps[0], steps[-1]) == (FRAMES, 0, 10)
    assert memory.episodes[2].frames is not None
    for strip, frames in (
        (recorded, memory.frames([memory.row_of("e9", step) for step in steps])),
        (decoded, ENCODER.decode(memory.episodes[2].latents.mu[steps])),
    ):
        side = strip.shape[1] // 4
        assert side >= 28
        # Every pixel is a square of its own value, without blur.
        np.testing.assert_array_equal(strip[:, : 4 * side : side, : 4 * side : side], frames)
        np.testing.assert_array_equal(strip[:, side - 1 : 4 * side : side, side - 1 : 4 * side : side], frames)


def test_the_chart_is_a_picture_of_its_numbers(made: Path) -> None:
    coverage = measure(open_memory(made / "pushed")).coverage
    assert coverage is not None
    with Image.open(io.BytesIO(coverage_png(coverage))) as one:
        assert (one.format, one.size[0]) == ("PNG", 640)
    assert coverage_png(coverage) == coverage_png(coverage)
    assert coverage_png(coverage) != coverage_png(replace(coverage, distances=coverage.distances * 2))


def test_a_memory_of_one_episode_has_no_coverage(tmp_path: Path) -> None:
    card = card_of(memory_of(episode(9)), tmp_path)
    assert "There is nothing to measure it by: that takes two episodes" in card
    assert not (tmp_path / "pushed/figures/coverage.png").exists()
    assert "coverage.png" not in card
    assert "1 recorded episode, 10 transitions" in card
    assert "None was given: ask whoever pushed it" in card
    assert "license" not in card


def test_actions_of_any_space(tmp_path: Path) -> None:
    spaces = gymnasium.spaces
    both = spaces.Dict({"camera": spaces.Box(-1, 1, (2,)), "jump": spaces.Discrete(2), "mean": spaces.Discrete(2)})
    cases: list[tuple[ActionSpace, tuple[str, ...], str]] = [
        (BOX, ("x", "y", "|"), r"Space: `Box\(.*`.\n\n.*\n.*\n\| `x` \| mean −?[\d.]+, standard deviation [\d.]+ \|\n"),
        (spaces.Discrete(40), (), r"\| `31` \| \d \| [\d.]+% \|\n\nAnd 8 more.\n"),
        (spaces.MultiDiscrete([2, 12]), (), r"`action_0` \| `0` [\d.]+%, `1` .*\n\| `action_1` .*, and others \|\n"),
        (both, ("jump=no", "jump=yes"), r"`camera_1` \| mean .*\n\| `jump` \| `no` [\d.]+%, `yes` .*\n\| `mean` "),
    ]  # fmt: skip
    for number, (space, names, lines) in enumerate(cases):
        memory = Memory(DatasetInfo(SHAPE, space, "toy", action_names=names), ENCODER)
        memory.append(make_episode(np.random.default_rng(0), 9, SHAPE, memory.info.action_space, "e0"), ENCODER)
        assert re.search(lines, card_of(memory, tmp_path / str(number))), space


def test_what_episodes_say_of_themselves() -> None:
    def told(*sources: Mapping[str, object]) -> list[SourceEntry]:
        return sources_of([EpisodeEntry(f"e{i}", 1, source) for i, source in enumerate(sources)])

    assert told({}, {}) == []
    assert told({"skill": 0.5, "seed": 3}, {"skill": 1.0}, {"skill": 0.5}) == [
        SourceEntry("skill", (("0.5", 2), ("1.0", 1)), ""),
        SourceEntry("seed", (("3", 1),), "told of 1 of 3 episodes"),
    ]
    seeds: list[Mapping[str, object]] = [{"seed": i} for i in range(9)]
    assert told(*seeds) == [SourceEntry("seed", (), "9 different numbers, from 0 to 8")]
    files: list[Mapping[str, object]] = [{"file": f"v{i}"} for i in range(9)]
    [entry] = told(*files, {"file": "v3"})
    assert (entry.values[0], len(entry.values), entry.rest) == (("v3", 2), 6, "and 3 other values")
    assert told({"a": {"b": [1, None]}}) == [SourceEntry("a", (('{"b": [1, null]}', 1),), "")]
    assert len(told({f"k{i}": i for i in range(99)})) == 24


# Hostile names


@given(st.text(max_size=200))
def test_code_shows_any_text_and_ends_where_it_ends(text: str) -> None:
    shown = code(text)
    assert "\n" not in shown
    if shown == "(none)":
        assert not text.strip()
        return
    found = SPAN.fullmatch(shown)
    assert found is not None
    assert re.search(r"(?<!\\)\|", shown) is None
    inner = found[2].replace("\\|", "|").strip()
    assert inner == shown_by_hand(text)


def shown_by_hand(text: str) -> str:
    """Spaces are one each, what cannot be printed is written out, and what is too long is cut."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return (line if len(line) <= 120 else line[:119] + "…").strip()


@given(st.text())
def test_quoted_text_is_one_string_of_python(text: str) -> None:
    assert "\n" not in quoted(text)
    assert ast.literal_eval(quoted(text)) == shown_in_full(text)


def shown_in_full(text: str) -> str:
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


HOSTILE = '"]: {x} <script>alert(1)</script> | ``` --- ![p](http://x.test/p.png) [l](javascript:y) # *b* \\'


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    info = DatasetInfo(SHAPE, DISCRETE, HOSTILE, action_names=(HOSTILE, "`", "a|b", "<b>"))
    memory = Memory(info, ENCODER)
    source = {HOSTILE: HOSTILE, "two\nlines": "\n---\nlicense: mit\n---\n\x1b[31m", "n": {"a": "<i>"}}
    for number in (7, 8):
        memory.append(replace(episode(number), source=source), ENCODER)
    card = card_of(memory, tmp_path, license="mit")
    read = DatasetCard.load(tmp_path / "pushed/README.md")
    assert read.data.to_dict()["pretty_name"] == f"A memory of {HOSTILE[:100]}"
    assert (read.data.to_dict()["license"], read.data.to_dict()["viewer"]) == ("mit", False)
    text = card.split("\n---\n", 1)[1]
    outside = "\n".join(
        SPAN.sub("", line) for line in re.sub(r"```(bash|python)\n.*?\n```", "", text, flags=re.DOTALL).splitlines()
    )
    for mark in ("<", "javascript", "http", "*b*", "\x1b", "license: mit"):
        assert mark not in outside, mark
    assert text.count("<script>") >= 4
    for line in text.splitlines():
        if line.startswith("|"):  # as many cells as the head of its table has
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 4), line
    assert [line for line in text.splitlines() if line == "---"] == ["---"]


@pytest.mark.skipif(os.name == "nt", reason="names of files there have fewer characters")
def test_a_hostile_name_of_the_folder_is_quoted(made: Path, tmp_path: Path) -> None:
    name = 'a"b; rm -rf $HOME `x`'
    push_memory(made / "memory", tmp_path / name)
    card = (tmp_path / name / "README.md").read_text()
    assert f"memworld pull '{name}' --output memory" in card
    assert 'memworld.pull_memory("a\\"b; rm -rf $HOME `x`", "memory")' in card


def test_the_card_s_own_code_runs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pushed").symlink_to(made / "pushed")
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"```python\n(.*?)\n```", (made / "pushed/README.md").read_text(), re.DOTALL)
    said: list[object] = []
    exec(block, {"print": said.append})
    assert said == [("e7", "e8", "e9")]
