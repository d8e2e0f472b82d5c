"""One recorded episode: a frozen record that cannot be built invalid."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

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
