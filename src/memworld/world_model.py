"""THE CORE: a world model whose dynamics is a search in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.actions import action_features, as_actions
from memworld.aggregate import Successors, as_changes, rule_named
from memworld.encoders import Encoder, open_encoder
from memworld.errors import MemworldError
from memworld.gaussian import Latents, distance_named, draw
from memworld.imagine import Mode, Prediction, Rollout, imagine_latents, stack_predictions
from memworld.memory import Memory, Rows
from memworld.memory_files import open_memory, save_memory
from memworld.retrieve import strategy_named
from memworld.search import Conditioning, Matches, Query
from memworld.search.exact import ExactIndex
from memworld.storage import OnExisting
from memworld.support import Support, calibrate


@dataclass(frozen=True)
class DynamicsConfig:
    """How the next state is found. None takes the strategy's own (the paper's) setting.

    Attributes:
        strategy: `rollout`, `replay_l2` or `replay_kl`.
        metric: `l2`, `kl_stored_query` or `kl_query_stored`.
        k: rows to retrieve; does not apply to `rollout`, which takes one per episode.
        rule: how successors become a prediction, a name in `aggregate.RULES`.
        delta: predict the current latent plus the retrieved change, rather than the retrieved place.
        conditioning: whether rows must have the asked action: `none`, `hard` or `soft`.
        action_weight: of `soft`: how many typical neighbour distances a different action costs.
    """

    strategy: str = "replay_l2"
    metric: str | None = None
    k: int | None = None
    rule: str | None = None
    delta: bool = False
    conditioning: Conditioning = "none"
    action_weight: float = 1.0

    def __post_init__(self) -> None:
        strategy_named(self.strategy)
        rule_named(self.resolved_rule)
        distance_named(self.resolved_metric)
        if self.conditioning not in ("none", "hard", "soft"):
            raise MemworldError(f"unknown conditioning {self.conditioning!r}: use none, hard or soft")
        if self.resolved_k < 1:
            raise MemworldError(f"k must be at least 1, got {self.k}")
        if self.k is not None and self.strategy == "rollout":
            raise MemworldError("rollout takes one row per episode: leave k out, or use replay_l2")
        if not 0 <= self.action_weight < float("inf"):
            raise MemworldError(f"action_weight must be 0 or above, got {self.action_weight}")

    @property
    def resolved_metric(self) -> str:
        """The metric in force."""
        return self.metric or strategy_named(self.strategy).metric

    @property
    def resolved_k(self) -> int:
        """The k in force."""
        return strategy_named(self.strategy).k if self.k is None else self.k

    @property
    def resolved_rule(self) -> str:
        """The rule in force."""
        return self.rule or strategy_named(self.strategy).rule


class WorldModel:
    """A world that one can encode into, step, imagine in, and decode from.

    Its dynamics is whatever the memory holds at the moment: episodes appended to or removed from
    `memory` count from the next step on.
    """

    def __init__(self, encoder: Encoder, memory: Memory, dynamics: DynamicsConfig | None = None) -> None:
        """Join an encoder and the memory that it made.

        Raises:
            MemworldError: the memory was made by another encoder.
        """
        memory.check_encoder(encoder)
        self.encoder = encoder
        self.memory = memory
        self.dynamics = dynamics or DynamicsConfig()
        self._indexed: Rows | None = None
        self._index: ExactIndex
        self._support: Support

    @classmethod
    def open(cls, path: str | Path, dynamics: DynamicsConfig | None = None) -> "WorldModel":
        """Open the folder of a memory that holds its encoder, as `save` and `memworld remember` write it.

        Raises:
            MemworldError: something is missing, damaged or does not belong together.
        """
        return cls(open_encoder(Path(path) / "encoder"), open_memory(Path(path)), dynamics)

    def save(self, path: str | Path, on_existing: OnExisting = "error") -> None:
        """Write memory and encoder into the folder `path`."""
        save_memory(self.memory, Path(path), on_existing, encoder=self.encoder)

    def encode(self, observations: np.ndarray, seed: int = 0) -> Latents:
        """Frames to latents.

        Args:
            observations: uint8 (H, W, C), or (B, H, W, C).
            seed: of the sample z.

        Returns:
            (B, D) latents, B = 1 for a single frame.

        Raises:
            MemworldError: frames of another type or size than the encoder's.
        """
        frames = np.asarray(observations)
        frames = frames[None] if frames.ndim == len(self.encoder.frame_shape) else frames
        mu, sigma = self.encoder.encode(frames)
        return draw(mu, sigma, torch.Generator().manual_seed(seed)).check("encoded frames")

    def next(self, state: Latents, actions: Any, generator: torch.Generator | None = None) -> Prediction:
        """Predict the step that follows `state` under `actions`.

        Args:
            state: (B, D) latents, from `encode` or from an earlier prediction.
            actions: B actions of the memory's action space, or a single one for all.
            generator: of the sampling rules; None starts from seed 0.

        Raises:
            MemworldError: actions outside the space, an empty memory, or k above its rows.
        """
        features = self._features(actions, batch=len(state))
        matches = self.retrieve(state, features)
        return self.estimate(state, matches, generator or torch.Generator().manual_seed(0))

    def decode(self, latents: Latents) -> np.ndarray:
        """The frames of latents' samples z: (..., D) to uint8 (..., H, W, C)."""
        frames = self.encoder.decode(latents.z.flatten(0, -2))
        return frames.reshape(*latents.z.shape[:-1], *self.encoder.frame_shape)

    def imagine(
        self,
        observations: np.ndarray | Latents,
        actions: Any,
        *,
        mode: Mode = "requery",
        seed: int = 0,
        decode: bool = True,
    ) -> Rollout:
        """Imagine what follows `observations` under sequences of actions.

        Args:
            observations: uint8 (H, W, C) or (B, H, W, C) frames, or (B, D) latents. A single one
                serves all action sequences.
            actions: (B, T) for `Discrete`, (B, T, A) for `Box`; a single sequence may leave B out.
            mode: `requery` searches at every step, `follow` walks the first search's rows on.
            seed: of all sampling.
            decode: whether to decode frames.

        Raises:
            MemworldError: a horizon of 0, shapes that do not fit, actions outside the space.
        """
        start = observations if isinstance(observations, Latents) else self.encode(observations, seed)
        features = self._sequences(actions)
        if len(start) != len(features) and 1 not in (len(start), len(features)):
            raise MemworldError(
                f"{len(start)} observations and {len(features)} action sequences: give one of either, or equal numbers"
            )
        batch = max(len(start), len(features))
        start = start if len(start) == batch else start[torch.zeros(batch, dtype=torch.int64)]
        features = features.expand(batch, -1, -1)
        generator = torch.Generator().manual_seed(seed)
        predictions, searched = imagine_latents(self, start, features, mode, generator)
        latents, columns = stack_predictions(predictions)
        known = columns["rows"].clamp(min=0)
        found = columns["rows"] >= 0
        return Rollout(
            latents=latents,
            frames=self.decode(latents) if decode else None,
            searched=searched,
            episode_ids=self.memory.ids,
            episodes=torch.where(found, self.memory.rows.episodes[known], -1),
            steps=torch.where(found, self.memory.rows.steps[known], -1),
            **columns,
        )

    def retrieve(self, state: Latents, actions: Tensor) -> Matches:
        """Search memory for rows like `state` (B, D), under action features (B, A)."""
        query = Query(
            state,
            actions,
            self.dynamics.conditioning,
            self.dynamics.action_weight * self.support.typical if self.dynamics.conditioning == "soft" else 0.0,
        )
        strategy = strategy_named(self.dynamics.strategy)
        return strategy.search(self.index, query, self.dynamics.resolved_k)

    def follow(self, matches: Matches) -> Matches:
        """The rows one step later in their own episodes; -1 where that row has no successor."""
        later = matches.rows.clamp(min=0) + 1
        walks_on = matches.found & self.memory.rows.has_successor[later]
        return Matches(torch.where(walks_on, later, -1), torch.where(walks_on, matches.distances, torch.inf))

    def estimate(self, state: Latents, matches: Matches, generator: torch.Generator) -> Prediction:
        """The prediction that rows make: state, reward and termination, with the same weights.

        Where a query found no row at all, the state stays as it is and support is the worst, 1.
        """
        rows = self.memory.rows
        here = matches.rows.clamp(min=0)
        # Rows are ignored where none was found; a query without any borrows row 0 and is undone below.
        nothing = ~matches.found.any(1, keepdim=True)
        successors = Successors(rows.latents[here + 1], matches.distances, matches.found | nothing)
        if self.dynamics.delta:
            successors = as_changes(successors, rows.latents[here], state)
        estimate = rule_named(self.dynamics.resolved_rule)(successors, generator)
        latents = Latents(
            *(torch.where(nothing, getattr(state, n), getattr(estimate.latents, n)) for n in ("mu", "sigma", "z"))
        )
        weights = estimate.weights.masked_fill(nothing, 0)
        support = self.support.quantile(matches.distances.amin(1))
        return Prediction(
            latents=latents,
            reward=(weights * rows.rewards[here]).sum(1),
            terminated=(weights * rows.terminations[here].float()).sum(1),
            matches=matches,
            weights=weights,
            support=torch.where(nothing[:, 0], 1.0, support),
        )

    @property
    def index(self) -> ExactIndex:
        """The search index of what memory holds now."""
        self._refresh()
        return self._index

    @property
    def support(self) -> Support:
        """The leave-one-episode-out distances of what memory holds now."""
        self._refresh()
        return self._support

    def _refresh(self) -> None:
        """Index memory again if it has changed."""
        rows = self.memory.rows
        if rows is not self._indexed:
            chosen = rows.candidates
            self._index = ExactIndex(
                self.dynamics.resolved_metric, rows.latents[chosen], chosen, rows.episodes[chosen], rows.actions[chosen]
            )
            self._support = calibrate(self._index, rows)
            self._indexed = rows

    def _features(self, actions: Any, batch: int) -> Tensor:
        """B actions, or one for all, to checked features (B, A)."""
        space = self.memory.info.action_space
        stored = as_actions(actions, space)
        stored = stored if stored.ndim == 1 + len(space.shape or ()) else stored[None]
        if len(stored) not in (1, batch) or stored.ndim != 1 + len(space.shape or ()):
            raise MemworldError(f"actions have shape {stored.shape}: give one per state ({batch}), or one for all")
        return torch.from_numpy(action_features(stored, space)).expand(batch, -1)

    def _sequences(self, actions: Any) -> Tensor:
        """(T,) or (B, T) actions, with a trailing A for `Box`, to checked features (B, T, F)."""
        space = self.memory.info.action_space
        array = np.asarray(actions)
        if array.size == 0:
            raise MemworldError("horizon is 0: give at least one action")
        stored = as_actions(array, space)
        own = len(space.shape or ())
        if stored.ndim == 1 + own:
            stored = stored[None]
        if stored.ndim != 2 + own:
            raise MemworldError(f"actions have shape {array.shape}: give (T,) or (B, T){', A' if own else ''}")
        flat = action_features(stored.reshape(-1, *stored.shape[2:]), space)
        return torch.from_numpy(flat).reshape(*stored.shape[:2], -1)
