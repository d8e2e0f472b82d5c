"""Real episodes played by several ways to act from the same starts, each finished one kept on disk."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import numpy as np
from tqdm import tqdm

from memworld.actions import ActionSpace
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.gaussian import derived_seed
from memworld.record import check_ranges
from memworld.storage import KIND_KEY, one_line, read_json, write_json
from memworld.worlds import World
from memworld.worlds.playing import begin_episode, play_episode
from memworld.worlds.policies import Policy, PolicyFactory

KIND = "played episodes"
"""What a file of outcomes says that it is."""

RECORDED_SEEDS = 2**31
"""Below it lie the seeds of all recorded episodes (`record`), from it on those of the played ones."""

MARKS = 50
"""Most steps at which the reward gathered so far is noted."""

MakePolicy = Callable[[np.random.Generator], Policy]
"""A way to act: makes the policy of one episode.

Of a policy that has them, `support` and `unanimous` are what an `Outcome` holds the means of, and
`decision_seconds` is what its times are of; else every call is a decision.
"""


@dataclass(frozen=True)
class PlayConfig:
    """How many real episodes are played, where they start, and how long they may be.

    Attributes:
        episodes: of every way to act.
        max_steps: of an episode.
        random_start: most random steps before one.
        seed: of everything that depends on chance.

    Raises:
        MemworldError: a number out of its range.
    """

    episodes: int = 20
    max_steps: int = 1000
    random_start: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(**asdict(self))


@dataclass(frozen=True)
class Outcome:
    """What came of one real episode.

    Attributes:
        number: of its start, from 0; the same for every way to act.
        gained: its return.
        steps: its length.
        terminated: whether the world ended it.
        truncated: whether the world's limit or that of the run cut it.
        cumulated: the reward gathered after each of `marks` steps; it stays as it is after the end.
        seconds: spent choosing actions; the world's own time is not counted.
        seconds_median: of a decision.
        seconds_p99: the 99th percentile of a decision's.
        unanimous: share of the steps with several votes in which all were for one action; None if there were none.
        support: mean support quantile of its plans; None if it does not plan, or memory has no yardstick.
    """

    number: int
    gained: float
    steps: int
    terminated: bool
    truncated: bool
    cumulated: tuple[float, ...]
    seconds: float
    seconds_median: float
    seconds_p99: float
    unanimous: float | None = None
    support: float | None = None

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Outcome":
        """Undo `asdict`.

        Raises:
            KeyError, TypeError, ValueError: `plain` is damaged.
        """
        known = {name: None if plain[name] is None else float(plain[name]) for name in ("unanimous", "support")}
        return cls(
            int(plain["number"]),
            float(plain["gained"]),
            int(plain["steps"]),
            bool(plain["terminated"]),
            bool(plain["truncated"]),
            tuple(map(float, plain["cumulated"])),
            float(plain["seconds"]),
            float(plain["seconds_median"]),
            float(plain["seconds_p99"]),
            **known,
        )


@dataclass(frozen=True, eq=False)
class Played:
    """One real episode, and what came of it."""

    episode: Episode
    outcome: Outcome


class Shelf(Protocol):
    """Where the finished episodes of one way to act are kept."""

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """Of the episodes that are there, by number from 0."""
        ...

    def add(self, played: Played) -> None:
        """Keep the next one."""
        ...


@dataclass(eq=False)
class Unkept:
    """A shelf that nothing outlives."""

    outcomes: list[Outcome] = field(default_factory=list)

    def add(self, played: Played) -> None:
        """Note the outcome."""
        self.outcomes.append(played.outcome)


class OutcomeFile:
    """A shelf for outcomes alone, in one JSON file."""

    def __init__(self, path: Path, config: PlayConfig, settings: Mapping[str, Any]) -> None:
        """Read what is there; a file of other settings, but for the number of episodes, is begun anew.

        Args:
            path: the file.
            config: how they are played.
            settings: what else the outcomes depend on, in plain JSON values.

        Raises:
            MemworldError: the file is damaged.
        """
        playing = {name: value for name, value in asdict(config).items() if name != "episodes"}
        self._path, self._settings = path, {**settings, **playing}
        self.outcomes: list[Outcome] = []
        if not path.exists():
            return
        stored = read_json(path, KIND)
        try:
            if stored["settings"] != self._settings:
                return
            self.outcomes = [Outcome.from_json(plain) for plain in stored["outcomes"]]
            if any(len(o.cumulated) != len(marks(config.max_steps)) for o in self.outcomes):
                raise ValueError("an episode has too few marks")
        except (KeyError, TypeError, ValueError) as error:
            raise MemworldError(
                f"{path} is damaged ({one_line(error)}): delete it, and its episodes are played anew"
            ) from error

    def add(self, played: Played) -> None:
        """Write the file with one outcome more."""
        self.outcomes.append(played.outcome)
        plain = [asdict(outcome) for outcome in self.outcomes]
        write_json(self._path, {KIND_KEY: KIND, "settings": self._settings, "outcomes": plain})


def marks(steps: int) -> list[int]:
    """At most `MARKS` evenly spaced steps from 1 to `steps`, the last one among them."""
    return sorted({round(steps * (i + 1) / MARKS) for i in range(MARKS)} - {0})


def yardsticks(world: World, space: ActionSpace) -> dict[str, MakePolicy]:
    """The world's own ways to act in its action space: `random` and `demonstrator`, as far as it has them."""

    def own(factory: PolicyFactory) -> MakePolicy:
        return lambda rng: factory(space, rng, 1.0)

    return {name: own(world.policies[name]) for name in ("random", "demonstrator") if name in world.policies}


def play_all(
    env: gymnasium.Env[np.ndarray, Any],
    world: World,
    ways: Mapping[str, MakePolicy],
    config: PlayConfig,
    shelf: Callable[[str], Shelf] = lambda way: Unkept(),
    progress: bool = False,
) -> dict[str, list[Outcome]]:
    """Play those real episodes of every way to act that its shelf does not hold yet.

    Args:
        env: an environment of the world, that plays all.
        world: the world.
        ways: what makes a policy, by the way's name.
        config: how many, from where, how long.
        shelf: of a way, by its name.
        progress: whether to show a progress bar.

    Returns:
        By way, the outcomes of `config.episodes` episodes, by number.

    Raises:
        MemworldError: a shelf is damaged or cannot be written, or a policy or the simulator failed.
    """
    outcomes: dict[str, list[Outcome]] = {}
    total, what = config.episodes * len(ways), f"{world.name}: real episodes"
    with tqdm(total=total, desc=what, unit="episode", disable=not progress) as bar:
        for way, make in ways.items():
            kept = shelf(way)
            bar.update(min(len(kept.outcomes), config.episodes))
            for number in range(len(kept.outcomes), config.episodes):
                played = play(env, world, way, make, number, config)
                kept.add(played)
                bar.set_postfix({"way": way, "return": f"{played.outcome.gained:g}"}, refresh=False)
                bar.update()
            outcomes[way] = list(kept.outcomes[: config.episodes])
    return outcomes


def play(
    env: gymnasium.Env[np.ndarray, Any],
    world: World,
    way: str,
    make: MakePolicy,
    number: int,
    config: PlayConfig,
) -> Played:
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

    Raises:
        MemworldError: an action outside the world's space, or what no episode can hold.
    """
    seed = RECORDED_SEEDS + derived_seed(config.seed, "real episode", str(number)) % RECORDED_SEEDS
    rng = np.random.default_rng(seed)
    start = int(rng.integers(config.random_start, endpoint=True))
    first = begin_episode(env, world, rng, seed, start)
    policy = make(np.random.default_rng(derived_seed(config.seed, "policy", way, str(number))))
    calls: list[float] = []

    def timed(observation: np.ndarray, info: Mapping[str, Any]) -> Any:
        began = time.perf_counter()
        action = policy(observation, info)
        calls.append(time.perf_counter() - began)
        return action

    source = {"world": world.name, "frameskip": world.frameskip, "policy": way, "max_steps": config.max_steps}
    source |= {"seed": config.seed, "random_start": start}
    episode = play_episode(env, world, timed, first, config.max_steps, f"{way}-{number:05d}", source)
    gathered = np.cumsum(episode.rewards, dtype=np.float64)
    median, p99 = np.quantile(getattr(policy, "decision_seconds", None) or calls, (0.5, 0.99))
    outcome = Outcome(
        number,
        float(gathered[-1]),
        len(episode),
        bool(episode.terminations[-1]),
        bool(episode.truncations[-1]),
        tuple(float(gathered[min(step, len(episode)) - 1]) for step in marks(config.max_steps)),
        float(sum(calls)),
        float(median),
        float(p99),
        _mean(getattr(policy, "unanimous", ())),
        _mean(getattr(policy, "support", ())),
    )
    return Played(episode, outcome)


def _mean(values: Sequence[float]) -> float | None:
    """None where there is no number."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None
