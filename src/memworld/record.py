"""Record episodes: drive a world with a policy and write each episode as soon as it ends."""

import contextlib
import importlib
import itertools
import logging
import operator
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from tqdm import tqdm

from memworld.actions import supported_space
from memworld.datasets import EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats import FORMATS, ReadOptions, find_writer
from memworld.storage import OnExisting, one_line
from memworld.worlds import World
from memworld.worlds.playing import begin_episode, dataset_info, play_episode
from memworld.worlds.policies import Policy, PolicyFactory, check_skill, skilled

_log = logging.getLogger(__name__)

_ID = re.compile(r"seed(\d{1,10})-(\d{5})")
"""Of an episode: the recording's seed, and its number."""

# Of numbers that would otherwise run for days or out of memory before they show to be typing errors.
# An episode's id has five digits for its number; an episode is held in memory until it ends.
_RANGES = {
    "episodes": (1, 100_000),
    "max_steps": (1, 1_000_000),
    "seed": (0, 2**32 - 1),
    "random_start": (0, 10_000),
}


def record(
    world: World,
    policy: str | Policy,
    output: str | Path,
    *,
    episodes: int,
    max_steps: int,
    seed: int = 0,
    skills: Sequence[float] = (1.0,),
    random_start: int = 30,
    format: str = "npz",
    on_existing: OnExisting = "error",
    progress: bool = False,
) -> EpisodeDataset:
    """Play episodes and write them, one at a time.

    An interrupt keeps the finished episodes, and `on_existing="resume"` then makes those that an
    uninterrupted run would have made, in a world that is `repeatable`: each depends on `seed` and its
    number only.

    Args:
        world: where to play.
        policy: name of one of the world's policies, "module:function" (see `load_policy`), or a
            function `f(observation, info) -> action`.
        output: folder to write to.
        episodes: how many to play.
        max_steps: of an episode; one that is cut there is marked as truncated.
        seed: of everything that depends on chance.
        skills: in [0, 1], taken in turn by the episodes; 1 follows the policy, lower ones replace a
            share `1 - skill` of the play by random actions that are held for several steps.
        random_start: play up to this many steps of held random actions before recording begins; how
            many is drawn for each episode.
        format: name of a format in `formats.FORMATS` that can be written.
        on_existing: what to do if `output` holds something, see `storage.prepare_folder`; `overwrite`
            removes it when the first new episode has been played.
        progress: show a progress bar with each episode's return.

    Returns:
        The data set in `output`. Each episode's `source` names the world, its frameskip, the
        policy, skill, seed, number of random steps before it and limit of steps.

    Raises:
        MemworldError: a number out of its range, an unknown policy, a policy's action outside the
            space or an exception in it, or `output` exists, cannot be written, was begun with other
            settings, lacks episodes that it lists, or has more than `episodes` already.
    """
    check_ranges(episodes=episodes, max_steps=max_steps, seed=seed, random_start=random_start)
    if not skills:
        raise MemworldError("skills is empty: give at least one, such as 1.0")
    cycle = [check_skill(float(skill)) for skill in skills]
    factory, policy_name = _find_policy(world, policy)
    settings = {"world": world.name, "frameskip": world.frameskip, "policy": policy_name, "max_steps": max_steps}

    def plan(index: int) -> "_Plan":
        return _Plan.draw(index, seed, cycle[index % len(cycle)], random_start, settings)

    make_writer, folder = find_writer(format), Path(output)
    env = world.make()
    with contextlib.ExitStack() as held:
        held.callback(env.close)
        info = dataset_info(world, env)
        played: list[Episode] = []
        there = folder.is_dir() and any(folder.iterdir())
        if not there or (on_existing == "overwrite" and FORMATS[format].found(folder)):
            # The old episodes stay, and no folder is made, until world and policy have proved to work.
            played.append(info.check(_play(env, world, factory, plan(0), max_steps)))
        writer = held.enter_context(make_writer(folder, info, on_existing))
        stored = writer.entries
        for index, entry in enumerate(stored):
            _check_resumable(output, entry.id, entry.source, plan(index))
        if len(stored) > episodes:
            raise MemworldError(
                f"{output} has {len(stored)} episodes already, {episodes} {'was' if episodes == 1 else 'were'} asked "
                f"for: ask for {len(stored)} or more, or write to another folder"
            )
        with tqdm(total=episodes, initial=len(stored), desc="record", unit="episode", disable=not progress) as bar:
            for index in range(len(stored), episodes):
                episode = played.pop() if played else _play(env, world, factory, plan(index), max_steps)
                writer.append(episode)
                gained = float(episode.rewards.sum())
                _log.info("recorded %s: %d steps, return %g", episode.id, len(episode), gained)
                bar.set_postfix({"return": gained, "steps": len(episode)}, refresh=False)
                bar.update()
    return FORMATS[format].open(folder, ReadOptions())


def load_policy(spec: str) -> Policy:
    """Import a policy.

    Args:
        spec: "module:function". The module is looked for as `import` does, and in the current
            folder. The function is called once a step as `function(observation, info) -> action`
            with the observation, uint8 (H, W, C), and the info that the environment returned last;
            the action must lie in the world's action space. It is the same function in all
            episodes: what it remembers from one episode is there in the next.

    Raises:
        MemworldError: no such module or function, the module cannot be imported, or what is named
            cannot be called.
    """
    module_name, colon, function_name = spec.partition(":")
    if not (colon and module_name and function_name):
        raise MemworldError(f"policy {spec!r} is not of the form module:function, such as my_policies:act")
    # A program that was installed does not look there by itself; at the end it can hide nothing.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module's own code may raise anything
        raise MemworldError(
            f"policy {spec!r}: cannot import {module_name} ({type(error).__name__}: {' '.join(str(error).split())}): "
            "check its name, and run from its folder or install it"
        ) from error
    policy: Any = getattr(module, function_name, None)
    if policy is None:
        raise MemworldError(f"policy {spec!r}: {module_name} has no {function_name}: check the name after the colon")
    if not callable(policy):
        raise MemworldError(
            f"policy {spec!r} is of type {type(policy).__name__} and cannot be called: "
            "name a function f(observation, info) -> action"
        )
    return cast(Policy, policy)


@dataclass(frozen=True)
class _Plan:
    """All that is decided on an episode before it is played."""

    id: str
    skill: float
    start: int
    env_seed: int
    rng: np.random.Generator
    source: dict[str, Any]

    @classmethod
    def draw(cls, index: int, seed: int, skill: float, random_start: int, settings: dict[str, Any]) -> "_Plan":
        rng, env_seed = _chance(seed, index)
        start = int(rng.integers(random_start, endpoint=True))
        source = {**settings, "skill": skill, "seed": seed, "random_start": start}
        return cls(f"seed{seed}-{index:05d}", skill, start, env_seed, rng, source)


def check_ranges(**numbers: int) -> None:
    """Do nothing if each of these numbers, named as in `record`, is a whole number of its range.

    Raises:
        MemworldError: one is not.
    """
    for name, number in numbers.items():
        low, high = _RANGES[name]
        try:
            sound = low <= operator.index(number) <= high
        except TypeError:
            sound = False
        if not sound:
            raise MemworldError(f"{name} is {number}: use a whole number from {low} to {high}")


def _find_policy(world: World, policy: str | Policy) -> tuple[PolicyFactory, str]:
    """The factory of what a caller of `record` named, and the name to note."""
    if not isinstance(policy, str):
        name = f"{policy.__module__}:{getattr(policy, '__qualname__', type(policy).__qualname__)}"
        return skilled(lambda action_space, rng: policy), name
    if policy in world.policies:
        return world.policies[policy], policy
    if ":" in policy:
        own = load_policy(policy)
        return skilled(lambda action_space, rng: own), policy
    raise MemworldError(
        f"{world.name} has no policy {policy!r}: use {', '.join(world.policies)}, or your own as module:function"
    )


def _check_resumable(output: str | Path, episode_id: str, source: Any, plan: _Plan) -> None:
    """Raise unless the stored episode is the one that this run would have made in its place."""
    for name, value in {"id": plan.id, **plan.source}.items():
        found = episode_id if name == "id" else source.get(name)
        if found != value:
            raise MemworldError(
                f"{output} has episode {episode_id} with {name} {found!r}, this run makes it with {value!r}: "
                "resume with the same settings, or write to another folder"
            )


def _chance(seed: int, index: int) -> tuple[np.random.Generator, int]:
    """The generator of all that is drawn for an episode, and the first that is: the world's seed."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    return rng, int(rng.integers(2**31))


def begin_recorded(
    env: gymnasium.Env[np.ndarray, Any], world: World, entry: EpisodeEntry
) -> tuple[np.ndarray, dict[str, Any]]:
    """Bring an environment to where an episode that `record` made begins.

    Args:
        env: an environment of the world.
        world: where it was recorded, `repeatable`.
        entry: what is known of the episode.

    Returns:
        The first observation and info.

    Raises:
        MemworldError: the entry does not say how it began.
    """
    if (began := recorded_start(entry)) is None:
        raise MemworldError(
            f"episode {entry.id} does not say how it began: only what memworld recorded itself, and not pieces of it, "
            "can be begun again"
        )
    seed, index, steps = began
    rng, env_seed = _chance(seed, index)
    return begin_episode(env, world, rng.spawn(2)[0], env_seed, steps)


def recorded_start(entry: EpisodeEntry) -> tuple[int, int, int] | None:
    """The seed, the number and the random steps of an episode that `record` made; None if it says nothing of them."""
    named, seed, steps = _ID.fullmatch(entry.id), entry.source.get("seed"), entry.source.get("random_start")
    if named is None or type(seed) is not int or type(steps) is not int or entry.origin != (entry.id, 0):
        return None
    low, high = _RANGES["random_start"]
    return (seed, int(named[2]), steps) if int(named[1]) == seed and low <= steps <= high else None


def _play(
    env: gymnasium.Env[np.ndarray, Any], world: World, factory: PolicyFactory, plan: _Plan, max_steps: int
) -> Episode:
    """Play one episode."""
    start_rng, policy_rng = plan.rng.spawn(2)
    first = begin_episode(env, world, start_rng, plan.env_seed, plan.start)
    policy = _guarded(factory(supported_space(env.action_space), policy_rng, plan.skill), plan)
    return play_episode(env, world, policy, first, max_steps, plan.id, plan.source)


def _guarded(policy: Policy, plan: _Plan) -> Policy:
    """The same policy; what it raises is said in one line."""
    steps = itertools.count()

    def act(observation: np.ndarray, info: Mapping[str, Any]) -> Any:
        step = next(steps)
        try:
            return policy(observation, info)
        except Exception as error:  # a user's own code may raise anything
            raise MemworldError(
                f"policy {plan.source['policy']} failed at step {step} of episode {plan.id} "
                f"({type(error).__name__}: {one_line(error)}): correct it; the episodes before are kept"
            ) from error

    return act
