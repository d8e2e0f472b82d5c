"""Lives in a corridor, where they visibly help, and in real Freeway; and what is refused."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from typer.main import get_command
from typer.testing import Result

from memworld.cli import app
from memworld.control import LivingResult, PlayConfig, live
from memworld.control import living as living_module
from memworld.control.growth import BEGINNING, LivedEpisode, growth
from memworld.datasets import DatasetInfo
from memworld.evaluate.playing import Played, play
from memworld.memory import Memory
from memworld.plan import PlanConfig
from memworld.record import record
from memworld.store import INDEX, open_memory
from memworld.world_model import WorldModel
from memworld.worlds import World, open_world
from tests.control.test_control import refused, timeless
from tests.helpers import one_clear_error, untrained_vae
from tests.report.parsed import fetches_nothing_and_runs_its_own
from tests.test_interrupt import interrupted, memworld

PLACES = 12
"""Of the corridor; at the last one lies the reward."""

CORRIDOR = DatasetInfo((16, 16, 1), gymnasium.spaces.Discrete(3), "corridor")
PLAN = PlanConfig("mppi", horizon=12, candidates=64, iterations=1, commit=6, explore=0.5)
LIFE = PlayConfig(episodes=20, max_steps=25, random_start=0)


class Corridor(gymnasium.Env[np.ndarray, Any]):
    """A square that goes left, stays, or goes right, and begins somewhere on the left."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, CORRIDOR.observation_shape, np.uint8)
        self.action_space = CORRIDOR.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(2))
        return self._frame(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.place = int(np.clip(self.place + int(action) - 1, 0, PLACES - 1))
        return self._frame(), float(self.place == PLACES - 1), False, False, {}

    def _frame(self) -> np.ndarray:
        frame = np.zeros((16, 16, 1), np.uint8)
        frame[6:10, self.place : self.place + 4] = 255
        return frame


WORLD = World("corridor", Corridor)


def lived(
    output: Path, memory: Path, config: PlayConfig = LIFE, on_existing: Any = "error", **more: Any
) -> LivingResult:
    return live(WORLD, memory, more.pop("plan", PLAN), config, output, on_existing, every=more.pop("every", 5), **more)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a memory of the corridor that holds nothing."""
    folder = tmp_path_factory.mktemp("corridor") / "memory"
    encoder = untrained_vae((16, 16, 1), (8,))
    WorldModel(encoder, Memory(CORRIDOR, encoder)).save(folder)
    return folder


@pytest.fixture(scope="session")
def grown(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> LivingResult:
    """A life that began with nothing; no test may write to its folder."""
    return lived(tmp_path_factory.mktemp("grown") / "run", empty, command="memworld live again")


def test_living_from_nothing_gains_more_and_more(grown: LivingResult) -> None:
    gained = [episode.gained for episode in grown.episodes]

    assert [episode.way for episode in grown.episodes] == ["random"] * 5 + ["mppi"] * 15
    assert [episode.number for episode in grown.episodes] == list(range(20))
    assert [episode.round for episode in grown.episodes] == [number // 5 for number in range(20)]
    assert [episode.lived for episode in grown.episodes] == [25 * number for number in range(20)]
    assert np.mean(gained[-5:]) > np.mean(gained[:5]) + 5
    (finding,) = grown.growth.findings
    assert (finding.way, finding.against, finding.verdict) == ("the last 5 episodes", "the first 5 episodes", "holds")
    assert grown.growth.sentence.startswith("The return grew: it was ")
    assert "Episodes 0 to 4 were acted by the world's own random policy" in grown.growth.notes[0]
    assert "no whole episodes" in grown.growth.notes[1]


def test_what_was_lived_is_remembered_under_names_that_say_so(grown: LivingResult) -> None:
    memory = open_memory(grown.memory)

    assert memory.ids == tuple(f"lived-{number:06}" for number in range(20))
    for told, episode in zip(grown.episodes, memory.episodes, strict=True):
        assert told.gained == float(episode.rewards.sum())
        assert (told.steps, told.way) == (episode.entry.steps, episode.entry.source["policy"])
    firsts = memory.frames([26 * number for number in range(20)])
    assert len(np.unique(firsts, axis=0)) > 1


def test_files_and_report(grown: LivingResult) -> None:
    told = json.loads((grown.report.parent / "living.json").read_text())
    page = grown.report.read_text()

    assert [LivedEpisode(**plain) for plain in told["episodes"]] == list(grown.episodes)
    assert told["start"] == []
    assert told["settings"]["every"] == 5
    assert {"memworld", "python", "torch"} <= told["versions"].keys()
    config = json.loads((grown.report.parent / "config.json").read_text())
    assert {name: config[name] for name in told["settings"]} == told["settings"]
    for words in (
        grown.growth.sentence,
        "return against real steps lived",
        "mean of 5 episodes, up to that one",
        "the last 5 episodes more than the first 5 episodes",
        "Episode 19, acted by mppi: return",
        "round 3",
        "memworld live again",
        "&#34;candidates&#34;: 64",
    ):
        assert words in page
    assert page.count("data:image/png") == 8
    fetches_nothing_and_runs_its_own(page)


def interrupt_after(monkeypatch: pytest.MonkeyPatch, episodes: int) -> None:
    """Press Ctrl-C when so many more episodes have been played."""
    left = iter([True] * episodes)

    def patient(*arguments: Any) -> Played:
        if not next(left, False):
            raise KeyboardInterrupt
        return play(*arguments)

    monkeypatch.setattr(living_module, "play", patient)


@pytest.mark.parametrize("patience", [0, 3, 5, 8])
def test_an_interrupted_life_goes_on_as_if_it_had_not_been(
    grown: LivingResult, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    config = replace(LIFE, episodes=12)
    with monkeypatch.context() as patched:
        interrupt_after(patched, patience)
        with pytest.raises(KeyboardInterrupt):
            lived(tmp_path / "run", empty, config)
    assert len(open_memory(tmp_path / "run" / "memory").entries) == patience
    assert not (tmp_path / "run" / "living.json").exists()

    resumed = lived(tmp_path / "run", empty, config, "resume")

    told = [timeless(folder / "living.json")["episodes"] for folder in (tmp_path / "run", grown.report.parent)]
    assert told[0] == told[1][:12]
    whole, pieced = open_memory(grown.memory), open_memory(resumed.memory)
    assert pieced.ids == whole.ids[:12]
    count = len(pieced.rows)
    np.testing.assert_array_equal(pieced.rows.latents.z, whole.rows.latents.z[:count])
    np.testing.assert_array_equal(pieced.rows.actions[:-1], whole.rows.actions[: count - 1])


def test_a_real_interrupt_keeps_what_was_finished(pong_memory: Path, tmp_path: Path) -> None:
    output, said = tmp_path / "run", tmp_path / "said.txt"
    command = ("live", "pong", "--memory", pong_memory, "--planner", "behaviour", "-o", output, "--every", 2, "-q")
    sizes = ("--max-steps", 60, "--random-start", 5)

    def count() -> int:
        folder = output / "memory"
        return len(open_memory(folder).entries) - 4 if (folder / INDEX).exists() else 0

    interrupted(said, lambda: count() >= 2, *command, *sizes, "-n", 30)

    kept = count()
    assert 2 <= kept < 30
    before = [episode.sha256 for episode in open_memory(output / "memory").episodes]
    memworld(*command, *sizes, "-n", kept + 1, "--resume")
    after = [episode.sha256 for episode in open_memory(output / "memory").episodes]
    assert after[:-1] == before
    assert len(json.loads((output / "living.json").read_text())["episodes"]) == kept + 1


def test_a_life_can_be_made_longer(grown: LivingResult, empty: Path, tmp_path: Path) -> None:
    first = lived(tmp_path / "run", empty, replace(LIFE, episodes=6))
    assert "cannot be told of 6 episodes: live at least two rounds of 5" in first.growth.sentence
    assert first.growth.findings == ()

    longer = lived(tmp_path / "run", empty, replace(LIFE, episodes=9), "resume")

    assert [e.gained for e in longer.episodes] == [e.gained for e in grown.episodes[:9]]
    with one_clear_error("has 9 lived episodes already: ask for as many or more"):
        lived(tmp_path / "run", empty, replace(LIFE, episodes=8), "resume")
    with one_clear_error("begun with other settings .they differ in every"):
        lived(tmp_path / "run", empty, LIFE, "resume", every=2)
    with one_clear_error("exists and is not empty"):
        lived(tmp_path / "run", empty)
    anew = lived(tmp_path / "run", empty, replace(LIFE, episodes=1), "overwrite", every=1)
    assert len(anew.episodes) == len(open_memory(anew.memory).entries) == 1


def test_a_memory_of_random_play_is_a_beginning_and_stays_as_it_is(empty: Path, tmp_path: Path) -> None:
    data = record(WORLD, "random", tmp_path / "data", episodes=4, max_steps=25, random_start=0, skills=(0.0,))
    model = WorldModel.open(empty)
    memory = Memory(CORRIDOR, model.encoder)
    memory.extend(data, model.encoder)
    taken = replace(data[0], id="lived-000000", source={})
    memory.append(taken, model.encoder)
    assert memory.rows.rewards.any()
    WorldModel(model.encoder, memory).save(tmp_path / "memory")
    before = contents(tmp_path / "memory")

    result = lived(tmp_path / "run", tmp_path / "memory", replace(LIFE, episodes=8), every=4)

    assert contents(tmp_path / "memory") == before
    assert {episode.way for episode in result.episodes} == {"mppi"}  # there was something to plan for at once
    now = open_memory(result.memory)
    assert now.ids == (*memory.ids, *(f"lived-{number:06}" for number in range(1, 9)))
    assert result.growth.start.tolist() == [episode.rewards.sum() for episode in memory.episodes]
    assert result.growth.findings[-1].against == BEGINNING
    assert not any("were cut" in note for note in result.growth.notes)  # all were as long as what was lived
    again = lived(tmp_path / "again", result.memory, replace(LIFE, episodes=1), every=1)  # what was lived is a memory
    assert open_memory(again.memory).ids[-1] == "lived-000009"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_frames_and_without_rewards(empty: Path, tmp_path: Path) -> None:
    encoder = WorldModel.open(empty).encoder
    WorldModel(encoder, Memory(CORRIDOR, encoder, keep_frames=False)).save(tmp_path / "memory")

    result = lived(tmp_path / "run", tmp_path / "memory", PlayConfig(4, 3, 0), every=2)  # too short to reach it

    assert [episode.way for episode in result.episodes] == ["random"] * 4
    assert result.growth.sentence.startswith("The return did not grow")
    assert any("same return" in note for note in result.growth.notes)
    page = result.report.read_text()
    assert "keeps no frames" in page
    assert "data:image" not in page


def test_a_real_game_by_the_command(tmp_path: Path, call: Callable[..., Result]) -> None:
    data = record(open_world("freeway"), "demonstrator", tmp_path / "data", episodes=2, max_steps=60)
    encoder = untrained_vae(data.info.observation_shape)
    memory = Memory(data.info, encoder)
    memory.extend(data, encoder)
    WorldModel(encoder, memory).save(tmp_path / "memory")
    sizes = ("--max-steps", 40, "--random-start", 5, "--horizon", 4, "--candidates", 6, "--commit", 2, "-q")
    command = ("live", "freeway", "--memory", tmp_path / "memory", "--output", tmp_path / "run", "--every", 2, *sizes)

    result = call(*command, "-n", 3, "--planner", "random_shooting", "--no-value")

    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "return" in lines[0]
    assert [line.split("  ")[0] for line in lines[1:4]] == ["round 0", "round 1", BEGINNING]
    assert "Whether the return grew cannot be told of 3 episodes" in lines[-2]
    assert lines[-1] == f"The report is {tmp_path / 'run' / 'report.html'}"
    told = json.loads((tmp_path / "run" / "living.json").read_text())
    assert [(e["way"], e["steps"]) for e in told["episodes"]] == [("random_shooting", 40)] * 3
    assert len(told["start"]) == 2
    page = (tmp_path / "run" / "report.html").read_text()
    assert "--planner random_shooting --horizon 4 --candidates 6 --commit 2 --no-value --seed 0" in page

    refused(call(*command, "-n", 3, "--resume"), "begun with other settings", "plan")
    refused(call(*command, "--resume", "--overwrite"), "contradict")
    refused(call(*command, "-n", 0), "episodes is 0")
    refused(call(*command, "--planner", "alphago"), "unknown planner 'alphago'")


def test_every_setting_of_a_planner_but_the_goal_is_an_option() -> None:
    (options,) = (c.params for c in get_command(app).commands.values() if c.name == "live")  # type: ignore[attr-defined]

    assert {field.name for field in fields(PlanConfig)} - {"objective"} <= {option.name for option in options}


def test_what_is_refused(empty: Path, tmp_path: Path) -> None:
    before = contents(empty)
    with one_clear_error("every is 0: a round has at least 1 episode"):
        lived(tmp_path / "run", empty, every=0)
    with one_clear_error("the objective is goal"):
        lived(tmp_path / "run", empty, plan=replace(PLAN, objective="goal"))
    with one_clear_error("unknown planner 'alphago'"):
        lived(tmp_path / "run", empty, plan=replace(PLAN, planner="alphago"))
    with one_clear_error("none"):
        lived(tmp_path / "run", tmp_path / "none")
    for output in (empty, empty.parent, empty / "run"):
        with one_clear_error("is, contains or lies in the memory"):
            lived(output, empty, on_existing="overwrite")
    with one_clear_error("the memory is of corridor, the world is pong"):
        live(open_world("pong"), empty, PLAN, LIFE, tmp_path / "run")
    states = replace(CORRIDOR, state_names=("place", "time"))
    encoder = untrained_vae((16, 16, 1), (8,))
    WorldModel(encoder, Memory(states, encoder)).save(tmp_path / "states")
    with one_clear_error("the memory has states place, time, corridor has none"):
        lived(tmp_path / "run", tmp_path / "states")
    assert not (tmp_path / "run").exists()
    assert contents(empty) == before


def test_an_episode_of_another_kind_in_the_life_s_memory_is_named(empty: Path, tmp_path: Path) -> None:
    result = lived(tmp_path / "run", empty, PlayConfig(1, 5, 0))
    memory, encoder = open_memory(result.memory), WorldModel.open(empty).encoder
    env = Corridor()
    other = play(env, WORLD, "other", lambda rng: lambda observation, info: 1, 0, PlayConfig(1, 5, 0)).episode
    memory.append(other, encoder)
    WorldModel(encoder, memory).save(result.memory, "resume")

    with one_clear_error("episode other-00000 was not lived by memworld live .*: remove it"):
        lived(tmp_path / "run", empty, PlayConfig(2, 5, 0), "resume")


@pytest.mark.parametrize(
    ("gained", "said"),
    [
        (
            [0, 0, 1, 5, 6, 6],
            "The return grew: it was 0.333 over the first 3 episodes and 5.67 over the last 3 episodes",
        ),
        ([5, 6, 6, 0, 0, 1], "The return did not grow: "),
        ([0, 6, 2, 5, 1, 6], "It is not shown that the return grew: "),
        ([0, 1, 2, 3], "cannot be told of 4 episodes"),
    ],
)
def test_sentences(gained: list[float], said: str) -> None:
    episodes = [LivedEpisode(i, i // 3, 5 * i, "mppi", float(g), 5, 0.1) for i, g in enumerate(gained)]

    found = growth(WORLD, episodes, None, 3, PlayConfig(len(gained), 5))

    assert said in found.sentence
    (mean,) = (curve for curve in found.chart.curves if curve.label.startswith("mean"))
    assert mean.x == tuple(5.0 * i for i in range(2, len(gained)))
    assert mean.y == pytest.approx([np.mean(gained[i - 2 : i + 1]) for i in range(2, len(gained))])
