"""Data sets of recorded episodes: what their episodes share, and the episodes, loaded when asked for."""

import hashlib
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import gymnasium

from memworld.actions import (
    ActionSpace,
    as_actions,
    choice_names,
    nameable,
    space_from_json,
    space_to_json,
    stored_shape,
    supported_space,
)
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.storage import check_name, one_line


@dataclass(frozen=True)
class DatasetInfo:
    """What all episodes of a data set share.

    Attributes:
        observation_shape: (H, W, C) of every frame.
        action_space: see `actions.supported_space`.
        world: name of the world that they were recorded in, "" if unknown.
        state_names: names of the S columns of `Episode.states`; empty if there are none.
        action_names: names of the actions of a `Discrete` in order, of the columns of a
            `MultiDiscrete` or `Box`, or of choices in a `Dict`, each as "part=choice"; empty if unknown.

    Raises:
        MemworldError: an unsupported shape or space, a name that cannot be printed, or names of some
            actions only.
    """

    observation_shape: tuple[int, int, int]
    action_space: ActionSpace
    world: str = ""
    state_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "action_space", supported_space(self.action_space))
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
        for text in (self.world, *self.state_names, *self.action_names):
            # They come from files, and go to the terminal, which obeys control characters.
            if not isinstance(text, str) or not text.isprintable():
                raise MemworldError(f"name {text!r} of a world, state or action cannot be printed: use plain text")
        if isinstance(self.action_space, gymnasium.spaces.Dict):
            choice_names(self.action_space, self.action_names)
        elif self.action_names and len(self.action_names) != (actions := nameable(self.action_space)):
            raise MemworldError(
                f"{len(self.action_names)} action names for {one_line(self.action_space)}, which has {actions} to "
                "name: name all or none"
            )

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
            if actions.shape[1:] != stored_shape(self.action_space):
                asked = ", ".join(["T", *map(str, stored_shape(self.action_space))])
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

    @property
    def origin(self) -> tuple[str, int]:
        """Id of the recorded episode that this is or is a piece of, and the step of it at which this begins."""
        whole, first = self.source.get("piece_of"), self.source.get("first_step")
        if isinstance(whole, str) and type(first) is int and first >= 0:
            return whole, first
        return self.id, 0

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


def recorded_as(entries: Sequence[EpisodeEntry], ids: Sequence[str]) -> list[str]:
    """The ids of those entries that are, or are pieces of, the episodes with these ids.

    Raises:
        MemworldError: there is nothing of one of them.
    """
    known = {name for entry in entries for name in (entry.id, entry.origin[0])}
    named = tuple(ids)  # which may be an iterator
    if unknown := [name for name in named if name not in known]:
        raise MemworldError(f"the memory has no episode {unknown[0]!r}: see memworld inspect for those it has")
    asked = set(named)
    return [entry.id for entry in entries if entry.id in asked or entry.origin[0] in asked]


class EpisodeDataset(Sequence[Episode]):
    """Episodes that are loaded one at a time, when asked for.

    Indexing and iterating load; `entries` and `steps` do not.
    """

    def __init__(
        self,
        info: DatasetInfo,
        entries: Sequence[EpisodeEntry],
        load: Callable[[str], Episode],
        root: Path | None = None,
        left_out: Sequence[str] = (),
    ) -> None:
        """Describe a data set.

        Args:
            info: what all its episodes share.
            entries: its episodes, in order.
            load: returns the episode of an id.
            root: file or folder that `load` reads from, if any.
            left_out: what is stored there and has no place in an `Episode`, in a few words each.

        Raises:
            MemworldError: two episodes have one id.
        """
        self.info = info
        self.entries = tuple(entries)
        self.root = root
        self.left_out = tuple(left_out)
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
            return EpisodeDataset(self.info, self.entries[index], self._load, self.root, self.left_out)
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
        return EpisodeDataset(self.info, [self._entry(i) for i in ids], self._load, self.root, self.left_out)

    def check_output(self, path: str | Path) -> None:
        """See that what is written to `path` cannot destroy what the episodes are read from.

        Raises:
            MemworldError: `path` is `root`, contains it, or lies in it.
        """
        if self.root is None:
            return
        root, output = self.root.resolve(), Path(path).resolve()
        if output.is_relative_to(root) or root.is_relative_to(output):
            raise MemworldError(
                f"output {path} is, contains or lies in {self.root}, which the episodes are read from: name another"
            )

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
                f"cannot hold out {held_out} of {len(self)} episodes: at least one must stay on each side; "
                "record more, or hold out none"
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
