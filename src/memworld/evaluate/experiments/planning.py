"""Planning as published: a vote over what the retrieved moments' own episodes did next, played in the real world.

Predictions' tables have persistence, the data mean and the encoder's bound beside them. These ways to act
predict nothing, so that their yardsticks are ways to act: `replay`, the recorded actions of an episode
drawn by chance, stands for persistence; `constant`, the vote of all recorded actions, for the data mean;
random play and the demonstrator span the scale.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from memworld.dynamics import DynamicsConfig
from memworld.errors import MemworldError
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import number
from memworld.evaluate.experiments.result import Cell, Evidence, ExperimentResult, ResultTable, Row
from memworld.evaluate.playing import (
    MakePolicy,
    Outcome,
    OutcomeFile,
    PlayConfig,
    Shelf,
    Unkept,
    play,
    play_all,
    yardsticks,
)
from memworld.evaluate.results import Strip, interval
from memworld.evaluate.returns import gathered, normalised, returns_of
from memworld.gaussian import seeded
from memworld.memory import Memory
from memworld.plan.vote import PLAN_STEPS, Voter, elect
from memworld.storage import make_folder
from memworld.world_model import WorldModel
from memworld.worlds import World, open_world
from memworld.worlds.policies import Policy

VOTERS = 10
"""Rows that `replay_l2` retrieves, and the variant of `replay_kl` whose vote is one of many."""

SHOWN = 6
"""Moments of the film strip."""

YARDSTICKS = {"random": "yardstick", "demonstrator": "yardstick", "constant": "baseline", "replay": "baseline"}
"""The ways to act that retrieve nothing, and their kinds."""

PUBLISHED = "replay_kl"
"""The strategy by which the paper's claim is judged."""


def strategies(memory: Memory) -> dict[str, DynamicsConfig]:
    """The published strategies, and `replay_kl` with more votes than one, which is none; few rows allow fewer."""
    k = min(VOTERS, memory.steps)
    return {
        "rollout": DynamicsConfig("rollout", conditioning="none"),
        "replay_l2": DynamicsConfig("replay_l2", k=k, conditioning="none"),
        PUBLISHED: DynamicsConfig("replay_kl", k=1, conditioning="none"),
        f"replay_kl_k{k}": DynamicsConfig("replay_kl", k=k, conditioning="none"),
    }


def run(lab: Laboratory, folder: Path | None = None) -> ExperimentResult:
    """Play real episodes by every way to act.

    Args:
        lab: the prepared world.
        folder: where to keep the outcome of every finished episode, so that an interrupted run goes on with
            the next one; None keeps none.

    Raises:
        MemworldError: the folder cannot be used, or the simulator failed while it played.
    """
    try:
        world = open_world(lab.world)
        env = world.make()
    except MemworldError as error:
        return ExperimentResult("planning", lab.world, notes=(f"No real episode was played: {error}.",))
    with contextlib.closing(env):
        return run_in(lab, world, env, folder)


def run_in(
    lab: Laboratory, world: World, env: gymnasium.Env[np.ndarray, Any], folder: Path | None = None
) -> ExperimentResult:
    """As `run`, in an environment of the world that is there already, and stays open."""
    began = time.perf_counter()
    ways = _ways(lab, world)
    outcomes = play_all(env, world, ways, play_config(lab), _shelves(lab, folder), lab.progress)
    returns = returns_of(outcomes)
    shares = normalised(returns)
    scores = [shares[way] for way in ("random", PUBLISHED)] if shares else []
    compared = f"{len(returns['random'])} episodes, {PUBLISHED} with k = 1"
    return ExperimentResult(
        "planning",
        lab.world,
        tables=(_table(outcomes, shares, lab.config.seed),),
        charts=(gathered(outcomes, play_config(lab)),),
        strips=(_strip(lab, world, env, ways, returns),),
        evidence=(Evidence("planning_acts", compared, *(tuple(map(float, s)) for s in scores)),) if scores else (),
        notes=tuple(_notes(world, returns, shares, lab.config.seed)),
        seconds=time.perf_counter() - began,
    )


def play_config(lab: Laboratory) -> PlayConfig:
    """The laboratory's sizes of real episodes."""
    config = lab.config
    return PlayConfig(config.play_episodes, config.play_steps, config.random_start, config.seed)


def _shelves(lab: Laboratory, folder: Path | None) -> Callable[[str], Shelf]:
    """One file a way in the folder."""
    if folder is None:
        return lambda way: Unkept()
    make_folder(folder)
    settings = {
        "world": lab.world,
        "plan_steps": PLAN_STEPS,
        "episodes in memory": list(lab.memory.ids),
        "memory seed": lab.memory.seed,
        "encoder": lab.encoder.fingerprint,
    }
    return lambda way: OutcomeFile(folder / f"{way}.json", play_config(lab), {"way": way, **settings})


def _ways(lab: Laboratory, world: World) -> dict[str, MakePolicy]:
    """What makes the policy of an episode, by the way to act; yardsticks first."""
    space = lab.memory.info.action_space
    constant = elect(np.concatenate([episode.actions for episode in lab.memory.episodes]), space)

    def replaying(rng: np.random.Generator) -> Policy:
        actions = _recorded(lab.memory, rng)
        return lambda observation, info: next(actions)

    def voting(dynamics: DynamicsConfig) -> MakePolicy:
        model = WorldModel(lab.encoder, lab.memory, dynamics)
        return lambda rng: Voter(model, seeded(int(rng.integers(2**32))))

    ways = yardsticks(world, space)
    ways |= {"constant": lambda rng: lambda observation, info: constant, "replay": replaying}
    return ways | {name: voting(dynamics) for name, dynamics in strategies(lab.memory).items()}


def _recorded(memory: Memory, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The actions of one remembered episode drawn by chance after the other."""
    while True:
        yield from memory.episodes[int(rng.integers(len(memory.episodes)))].actions


def _table(outcomes: Mapping[str, Sequence[Outcome]], shares: Mapping[str, np.ndarray], seed: int) -> ResultTable:
    def cell(values: Sequence[float | None] | np.ndarray) -> Cell:
        known = np.array([np.nan if value is None else value for value in values], np.float64)
        return number(known, seed) if np.isfinite(known).any() else ""

    rows = []
    for way, played in outcomes.items():
        chosen_per_second = sum(o.steps for o in played) / max(sum(o.seconds for o in played), 1e-9)
        cells = (
            cell([o.gained for o in played]),
            cell(shares.get(way, ())),
            cell([o.steps for o in played]),
            f"{chosen_per_second:,.0f}",
            cell([o.unanimous for o in played]),
            cell([o.support for o in played]),
        )
        rows.append(Row(way, cells, YARDSTICKS.get(way, "")))
    return ResultTable(
        "real returns",
        "Higher is better. The normalised return is 0 for random play's mean and 1 for the demonstrator's, which are "
        "taken as exact. Every way plays the same starts. Actions per second leave out the world's own time. "
        "Unanimous: the share of steps on which several recorded threads voted and all had taken one action. Support: "
        "quantile of the nearest row's distance when planning, 1 is worst; near 0 a world that repeats exactly goes "
        "along a recorded episode.",
        ("return", "normalised return", "steps survived", "actions chosen per second", "unanimous", "support"),
        tuple(rows),
    )


def _strip(
    lab: Laboratory,
    world: World,
    env: gymnasium.Env[np.ndarray, Any],
    ways: Mapping[str, MakePolicy],
    returns: Mapping[str, np.ndarray],
) -> Strip:
    """The best voting strategy's episode of middling return, played once more to be seen.

    Its "truth" is the real world as it was met when planning, its row the nearest remembered moments.
    """
    best = max(strategies(lab.memory), key=lambda way: float(returns[way].mean()))
    episode = int(np.argsort(returns[best], kind="stable")[len(returns[best]) // 2])
    voters: list[Voter] = []

    def watched(rng: np.random.Generator) -> Policy:
        voter = ways[best](rng)
        assert isinstance(voter, Voter)
        voters.append(voter)
        return voter

    frames = play(env, world, best, watched, episode, play_config(lab)).episode.observations
    plans = np.unique(np.linspace(0, len(voters[0].planned_at) - 1, SHOWN + 1).round().astype(int))[1:]
    # An episode that ends within its first plan shows that plan alone.
    plans = plans if len(plans) else np.array([0])
    steps = [voters[0].planned_at[plan] for plan in plans]
    rows: tuple[tuple[str, np.ndarray], ...] = ()
    if lab.memory.keep_frames:
        rows = ((f"{best}: nearest remembered", lab.memory.frames([voters[0].nearest[plan] for plan in plans])),)
    truth = frames[steps]
    return Strip(f"real-{episode:05d}", 0, tuple(steps), frames[0], truth, rows)


def _notes(
    world: World, returns: Mapping[str, np.ndarray], shares: Mapping[str, np.ndarray], seed: int
) -> Iterator[str]:
    """What was found, in words."""
    voting = [way for way in returns if way not in YARDSTICKS]
    yield (
        "No reward enters the vote: these ways to act repeat what was done in moments that look alike. "
        f"{PUBLISHED} as published retrieves one row, whose vote is no vote, hence the variant with more."
    )
    for yardstick in (way for way in YARDSTICKS if way in returns):
        found: dict[str, list[str]] = {"more": [], "less": [], "undecided": []}
        for way in voting:
            _, low, high = interval(returns[way] - returns[yardstick], seed)
            found["more" if low > 0 else "less" if high < 0 else "undecided"].append(way)
        said = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in found.items() if names)
        yield f"Return against {yardstick}, on the same starts: {said}."
    if not shares:
        yield "There is no demonstrator that does better than random play, so that returns cannot be normalised."
    if not world.repeatable:
        yield "This world runs by the clock, at least in part: the same actions do not give the same pictures again."
