"""A real Ray cluster of two machines on loopback, in namespaces of its own: none sees it, nothing is left of it."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HEAD, SECOND = "127.0.0.2", "127.0.0.3"
"""Not 127.0.0.1, which Ray takes to mean the network's address."""

ADDRESS = f"{HEAD}:6379"

ALONE = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
"""With a network and a process tree of its own: when its first process ends, all that it started are killed."""

_START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=1", "--object-store-memory=100000000"]


@contextmanager
def surroundings() -> Iterator[dict[str, str]]:
    """Variables that a process must have before it loads Ray; RAY_TMPDIR is a folder for it, deleted afterwards."""
    # Ray's sockets lie in it, whose paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="mw-"))
    (folder / "ray").mkdir()
    (folder / "token").write_text(secrets.token_hex(32))
    try:
        yield {
            "RAY_TMPDIR": str(folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            # A machine that has died is given up in seconds.
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_timeout_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Machines:
    """Two machines in `surroundings`: a head, and a second one that does not see what is in the folder `hidden`."""

    def __init__(self) -> None:
        self.folder = Path(os.environ["RAY_TMPDIR"])
        self.hidden = self.folder / "hidden"
        self.hidden.mkdir()
        head = ["--head", "--port=6379", "--include-dashboard=false", f"--node-ip-address={HEAD}"]
        subprocess.run([*_START, *head], check=True, capture_output=True)
        self._second = self._start_second()

    def _start_second(self) -> "subprocess.Popen[bytes]":
        there = [*_START, f"--address={ADDRESS}", f"--node-ip-address={SECOND}", "--block"]
        hide = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs tmpfs "{self.hidden}" && exec "$@"', "sh"]
        return subprocess.Popen([*hide, *there], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def processes(self, title: str, machine: str | None = None) -> list[int]:
        """The numbers of the processes whose command line begins so, on one machine or on both."""
        parents, found = {}, []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:  # it has ended
                    continue
                if command.startswith(title):
                    found.append(int(entry.name))
        own = set(self._descendants(parents)) if machine else set()
        return [pid for pid in found if machine is None or (pid in own) == (machine == SECOND)]

    def _descendants(self, parents: dict[int, int]) -> Iterator[int]:
        """The processes of the second machine."""
        for pid in parents:
            at: int | None = pid
            while at is not None and at != self._second.pid:
                at = parents.get(at)
            if at is not None:
                yield pid

    def kill_second(self) -> None:
        """As if its power had gone."""
        for pid in self.processes("", SECOND):
            os.kill(pid, signal.SIGKILL)
        self._second.wait()


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be so"
        time.sleep(0.02)
