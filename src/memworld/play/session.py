"""What one page drives: one or two dreams, and the real world beside them, under the same keys."""

import copy
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from memworld.actions import action_features, as_actions, stored_shape
from memworld.errors import MemworldError
from memworld.play.dream import LiveDream
from memworld.play.panels import Panel
from memworld.play.real import RealWorld
from memworld.play.recorder import Recorder, Recordings
from memworld.play.settings import DreamSettings
from memworld.play.stage import Stage
from memworld.storage import one_line

_MOST_TAKEN = 20_000
"""Actions since the start that are kept, for the real world to take them too if it comes later."""


class PlaySession:
    """Worlds side by side that begin at the same recorded moment and take the same actions.

    Attributes:
        stage: whose memory.
        dreams: one or two of them.
        steps: taken since the start.
        real: the real world beside them, if it is there.
        why_not_real: why it is not, if it was asked for.
        saved: names of the recordings that the last thing done has written.
    """

    dreams: list[LiveDream]
    steps: int

    def __init__(
        self,
        stage: Stage,
        settings: Any,
        start: Any = None,
        real: bool = False,
        recordings: Recordings | None = None,
    ) -> None:
        """Begin.

        Args:
            stage: whose memory.
            settings: of one dream or two, in plain JSON values; see `settings.Choices`.
            start: `episode` (its number) and `step` of the recorded moment; None draws one.
            real: whether the real world is to be beside them, if it can.
            recordings: where recordings go; None if nothing is to be recorded.

        Raises:
            MemworldError: other settings or another moment than there are.
        """
        if not isinstance(settings, Sequence) or isinstance(settings, str) or not 1 <= len(settings) <= 2:
            raise MemworldError("dreams is to be a list of the settings of one dream or of two")
        self.stage, self._recordings = stage, recordings
        self._chance = np.random.default_rng(secrets.randbits(64))
        self._recorder: Recorder | None = None
        self._taken: list[np.ndarray] = []
        self.real: RealWorld | None = None
        self.why_not_real: str | None = None
        self.saved: list[str] = []
        self._begin(self._row(start), [stage.choices.settings(plain) for plain in settings])
        if real:
            self.beside_real(True)

    @property
    def settings(self) -> list[DreamSettings]:
        """Of every dream."""
        return [dream.settings for dream in self.dreams]

    @property
    def start(self) -> tuple[int, int]:
        """The number of the episode and the step that all began at."""
        return self.stage.moment(self.dreams[0].start)

    @property
    def recording(self) -> bool:
        """Whether what is played is recorded."""
        return self._recorder is not None

    def reset(self, start: Any) -> None:
        """Begin anew at a recorded moment; None draws one.

        Raises:
            MemworldError: there is no such moment, or nothing follows it; then all stays as it is.
        """
        self._begin(self._row(start), self.settings)
        if self.real is not None:
            self._place_real()
        if self._recorder is not None:
            self._recorder.begin(self.panels(), self._sources())

    def step(self, action: Any) -> None:
        """Take one action everywhere.

        Args:
            action: an integer for `Discrete` spaces, else a list of numbers, one for each column.

        Raises:
            MemworldError: it is none of the space, or a dream cannot go on.
        """
        stored = self._stored(action)
        features = torch.from_numpy(action_features(stored[None], self.stage.memory.info.action_space))
        before = [copy.copy(dream) for dream in self.dreams]
        try:
            for dream in self.dreams:
                dream.step(features)
        except MemworldError:  # then all of them stay where they were
            self.dreams = before
            for dream in before:
                dream.change(dream.settings)
            raise
        self.steps += 1
        if self.steps <= _MOST_TAKEN:
            self._taken.append(stored)
        if self.real is not None:
            try:
                self.real.step(stored)
            except MemworldError as error:
                self._lose_real(error)
        if self._recorder is not None:
            self._recorder.add(stored, self.panels())
            if self._recorder.full:
                self.record(False)

    def change(self, number: Any, settings: Any) -> None:
        """Let a dream go on under other settings.

        Raises:
            MemworldError: there is no such dream, or no such settings; then it goes on as before.
        """
        if type(number) is not int or number not in range(len(self.dreams)):
            raise MemworldError(f"there is no dream {one_line(number)[:20]}: they are numbered from 0")
        self.dreams[number].change(self.stage.choices.settings(settings))

    def dream(self, count: Any) -> None:
        """Let one dream go on, or two; a second one branches off the first.

        Raises:
            MemworldError: another number, or a recording is under way.
        """
        self._not_recording()
        if type(count) is not int or count not in (1, 2):
            raise MemworldError(f"count is to be 1 or 2 dreams, not {one_line(count)[:20]}")
        if count > len(self.dreams):
            self.dreams.append(self.dreams[0].branch(self.dreams[0].settings))
        del self.dreams[count:]

    def beside_real(self, on: bool) -> None:
        """Let the real world go on beside the dreams, from their start and with the actions since; or no longer.

        Where it cannot, `why_not_real` says why.

        Raises:
            MemworldError: a recording is under way.
        """
        self._not_recording()
        self._leave_real()
        self.why_not_real = None
        if on:
            try:
                self.real = RealWorld(self.stage)
            except MemworldError as error:
                self.why_not_real = str(error)
                return
            self._place_real()

    def record(self, on: bool, forms: Any = (), fps: Any = None) -> None:
        """Begin to record what is played from here on, or write what was recorded; `saved` then names it.

        Args:
            on: which.
            forms: what to write, see `recorder.FORMS`.
            fps: steps a second in a video; None takes the usual.

        Raises:
            MemworldError: it is being recorded already or nothing is, or it cannot be written.
        """
        if on == self.recording:
            raise MemworldError("it is being recorded already" if on else "nothing is being recorded")
        if not on:
            assert self._recorder is not None
            self.saved = self._recorder.save()  # if it cannot be written, one can mend that and try again
            self._recorder = None
            return
        if self._recordings is None:
            raise MemworldError("nothing can be recorded here: there is no folder for it")
        if not isinstance(forms, Sequence) or isinstance(forms, str):
            raise MemworldError("a recording is written as what a list names: mp4, episodes, or both")
        if fps is not None and type(fps) is not int:
            raise MemworldError("fps is to be a whole number of frames a second")
        rate = {} if fps is None else {"fps": fps}
        self._recorder = Recorder(self._recordings.output, self.stage.memory.info, forms, **rate)
        self._recorder.begin(self.panels(), self._sources())

    def panels(self) -> list[Panel]:
        """What there is to see now."""
        dreams = [Panel.of_dream(self.stage, dream, number) for number, dream in enumerate(self.dreams, 1)]
        return dreams if self.real is None else [*dreams, Panel.of_real(self.real)]

    def close(self) -> None:
        """Write what is being recorded, and leave nothing open.

        Raises:
            MemworldError: it cannot be written.
        """
        try:
            if self.recording:
                self.record(False)
        finally:
            self._leave_real()

    def _begin(self, row: int, settings: Sequence[DreamSettings]) -> None:
        self.dreams = [LiveDream(self.stage, each, row) for each in settings]
        self.steps, self._taken = 0, []

    def _row(self, start: Any) -> int:
        """The row of a moment, in plain JSON values, or a drawn one."""
        if start is None:
            return int(self.stage.starts.choose(1, {}, self._chance)[0])
        if not isinstance(start, Mapping) or set(start) - {"episode", "step"} or "episode" not in start:
            raise MemworldError("start is to be null, or an episode's number and a step in it")
        numbers = [start["episode"], start.get("step", 0)]
        if any(type(number) is not int for number in numbers):
            raise MemworldError("start is to name an episode by its number, and a step by its own")
        return self.stage.start(*numbers)

    def _stored(self, action: Any) -> np.ndarray:
        """One action in the stored form."""
        space = self.stage.memory.info.action_space
        try:
            stored = as_actions(np.asarray(action), space)
        except MemworldError:
            raise
        except (ValueError, OverflowError, TypeError) as error:  # what JSON may hold that is no array of numbers
            raise MemworldError(f"action {one_line(action)[:60]} is none of {one_line(space)[:120]}") from error
        if stored.shape != stored_shape(space):
            raise MemworldError(f"one action has shape {stored_shape(space)}, this one has {stored.shape}")
        return stored

    def _sources(self) -> list[dict[str, Any]]:
        """What is known of the episodes that begin now, for each panel."""
        episode, step = self.start
        where = {"start_episode": self.stage.memory.ids[episode], "start_step": step, "steps_before": self.steps}
        info = self.stage.memory.info
        known = {"world": info.world, "policy": "played by hand", **where}
        dreams = [{**known, "imagined": True, "settings": settings.to_json()} for settings in self.settings]
        return dreams if self.real is None else [*dreams, {**known, "imagined": False}]

    def _place_real(self) -> None:
        """Bring the real world to where the dreams are, or leave it and say why."""
        assert self.real is not None
        self.why_not_real = None
        try:
            if self.steps > _MOST_TAKEN:
                raise MemworldError(f"the start is more than {_MOST_TAKEN} steps ago: reset first")
            self.real.begin(self.dreams[0].start, self._taken)
        except MemworldError as error:
            self._lose_real(error)

    def _lose_real(self, why: MemworldError) -> None:
        """Go on without the real world; a recording, which cannot lose a panel, ends."""
        self.why_not_real = str(why)
        self._leave_real()
        if self._recorder is not None:
            self._recorder.end()
            self.record(False)

    def _leave_real(self) -> None:
        real, self.real = self.real, None
        if real is not None:
            real.close()

    def _not_recording(self) -> None:
        if self.recording:
            raise MemworldError("a recording is under way, in which no panel may come or go: end it first")
