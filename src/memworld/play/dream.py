"""One dream under way: it begins at a recorded moment, and takes one action after another."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memworld.contexts import recorded_history
from memworld.errors import MemworldError
from memworld.gaussian import Latents, seeded
from memworld.pictures import decode, recorded
from memworld.play.settings import CONTEXTS, DreamSettings
from memworld.play.stage import Stage
from memworld.retrieve import STRATEGIES
from memworld.rollout import Citation, History, Prediction, cite

MOST_CITED = 8
"""Recorded moments that are named behind a step."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What one moment of a dream shows.

    Attributes:
        frame: uint8 (H, W, C).
        cited: the recorded moments with the largest shares in it, the largest first.
        place: (2,) float32 where it lies on the memory's map.
        support: of the step, 0 best, 1 worst; None where it would say nothing.
        no_support: why there is none; "" if there is.
        reward: predicted for the step.
        termination: how likely the step ends the episode.
        searched: whether memory was searched for it.
    """

    frame: np.ndarray
    cited: tuple[Citation, ...]
    place: np.ndarray
    support: float | None = None
    no_support: str = ""
    reward: float = 0.0
    termination: float = 0.0
    searched: bool = False


class LiveDream:
    """A dream in the memory of a stage.

    Attributes:
        settings: how it is dreamt.
        start: row of the recorded moment that it began at.
        shown: what it shows now.
        total: of the rewards since it began.
    """

    def __init__(self, stage: Stage, settings: DreamSettings, row: int, seed: int = 0) -> None:
        """Begin at a recorded moment that something follows.

        Args:
            stage: whose memory.
            settings: how.
            row: of the moment.
            seed: of what is drawn.

        Raises:
            MemworldError: the memory cannot be dreamt in so.
        """
        self._stage, self._generator = stage, seeded(seed)
        self.start = row
        self._history = recorded_history(stage.memory.rows, torch.tensor([row]), max(CONTEXTS))
        self._ahead = 0
        self._seen = stage.frames([row])
        self._present = _decoded(stage, self._history.present.mu)
        self._take(settings)
        self.shown, self.total = self._beginning(), 0.0

    def change(self, settings: DreamSettings) -> None:
        """Go on under other settings from where it is.

        Raises:
            MemworldError: the memory cannot be dreamt in so; then it goes on as before.
        """
        self._take(settings)

    def branch(self, settings: DreamSettings) -> "LiveDream":
        """Another dream that goes on from where this one is.

        Raises:
            MemworldError: the memory cannot be dreamt in so.
        """
        other = LiveDream.__new__(LiveDream)
        other.__dict__.update(self.__dict__)
        other._generator = seeded(0)
        other._take(settings)
        return other

    @torch.no_grad()
    def step(self, action: Tensor) -> Shown:
        """Predict what follows an action of features (1, A).

        Raises:
            MemworldError: this memory cannot tell; then the dream stays where it is, but must be changed, if only to
                the settings that it has, before it is asked again.
        """
        with self._model.lock:
            prediction, searched = self._dream.step(action, self._generator)
        cited, place = self._cited(prediction), self._place(prediction.latents.mu)
        reward, termination = float(prediction.reward[0]), float(prediction.termination[0])
        if not np.isfinite([*place, reward, termination, *(moment.distance for moment in cited)]).all():
            raise MemworldError("nothing can be predicted of numbers this large: take actions such as were recorded")
        self._history = _with(self._history, prediction.latents)
        self._ahead += 1
        support, no_support = float(prediction.support[0]), self._no_support(prediction)
        self.shown = Shown(
            self._picture(prediction),
            cited,
            place,
            None if no_support else support,
            no_support,
            reward,
            termination,
            bool(searched[0]),
        )
        self.total += self.shown.reward
        return self.shown

    def _take(self, settings: DreamSettings) -> None:
        """Dream on with the model of these settings."""
        model = self._stage.model(settings)
        with model.lock:
            dream = model.dynamics.begin(self._history, settings.mode)
        self.settings, self._model, self._dream = settings, model, dream

    def _beginning(self) -> Shown:
        """What the recorded moment shows that it begins at."""
        episode, step = self._stage.starts.moment(self.start)
        where = self._place(self._history.present.mu)
        begun = "Nothing is predicted yet: the start is a recorded moment."
        return Shown(self._seen[0], (Citation(episode, step, 0.0, 1.0),), where, no_support=begun)

    def _no_support(self, prediction: Prediction) -> str:
        """Why the support of a prediction says nothing; "" if it says something."""
        if bool(prediction.support.isnan().any()):
            return "Memory holds a single episode, so that there is nothing to measure support by."
        looks_up = self.settings.strategy in STRATEGIES
        if looks_up and bool((prediction.matches.distances[0] == 0).any()):
            return "The search has begun at a recorded moment and found that very one, at distance 0."
        return ""

    def _picture(self, prediction: Prediction) -> np.ndarray:
        """The prediction as its settings show it, uint8 (H, W, C)."""
        decoded = _decoded(self._stage, prediction.latents.z)
        if self.settings.decoding == "blend":
            blend = self._model.world.painter.blend
            decoded = blend.show(self._seen, self._present, decoded, self._ahead)
        elif self.settings.decoding == "frame":
            rows, weights = prediction.matches.rows, prediction.weights
            decoded = recorded(self._stage.frames, rows, weights, prediction.squares, decoded)
        picture: np.ndarray = decoded[0]
        return picture

    def _cited(self, prediction: Prediction) -> tuple[Citation, ...]:
        """The recorded moments behind the prediction."""
        rows, matches = self._stage.memory.rows, prediction.matches
        here = matches.rows[0].clamp(min=0)
        columns = (matches.rows[0], matches.distances[0], prediction.weights[0], rows.episodes[here], rows.steps[here])
        named = (column.numpy() for column in columns)
        return tuple(cite(*named, episode_ids=self._stage.starts.ids, most=MOST_CITED))

    def _place(self, mu: Tensor) -> np.ndarray:
        place: np.ndarray = self._stage.projection.places(mu)[0].numpy()
        return place


def _decoded(stage: Stage, latents: Tensor) -> np.ndarray:
    """Latents (1, D) as the encoder decodes them, uint8 (1, H, W, C)."""
    with torch.no_grad():
        return decode(stage.world.encoder, latents)


def _with(history: History, latents: Latents) -> History:
    """The latest moments of one history with one more (1, D) after them, and the oldest left out."""
    kept = history.latents[:, 1:]
    parts = ((getattr(kept, name), getattr(latents, name)[:, None]) for name in ("mu", "sigma", "z"))
    known = torch.cat([history.known[:, 1:], torch.ones(1, 1, dtype=torch.bool)], 1)
    return History(Latents(*(torch.cat(part, 1) for part in parts)), known)
