"""The vote against a naive count; real episodes of Pong, and of a toy world with mixed actions."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import hypothesis.strategies as st
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from hypothesis import given, settings

from memworld.actions import ActionSpace, action_parts, as_actions
from memworld.evaluate import playing
from memworld.evaluate.experiments import planning
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.planning import play_config, run, run_in, strategies
from memworld.evaluate.experiments.result import ExperimentResult, Number, read_result, write_result
from memworld.evaluate.playing import RECORDED_SEEDS, marks, play
from memworld.formats import open_dataset
from memworld.gaussian import seeded
from memworld.memory import Memory
from memworld.plan.vote import PLAN_STEPS, Voter, recorded_next, vote
from memworld.storage import read_json
from memworld.world_model import WorldModel
from memworld.worlds import World
from tests.evaluate.experiments.laboratories import RECORDED
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, sampled_actions, untrained_vae, walk

SPACES: list[ActionSpace] = [
    Discrete(3, start=-1),
    MultiDiscrete([2, 3]),
    Box(-1.0, 1.0, (2,)),
    Box(-5, 5, (1,), np.int64),
    Dict({"camera": Box(-180.0, 180.0, (2,)), "jump": Discrete(2), "slots": MultiDiscrete([3, 2])}),
]


def naive_vote(threads: list[np.ndarray], space: ActionSpace) -> list[list[float]]:
    """Step by step and column by column, with a counter and a plain loop."""
    steps = []
    for step in range(max(map(len, threads))):
        heard = [np.atleast_1d(thread[step]).tolist() for thread in threads if step < len(thread)]
        action = []
        for part in action_parts(space):
            for at in range(part.columns.start, part.columns.stop):
                said = [columns[at] for columns in heard]
                if part.discrete:
                    counts = Counter(said)
                    # `max` keeps the first of several, and `said` has the nearest first.
                    action.append(max(said, key=lambda choice: counts[choice]))
                else:
                    mean = float(np.float32(sum(map(float, said)) / len(said)))
                    action.append(mean if np.issubdtype(part.space.dtype, np.floating) else float(round(mean)))
        steps.append(action)
    return steps


@settings(max_examples=120)
@given(st.sampled_from(SPACES), st.lists(st.integers(1, PLAN_STEPS), min_size=1, max_size=7), st.integers(0, 2**31 - 1))
def test_vote_is_the_naive_count_and_lies_in_the_space(space: ActionSpace, lengths: list[int], seed: int) -> None:
    stored = as_actions(sampled_actions(space, sum(lengths), seed), space)
    threads = np.split(stored, np.cumsum(lengths)[:-1])

    found = vote(threads, space)

    naive = naive_vote(threads, space)
    np.testing.assert_allclose(found.actions.reshape(len(naive), -1), naive, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(as_actions(found.actions, space), found.actions)
    assert found.actions.dtype == stored.dtype
    assert found.voters.tolist() == [sum(n > step for n in lengths) for step in range(max(lengths))]
    for step, unanimous in enumerate(found.unanimous):
        assert unanimous == (len({tuple(np.atleast_1d(t[step])) for t in threads if len(t) > step}) == 1)


@settings(max_examples=40)
@given(st.sampled_from(SPACES), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**31 - 1))
def test_copies_of_one_thread_vote_for_it(space: ActionSpace, steps: int, copies: int, seed: int) -> None:
    thread = as_actions(sampled_actions(space, steps, seed), space)

    found = vote([thread] * copies, space)

    np.testing.assert_array_equal(found.actions, thread)
    assert found.unanimous.all()
    assert (found.voters == copies).all()


def test_of_equally_many_votes_the_nearest_row_s_wins() -> None:
    threads = [np.array([action]) for action in (3, 2, 1, 1, 2, 0)]

    assert vote(threads, Discrete(4)).actions.tolist() == [2]  # and neither 1, the lower, nor 3, the nearest of all


def test_half_a_step_is_rounded_to_even_however_the_shares_add_up() -> None:
    threads = [np.array([[action]]) for action in (-1, 4, -2, 3, -4, 3)]  # sixths of these add up to .5 and a little

    assert vote(threads, Box(-5, 5, (1,), np.int64)).actions.tolist() == [[0]]


def line_memory() -> tuple[PixelEncoder, Memory]:
    """Two walks on a line, in lanes of their own: the first goes right for 6 steps, the second left for 3."""
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend([walk("r", 0, [1] * 6), walk("l", 90, [0] * 3, lane=200)], encoder)
    return encoder, memory


def test_no_thread_runs_into_the_next_episode() -> None:
    _, memory = line_memory()

    assert recorded_next(memory, 0, 5).tolist() == [1] * 5
    assert recorded_next(memory, 4, 5).tolist() == [1] * 2
    assert recorded_next(memory, memory.row_of("l", 2), 5).tolist() == [0]


def test_a_voter_plays_its_plan_to_the_end_and_then_looks_again() -> None:
    encoder, memory = line_memory()
    voter = Voter(WorldModel(encoder, memory, strategies(memory)["replay_kl"]), seeded(0))
    frames = np.stack([*walk("q", 10, [1] * 6).observations[:6], walk("p", 60, [0], lane=200).observations[0]])

    actions = [int(voter(frame, {})) for frame in frames]

    # Planned at step 0 on "r"'s step 1, whose thread has 5 more; at step 5 on its step 6, which is no candidate.
    assert actions == [1, 1, 1, 1, 1, 1, 0]
    assert voter.planned_at == [0, 5, 6]
    assert voter.nearest == [1, memory.row_of("r", 5), memory.row_of("l", 2)]
    assert voter.unanimous == []  # a single row votes with no one


def cells(result: ExperimentResult, column: str) -> dict[str, Any]:
    table = result.tables[0]
    return {row.label: row.cells[table.columns.index(column)] for row in table.rows}


@pytest.fixture(scope="module")
def pong(tmp_path_factory: pytest.TempPathFactory) -> tuple[Laboratory, Path, ExperimentResult]:
    """Pong played by all ways, and the folder of outcomes."""
    data, encoder, folder = (
        open_dataset(RECORDED / "pong")[:2],
        untrained_vae((64, 64, 3)),
        tmp_path_factory.mktemp("p"),
    )
    memory = Memory(data.info, encoder)
    memory.extend(data, encoder)
    config = StudyConfig(play_episodes=2, play_steps=60)
    lab = Laboratory("pong", data, data[:0], data[:0], encoder, memory, {}, config=config)
    return lab, folder, run(lab, folder)


def test_real_episodes_of_every_way(pong: tuple[Laboratory, Path, ExperimentResult], tmp_path: Path) -> None:
    lab, _, result = pong

    returns, normalised = cells(result, "return"), cells(result, "normalised return")
    assert list(returns) == ["random", "demonstrator", "constant", "replay", *strategies(lab.memory)]
    assert "replay_kl_k10" in returns
    assert normalised["random"].value == pytest.approx(0)
    assert normalised["demonstrator"].value == pytest.approx(1)
    lead = returns["demonstrator"].value - returns["random"].value
    expected = (returns["rollout"].value - returns["random"].value) / lead
    assert normalised["rollout"].value == pytest.approx(expected)
    assert cells(result, "unanimous")["replay_kl"] == cells(result, "support")["random"] == ""
    assert 0 <= cells(result, "support")["replay_kl"].value <= 1
    (evidence,) = result.evidence
    assert np.mean(evidence.b) == pytest.approx(normalised["replay_kl"].value)
    assert len(evidence.a) == 2
    for curve in result.charts[0].curves:
        assert curve.y[-1] == pytest.approx(returns[curve.label].value)
        assert curve.x[-1] == 60
    (strip,) = result.strips
    assert strip.truth.shape == strip.rows[0][1].shape == (len(strip.horizons), 64, 64, 3)
    write_result(tmp_path, result, {})
    read = read_result(tmp_path, result.experiment, result.world)
    assert read is not None
    assert read.tables[0].columns == result.tables[0].columns
    assert read.evidence == result.evidence


def test_an_interrupted_run_goes_on_and_other_settings_begin_anew(
    pong: tuple[Laboratory, Path, ExperimentResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, folder, whole = pong
    played: list[str] = []
    patience = [4]

    def impatient(env: Any, world: World, way: str, *rest: Any) -> Any:
        if len(played) in patience:
            raise KeyboardInterrupt
        played.append(way)
        return play(env, world, way, *rest)

    monkeypatch.setattr(playing, "play", impatient)
    with pytest.raises(KeyboardInterrupt):
        run(lab, tmp_path)
    assert played == ["random"] * 2 + ["demonstrator"] * 2
    patience.clear()
    resumed = run(lab, tmp_path)
    assert len(played) == 2 * 8
    for column in ("return", "steps survived", "support"):
        assert [str(c) for c in cells(resumed, column).values()] == [str(c) for c in cells(whole, column).values()]
    played.clear()
    run(lab, folder)
    assert not played
    short = replace(lab.config, play_episodes=1, play_steps=10)
    run(replace(lab, config=short), tmp_path / "other")
    run(replace(lab, config=replace(short, seed=3)), tmp_path / "other")
    assert len(played) == 8 + 8
    assert read_json(tmp_path / "other" / "random.json", "")["settings"]["seed"] == 3


def test_a_damaged_file_of_outcomes_is_named(pong: tuple[Laboratory, Path, ExperimentResult], tmp_path: Path) -> None:
    lab, folder, _ = pong
    text = (folder / "constant.json").read_text()
    (tmp_path / "constant.json").write_text(text.replace('"gained"', '"lost"'))

    with one_clear_error(r"constant\.json is damaged .*delete it"):
        run(lab, tmp_path)


def test_a_world_that_is_not_here_gives_a_note_and_no_table(pong: tuple[Laboratory, Path, ExperimentResult]) -> None:
    result = run(replace(pong[0], world="square"))

    assert not result.tables
    assert not result.charts
    assert not result.evidence
    assert "No real episode was played: unknown world 'square'" in result.notes[0]


MIXED = Dict({"push": Box(-1.0, 1.0, ()), "jump": Discrete(2)})


class Plank(gymnasium.Env[np.ndarray, Any]):
    """A walk to the right end of a plank, faster with jumps, which chance may push back a little at the start."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (1, 2, 1), np.uint8)
        self.action_space = MIXED
        self.seeds: list[int | None] = []
        self.closed = False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.place = int(self.np_random.integers(20, 60))
        return self._frame(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        before = self.place
        self.place = int(np.clip(before + round(5 * float(action["push"])) + 10 * int(action["jump"]), 0, 250))
        return self._frame(), float(self.place - before), self.place == 250, False, {}

    def _frame(self) -> np.ndarray:
        return np.array([self.place, 0], np.uint8).reshape(1, 2, 1)

    def close(self) -> None:
        self.closed = True


def plank_laboratory(tmp_path: Path, **sizes: Any) -> tuple[Laboratory, World]:
    """A memory of pushing right and jumping, recorded in the plank itself."""
    from memworld.record import record

    world = World("plank", Plank, policies={**World("", Plank).policies})
    always = {"push": np.array(1.0, np.float32), "jump": 1}
    data = record(world, lambda o, i: always, tmp_path / "plank", episodes=3, max_steps=40, random_start=0)
    encoder = PixelEncoder()
    memory = Memory(data.info, encoder)
    memory.extend(data, encoder)
    config = StudyConfig(**{"play_episodes": 2, "play_steps": 30, "random_start": 3, **sizes})
    return Laboratory("plank", data, data[:0], data[:0], encoder, memory, {}, config=config), world


def test_mixed_actions_and_a_world_without_demonstrator(tmp_path: Path) -> None:
    lab, world = plank_laboratory(tmp_path)
    env = Plank()

    result = run_in(lab, world, env)

    assert not env.closed  # it is the caller's
    returns = cells(result, "return")
    assert "demonstrator" not in returns
    assert returns["replay_l2"].value > returns["random"].value
    assert returns["constant"].value == returns["replay_l2"].value  # all recorded actions are alike
    assert cells(result, "unanimous")["replay_l2"].value == 1
    assert cells(result, "normalised return")["rollout"] == ""
    assert result.evidence == ()
    assert any("cannot be normalised" in note for note in result.notes)
    assert any(note.startswith("Return against random, on the same starts: more: rollout") for note in result.notes)
    # Every way begins at the same places, none of which can be a recording's.
    seeds = [seed for seed in env.seeds if seed is not None]
    assert len(set(seeds)) == 2
    assert min(seeds) >= RECORDED_SEEDS


def test_the_reward_gathered_stays_after_an_episode_s_end(tmp_path: Path) -> None:
    lab, world = plank_laboratory(tmp_path, play_steps=200)
    always = as_actions({"push": np.array([1.0]), "jump": np.array([1])}, MIXED)[0]

    outcome = play(Plank(), world, "always", lambda rng: lambda o, i: always, 0, play_config(lab)).outcome

    assert outcome.steps < 25
    at = dict(zip(marks(200), outcome.cumulated, strict=True))
    assert at[200] == at[100] == outcome.gained
    assert at[4] == 60
    assert outcome.support is outcome.unanimous is None


def test_the_environment_is_closed_when_playing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, world = plank_laboratory(tmp_path)
    env = Plank()
    broken = replace(world, make=lambda: env, policies={"random": lambda space, rng, skill: lambda o, i: {"push": 7}})
    monkeypatch.setattr(planning, "open_world", lambda name: broken)

    with pytest.raises(Exception, match="push"):
        run(lab)

    assert env.closed


def test_marks_are_few_distinct_and_end_at_the_end() -> None:
    assert marks(3) == [1, 2, 3]
    assert len(marks(500)) == 50
    assert marks(499)[-1] == 499


def test_cells_are_numbers_where_something_was_measured(pong: tuple[Laboratory, Path, ExperimentResult]) -> None:
    assert all(isinstance(cell, Number) for cell in cells(pong[2], "steps survived").values())
