"""A thread of one's own for work that would hold up the event loop."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop | None, "asyncio.Future[Any] | None"]


class Worker:
    """Does one thing after another.

    Its thread keeps no program from ending. But one that ends while a library computes in it aborts, unless by
    `os._exit`: see `busy`.
    """

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self.busy = False
        """Whether it works on something."""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def later(self, job: Callable[[], object]) -> None:
        """Have a job done, whoever waits for it or not."""
        self._jobs.put((job, None, None))

    async def do(self, job: Callable[[], Result]) -> Result:
        """Have a job done, and wait for what it returns or raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        self._jobs.put((job, loop, done))
        return await done

    def end(self) -> None:
        """Let the thread end when it has done what it was given."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            job, loop, done = given
            self.busy = True
            try:
                result, error = job(), None
            except Exception as failure:  # handed on to whoever waits for it
                result, error = None, failure
            finally:
                self.busy = False
            if loop is not None and done is not None:
                with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                    loop.call_soon_threadsafe(_settle, done, result, error)


def _settle(done: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
