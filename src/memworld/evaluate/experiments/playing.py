"""Real episodes played by several ways to act from the same starts, each finished one kept on disk."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from tqdm import tqdm

from memworld.actions import as_actions, restore_actions, supported_space
from memworld.errors import MemworldError
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.voting import PLAN_STEPS
from memworld.gaussian import derived_seed
from memworld.storage import KIND_KEY, make_folder, one_line, read_json, write_json
from memworld.worlds import World
from memworld.worlds.policies import Policy

KIND = "played episodes"
"""What a file of outcomes says that it is."""

RECORDED_SEEDS = 2**31
"""Below it lie the seeds of all recorded episodes (`record`), from it on those of the played ones."""

MARKS = 50
"""Most steps at which the reward gathered so far is noted."""

MakePolicy = Callable[[np.random.Generator], Policy]
"""Makes the policy of one episode."""


@dataclass(frozen=True)
class Outcome:
    """What came of one real episode.

    Attributes:
        gained: its return.
        cumulated: the reward gathered after each of `marks` steps; it stays as it is after the end.
        steps: its length.
        seconds: spent choosing actions; the world's own time is not counted.
        unanimous: share of the steps with several votes in which all were for one action; None if there were none.
        support: mean support quantile of its plans; None if it does not plan, or memory has no yardstick.
    """

    gained: float
    cumulated: tuple[float, ...]
    steps: int
    seconds: float
    unanimous: float | None = None
    support: float | None = None


@runtime_checkable
class Planner(Protocol):
    """A policy that says how its plans came about."""

    support: list[float]
    """Support quantile of every plan."""
    unanimous: list[bool]
    """Of every step played on which several voted, whether all were for one action."""


def marks(steps: int) -> list[int]:
    """At most `MARKS` evenly spaced steps from 1 to `steps`, the last one among them."""
    return sorted({round(steps * (i + 1) / MARKS) for i in range(MARKS)} - {0})


def play_all(
    lab: Laboratory,
    world: World,
    env: gymnasium.Env[np.ndarray, Any],
    ways: Mapping[str, MakePolicy],
    folder: Path | None,
) -> dict[str, list[Outcome]]:
    """The laboratory's number of real episodes by every way to act.

    Args:
        lab: gives sizes and seed.
        world: the world.
        env: an environment of it, that plays all.
        ways: what makes a policy, by the way's name, which is a file's too.
        folder: one file a way in it keeps what is finished; files of other settings are begun anew.

    Raises:
        MemworldError: a file in the folder is damaged or cannot be written, or the simulator failed.
    """
    if folder is not None:
        make_folder(folder)
    outcomes: dict[str, list[Outcome]] = {}
    count = lab.config.play_episodes
    with tqdm(
        total=count * len(ways), desc=f"{lab.world}: real episodes", unit="episode", disable=not lab.progress
    ) as bar:
        for way, make in ways.items():
            path = None if folder is None else folder / f"{way}.json"
            settings = _settings(lab, way)
            played = outcomes[way] = [] if path is None else _read(path, settings)[:count]
            bar.update(len(played))
            for number in range(len(played), count):
                played.append(play(env, world, way, make, number, lab.config))
                if path is not None:
                    plain = [asdict(outcome) for outcome in played]
                    write_json(path, {KIND_KEY: KIND, "settings": settings, "outcomes": plain})
                bar.set_postfix({"way": way, "return": f"{played[-1].gained:g}"}, refresh=False)
                bar.update()
    return outcomes


def play(
    env: gymnasium.Env[np.ndarray, Any],
    world: World,
    way: str,
    make: MakePolicy,
    number: int,
    config: StudyConfig,
    on_frame: Callable[[np.ndarray], None] | None = None,
) -> Outcome:
    """Play one real episode.

    As in recordings, held random actions come before it, as in some worlds chance has no other part. They and
    the world's seed depend on `config.seed` and `number` alone, the policy's chance on `way` too.

    Args:
        env: an environment of the world.
        world: the world.
        way: name of the way to act.
        make: makes its policy.
        number: of the episode, from 0.
        config: gives the seed, the most steps, and the most random steps before.
        on_frame: is given the first frame and each that follows.
    """
    space = supported_space(env.action_space)
    observation, info = _start(env, world, number, config)
    policy = make(np.random.default_rng(derived_seed(config.seed, "policy", way, str(number))))
    rewards: list[float] = []
    seconds, ended = 0.0, False
    if on_frame is not None:
        on_frame(observation)
    while not ended and len(rewards) < config.play_steps:
        began = time.perf_counter()
        action = policy(observation, info)
        seconds += time.perf_counter() - began
        observation, reward, terminated, truncated, info = env.step(restore_actions(as_actions(action, space), space))
        rewards.append(float(reward))
        ended = terminated or truncated
        if on_frame is not None:
            on_frame(observation)
    gathered = np.cumsum(rewards)
    cumulated = tuple(float(gathered[min(step, len(rewards)) - 1]) for step in marks(config.play_steps))
    return Outcome(float(gathered[-1]), cumulated, len(rewards), seconds, *_thoughts(policy))


def _start(
    env: gymnasium.Env[np.ndarray, Any], world: World, number: int, config: StudyConfig
) -> tuple[np.ndarray, dict[str, Any]]:
    """Reset, and take the random steps before the episode; a game that ends in them starts over."""
    seed = RECORDED_SEEDS + derived_seed(config.seed, "real episode", str(number)) % RECORDED_SEEDS
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(config.random_start, endpoint=True))
    observation, info = env.reset(seed=seed)
    chance = world.policies["random"](supported_space(env.action_space), rng, 0.0)
    for _ in range(steps):
        observation, _, terminated, truncated, info = env.step(chance(observation, info))
        if terminated or truncated:
            observation, info = env.reset()
    return observation, info


def _thoughts(policy: object) -> tuple[float | None, float | None]:
    """`unanimous` and `support` of an outcome."""
    return (_mean(policy.unanimous), _mean(policy.support)) if isinstance(policy, Planner) else (None, None)


def _mean(values: Sequence[float]) -> float | None:
    """None where there is no number."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def _settings(lab: Laboratory, way: str) -> dict[str, Any]:
    """All that an episode's outcome depends on, in plain JSON values."""
    config = lab.config
    return {
        "world": lab.world,
        "way": way,
        "plan_steps": PLAN_STEPS,
        "episodes in memory": list(lab.memory.ids),
        "memory seed": lab.memory.seed,
        "encoder": lab.encoder.fingerprint,
        "seed": config.seed,
        "steps": config.play_steps,
        "random_start": config.random_start,
    }


def _read(path: Path, settings: Mapping[str, Any]) -> list[Outcome]:
    """The outcomes in a file; none if it is not there or was made with other settings.

    Raises:
        MemworldError: it is damaged.
    """
    if not path.exists():
        return []
    stored = read_json(path, KIND)
    try:
        if stored["settings"] != settings:
            return []
        outcomes = [_outcome(plain) for plain in stored["outcomes"]]
        if any(len(outcome.cumulated) != len(marks(settings["steps"])) for outcome in outcomes):
            raise ValueError("an episode has too few marks")
    except (KeyError, TypeError, ValueError) as error:
        raise MemworldError(
            f"{path} is damaged ({one_line(error)}): delete it, and its episodes are played anew"
        ) from error
    return outcomes


def _outcome(plain: Mapping[str, Any]) -> Outcome:
    """One outcome from its plain values."""
    unanimous, support = (None if plain[name] is None else float(plain[name]) for name in ("unanimous", "support"))
    cumulated = tuple(map(float, plain["cumulated"]))
    return Outcome(float(plain["gained"]), cumulated, int(plain["steps"]), float(plain["seconds"]), unanimous, support)
