"""Processes of a Ray cluster that hold shards, asked all at once; an answer is whole, or an error says who is missing.

A process that dies, with its machine or alone, is started again by Ray, elsewhere if need be, and calls that it
had not answered are made again. Every call names the pieces that it is about, so the new process loads them first.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memworld.cluster.pieces import Piece
from memworld.cluster.shard import Packed, Search, Shards
from memworld.errors import MemworldError
from memworld.extras import import_extra
from memworld.storage import one_line

_POLL = 0.5
"""Seconds after which one looks whether a worker has failed while others are still at work."""

_LARGE = 1 << 16
"""Bytes of a message from which it is put where workers fetch it, rather than sent along with each call."""


def ray_module() -> Any:
    """Ray.

    Raises:
        MemworldError: it is not installed.
    """
    return import_extra("ray", "cluster", "clusters")


@dataclass(frozen=True)
class Place:
    """Where a worker is started.

    Attributes:
        node: Ray's id of a machine; None lets Ray find one with room on a GPU.
        threads: with which it searches.
        gpus: how much of a GPU is its own.
    """

    node: str | None
    threads: int
    gpus: float = 0.0


class Workers:
    """The workers of one index; they end when nobody has it any more."""

    def __init__(self, search: Search, places: Sequence[Place], timeout: float) -> None:
        """Start one at each place; Ray must be connected."""
        self._ray = ray_module()
        self.search, self.timeout = search, timeout
        # No CPUs are asked for: of Ray's own default, one CPU must be there to be placed, and none is taken.
        # So the workers of a machine that has died find room on those that are left.
        actor = self._ray.remote(max_restarts=-1, max_task_retries=-1)(Shards)
        self._started = self._connection()
        self._actors = [actor.options(**_options(place)).remote(search, place.threads) for place in places]

    def __len__(self) -> int:
        return len(self._actors)

    @property
    def connected(self) -> bool:
        """Whether the connection to their cluster is still the one with which they were started."""
        return bool(self._ray.is_initialized()) and self._connection() == self._started

    def shared(self, message: Packed) -> Any:
        """A message that several calls take, so that a large one is written only once.

        Raises:
            MemworldError: the connection is closed.
        """
        self._check_connected()
        size = sum(part.nbytes for part in message.values() if isinstance(part, np.ndarray))
        return self._ray.put(message) if len(self) > 1 and size > _LARGE else message

    def end(self) -> None:
        """End them now, whoever has them."""
        for actor in self._actors if self.connected else ():
            self._ray.kill(actor)

    def ask(self, method: str, messages: Mapping[int, tuple[Any, ...]]) -> list[Any]:
        """Call a method of `Shards` on several workers, and wait for all of them.

        Args:
            method: its name.
            messages: by the worker's number, the arguments, the first of which are the pieces.

        Raises:
            MemworldError: a worker's own; or some did not answer in time, or cannot be started again.
        """
        self._check_connected()
        began = time.monotonic()
        calls = {getattr(self._actors[worker], method).remote(*m): worker for worker, m in messages.items()}
        answers: dict[int, Any] = {}
        waiting = list(calls)
        try:
            while waiting and (left := self.timeout - (time.monotonic() - began)) > 0:
                done, waiting = self._ray.wait(waiting, num_returns=len(waiting), timeout=min(_POLL, left))
                for call in done:
                    name = _name(calls[call], messages[calls[call]][0])
                    answers[calls[call]] = answer_of(self._ray, call, name)
        finally:
            for call in waiting:
                with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
                    self._ray.cancel(call)
        if waiting:
            missing = "; ".join(_name(worker, messages[worker][0]) for worker in messages if worker not in answers)
            raise MemworldError(
                f"{len(waiting)} of {len(calls)} workers did not answer within {self.timeout:g} s, so that there is no "
                f"whole answer: {missing}; see with `ray status` whether their machines run, or wait longer: "
                "connect(timeout=...)"
            )
        return [answers[worker] for worker in messages]

    def _connection(self) -> tuple[str, str]:
        here = self._ray.get_runtime_context()
        return here.get_node_id(), here.get_job_id()

    def _check_connected(self) -> None:
        # Ray itself would connect anew, to whatever cluster it finds.
        if not self.connected:
            raise MemworldError("the connection to the cluster is closed: connect again, and open the world anew")


def answer_of(ray: Any, call: Any, name: str) -> Any:
    """What a call has given that has ended; errors call it `name`.

    Raises:
        MemworldError: its own; or there was no room for it, or it was lost for good.
    """
    try:
        return ray.get(call)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, MemworldError):
            raise MemworldError(str(cause)) from None  # a new one, which does not hold itself by its context
        # What PyTorch raises where NumPy raises a MemoryError.
        if isinstance(cause, MemoryError) or (isinstance(cause, RuntimeError) and "alloc" in str(cause)):
            raise MemworldError(
                f"{name}: there is no room for it: take more or larger machines, or ask for less"
            ) from None
        raise
    except ray.exceptions.RayError as error:
        raise MemworldError(
            f"{name}: its worker has died and cannot be started again ({_last_words(error)}): see `ray status`, and "
            "that every machine has the same memworld; then connect again"
        ) from error


def _last_words(error: Exception) -> str:
    """What an error of Ray comes to: the end of a report of many lines."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1].strip() if lines else type(error).__name__)[:300]


def _options(place: Place) -> dict[str, Any]:
    if place.node is None:
        return {"num_gpus": place.gpus, "num_cpus": 0}  # of which Ray would take one, if it were not said
    scheduling = import_extra("ray.util.scheduling_strategies", "cluster", "clusters")
    return {"scheduling_strategy": scheduling.NodeAffinitySchedulingStrategy(place.node, soft=True)}


def _name(worker: int, pieces: Sequence[Piece]) -> str:
    return f"worker {worker + 1} ({', '.join(map(str, pieces))})"
