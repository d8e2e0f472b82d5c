"""Recorded episodes: one frozen record, and data sets of them that need not fit in memory."""

import hashlib
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NoReturn, overload

import numpy as np

from memworld.actions import ActionSpace, as_actions, space_from_json, space_to_json, supported_space
from memworld.errors import MemworldError
from memworld.storage import check_name, one_line


@dataclass(frozen=True, eq=False, repr=False)
class Episode:
    """One recorded episode of T actions and T+1 observations.

    An invalid episode cannot be built, and its arrays cannot be written to: those that the caller
    still can write to are copied.

    Attributes:
        id: unique in its data set; also its file name.
        observations: uint8 (T+1, H, W, C), C of 1 or 3.
        actions: int64 (T,) or float32 (T, A).
        rewards: float32 (T,); what the step from t to t+1 returned.
        terminations: bool (T,); only the last may be true.
        truncations: bool (T,); only the last may be true.
        states: float32 (T+1, S) true state of the world, for evaluation only, or None.
        source: where it came from (world, policy, seed, ...), plain JSON values.

    Raises:
        MemworldError: anything above does not hold.
    """

    id: str
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    states: np.ndarray | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.id, "episode id")
        if not isinstance(self.actions, np.ndarray) or self.actions.ndim not in (1, 2):
            self._fail("has actions that are no array of shape (T,) or (T, A)")
        if self.actions.dtype.kind not in "iuf":
            self._fail(f"has actions of type {self.actions.dtype}: expected integers (T,) or numbers (T, A)")
        steps = len(self.actions)
        self._check_observations(steps)
        if steps == 0:
            self._fail("has no actions: an episode needs at least one step")
        self._store("rewards", np.float32, (steps,))
        self._store("terminations", np.bool_, (steps,))
        self._store("truncations", np.bool_, (steps,))
        if self.terminations[:-1].any() or self.truncations[:-1].any():
            self._fail("ends before its last step: cut it into one episode per ending")
        if not np.isfinite(self.actions).all():
            self._fail("has NaN or infinity in its actions")
        if self.states is not None:
            self._store("states", np.float32, (steps + 1, None))
        try:
            source = json.loads(json.dumps(dict(self.source), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            self._fail(f"has a source that is not plain JSON ({one_line(error)})")
        object.__setattr__(self, "source", MappingProxyType(source))
        for name in ("observations", "actions"):
            array = getattr(self, name)
            if array.flags.writeable:
                array = np.array(array)
                array.setflags(write=False)
                object.__setattr__(self, name, array)

    def _check_observations(self, steps: int) -> None:
        frames = self.observations
        if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
            kind = getattr(frames, "dtype", type(frames).__name__)
            nan = isinstance(frames, np.ndarray) and frames.dtype.kind == "f" and bool(np.isnan(frames).any())
            self._fail(
                f"has frames of type {kind}{' with NaN' if nan else ''}: frames must be uint8, 0 to 255 "
                "(multiply by 255 and round if they are in [0, 1])"
            )
        if frames.ndim != 4 or frames.shape[3] not in (1, 3) or min(frames.shape[1:3]) < 1:
            self._fail(f"has frames of shape {frames.shape}: expected (T+1, H, W, C) with C of 1 or 3")
        if len(frames) != steps + 1:
            self._fail(f"has {len(frames)} observations and {steps} actions: T actions need T+1 observations")

    def _store(self, name: str, dtype: type, shape: tuple[int | None, ...]) -> None:
        """Check one array's shape and finiteness and keep it, read-only, in its stored type.

        None in `shape` stands for any number above 0.
        """
        expected = str(shape).replace("None", "S")
        try:
            given = np.asarray(getattr(self, name))
        except ValueError as error:
            self._fail(f"has {name} that are no array ({one_line(error)}): expected shape {expected}")
        if given.ndim != len(shape) or any(
            found != asked if asked is not None else found < 1 for found, asked in zip(given.shape, shape, strict=True)
        ):
            self._fail(f"has {name} of shape {given.shape}: expected {expected}")
        if given.dtype.kind not in "biuf":
            self._fail(f"has {name} of type {given.dtype}: expected numbers")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
            array: np.ndarray = given.astype(dtype)
        if not (np.isfinite(given).all() and np.isfinite(array).all()):
            self._fail(f"has NaN or infinity in its {name}")
        if dtype is np.bool_ and not (array == given).all():
            self._fail(f"has {name} other than true and false")
        array.setflags(write=False)
        object.__setattr__(self, name, array)

    def _fail(self, problem: str) -> NoReturn:
        raise MemworldError(f"episode {self.id} {problem}")

    def __len__(self) -> int:
        """Number of actions, T."""
        return len(self.actions)

    def __repr__(self) -> str:
        shapes = ", ".join(
            f"{name}={array.dtype}{list(array.shape)}"
            for name in ("observations", "actions", "states")
            if (array := getattr(self, name)) is not None
        )
        return f"Episode({self.id}, {len(self)} steps, return {self.rewards.sum():g}, {shapes})"


@dataclass(frozen=True)
class DatasetInfo:
    """What all episodes of a data set share.

    Attributes:
        observation_shape: (H, W, C) of every frame.
        action_space: `Discrete` or a one-dimensional `Box`.
        world: name of the world that they were recorded in, "" if unknown.
        state_names: names of the S columns of `Episode.states`; empty if there are none.
        action_names: names of discrete actions in order; empty if unknown.
    """

    observation_shape: tuple[int, int, int]
    action_space: ActionSpace
    world: str = ""
    state_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        supported_space(self.action_space)
        try:
            # Lists and NumPy's integers would equal no other info, and go into no JSON.
            shape = tuple(map(operator.index, self.observation_shape))
        except TypeError:
            shape = ()
        if len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
            raise MemworldError(f"frames of shape {self.observation_shape}: expected (H, W, C) with C of 1 or 3")
        object.__setattr__(self, "observation_shape", shape)
        for name in ("state_names", "action_names"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def to_json(self) -> dict[str, Any]:
        """The same in plain JSON values."""
        return {
            "observation_shape": list(self.observation_shape),
            "action_space": space_to_json(self.action_space),
            "world": self.world,
            "state_names": list(self.state_names),
            "action_names": list(self.action_names),
        }

    @classmethod
    def from_json(cls, value: Any) -> "DatasetInfo":
        """Undo `to_json`.

        Raises:
            MemworldError, KeyError, TypeError, ValueError, OverflowError: `value` is damaged.
        """
        height, width, channels = map(int, value["observation_shape"])
        return cls(
            (height, width, channels),
            space_from_json(value["action_space"]),
            str(value["world"]),
            tuple(map(str, value["state_names"])),
            tuple(map(str, value["action_names"])),
        )

    def check(self, episode: Episode) -> Episode:
        """Return `episode` with its actions in the stored form if it belongs in this data set.

        Raises:
            MemworldError: its frames, actions or states do not fit.
        """
        if episode.observations.shape[1:] != self.observation_shape:
            raise MemworldError(
                f"episode {episode.id} has frames of {episode.observations.shape[1:]}, the data set of "
                f"{self.observation_shape}: resize them first"
            )
        columns = 0 if episode.states is None else episode.states.shape[1]
        if columns != len(self.state_names):
            raise MemworldError(
                f"episode {episode.id} has {columns} state variables, the data set {len(self.state_names)} "
                f"({', '.join(self.state_names) or 'none'})"
            )
        try:
            actions = as_actions(episode.actions, self.action_space)
            if actions.shape[1:] != self.action_space.shape:
                asked = ", ".join(["T", *map(str, self.action_space.shape or ())])
                raise MemworldError(
                    f"actions have shape {actions.shape}, {one_line(self.action_space)} asks for ({asked})"
                )
        except MemworldError as error:
            raise MemworldError(f"episode {episode.id}: {error}") from error
        return episode if actions.dtype == episode.actions.dtype else replace(episode, actions=actions)


@dataclass(frozen=True)
class EpisodeEntry:
    """What is known of an episode without loading it: its id, its number of steps, its source."""

    id: str
    steps: int
    source: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The same in plain JSON values."""
        return {"id": self.id, "steps": self.steps, "source": dict(self.source)}

    @classmethod
    def from_json(cls, value: Any) -> "EpisodeEntry":
        """Undo `to_json`; the id is checked, as it becomes a file name.

        Raises:
            MemworldError, KeyError, TypeError, ValueError, OverflowError: `value` is damaged.
        """
        return cls(check_name(value["id"], "episode id"), int(value["steps"]), dict(value["source"]))


class EpisodeDataset(Sequence[Episode]):
    """Episodes that are loaded one at a time, when asked for.

    Indexing and iterating load; `entries` and `steps` do not.
    """

    def __init__(self, info: DatasetInfo, entries: Sequence[EpisodeEntry], load: Callable[[str], Episode]) -> None:
        """Describe a data set.

        Args:
            info: what all its episodes share.
            entries: its episodes, in order.
            load: returns the episode of an id.

        Raises:
            MemworldError: two episodes have one id.
        """
        self.info = info
        self.entries = tuple(entries)
        self._load = load
        self._by_id = {entry.id: entry for entry in self.entries}
        if len(self._by_id) != len(self.entries):
            raise MemworldError("two episodes of the data set have the same id: rename one")

    @classmethod
    def from_episodes(cls, info: DatasetInfo, episodes: Sequence[Episode]) -> "EpisodeDataset":
        """A data set of episodes that are already in memory."""
        checked = [info.check(episode) for episode in episodes]
        entries = [EpisodeEntry(e.id, len(e), e.source) for e in checked]
        return cls(info, entries, {e.id: e for e in checked}.__getitem__)

    @property
    def ids(self) -> tuple[str, ...]:
        """The episodes' ids, in order."""
        return tuple(entry.id for entry in self.entries)

    @property
    def steps(self) -> int:
        """Number of transitions in all episodes."""
        return sum(entry.steps for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> "EpisodeDataset": ...
    def __getitem__(self, index: int | slice) -> "Episode | EpisodeDataset":
        if isinstance(index, slice):
            return EpisodeDataset(self.info, self.entries[index], self._load)
        return self.load(self.entries[index].id)

    def __iter__(self) -> Iterator[Episode]:
        return (self.load(entry.id) for entry in self.entries)

    def __repr__(self) -> str:
        return f"EpisodeDataset({self.info.world or 'unknown world'}, {len(self)} episodes, {self.steps} steps)"

    def load(self, episode_id: str) -> Episode:
        """Load one episode and check it against `info` and its entry.

        Raises:
            MemworldError: no such episode, or it is damaged.
        """
        entry = self._entry(episode_id)
        episode = self.info.check(self._load(episode_id))
        if (episode.id, len(episode)) != (entry.id, entry.steps):
            raise MemworldError(
                f"episode {entry.id} of {entry.steps} steps was loaded as {episode.id} of {len(episode)}: "
                "the data set's list is out of date, make it again"
            )
        return episode

    def subset(self, ids: Sequence[str]) -> "EpisodeDataset":
        """The episodes of these ids, in the given order.

        Raises:
            MemworldError: an id is unknown or given twice.
        """
        return EpisodeDataset(self.info, [self._entry(i) for i in ids], self._load)

    def _entry(self, episode_id: str) -> EpisodeEntry:
        if episode_id not in self._by_id:
            raise MemworldError(f"the data set has no episode {episode_id!r}: it has {_shorten(self.ids)}")
        return self._by_id[episode_id]

    def split(self, held_out: int, seed: int = 0) -> "tuple[EpisodeDataset, EpisodeDataset]":
        """Split by episode, never by frame, into (training, held out).

        Args:
            held_out: number of episodes to hold out, at least 1.
            seed: of the random choice; both parts keep the data set's order.

        Raises:
            MemworldError: too few episodes to leave one on each side, or a negative seed.
        """
        if seed < 0:
            raise MemworldError(f"seed must be 0 or above, got {seed}")
        if not 1 <= held_out < len(self):
            raise MemworldError(
                f"cannot hold out {held_out} of {len(self)} episodes: at least one must stay on each side"
            )
        # By a hash of each id, so that an episode recorded later moves few others across.
        order = sorted(self.ids, key=lambda i: hashlib.sha256(f"{seed}:{i}".encode()).digest())
        chosen = set(order[:held_out])
        parts: tuple[list[str], list[str]] = ([], [])
        for episode_id in self.ids:
            parts[episode_id in chosen].append(episode_id)
        return self.subset(parts[0]), self.subset(parts[1])


def _shorten(names: Sequence[str], most: int = 5) -> str:
    """The first few names, for messages."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
