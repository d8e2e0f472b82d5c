"""The memory: encoded episodes, appended, removed and laid out as rows that a search can return.

Row i is (episode, step, mu, sigma, z, action, reward, terminated, truncated), METHOD section 1. Each
frame and each latent is stored once: the successor of row i is row i+1. The last row of an
episode has no action, so it can be a successor but never a search candidate.
"""

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.actions import action_features, discrete_features
from memworld.datasets import DatasetInfo, EpisodeEntry
from memworld.encoders import Encoder, check_not_collapsed
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.gaussian import Latents, concatenate, derived_seed, draw, seeded
from memworld.stored_frames import StoredFrames


@dataclass(frozen=True, eq=False)
class MemoryEpisode:
    """One remembered episode of T actions.

    Attributes:
        entry: its id, number of steps and source.
        latents: (T+1, D) float32.
        actions: (T,) int64 or (T, A) float32.
        rewards: (T,) float32.
        terminations: (T,) bool.
        truncations: (T,) bool.
        frames: (T+1, H, W, C) uint8, in memory or in a file, or None if not kept.
        sha256: of the file that holds all but the frames, None if there is none.
    """

    entry: EpisodeEntry
    latents: Latents
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    frames: np.ndarray | StoredFrames | None
    sha256: str | None = None


@dataclass(frozen=True, eq=False)
class Rows:
    """All episodes of a memory end to end, N rows.

    Attributes:
        latents: (N, D) float32.
        actions: (N, A) float64 features of each row's action; zeros in an episode's last row.
        discrete: (A,) bool, which of these features belong to discrete choices.
        rewards: (N,) float32, 0 in an episode's last row.
        terminations: (N,) bool, false in an episode's last row.
        episodes: (N,) int64, index into `Memory.episodes`.
        steps: (N,) int64, step in the episode.
        has_successor: (N,) bool, false in an episode's last row.
    """

    latents: Latents
    actions: Tensor
    discrete: Tensor
    rewards: Tensor
    terminations: Tensor
    episodes: Tensor
    steps: Tensor
    has_successor: Tensor

    @cached_property
    def candidates(self) -> Tensor:
        """(M,) int64: the rows that a search may return, ascending."""
        return torch.nonzero(self.has_successor)[:, 0]


class Memory:
    """Remembered episodes of one data set under one encoder."""

    def __init__(self, info: DatasetInfo, encoder: Encoder, seed: int = 0, keep_frames: bool = True) -> None:
        """An empty memory.

        Args:
            info: what its episodes share.
            encoder: the encoder that will encode them; the memory is tied to its fingerprint.
            seed: of the one sample z that is drawn of each posterior.
            keep_frames: whether to keep frames, so that retrieved moments can be shown.

        Raises:
            MemworldError: the encoder has collapsed, or takes frames of another size.
        """
        check_not_collapsed(encoder)
        if encoder.frame_shape != info.observation_shape:
            raise MemworldError(
                f"the encoder takes frames of {encoder.frame_shape}, the episodes have {info.observation_shape}: "
                "resize them, or train an encoder on them"
            )
        self._start(info, encoder.fingerprint, encoder.latent_shape, seed, keep_frames)

    @classmethod
    def restore(
        cls,
        info: DatasetInfo,
        encoder_fingerprint: str,
        latent_shape: tuple[int, ...],
        seed: int,
        keep_frames: bool,
        episodes: Sequence[MemoryEpisode],
    ) -> "Memory":
        """A memory from its stored parts."""
        memory = cls.__new__(cls)
        memory._start(info, encoder_fingerprint, latent_shape, seed, keep_frames)
        memory._episodes = tuple(episodes)
        return memory

    def _start(self, info: DatasetInfo, encoder: str, shape: tuple[int, ...], seed: int, keep_frames: bool) -> None:
        self.info = info
        self.encoder_fingerprint = encoder
        self.latent_shape = shape
        self.seed = _whole(seed, "seed")
        self.keep_frames = keep_frames
        # Since it was built, opened or saved: a folder may have grown, so a save takes no others out of it.
        self.removed: set[str] = set()
        self._episodes: tuple[MemoryEpisode, ...] = ()
        self._rows: Rows | None = None

    @property
    def episodes(self) -> tuple[MemoryEpisode, ...]:
        """The remembered episodes, in order of arrival."""
        return self._episodes

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the remembered episodes."""
        return tuple(e.entry.id for e in self._episodes)

    @property
    def steps(self) -> int:
        """Number of transitions, which is the number of search candidates."""
        return sum(e.entry.steps for e in self._episodes)

    def __len__(self) -> int:
        """Number of rows: transitions, and one last observation per episode."""
        return self.steps + len(self._episodes)

    def __repr__(self) -> str:
        return f"Memory({len(self._episodes)} episodes, {self.steps} transitions, latents {list(self.latent_shape)})"

    def check_encoder(self, encoder: Encoder) -> None:
        """Do nothing if `encoder` made this memory.

        Raises:
            MemworldError: it is another one.
        """
        if encoder.fingerprint != self.encoder_fingerprint:
            raise MemworldError(
                f"the memory was made by encoder {self.encoder_fingerprint[:12]} with latents "
                f"{list(self.latent_shape)}, this is encoder {encoder.fingerprint[:12]} with latents "
                f"{list(encoder.latent_shape)}: use the memory's own, or remember the episodes again with this one"
            )

    def append(self, episode: Episode, encoder: Encoder) -> None:
        """Encode an episode and add it; it counts from the next search on.

        Raises:
            MemworldError: another encoder, an id that is there already, an episode that does not
                fit the memory's frames and actions, or codes that are not what an encoder promises.
        """
        self.check_encoder(encoder)
        if episode.id in self.ids:
            raise MemworldError(
                f"the memory has an episode {episode.id} already: remove it first or rename the new one"
            )
        episode = self.info.check(episode)
        mu, sigma = encoder.encode(episode.observations)
        expected = (len(episode) + 1, math.prod(self.latent_shape))
        for code in (mu, sigma):
            if (code.shape, code.dtype) != (expected, torch.float32):
                raise MemworldError(
                    f"encoder {self.encoder_fingerprint[:12]} gave {code.dtype} {list(code.shape)} for episode "
                    f"{episode.id}, expected torch.float32 {list(expected)}: mend the encoder's encode"
                )
        latents = draw(mu, sigma, seeded(derived_seed(self.seed, episode.id))).check(f"episode {episode.id}")
        remembered = MemoryEpisode(
            EpisodeEntry(episode.id, len(episode), episode.source),
            latents,
            episode.actions,
            episode.rewards,
            episode.terminations,
            episode.truncations,
            episode.observations if self.keep_frames else None,
        )
        self._episodes, self._rows = (*self._episodes, remembered), None

    def extend(self, episodes: Iterable[Episode], encoder: Encoder) -> None:
        """Append several episodes."""
        for episode in episodes:
            self.append(episode, encoder)

    def remove(self, ids: Sequence[str]) -> None:
        """Remove episodes; they cannot be found from the next search on.

        Raises:
            MemworldError: an id is not there; then none is removed.
        """
        ids = tuple(ids)
        unknown = [i for i in ids if i not in self.ids]
        if unknown:
            raise MemworldError(f"the memory has no episode {unknown[0]!r}: see memworld inspect for those it has")
        self.removed |= set(ids)
        self._episodes, self._rows = tuple(e for e in self._episodes if e.entry.id not in ids), None

    def hold(self, *same: MemoryEpisode) -> None:
        """Hold episodes in another way, as with their frames in files rather than in memory."""
        by_id = {e.entry.id: e for e in same}
        self._episodes = tuple(by_id.get(e.entry.id, e) for e in self._episodes)

    @property
    def rows(self) -> Rows:
        """All episodes end to end.

        A new object after every change, so that whoever holds an index of the old one can tell.

        Raises:
            MemworldError: the memory is empty.
        """
        if self._rows is None:
            if not self._episodes:
                raise MemworldError("the memory is empty: remember at least one episode first")
            self._rows = _lay_out(self._episodes, self.info)
        return self._rows

    def row_of(self, episode_id: str, step: int) -> int:
        """The row of a step of an episode, as `Citation` names them.

        Raises:
            MemworldError: the memory has no such episode or step.
        """
        start, step = 0, _whole(step, "step")
        for episode in self._episodes:
            if episode.entry.id == episode_id:
                if not 0 <= step <= episode.entry.steps:
                    raise MemworldError(f"episode {episode_id} has steps 0 to {episode.entry.steps}, not {step}")
                return start + step
            start += episode.entry.steps + 1
        raise MemworldError(f"the memory has no episode {episode_id!r}: see memworld inspect for those it has")

    def frames(self, rows: Sequence[int]) -> np.ndarray:
        """The recorded frames of these rows, uint8 (len(rows), H, W, C).

        Raises:
            MemworldError: the memory keeps no frames, or a row is none of its own (as -1, for none found).
        """
        if not self.keep_frames:
            raise MemworldError("the memory keeps no frames: remember the episodes with frames to see them")
        found = np.empty((len(rows), *self.info.observation_shape), np.uint8)
        for place, row in enumerate(_whole(row, "row") for row in rows):
            if not 0 <= row < len(self):
                raise MemworldError(f"the memory has no row {row}: give 0 to {len(self) - 1}")
            episode = self._episodes[int(self.rows.episodes[row])]
            assert episode.frames is not None  # keep_frames
            found[place] = episode.frames[int(self.rows.steps[row])]
        return found


def _whole(number: Any, name: str) -> int:
    """A whole number of any type as Python's own."""
    try:
        if isinstance(number, bool):
            raise TypeError
        return operator.index(number)
    except TypeError:
        raise MemworldError(f"{name} must be a whole number, got {number!r}") from None


def _lay_out(episodes: Sequence[MemoryEpisode], info: DatasetInfo) -> Rows:
    """Put episodes end to end."""

    def padded(values: np.ndarray) -> np.ndarray:
        # One more row for the last observation, which has no action.
        return np.concatenate([values, np.zeros_like(values[:1])])

    actions = np.concatenate([padded(action_features(e.actions, info.action_space)) for e in episodes])
    lengths = np.array([e.entry.steps + 1 for e in episodes])
    steps = np.concatenate([np.arange(n) for n in lengths])
    last = np.repeat(lengths - 1, lengths)
    return Rows(
        latents=concatenate([e.latents for e in episodes]),
        actions=torch.from_numpy(actions),
        discrete=torch.from_numpy(discrete_features(info.action_space)),
        rewards=torch.from_numpy(np.concatenate([padded(e.rewards) for e in episodes])),
        terminations=torch.from_numpy(np.concatenate([padded(e.terminations) for e in episodes])),
        episodes=torch.from_numpy(np.repeat(np.arange(len(episodes)), lengths)),
        steps=torch.from_numpy(steps),
        has_successor=torch.from_numpy(steps < last),
    )
