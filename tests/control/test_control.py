"""Real episodes of Pong by the command, by ways of one's own, and what is refused."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import Result

from memworld.cli import app
from memworld.control import ControlResult, PlayConfig, control, read_returns
from memworld.control import run as control_run
from memworld.control.play import chosen
from memworld.control.videos import enlarged
from memworld.datasets import DatasetInfo
from memworld.encoders import open_encoder
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.evaluate.playing import MakePolicy, Outcome, marks
from memworld.formats import open_dataset
from memworld.formats.video_frames import read_frames
from memworld.memory import Memory
from memworld.plan import PlanConfig
from memworld.store import open_memory
from memworld.world_model import WorldModel
from memworld.worlds import World, open_world
from memworld.worlds.policies import Policy
from tests.control.conftest import SMALL
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, untrained_vae, walk
from tests.report.parsed import fetches_nothing_and_runs_its_own
from tests.test_interrupt import interrupted, listed, memworld

Played = tuple[Path, Result]
WAYS = ["random", "demonstrator", "behaviour", "mppi"]


def still(rng: np.random.Generator) -> Policy:
    """A way to act that does nothing."""
    return lambda observation, info: 0


def timeless(path: Path) -> Any:
    """JSON without what differs from run to run: seconds."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(item) for name, item in value.items() if not name.startswith("seconds")}
        return [without(item) for item in value] if isinstance(value, list) else value

    return without(json.loads(path.read_text()))


def test_every_way_plays_the_same_starts(played: Played) -> None:
    output, result = played
    assert result.exit_code == 0, result.stderr

    returns = read_returns(output / "returns.json")

    assert list(returns.ways) == WAYS
    sets = {way: open_dataset(output / "episodes" / way) for way in WAYS}
    firsts = [[episode.observations[0] for episode in sets[way]] for way in WAYS]
    for other in firsts[1:]:
        np.testing.assert_array_equal(firsts[0], other)
    assert not np.array_equal(firsts[0][0], firsts[0][1])
    for way, outcomes in returns.ways.items():
        assert [outcome.number for outcome in outcomes] == [0, 1, 2]
        for outcome, episode in zip(outcomes, sets[way], strict=True):
            assert outcome.gained == outcome.cumulated[-1] == pytest.approx(float(episode.rewards.sum()))
            assert outcome.steps == len(episode) == 40
            assert (outcome.terminated, outcome.truncated) == (False, True)
            assert 0 < outcome.seconds_median <= outcome.seconds_p99 <= outcome.seconds * 1.01
            assert episode.source["policy"] == way
        assert all((outcome.support is None) == (way != "mppi") for outcome in outcomes)
    assert returns.settings["plans"]["mppi"]["horizon"] == 4
    assert returns.settings["playing"] == {"episodes": 3, "max_steps": 40, "random_start": 10, "seed": 0}
    assert returns.world == "pong"
    assert len(returns.demonstrations) == 4
    assert {"memworld", "python", "torch"} <= returns.versions.keys()


def test_the_command_says_what_came_of_it(played: Played) -> None:
    output, result = played

    lines = result.stdout.splitlines()

    assert [line.split()[0] for line in lines[1:5]] == WAYS
    assert "return" in lines[0]
    assert "ms a decision" in lines[0]
    assert lines[-1] == f"The report is {output / 'report.html'}"


def test_the_report_shows_all_of_it(played: Played) -> None:
    output, _ = played

    page = (output / "report.html").read_text()

    for way, outcomes in read_returns(output / "returns.json").ways.items():
        for name, _ in chosen(list(outcomes)):
            assert f"{way}, {name} episode" in page
            assert f'href="videos/{way}-{name}.mp4"' in page
            assert (output / "videos" / f"{way}-{name}.mp4").is_file()
    for words in ("behaviour: a return of", "mppi more than random", "mppi more than best demonstration"):
        assert words in page
    assert page.count('class="verdict') == 2 * 5
    assert "12 of 12 episodes were cut, by 40 steps" in page
    assert "reward gathered in the real world" in page
    assert "&#34;candidates&#34;: 6" in page
    assert "--planner behaviour --planner mppi" in page
    assert "Made again by" in page
    assert "--candidates 6 --commit 2" in page
    fetches_nothing_and_runs_its_own(page)


def test_videos_are_enlarged_and_show_the_episode(played: Played) -> None:
    output, _ = played
    name, best = next(chosen(list(read_returns(output / "returns.json").ways["mppi"])))
    episode = open_dataset(output / "episodes" / "mppi")[best.number]

    frames = list(read_frames(output / "videos" / f"mppi-{name}.mp4"))

    assert len(frames) == len(episode) + 1
    assert frames[0].shape == (256, 256, 3)
    seen = np.stack([frame[::4, ::4].astype(int) for frame in frames])
    assert np.abs(seen - episode.observations).mean() < 6  # colours lose some resolution


@pytest.mark.parametrize("shape", [(64, 64, 3), (7, 9, 1), (300, 200, 3), (301, 300, 3)])
def test_enlarged_frames_have_even_sides_and_whole_squares(shape: tuple[int, int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    large = enlarged(frame)

    times = large.shape[0] // shape[0]
    assert max(large.shape[:2]) >= 256
    assert not large.shape[0] % 2
    assert not large.shape[1] % 2
    np.testing.assert_array_equal(large[::times, ::times], frame)


def test_the_same_again_gives_the_same_but_for_times(
    played: Played, pong_memory: Path, tmp_path: Path, call: Callable[..., Result]
) -> None:
    output, _ = played
    planners = ("--planner", "behaviour", "--planner", "mppi")

    result = call("control", "pong", "--memory", pong_memory, *planners, "-o", tmp_path / "again", *SMALL)

    assert result.exit_code == 0
    assert timeless(tmp_path / "again" / "returns.json") == timeless(output / "returns.json")
    videos = [f"videos/{path.name}" for path in (output / "videos").iterdir()]
    assert any(name.startswith("videos/mppi-") for name in videos)
    for name in ("config.json", "episodes/mppi/episodes/mppi-00001.npz", *videos):
        assert (tmp_path / "again" / name).read_bytes() == (output / name).read_bytes(), name


def test_an_interrupted_run_goes_on_with_the_next_episode(pong_memory: Path, tmp_path: Path) -> None:
    memory, config = open_memory(pong_memory), PlayConfig(3, 20, 5)
    begun: list[float] = []

    def chance(patience: int) -> MakePolicy:
        def make(rng: np.random.Generator) -> Policy:
            if len(begun) == patience:
                raise KeyboardInterrupt
            begun.append(rng.random())
            return lambda observation, info: int(rng.integers(6))

        return make

    def run(patience: int, folder: str, on_existing: Any = "error", config: PlayConfig = config) -> ControlResult:
        ways = {"still": still, "chance": chance(patience)}
        return control(open_world("pong"), memory, ways, config, tmp_path / folder, on_existing, videos=False)

    with pytest.raises(KeyboardInterrupt):
        run(1, "run")
    assert not (tmp_path / "run" / "returns.json").exists()
    run(-1, "run", "resume")
    assert len(begun) == 3  # the finished one was not played again
    run(-1, "whole")
    assert begun[:3] == begun[3:]
    assert timeless(tmp_path / "run" / "returns.json") == timeless(tmp_path / "whole" / "returns.json")
    with one_clear_error("begun with other settings .they differ in playing"):
        run(-1, "run", "resume", PlayConfig(3, 21, 5))
    with one_clear_error("exists and is not empty"):
        run(-1, "run")
    assert len(begun) == 6
    run(-1, "run", "overwrite", PlayConfig(1, 21, 5))
    assert len(read_returns(tmp_path / "run" / "returns.json").ways["chance"]) == 1


def test_a_real_interrupt_keeps_what_was_finished(pong_memory: Path, tmp_path: Path) -> None:
    output, said = tmp_path / "run", tmp_path / "said.txt"
    command = ("control", "pong", "--memory", pong_memory, "--planner", "behaviour", "-o", output, "--no-videos", "-q")
    sizes = ("-n", 30, "--max-steps", 60)
    index = output / "episodes" / "behaviour" / "dataset.json"

    interrupted(said, lambda: listed(index) >= 2, *command, *sizes)

    count = listed(index)
    assert 2 <= count < 30
    before = {path: path.stat().st_mtime_ns for path in index.parent.glob("episodes/*.npz")}
    memworld(*command, *sizes, "--resume")
    assert listed(index) == 30
    assert all(path.stat().st_mtime_ns == at for path, at in before.items() if path.stem < f"behaviour-{count:05d}")
    assert len(read_returns(output / "returns.json").ways["behaviour"]) == 30


def test_every_setting_of_a_planner_is_an_option() -> None:
    (options,) = (c.params for c in get_command(app).commands.values() if c.name == "control")  # type: ignore[attr-defined]

    assert {field.name for field in fields(PlanConfig)} <= {option.name for option in options}


def test_what_was_played_can_be_remembered(played: Played) -> None:
    output, _ = played
    data = open_dataset(output / "episodes" / "mppi")
    encoder = untrained_vae((64, 64, 3))

    memory = Memory(data.info, encoder)
    memory.extend(data, encoder)

    assert memory.ids == ("mppi-00000", "mppi-00001", "mppi-00002")


def test_without_the_extra_there_are_no_videos_and_the_report_says_so(
    pong_memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise MemworldError('videos need the package av: pip install "memworld[video]"')

    monkeypatch.setattr(control_run, "import_av", gone)
    memory = open_memory(pong_memory)

    result = control(open_world("pong"), memory, {"still": still}, PlayConfig(1, 10, 0), tmp_path / "run")

    page = result.report.read_text()
    assert "No videos were written: videos need the package av: pip install &#34;memworld[video]&#34;." in page
    assert not (tmp_path / "run" / "videos").exists()
    assert "still, only episode" in page
    assert "best episode" not in page  # of one there is none
    assert "mp4" not in page
    assert "A single episode has no interval" in page


def test_a_world_without_demonstrator_and_no_yardsticks_at_all(tmp_path: Path) -> None:
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend([walk("r", 0, [1] * 6), walk("l", 90, [0] * 3, lane=200)], encoder)
    line, right = World("line", Line), {"right": lambda rng: lambda observation, info: 1}

    result = control(line, memory, right, PlayConfig(4, 6, 2), tmp_path / "run", videos=False)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Made again by" not in page  # no command was given
    assert "<pre></pre>" not in page

    assert list(result.outcomes) == ["random", "right"]
    assert [outcome.gained for outcome in result.outcomes["right"]] == [6.0] * 4
    findings = {f.against: f for f in result.comparison.findings}
    assert findings["random"].verdict == "holds"
    assert findings["best demonstration"].verdict == "does not hold"  # which went right six times as well
    assert "Not played: demonstrator" in result.comparison.notes[0]
    assert not any("of memory's 2 episodes were cut" in note for note in result.comparison.notes)

    alone = control(line, memory, right, PlayConfig(2, 6), tmp_path / "b", with_yardsticks=False, videos=False)
    assert list(alone.outcomes) == ["right"]
    with one_clear_error("no way to act"):
        control(line, memory, {}, PlayConfig(2, 6), tmp_path / "c", with_yardsticks=False)
    with one_clear_error("random is one of the world's own"):
        control(line, memory, {"random": still}, PlayConfig(2, 6), tmp_path / "c")
    with one_clear_error("'a/b' cannot be a file name"):
        control(line, memory, {"a/b": still}, PlayConfig(2, 6), tmp_path / "c")
    assert not (tmp_path / "c").exists()


class Line(gymnasium.Env[np.ndarray, Any]):
    """The line of `helpers.walk`, without an end."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (1, 2, 1), np.uint8)
        self.action_space = LEFT_RIGHT.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 100
        return self._frame(), {"state": np.zeros(1)}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.place = int(np.clip(self.place + (10 if action == 1 else -10), 0, 250))
        return self._frame(), float(action), False, False, {"state": np.zeros(1)}

    def _frame(self) -> np.ndarray:
        return np.array([self.place, 0], np.uint8).reshape(1, 2, 1)


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"world": "seaquest"}, "the memory is of seaquest, the world is pong"),
        ({"observation_shape": (32, 32, 3)}, r"frames of \(32, 32, 3\), pong has \(64, 64, 3\)"),
        ({"action_space": gymnasium.spaces.Discrete(5)}, "the memory has actions .* pong has"),
    ],
)
def test_a_memory_of_something_else(info: Mapping[str, Any], said: str, tmp_path: Path) -> None:
    own: dict[str, Any] = {"observation_shape": (64, 64, 3), "action_space": gymnasium.spaces.Discrete(6)}
    other = DatasetInfo(**{**own, "world": "pong", **info})
    memory = Memory(other, untrained_vae(other.observation_shape))

    with one_clear_error(said):
        control(open_world("pong"), memory, {"still": still}, PlayConfig(1, 5), tmp_path / "run")

    assert not (tmp_path / "run").exists()


def refused(result: Result, *said: str) -> None:
    """Exit code 2, one line on standard error, and no traceback."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("memworld: error: ")
    for words in said:
        assert words in line


def test_the_command_refuses_what_cannot_be(
    played: Played, pong_memory: Path, tmp_path: Path, call: Callable[..., Result]
) -> None:
    def command(*more: object, world: str = "pong", memory: Path = pong_memory, planner: str = "mppi") -> Result:
        output = () if "--output" in more else ("--output", tmp_path / "run")
        return call("control", world, "--memory", memory, "--planner", planner, *output, *SMALL, *more)

    Image.new("RGB", (8, 8)).save(tmp_path / "goal.png")
    (tmp_path / "text.png").write_text("no picture")
    refused(command(planner="alphago"), "unknown planner 'alphago'", "mppi")
    refused(command("--planner", "mppi"), "planner mppi is named twice")
    refused(command(world="ping"), "unknown world 'ping'")
    refused(command(memory=tmp_path / "none"), "none")
    refused(command(world="freeway"), "the memory is of pong, the world is freeway")
    refused(command("--output", played[0]), "exists and is not empty", "--resume")
    refused(command("--output", pong_memory, "--overwrite"), "holds no config.json of a memworld control")
    refused(command("--output", played[0], "--resume", "--horizon", 5), "begun with other settings")
    refused(command("--resume", "--overwrite"), "contradict")
    refused(command("--horizon", 0), "horizon must be at least 1")
    refused(command("--horizon", 5000), "horizon is 5000, but the longest recorded episode has")
    refused(command("--proposals", "even", "--best", 0.5), "best says nothing to mppi as asked")
    refused(
        call("control", "pong", "-m", pong_memory, "--planner", "vote", "--strategy", "replay_kl"), "imagine nothing"
    )
    refused(command("-n", 0), "episodes is 0: use a whole number from 1")
    refused(command("--max-steps", 0), "max_steps is 0")
    refused(command("--objective", "fame"), "fame")
    refused(command("--objective", "goal"), "goal")
    refused(command("--objective", "goal", "--goal", tmp_path / "goal.png"), "8 x 8 pixels", "64 x 64")
    refused(command("--objective", "goal", "--goal", tmp_path / "text.png"), "no picture that can be read")
    assert not (tmp_path / "run").exists()


def test_a_memory_without_rewards_is_nothing_to_plan_for(
    pong_memory: Path, tmp_path: Path, call: Callable[..., Result]
) -> None:
    encoder = open_encoder(pong_memory / "encoder")
    data = open_dataset(pong_memory.parent / "data")
    memory = Memory(data.info, encoder)
    memory.append(without_rewards(data[0]), encoder)
    WorldModel(encoder, memory).save(tmp_path / "memory")
    command = ("control", "pong", "--memory", tmp_path / "memory", "--output", tmp_path / "run")

    refused(call(*command, *SMALL, "--planner", "mppi"), "no reward was ever given")
    assert not (tmp_path / "run").exists()
    assert call(*command, "-n", 1, "--max-steps", 20, "-q", "--planner", "vote").exit_code == 0  # which asks for none


def without_rewards(episode: Episode) -> Episode:
    """The same episode with rewards of 0."""
    return replace(episode, rewards=np.zeros(len(episode)))


def test_a_goal_picture_is_planned_for(pong_memory: Path, tmp_path: Path, call: Callable[..., Result]) -> None:
    frame = open_dataset(pong_memory.parent / "data")[0].observations[50]
    Image.fromarray(frame).save(tmp_path / "goal.png")

    result = call(
        *("control", "pong", "--memory", pong_memory, "--planner", "random_shooting", "--objective", "goal"),
        *("--goal", tmp_path / "goal.png", "--output", tmp_path / "run", *SMALL, "-n", 1, "--max-steps", 6),
        *("--no-videos", "--no-yardsticks"),
    )

    assert result.exit_code == 0, result.stderr
    assert list(read_returns(tmp_path / "run" / "returns.json").ways) == ["random_shooting"]
    assert not (tmp_path / "run" / "videos").exists()


def test_damaged_files_are_named(played: Played, tmp_path: Path, pong_memory: Path) -> None:
    text = (played[0] / "returns.json").read_text()
    for damage in (text[:-40], text.replace('"gained"', '"lost"'), text.replace('"version": 1', '"version": 9'), "[]"):
        (tmp_path / "returns.json").write_text(damage)
        with one_clear_error(r"returns\.json is damaged"):
            read_returns(tmp_path / "returns.json")
    with one_clear_error("no returns: it has no other.json"):
        read_returns(tmp_path / "other.json")
    memory, config = open_memory(pong_memory), PlayConfig(1, 8)
    control(open_world("pong"), memory, {"still": still}, config, tmp_path / "run", videos=False)
    index = tmp_path / "run" / "episodes" / "still" / "dataset.json"
    index.write_text(index.read_text().replace('"cumulated"', '"lost"'))
    with one_clear_error("the outcome of episode still-00000 in .* is damaged .*delete the folder"):
        control(open_world("pong"), memory, {"still": still}, config, tmp_path / "run", "resume", videos=False)
    shutil.rmtree(index.parent)
    control(open_world("pong"), memory, {"still": still}, config, tmp_path / "run", "resume", videos=False)


def outcome(number: int, gained: float, steps: int = 5) -> Outcome:
    return Outcome(number, gained, steps, False, True, (gained,) * len(marks(5)), 1.0, 0.1, 0.2)


def test_three_episodes_are_chosen_where_there_are() -> None:
    def names(*gained: float) -> dict[str, int]:
        return {name: found.number for name, found in chosen([outcome(i, g) for i, g in enumerate(gained)])}

    assert names(3) == {"only": 0}
    assert names(3, 5) == {"best": 1, "worst": 0}
    assert names(3, 5, 4) == {"best": 1, "middling": 2, "worst": 0}
    assert names(2, 2, 3) == {"best": 2, "middling": 0, "worst": 1}
    assert names(2, 2, 2, 2) == {"first": 0, "last": 3}, "none of them is better"
