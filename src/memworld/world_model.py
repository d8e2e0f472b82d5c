"""THE CORE: a world model whose dynamics is a search in memory."""

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from memworld.actions import action_features, as_actions, sequence_features, stored_shape
from memworld.aggregate import RULES, Successors, as_changes
from memworld.dynamics import DynamicsConfig, ResolvedDynamics
from memworld.encoders import Encoder, open_encoder
from memworld.errors import MemworldError
from memworld.gaussian import Latents, draw, seeded
from memworld.imagine import Mode, imagine_latents
from memworld.memory import Memory, Rows
from memworld.memory_files import open_memory, save_memory
from memworld.retrieve import STRATEGIES
from memworld.rollout import Prediction, Rollout, stack_predictions
from memworld.search import Index, Matches, Query
from memworld.search.approximate import ApproximateIndex
from memworld.search.exact import ExactIndex
from memworld.search.products import choose_device
from memworld.storage import OnExisting
from memworld.support import Support, calibrate

IndexKind = Literal["exact", "approximate"]


class WorldModel:
    """A world that one can encode into, step, imagine in, and decode from.

    Its dynamics is whatever the memory holds at the moment: episodes appended to or removed from
    `memory` count from the next step on.
    """

    def __init__(
        self,
        encoder: Encoder,
        memory: Memory,
        dynamics: DynamicsConfig | None = None,
        seed: int = 0,
        device: str = "auto",
        index: IndexKind = "exact",
    ) -> None:
        """Join an encoder and the memory that it made.

        Args:
            encoder: the memory's encoder.
            memory: what is searched.
            dynamics: how; None takes the defaults.
            seed: of what `encode` and `next` draw, one after the other.
            device: where memory is searched: `cpu`, `cuda`, or `auto`, a GPU if there is one. Answers
                are the same, and come back to main memory.
            index: `exact`, or `approximate` for memories of a million rows and more (the extra
                `approximate`; on the CPU).

        Raises:
            MemworldError: the memory was made by another encoder, settings that do not fit it or each
                other, or a device that is not there.
        """
        memory.check_encoder(encoder)
        self._encoder = encoder
        self._memory = memory
        self._dynamics = (dynamics or DynamicsConfig()).resolved(memory.info.action_space)
        self._generator = seeded(seed)
        self._device = choose_device(device)
        if index not in ("exact", "approximate"):
            raise MemworldError(f"unknown index {index!r}: use exact or approximate")
        if index == "approximate" and device == "cuda":
            raise MemworldError("approximate search runs on the CPU: use device cpu or auto, or the exact index")
        self._kind = index
        self._indexed: Rows | None = None
        self._index: Index
        self._support: Support

    @classmethod
    def open(
        cls,
        path: str | Path,
        dynamics: DynamicsConfig | None = None,
        seed: int = 0,
        device: str = "auto",
        index: IndexKind = "exact",
    ) -> "WorldModel":
        """Open the folder of a memory that holds its encoder, as `save` and `memworld remember` write it.

        Raises:
            MemworldError: something is missing, damaged or does not belong together.
        """
        return cls(open_encoder(Path(path) / "encoder"), open_memory(Path(path)), dynamics, seed, device, index)

    def save(self, path: str | Path, on_existing: OnExisting = "error") -> None:
        """Write memory and encoder into the folder `path`."""
        save_memory(self.memory, Path(path), on_existing, encoder=self.encoder)

    @property
    def encoder(self) -> Encoder:
        """The memory's encoder."""
        return self._encoder

    @property
    def memory(self) -> Memory:
        """What is searched; append to it and remove from it at any time."""
        return self._memory

    @property
    def dynamics(self) -> ResolvedDynamics:
        """The settings in force, every one spelt out; for others make another `WorldModel`."""
        return self._dynamics

    def encode(self, observations: np.ndarray, generator: torch.Generator | None = None) -> Latents:
        """Frames to latents.

        Args:
            observations: uint8 (H, W, C), or (B, H, W, C).
            generator: of the sample z; None goes on with the world's own.

        Returns:
            (B, D) latents, B = 1 for a single frame.

        Raises:
            MemworldError: frames of another type or size than the encoder's.
        """
        frames = np.asarray(observations)
        frames = frames[None] if frames.ndim == len(self.encoder.frame_shape) else frames
        if len(frames) == 0:
            raise MemworldError("no observations to encode: give at least one frame")
        mu, sigma = self.encoder.encode(frames)
        return draw(mu, sigma, generator or self._generator).check("encoded frames")

    def next(self, state: Latents, actions: Any, generator: torch.Generator | None = None) -> Prediction:
        """Predict the step that follows `state` under `actions`.

        Args:
            state: (B, D) latents, from `encode` or from an earlier prediction.
            actions: B actions of the memory's action space, or a single one for all.
            generator: of the sampling rules; None goes on with the world's own.

        Raises:
            MemworldError: actions outside the space, an empty memory, or k above its rows.
        """
        self._check_state(state)
        matches = self.retrieve(state, self._features(actions, batch=len(state)))
        return self.estimate(state, matches, generator or self._generator)

    def decode(self, latents: Latents) -> np.ndarray:
        """The frames of latents' samples z: (..., D) to uint8 (..., H, W, C)."""
        frames = self.encoder.decode(latents.flatten().z)
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
            actions: (B, T) for `Discrete`, (B, T, A) for others, for a `Dict` also a mapping with an array
                for every entry; a single sequence may leave B out.
            mode: `requery` searches at every step; `follow` walks the first search's rows on, heeds
                later actions only under `hard` conditioning, and searches again where no row is left.
            seed: of all sampling.
            decode: whether to decode frames.

        Raises:
            MemworldError: a horizon of 0, shapes that do not fit, actions outside the space.
        """
        generator = seeded(seed)
        start = observations if isinstance(observations, Latents) else self.encode(observations, generator)
        self._check_state(start)
        features = torch.from_numpy(sequence_features(actions, self.memory.info.action_space))
        if len(start) != len(features) and 1 not in (len(start), len(features)):
            raise MemworldError(
                f"{len(start)} observations and {len(features)} action sequences: give one of either, or equal numbers"
            )
        batch = max(len(start), len(features))
        start = start if len(start) == batch else start[torch.zeros(batch, dtype=torch.int64)]
        features = features.expand(batch, -1, -1)
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
        dynamics = self.dynamics
        unit = self.support.typical if dynamics.conditioning in ("soft", "mixed") else 0.0
        query = Query(state, actions, dynamics.conditioning, dynamics.action_weight * unit)
        return STRATEGIES[dynamics.strategy].search(self.index, query, dynamics.k)

    def follow(self, matches: Matches, actions: Tensor) -> Matches:
        """The rows one step later in their own episodes, under action features (B, A).

        -1 where that row has no successor or another action than conditioning admits.
        """
        rows = self.memory.rows
        later = matches.rows.clamp(min=0) + 1
        walks_on = matches.found & rows.has_successor[later]
        if self.dynamics.conditioning in ("hard", "mixed"):
            same = rows.actions[later] == actions[:, None]
            if self.dynamics.conditioning == "mixed":
                same |= ~rows.discrete
            walks_on &= same.all(2)
        return Matches(
            torch.where(walks_on, later, -1),
            torch.where(walks_on, matches.distances, torch.inf),
            torch.where(walks_on, matches.penalties, 0.0),
        )

    def estimate(self, state: Latents, matches: Matches, generator: torch.Generator) -> Prediction:
        """The prediction that rows make: state, reward and termination, with the same weights.

        Where a query found no row at all, the state stays as it is and support is the worst, 1.
        """
        rows = self.memory.rows
        here = matches.rows.clamp(min=0)
        # Rows are ignored where none was found; a query without any borrows row 0 and is undone below.
        nothing = ~matches.found.any(1, keepdim=True)
        successors = Successors(rows.latents[here + 1], matches.costs, matches.found | nothing)
        if self.dynamics.delta:
            successors = as_changes(successors, rows.latents[here], state)
        estimate = RULES[self.dynamics.rule](successors, generator)
        latents = Latents(
            *(torch.where(nothing, getattr(state, n), getattr(estimate.latents, n)) for n in ("mu", "sigma", "z"))
        )
        weights = estimate.weights.masked_fill(nothing, 0)
        support = self.support.quantile(matches.distances.amin(1))
        return Prediction(
            latents=latents,
            reward=(weights * rows.rewards[here]).sum(1),
            termination=(weights * rows.terminations[here].float()).sum(1),
            matches=matches,
            weights=weights,
            support=torch.where(nothing[:, 0], 1.0, support),
        )

    @property
    def index(self) -> Index:
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
            if self._kind == "approximate":
                self._index = ApproximateIndex.of(rows, self.dynamics.metric)
            else:
                by_action = self.dynamics.conditioning in ("hard", "mixed")
                self._index = ExactIndex.of(rows, self.dynamics.metric, by_action, self._device.type)
            self._support = calibrate(self._index, rows)
            self._indexed = rows

    def _check_state(self, state: Latents) -> None:
        dim = math.prod(self.encoder.latent_shape)
        if state.mu.ndim != 2 or len(state) == 0 or state.dim != dim:
            raise MemworldError(
                f"states must be (B, {dim}) latents with B of at least 1, got {tuple(state.mu.shape)}: "
                "take them from encode or from an earlier prediction"
            )

    def _features(self, actions: Any, batch: int) -> Tensor:
        """B actions, or one for all, to checked features (B, A)."""
        space = self.memory.info.action_space
        stored = as_actions(actions, space)
        own = len(stored_shape(space))
        stored = stored if stored.ndim == 1 + own else stored[None]
        if len(stored) not in (1, batch) or stored.ndim != 1 + own:
            raise MemworldError(f"actions have shape {stored.shape}: give one per state ({batch}), or one for all")
        return torch.from_numpy(action_features(stored, space)).expand(batch, -1)
