"""The connection of this process to a Ray cluster, or to a Ray of its own on this machine."""

import atexit
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from memworld.cluster.shard import Search
from memworld.cluster.workers import Place, Workers, ray_module
from memworld.errors import MemworldError
from memworld.storage import one_line

TIMEOUT = 300.0
"""Seconds that a query waits for workers, those included that load their shards again."""

_PROBE = 20
"""Seconds in which a cluster must say that it is there."""

_CPUS = 8
"""For which a machine has a worker, unless one asks for more: asking one takes time, and its Python takes memory."""

_OBJECTS = 256 << 20
"""Bytes of shared memory of a Ray of our own: queries, answers and encoded episodes pass through it."""


@dataclass(eq=False)
class Cluster:
    """A Ray cluster that this process is connected to; see `connect`.

    Attributes:
        address: host and port of its head.
        workers: how many an index is spread over; None decides by the machines.
        threads: with which each of them searches; None decides by the machines.
        timeout: seconds that a query, or loading, waits for workers.
        folder: of files of a Ray that was started for this; None if it was there.
        ours: whether the connection was made for this, and is to be closed with it.
    """

    address: str
    workers: int | None
    threads: int | None
    timeout: float
    folder: Path | None
    ours: bool

    def start(self, search: Search) -> Workers:
        """Start the workers of an index; they hold nothing yet.

        Raises:
            MemworldError: the connection is closed, no machine can hold a shard, or there is no GPU.
        """
        return Workers(search, self._places(search.device), self.timeout)

    def machines(self) -> list[tuple[str, int]]:
        """Ray's id, and the number of CPUs, of each machine that may work.

        Raises:
            MemworldError: the connection is closed, or there is none.
        """
        ray = ray_module()
        if not ray.is_initialized():
            raise MemworldError("the connection to the cluster is closed: connect again")
        found = [(n["NodeID"], int(n["Resources"].get("CPU", 0))) for n in ray.nodes() if n["Alive"]]
        found = [(node, cpus) for node, cpus in found if cpus >= 1]
        if not found:
            raise MemworldError(f"no machine of the cluster at {self.address} offers a CPU: ray start --num-cpus=...")
        return found

    def close(self) -> None:
        """End what was started for this: the connection, and a Ray of our own."""
        atexit.unregister(self.close)
        if self.ours and ray_module().is_initialized():
            ray_module().shutdown()
        self.ours = False
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _places(self, device: str) -> list[Place]:
        machines = self.machines()
        gpus = int(ray_module().cluster_resources().get("GPU", 0))
        if device == "cuda" and gpus == 0:
            raise MemworldError(
                f"no machine of the cluster at {self.address} offers a GPU: use device cpu or auto, or start Ray with "
                "--num-gpus"
            )
        if gpus and device != "cpu":
            count = self.workers or gpus
            return [Place(None, self.threads or 1, 1 / -(-count // gpus))] * count
        if self.workers is None:
            numbers = [-(-cpus // _CPUS) for _, cpus in machines]
            places = [
                [Place(node, self.threads or cpus // number)] * number
                for (node, cpus), number in zip(machines, numbers, strict=True)
            ]
            return [place for here in places for place in here]
        threads = self.threads or max(1, sum(cpus for _, cpus in machines) // self.workers)
        return [Place(machines[number % len(machines)][0], threads) for number in range(self.workers)]


def connect(
    address: str | None = None,
    *,
    workers: int | None = None,
    threads: int | None = None,
    timeout: float = TIMEOUT,
) -> Cluster:
    """Connect this process to a Ray cluster, once at a time; close it, or use it in a `with` statement.

    Args:
        address: host:port of the cluster's head, of which this machine must be one; `auto` for the cluster that
            runs here, or that the variable RAY_ADDRESS names; None or `local` starts a Ray of our own on this machine,
            on loopback, which ends with the connection. A connection that this process has already is used as it is.
        workers: processes that each index is spread over; None takes one of each machine, of large ones one
            for every eight CPUs, and where there are GPUs one for each.
        threads: with which each of them searches; None shares the CPUs out among them.
        timeout: seconds that a query, or the loading of shards, waits for workers.

    Raises:
        MemworldError: Ray is not installed, nothing answers at the address, this process is connected elsewhere, or a
            number makes no sense.
    """
    for name, number in (("workers", workers), ("threads", threads)):
        if number is not None and number < 1:
            raise MemworldError(f"{name} must be at least 1, got {number}")
    if not 0 < timeout < float("inf"):
        raise MemworldError(f"the timeout must be a number of seconds above 0, got {timeout}")
    ray = ray_module()
    address = "local" if address is None else address
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if address not in ("local", "auto", there):
            raise MemworldError(f"this process is connected to the cluster at {there}: close that connection first")
        return Cluster(there, workers, threads, timeout, None, ours=False)
    folder = None
    if address == "local":
        folder = Path(tempfile.mkdtemp(prefix="memworld-ray-"))
        how: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OBJECTS, "_temp_dir": str(folder)}
        host = "127.0.0.2" if sys.platform == "linux" else None  # Ray takes 127.0.0.1 to mean the network's address
    else:
        host, how = _probe(address), {}
    # Of several machines on loopback, Ray must be told which is this.
    how |= {"_node_ip_address": host} if host is not None and host.startswith("127.") else {}
    try:
        with _without_reports():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **how)
    except (RuntimeError, OSError, ValueError, ray.exceptions.RayError) as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise MemworldError(
            f"cannot connect to Ray at {address} ({one_line(error)[:300]}): run this on one of the cluster's machines, "
            "with the same versions of Ray and Python"
        ) from error
    cluster = Cluster(ray.get_runtime_context().gcs_address, workers, threads, timeout, folder, ours=True)
    atexit.register(cluster.close)
    return cluster


def _probe(address: str) -> str | None:
    """Do nothing if a cluster answers at `address`: Ray itself would try for minutes. Returns the host, if it is named.

    Raises:
        MemworldError: none does, or it does not let us in.
    """
    host, _, port = address.rpartition(":")
    if address != "auto":
        if not host or "/" in host or not port.isdecimal():
            raise MemworldError(
                f"{address[:80]!r} is no address of a cluster: give host:port of its head, auto, or local"
            )
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise MemworldError(
                f"no Ray cluster answers at {address} ({one_line(error)}): start one with ray start --head, or take "
                "local"
            ) from error
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise MemworldError(
            f"what answers at {address} is no Ray cluster, or one that has died: start one with ray start --head, or "
            "take local"
        ) from None
    if asked.returncode:
        said = (asked.stderr.strip() or asked.stdout.strip()).splitlines()
        raise MemworldError(f"no Ray cluster lets us in at {address}: {one_line(said[-1] if said else '')[:300]}")
    return host or None


@contextmanager
def _without_reports() -> Iterator[None]:
    """Let a Ray that is started here tell nobody of its use."""
    name = "RAY_USAGE_STATS_ENABLED"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        with warnings.catch_warnings():
            # Its processes are forked, and at once become other programs.
            warnings.filterwarnings("ignore", "lance is not fork-safe")
            yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
