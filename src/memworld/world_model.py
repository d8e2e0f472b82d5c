"""THE CORE: a world model whose dynamics is a search in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.actions import sequence_features
from memworld.analogues import AnalogueConfig
from memworld.cluster import Cluster
from memworld.encoders import Encoder, open_encoder
from memworld.engine import DynamicsSettings, Engine, IndexKind, ResolvedSettings
from memworld.errors import MemworldError
from memworld.gaussian import Latents, at_mean, draw, seeded
from memworld.imagine import Choose, Dynamics, Mode, imagine_latents
from memworld.inputs import Choices, check_states, features_of, frames_of, history_of
from memworld.learned import Shelf
from memworld.lookup import Lookup
from memworld.memory import Memory
from memworld.pictures import Decoding, Painter
from memworld.pictures import decode as decode_frames
from memworld.rollout import SUPPORTED, History, Past, Prediction, Rollout
from memworld.storage import OnExisting
from memworld.store import Stored, open_memory, save_memory
from memworld.upkeep import Upkeep


class WorldModel:
    """A world that one can encode into, step, imagine in, and decode from.

    Its dynamics is whatever the memory holds at the moment: episodes appended to or removed from
    `memory` count from the next step on.
    """

    def __init__(
        self,
        encoder: Encoder,
        memory: Memory,
        dynamics: DynamicsSettings | None = None,
        seed: int = 0,
        device: str = "auto",
        index: IndexKind | Cluster = "exact",
    ) -> None:
        """Join an encoder and the memory that it made; what is learned of a stored memory is kept beside it.

        Args:
            encoder: the memory's encoder.
            memory: what is searched.
            dynamics: how; None follows analogues.
            seed: of what `encode` and `next` draw, one after the other.
            device: where memory is searched: `cpu`, `cuda`, or `auto`, a GPU if there is one. Answers
                are the same, and come back to main memory.
            index: `exact`, or `approximate` for memories of a million rows and more (the extra
                `approximate`; on the CPU), or for the paper's strategies a cluster of machines (the extra
                `cluster`): what `cluster.connect` gave, or `cluster` for the one that this process is connected to.
                A cluster's device is that of its workers.

        Raises:
            MemworldError: the memory was made by another encoder, settings that do not fit it or each
                other, or a device that is not there.
        """
        memory.check_encoder(encoder)
        self._encoder = encoder
        self._memory = memory
        settings = (dynamics or AnalogueConfig()).resolved(memory.info.action_space)
        stored = memory.stored
        shelf = Shelf(stored.path if isinstance(stored, Stored) else None)
        self._upkeep = Upkeep(encoder, memory, settings, Engine(index, device), shelf)
        self._generator = seeded(seed)

    @classmethod
    def open(
        cls,
        path: str | Path,
        dynamics: DynamicsSettings | None = None,
        seed: int = 0,
        device: str = "auto",
        index: IndexKind | Cluster = "exact",
    ) -> "WorldModel":
        """Open the folder of a memory that holds its encoder, as `save` and `memworld remember` write it.

        Raises:
            MemworldError: something is missing, damaged or does not belong together.
        """
        memory = open_memory(Path(path))  # first: it says best what is wrong with a path that holds none
        world = cls(open_encoder(Path(path) / "encoder"), memory, dynamics, seed, device, index)
        world._upkeep.shelf = Shelf(Path(path))
        return world

    def under(self, dynamics: DynamicsSettings | None) -> "WorldModel":
        """The same encoder and memory under other settings; what these learn is kept in the same place.

        Raises:
            MemworldError: settings that do not fit the memory or each other.
        """
        engine = self._upkeep.engine
        other = WorldModel(self.encoder, self.memory, dynamics, device=engine.wanted, index=engine.index)
        other._upkeep.shelf = self._upkeep.shelf
        return other

    def save(self, path: str | Path, on_existing: OnExisting = "error") -> None:
        """Write memory and encoder into the folder `path`."""
        save_memory(self.memory, Path(path), on_existing, encoder=self.encoder)

    def refresh(self) -> bool:
        """Take in what has been stored in the memory's folder since, by whatever process; see `Memory.refresh`.

        The next prediction indexes what is new, and nothing else where memory has only grown.

        Returns:
            Whether anything has changed.

        Raises:
            MemworldError: the memory is stored nowhere, or cannot be opened any more.
        """
        return self.memory.refresh()

    @property
    def encoder(self) -> Encoder:
        """The memory's encoder."""
        return self._encoder

    @property
    def memory(self) -> Memory:
        """What is searched; append to it and remove from it at any time."""
        return self._memory

    @property
    def dynamics(self) -> ResolvedSettings:
        """The settings in force, every one spelt out; for others make another `WorldModel`."""
        return self._upkeep.settings

    @property
    def usual_mode(self) -> Mode:
        """The mode in which it imagines unless it is told."""
        return self.prepare().usual_mode

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
        frames = frames_of(self.encoder, observations)
        if len(frames) == 0:
            raise MemworldError("no observations to encode: give at least one frame")
        mu, sigma = self.encoder.encode(frames)
        return draw(mu, sigma, generator or self._generator).check("encoded frames")

    def history(self, observations: np.ndarray, past: Past | None = None) -> History:
        """Frames and what went before them, encoded: what imagination starts from, at the posteriors' means.

        Args:
            observations: uint8 (H, W, C), or (B, H, W, C).
            past: of each.

        Raises:
            MemworldError: frames of another type or size than the encoder's, or a past that does not go with them.
        """
        present = self.encode(observations, seeded(0))
        return history_of(self.encoder, at_mean(present.mu, present.sigma), past)

    def next(self, state: Latents, actions: Any, generator: torch.Generator | None = None) -> Prediction:
        """Predict the step that follows `state` under `actions`, knowing nothing of what went before it.

        Args:
            state: (B, D) latents, from `encode` or from an earlier prediction.
            actions: B actions of the memory's action space, or a single one for all.
            generator: of the sampling rules; None goes on with the world's own.

        Raises:
            MemworldError: actions outside the space, an empty memory, or k above its rows.
        """
        check_states(self.encoder, state)
        made = self.prepare()
        dream = made.begin(History.of(state), made.usual_mode)
        return dream.step(
            features_of(actions, self.memory.info.action_space, len(state)), generator or self._generator
        )[0]

    def decode(self, latents: Latents) -> np.ndarray:
        """The frames of latents' samples z: (..., D) to uint8 (..., H, W, C)."""
        return decode_frames(self.encoder, latents.z)

    def imagine(
        self,
        observations: np.ndarray | Latents,
        actions: Any,
        *,
        past: Past | None = None,
        mode: Mode | None = None,
        seed: int = 0,
        decode: bool | Decoding = True,
        stop_when_unsupported: bool = False,
    ) -> Rollout:
        """Imagine what follows `observations` under sequences of actions.

        Args:
            observations: uint8 (H, W, C) or (B, H, W, C) frames, or (B, D) latents. A single one
                serves all action sequences.
            actions: (B, T) for `Discrete`, (B, T, A) for others, for a `Dict` also a mapping with an array
                for every entry; a single sequence may leave B out.
            past: the moments before `observations`, one past for each. The paper's strategies look at the
                present alone; without a past, analogues take it to move as what looks like it did.
            mode: `requery` searches at every step; `follow` walks the first search's rows on and searches
                again where there is nothing left to walk; of the paper's strategies it heeds later
                actions only under `hard` conditioning; `reanchor`, of these alone, follows as long as at
                least half of the rows' actions agree with those asked. None takes `requery` for these, else `follow`.
            seed: of all sampling.
            decode: whether to make frames, or how (`pictures.Decoding`). True takes `blend` for analogues, if
                `observations` are frames and the memory keeps its own, else `decoder`.
            stop_when_unsupported: whether to end with the last step at which some future is still
                supported (`Rollout.supported`), the first at the earliest.

        Raises:
            MemworldError: a horizon of 0, shapes that do not fit, actions outside the space.
        """
        features = torch.from_numpy(sequence_features(actions, self.memory.info.action_space))
        return self._imagine(
            observations, list(features.unbind(1)), len(features), past, mode, seed, decode, stop_when_unsupported
        )

    def imagine_policy(
        self,
        observations: np.ndarray | Latents,
        policy: Callable[[Tensor], np.ndarray],
        steps: int,
        *,
        count: int | None = None,
        past: Past | None = None,
        mode: Mode | None = None,
        seed: int = 0,
        decode: bool | Decoding = True,
    ) -> tuple[Rollout, np.ndarray]:
        """Imagine what follows `observations` if a policy acts, which looks at what is imagined.

        Args:
            observations: as of `imagine`.
            policy: from the latest moments (B, C, D), float32 latent means, the latest first, to B actions in the
                stored form. C is the number of moments given, and one more after every step.
            steps: to imagine.
            count: B, if a single observation serves several futures; None takes one for each observation.
            past: as of `imagine`.
            mode: as of `imagine`.
            seed: as of `imagine`.
            decode: as of `imagine`.

        Returns:
            The futures, and the actions (B, T) or (B, T, A) that the policy took in them.

        Raises:
            MemworldError: as `imagine`, or an action of the policy outside the space.
        """
        choices = Choices(policy, self.memory.info.action_space)
        batch = count or (
            len(observations) if isinstance(observations, Latents) else len(frames_of(self.encoder, observations))
        )
        rollout = self._imagine(observations, [choices] * steps, batch, past, mode, seed, decode, False)
        return rollout, np.stack(choices.taken, 1)

    def _imagine(
        self,
        observations: np.ndarray | Latents,
        actions: Sequence[Tensor | Choose],
        count: int,
        past: Past | None,
        mode: Mode | None,
        seed: int,
        decode: bool | Decoding,
        stop_when_unsupported: bool,
    ) -> Rollout:
        """Imagine `count` futures under what is done at each step, or as many as there are observations."""
        generator = seeded(seed)
        start = observations if isinstance(observations, Latents) else self.encode(observations, generator)
        check_states(self.encoder, start)
        if len(start) != count and 1 not in (len(start), count):
            raise MemworldError(
                f"{len(start)} observations and {count} action sequences: give one of either, or equal numbers"
            )
        batch = max(len(start), count)
        history = history_of(self.encoder, start, past)
        same = torch.arange(batch).clamp(max=len(start) - 1)
        asked = [step.expand(batch, -1) if isinstance(step, Tensor) else step for step in actions]
        predictions, searched = imagine_latents(
            self.prepare(), history[same], asked, mode, generator, SUPPORTED if stop_when_unsupported else None
        )
        rows = self.memory.rows
        rollout = Rollout.of(predictions, searched, self.memory.ids, rows.episodes, rows.steps)
        if not decode:
            return rollout
        seen = None if isinstance(observations, Latents) else frames_of(self.encoder, observations)[same.numpy()]
        painter = self.painter
        how = painter.usual(seen) if decode is True else decode
        frames = painter.draw(how, rollout.latents, seen, rollout.rows, rollout.weights, rollout.squares)
        return replace(rollout, frames=frames)

    @property
    def lookup(self) -> Lookup:
        """The dynamics of the paper's strategies, with the index and the support of what memory holds now.

        Raises:
            MemworldError: this world's dynamics is another.
        """
        made = self.prepare()
        if not isinstance(made, Lookup):
            raise MemworldError("this world follows analogues and looks nothing up: give it a strategy of the paper")
        return made

    def prepare(self, progress: bool = False) -> Dynamics:
        """Index what memory holds now, and learn what there is to learn, unless it has been done.

        The first prediction after a change of memory does so by itself, without a progress bar. Where memory
        has only grown, what is new is indexed, and what analogues learn and support is measured by is kept
        up to a quarter more rows. What is learned is also kept beside a memory that was opened from a folder.
        """
        return self._upkeep.dynamics(progress)

    @property
    def painter(self) -> Painter:
        """What draws this world as it is now."""
        return self._upkeep.painter
