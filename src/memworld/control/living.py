"""Learning by living: act by what memory knows, remember what came of it, and act by that."""

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from tqdm import tqdm

from memworld.actions import supported_space
from memworld.control.demonstrations import demonstrations
from memworld.control.growth import Growth, LivedEpisode, growth
from memworld.control.living_page import write_living, write_living_page
from memworld.control.planned import WITHOUT_IMAGINATION
from memworld.control.run import check_same_game, identity
from memworld.datasets import DatasetInfo
from memworld.engine import DynamicsSettings
from memworld.episodes import Episode
from memworld.errors import MemworldError, lookup
from memworld.evaluate.playing import MakePolicy, PlayConfig, Played, play
from memworld.memory import Memory, MemoryEpisode
from memworld.pipeline import versions
from memworld.plan import DYNAMICS, PLANNERS, PlanConfig, planning_policy
from memworld.plan.policy import longest_episode
from memworld.remember import MemoryStream
from memworld.storage import OnExisting, begin_run, locked, one_line, to_json
from memworld.store import open_memory, save_memory
from memworld.world_model import WorldModel
from memworld.worlds import World
from memworld.worlds.playing import dataset_info
from memworld.worlds.policies import random_policy, skilled

KIND = "living"
"""What the `config.json` of such a run says that it is."""

NAME = "lived"
"""How the ids of lived episodes begin, before a number that is not taken yet, as with `RememberWrapper`."""

RANDOM = "random"
"""The way to act where memory holds no reward yet, or nothing as long as a plan, and so nothing to plan with."""


@dataclass(frozen=True, eq=False)
class LivingResult:
    """What a life gives.

    Attributes:
        episodes: what was lived, in order.
        growth: whether the return grew: a table, what was found, and notes.
        memory: the folder of the memory that grew.
        report: the report's path; `living.json` lies beside it.
    """

    episodes: Sequence[LivedEpisode]
    growth: Growth
    memory: Path
    report: Path


def live(
    world: World,
    memory: str | Path,
    plan: PlanConfig,
    config: PlayConfig,
    output: str | Path,
    on_existing: OnExisting = "error",
    *,
    every: int = 5,
    dynamics: DynamicsSettings | None = None,
    command: str = "",
    progress: bool = False,
) -> LivingResult:
    """Act in a real world by planning in a memory that grows by what is lived, and report how the return grows.

    The folder `output` then holds `config.json`, `memory/` (a copy of the given memory, and what was lived),
    `living.json` and `report.html`. Rounds of `every` episodes are acted by what memory held when the round began;
    while it holds no reward, or no episode as long as a plan, by the world's own random policy. An interrupt keeps
    every finished episode: the memory is all there is to go on with.

    Args:
        world: where to live.
        memory: folder of a memory with its encoder, which is only read; it may hold no episode yet.
        plan: how to act.
        config: how many episodes in all, from where (no start is ever played twice), how long.
        output: the run's folder.
        on_existing: `resume` goes on where an earlier call with the same settings stopped, or with more episodes.
        every: real episodes between two looks at what memory has come to hold.
        dynamics: of the imagination; None takes `plan.DYNAMICS`.
        command: makes the report again; printed in it.
        progress: whether to show a progress bar.

    Raises:
        MemworldError: a round without an episode, an unknown planner or one that wants no return; a memory that
            cannot be opened, is of another world, or is, contains or lies in `output`; a folder that cannot be used,
            was begun with other settings or has more episodes already; or the simulator failed.
    """
    given, output = Path(memory), Path(output)
    lookup(PLANNERS, plan.planner, "planner")
    if every < 1:
        raise MemworldError(f"every is {every}: a round has at least 1 episode")
    if plan.objective != "return":
        raise MemworldError(f"the objective is {plan.objective}, but lives are told by their returns: use return")
    memory_folder, run_folder = given.resolve(), output.resolve()
    if memory_folder.is_relative_to(run_folder) or run_folder.is_relative_to(memory_folder):
        raise MemworldError(f"output {output} is, contains or lies in the memory {given}: name another folder")
    start = WorldModel.open(given, dynamics or DYNAMICS)
    with contextlib.closing(world.make()) as env, contextlib.ExitStack() as held:
        info = dataset_info(world, env)
        check_same_game(start.memory, info)
        _check_same_states(start.memory, info)
        settings = {
            "world": world.name,
            "frameskip": world.frameskip,
            "memory": identity(start.memory),
            "dynamics": to_json(start.dynamics),
            "plan": to_json(plan),
            "every": every,
            "playing": {name: value for name, value in asdict(config).items() if name != "episodes"},
        }
        held.enter_context(locked(output))
        begin_run(output, KIND, settings, on_existing)
        life = _Life(world, output / "memory", len(start.memory.entries), dynamics or DYNAMICS, every)
        save_memory(start.memory, life.folder, "resume", encoder=start.encoder)
        began = time.perf_counter()
        _go_on(life, env, plan, config, progress)
        seconds = time.perf_counter() - began
        known = open_memory(life.folder)
        episodes = tuple(_told(known.episodes[life.before :], life))
        found = growth(world, episodes, demonstrations(start.memory, config.max_steps), every, config)
        write_living(output / "living.json", episodes, found, settings, versions())
        report = output / "report.html"
        write_living_page(report, world.name, episodes, found, known, settings, config, command, seconds)
    return LivingResult(episodes, found, life.folder, report)


@dataclass(frozen=True)
class _Life:
    """What was lived is what memory holds after the episodes that it began with.

    Attributes:
        world: where.
        folder: of the memory that grows.
        before: how many episodes it began with.
        dynamics: of the imagination.
        every: episodes of a round.
    """

    world: World
    folder: Path
    before: int
    dynamics: DynamicsSettings
    every: int

    def knowing(self, count: int) -> WorldModel:
        """A model of the memory as it was when `count` episodes had been lived, opened anew.

        What it learns thus depends on these alone, however often a life was interrupted.
        """
        model = WorldModel.open(self.folder, self.dynamics)
        model.memory.remove(model.memory.ids[self.before + count :])
        return model


def _go_on(
    life: _Life, env: gymnasium.Env[np.ndarray, Any], plan: PlanConfig, config: PlayConfig, progress: bool
) -> None:
    """Live what has not been lived."""
    with (
        MemoryStream.open(life.folder, episodes=1) as stream,
        tqdm(total=config.episodes, desc=f"{life.world.name}: lived", unit="episode", disable=not progress) as bar,
    ):
        lived = len(stream.memory.entries) - life.before
        if lived > config.episodes:
            raise MemworldError(f"{life.folder} has {lived} lived episodes already: ask for as many or more")
        bar.update(lived)
        while lived < config.episodes:
            turn = lived // life.every
            way, make = _way(life, env, plan, turn * life.every, progress)
            for number in range(lived, min((turn + 1) * life.every, config.episodes)):
                played = play(env, life.world, NAME, make, number, config)
                stream.append(_to_remember(played, way, stream))
                lived += 1
                bar.set_postfix({"way": way, "return": f"{played.outcome.gained:g}"}, refresh=False)
                bar.update()


def _way(
    life: _Life, env: gymnasium.Env[np.ndarray, Any], plan: PlanConfig, count: int, progress: bool
) -> tuple[str, MakePolicy]:
    """How to act by what memory held when `count` episodes had been lived: the way's name, and the policies."""
    model = life.knowing(count)
    too_short = plan.planner not in WITHOUT_IMAGINATION and longest_episode(model.memory) < plan.horizon
    if too_short or not any(episode.rewards.any() for episode in model.memory.episodes):
        factory = life.world.policies.get("random", skilled(random_policy))
        return RANDOM, lambda rng: factory(supported_space(env.action_space), rng, 0.0)
    if plan.planner not in WITHOUT_IMAGINATION:
        model.prepare(progress)
    return plan.planner, planning_policy(model, plan)


def _to_remember(played: Played, way: str, stream: MemoryStream) -> Episode:
    """The episode under an id that is not taken; what of its outcome is not in it goes into its source."""
    taken, episode = stream.ids, played.episode
    id = next(id for number in itertools.count() if (id := f"{NAME}-{number:06}") not in taken)
    source = {**episode.source, "policy": way, "seconds": played.outcome.seconds_median}
    return replace(episode, id=id, source=source, states=episode.states if stream.memory.info.state_names else None)


def _told(episodes: Sequence[MemoryEpisode], life: _Life) -> Iterator[LivedEpisode]:
    """What came of remembered episodes."""
    steps = 0
    for number, episode in enumerate(episodes):
        source: Mapping[str, Any] = episode.entry.source
        try:
            way, seconds = str(source["policy"]), float(source["seconds"])
        except (KeyError, TypeError, ValueError) as error:
            raise MemworldError(
                f"{life.folder}: episode {episode.entry.id} was not lived by memworld live ({one_line(error)}): "
                "remove it"
            ) from error
        gained = float(episode.rewards.sum(dtype=np.float64))
        yield LivedEpisode(number, number // life.every, steps, way, gained, episode.entry.steps, seconds)
        steps += episode.entry.steps


def _check_same_states(memory: Memory, info: DatasetInfo) -> None:
    """Do nothing if a memory keeps no states, or those that the world gives.

    Raises:
        MemworldError: it keeps others.
    """
    kept = memory.info.state_names
    if kept and kept != info.state_names:
        raise MemworldError(
            f"the memory has states {', '.join(kept)}, {info.world} has {', '.join(info.state_names) or 'none'}: "
            "remember episodes recorded in this world"
        )
