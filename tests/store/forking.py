"""A process that has loaded everything once, and forks a child for each job, to be killed or to crash.

    python -m tests.store.forking

A job is a line of JSON on the standard input: a function by its name, its arguments, and what is done to
the child; the answer is a line on the standard output. This process itself must never start Lance, whose
threads no child would inherit, so it only forks.
"""

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from memworld.errors import MemworldError

ROOT = Path(__file__).parents[2]

LIMIT = 300.0
"""Seconds without a word after which a child hangs, unless it is told otherwise; computers are busy."""

Tell = Callable[[Any], None]
"""Says how far a child has come; what was said is known whatever becomes of it."""


def nobody(_: object) -> None:
    """Hears what is told where nobody need know."""


@dataclass(frozen=True)
class Job:
    """What a child does.

    Attributes:
        call: "module:function"; it is given a `Tell` and the arguments.
        arguments: plain JSON values.
        kill_after: seconds until it is killed; None lets it end.
        kill_at: the change of a file, counted from 1 among those that Python makes in `watch`, before which it
            kills itself; None at none.
        watch: folder in which changes are counted.
        file_bytes: the largest file that it may write, as on a full disk; None sets no limit.
        limit: seconds without a word of it after which it is killed as hanging.
    """

    call: str
    arguments: dict[str, Any] = field(default_factory=dict)
    kill_after: float | None = None
    kill_at: int | None = None
    watch: str = ""
    file_bytes: int | None = None
    limit: float = LIMIT


@dataclass(frozen=True)
class Ended:
    """What became of a child.

    Attributes:
        told: all that it said, in order.
        result: what the function returned; None if it did not.
        refused: the words of the `MemworldError` that it raised; "" if it did not.
        failed: the words of any other error, with its traceback; "" if there was none.
        killed: whether it was killed, as it was told to.
        hung: whether it ran past its limit.
        signal: the signal that ended it, 0 if none did.
        changes: how many changes of files were counted.
        seconds: that it ran.
        peak: bytes of its largest resident set.
    """

    told: list[Any]
    result: Any
    refused: str
    failed: str
    killed: bool
    hung: bool
    signal: int
    changes: int
    seconds: float
    peak: int

    @property
    def crashed(self) -> bool:
        """Whether it ended otherwise than by returning, by one clear error, or by being killed."""
        plain = self.killed or (not self.signal and not self.failed and "\n" not in self.refused)
        return self.hung or not plain


class Forks:
    """The process that forks; use it in a `with` statement."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.store.forking"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def run(self, job: Job) -> Ended:
        """Let a child do a job, to its end."""
        return self.run_together([job])[0]

    def run_together(self, jobs: Sequence[Job]) -> list[Ended]:
        """Let children do jobs at the same time, each to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([asdict(job) for job in jobs]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has ended"
        return [Ended(**ended) for ended in json.loads(answer)]


def _watch(folder: str, kill_at: int | None, tell: Callable[[int], None]) -> None:
    """Count the changes that Python makes to files in a folder, and be killed before one of them."""
    changing = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not writes and event not in changing:
            return
        # A number is a file that is open already, and a bare name is in a folder that is, as when a tree is deleted.
        path = os.fspath(arguments[0]) if isinstance(arguments[0], str | os.PathLike) else ""
        if path.startswith("/") and not path.startswith(folder):
            return
        count += 1
        tell(count)
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _child(job: Job, pipe: int) -> None:
    """Do a job, and tell everything in lines of JSON."""

    def say(**values: Any) -> None:
        os.write(pipe, json.dumps(values).encode() + b"\n")

    # Of a crash nothing is to be kept, and what is said of it belongs to the answer.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        module, _, name = job.call.partition(":")
        function = getattr(importlib.import_module(module), name)
        if job.file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (job.file_bytes, job.file_bytes))
        if job.watch:
            _watch(job.watch, job.kill_at, lambda count: say(changes=count))
        say(result=function(lambda value: say(told=value), **job.arguments))
    except MemworldError as error:
        say(refused=str(error))
    except BaseException:
        import traceback

        say(failed=traceback.format_exc())


def _lines(pipe: int, pid: int, job: Job) -> Iterator[dict[str, Any]]:
    """What a child says until it ends, or is killed."""
    deadline: float | None = time.monotonic() + (job.limit if job.kill_after is None else job.kill_after)
    rest = b""
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([pipe], [], [], left)[0]:
            os.killpg(pid, signal.SIGKILL)
            yield {"hung": job.kill_after is None}
            deadline = None
            continue
        block = os.read(pipe, 1 << 16)
        if not block:
            return
        if deadline is not None and job.kill_after is None:
            deadline = time.monotonic() + job.limit
        *lines, rest = (rest + block).split(b"\n")
        yield from map(json.loads, lines)


def _fork(job: Job) -> tuple[int, int]:
    """Fork a child for a job: its id, and the pipe in which it tells."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        os.close(reading)
        _child(job, writing)
        os._exit(0)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)  # whoever comes first, so that what it starts is killed with it
    os.close(writing)
    return pid, reading


def _await(job: Job, pid: int, pipe: int) -> Ended:
    """See what becomes of a child."""
    began = time.monotonic()
    found: dict[str, Any] = {"result": None, "refused": "", "failed": "", "hung": False, "changes": 0}
    told: list[Any] = []
    for line in _lines(pipe, pid, job):
        if "told" in line:
            told.append(line["told"])
        found.update({key: value for key, value in line.items() if key in found})
    os.close(pipe)
    _, status, usage = os.wait4(pid, 0)
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return Ended(
        told=told,
        killed=ended_by == signal.SIGKILL and not found["hung"] and (job.kill_after, job.kill_at) != (None, None),
        signal=ended_by,
        seconds=time.monotonic() - began,
        peak=usage.ru_maxrss * 1024,
        **found,
    )


def main() -> None:
    """Fork until the standard input ends."""
    import lance  # noqa: F401

    for line in sys.stdin:
        jobs = [Job(**job) for job in json.loads(line)]
        for job in jobs:  # loaded here, so that children need not
            importlib.import_module(job.call.partition(":")[0])
        children = [_fork(job) for job in jobs]
        with ThreadPoolExecutor(len(jobs)) as pool:  # which are gone before another child is forked
            ended = list(pool.map(lambda job, child: asdict(_await(job, *child)), jobs, children))
        sys.stdout.write(json.dumps(ended) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
