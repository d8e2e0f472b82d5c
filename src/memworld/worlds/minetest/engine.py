"""A running game: its processes, its keys, and its pictures."""

import importlib.util
import math
import os
import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from memworld.errors import MemworldError
from memworld.worlds.minetest.display import SCREEN, WIDEST, Display, display_errors
from memworld.worlds.minetest.folder import DEGREES_PER_PIXEL, KEYS, PLAYER, Folder, Status
from memworld.worlds.minetest.terrain import Terrain

# In seconds. Starting takes a few, and many times as long on a machine with other work.
_START_TIMEOUT = 180.0
_COMMAND_TIMEOUT = 30.0
_NUDGES, _PATIENCE = 6, 0.3
_POLL = 0.02
# A player stands where it should, in nodes, and moves no faster, in nodes a second.
_STANDING = 0.01

# A game that has done nothing for so long will not go on.
_FROZEN = 10.0

# A view is complete when it has not changed by more than the ripples of water in this many seconds, longer for
# the first one while all arrives for the first time, and has more contrast than the empty world.
_FIRST_STILL, _STILL = 2.0, 0.5
_STILL_DIFFERENCE = 1.0
_EMPTY_CONTRAST = 6.0
_SETTLE_TIMEOUT = 20.0

# Ends the game and removes its folder when this process is gone, however it ended: its pipe closes.
_SUPERVISOR = 'trap "" TERM; read -r _; kill -TERM 0; sleep 1; rm -rf -- "$1"; kill -KILL 0'

Found = TypeVar("Found")


def find_program(name: str) -> str | None:
    """The path of an installed program; Debian's games are often not where shells look."""
    return shutil.which(name) or shutil.which(name, path="/usr/games:/usr/local/games")


def missing() -> tuple[str, ...]:
    """What is not installed and must be, each with the command that installs it."""
    found = {
        'the Python package python-xlib: pip install "memworld[minetest]"': importlib.util.find_spec("Xlib"),
        "the Debian package minetest: apt-get install minetest": find_program("minetest"),
        "the Debian package xvfb: apt-get install xvfb": find_program("Xvfb"),
    }
    return tuple(what for what, where in found.items() if where is None)


class Engine:
    """A game of one player on a display of its own. Nothing of it outlives this object or this process."""

    def __init__(self, item: str) -> None:
        """Start it.

        Args:
            item: what the player holds, as the game names it.

        Raises:
            MemworldError: something is not installed, or the game does not start.
        """
        if lacking := missing():
            raise MemworldError(f"Minetest worlds need {' and '.join(lacking)}")
        path = Path(tempfile.mkdtemp(prefix="memworld-minetest-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stop = weakref.finalize(self, _stop, self._processes, path, os.getpid())
        self._display: Display | None = None
        self._still = _FIRST_STILL
        self._last_steps, self._last_seen = 0, time.monotonic()
        try:
            self._folder = Folder(path, item)
            with self._watched():
                self._display = self._start()
                self._await(self._display.find_window, "open a window", _START_TIMEOUT)
                self._await(self._folder.status, "generate the world", _START_TIMEOUT)
        except BaseException:
            self.close()
            raise

    def terrain(self) -> Terrain:
        """The map of the world."""
        return self._folder.terrain()

    def begin(self, pos: Sequence[float], heading: float, goal: Sequence[Sequence[int]]) -> None:
        """Restore the map, set a goal and place the player; wait until all is in view. See `Folder.command`.

        Raises:
            MemworldError: the game has ended, does not answer or shows nothing.
        """
        with self._watched() as display:
            display.hold(())
            deadline = time.monotonic() + _COMMAND_TIMEOUT
            while not self._place(display, pos, heading, goal):
                if time.monotonic() > deadline:
                    raise self._failure(f"did not place the player in {_COMMAND_TIMEOUT:g} s")
            # Later it may be black where the player is walled in.
            if not _settle(display, self._still).any():
                raise self._failure("shows a black picture")
            self._still = _STILL

    def act(self, pressed: Collection[str], right: float, down: float) -> tuple[float, float]:
        """Hold keys, release all others, and turn the view.

        Args:
            pressed: names in `KEYS`.
            right: degrees by which to turn.
            down: degrees by which to look down.

        Returns:
            the degrees by which the view turns, right and down: the pointer moves by whole pixels.

        Raises:
            MemworldError: the game has ended.
        """
        x, y = (int(np.clip(round(angle / DEGREES_PER_PIXEL), -WIDEST, WIDEST)) for angle in (right, down))
        with self._watched() as display:
            display.hold([KEYS[name] for name in pressed])
            display.move_pointer(x, y)
        return x * DEGREES_PER_PIXEL, y * DEGREES_PER_PIXEL

    def look(self) -> tuple[np.ndarray, Status]:
        """What is seen now, uint8 (WINDOW, WINDOW, 3), and how the player stands.

        Raises:
            MemworldError: the game has ended, or stands still.
        """
        with self._watched() as display:
            picture = display.grab()
            status = self._status()
        now = time.monotonic()
        if status.steps != self._last_steps:
            self._last_steps, self._last_seen = status.steps, now
        if now > self._last_seen + _FROZEN:
            raise self._failure(f"has not moved for {_FROZEN:g} s")
        return picture, status

    def close(self) -> None:
        """End the game; may be called twice."""
        display, self._display = self._display, None
        if display is not None:
            with suppress(*display_errors()):
                display.close()
        self._stop()

    def _start(self) -> Display:
        """Start all processes, in a group of their own, so that an interrupt does not reach them."""
        path = self._folder.path
        supervisor = ("sh", "-c", _SUPERVISOR, "sh", str(path))
        group = self._run(supervisor, 0, stdin=subprocess.PIPE).pid
        reader, writer = os.pipe()
        try:
            screen = ("-screen", "0", f"{SCREEN}x{SCREEN}x24", "-nolisten", "tcp", "-displayfd", str(writer))
            self._run((find_program("Xvfb") or "Xvfb", *screen), group, pass_fds=[writer])
        finally:
            os.close(writer)
        with os.fdopen(reader) as lines:
            number = lines.readline().strip()
        if not number:
            raise self._failure("has no display: Xvfb did not start")
        # Of the user's own settings none may matter, and none may be changed.
        env = {**os.environ, "DISPLAY": f":{number}", "HOME": str(path), "LIBGL_ALWAYS_SOFTWARE": "1"}
        env |= {"LP_NUM_THREADS": "1", "MINETEST_USER_PATH": str(path), "LC_ALL": "C"}
        names = ("--name", PLAYER, "--gameid", "minetest", "--port", str(_free_port()))
        files = ("--world", str(self._folder.world), "--config", str(self._folder.config), "--logfile", "")
        self._run((find_program("minetest") or "minetest", "--go", *names, *files), group, env=env)
        return Display(f":{number}")

    def _place(self, display: Display, pos: Sequence[float], heading: float, goal: Sequence[Sequence[int]]) -> bool:
        """Give the command, and say whether the player has come to stand and look as was asked for.

        The mod knows the new place at once, the picture follows when it may: so the view is set a pixel short,
        and only once the pointer's way by that pixel shows in what the mod hears has the picture moved too.
        A player who was still walking has then slid on from the new place, and must be put there once more.
        """
        number = self._folder.command(pos, heading - DEGREES_PER_PIXEL, goal)
        self._await(lambda: self._status().done == number, "obey a command", _COMMAND_TIMEOUT)
        for _ in range(_NUDGES):
            # One that comes before the new view is lost with the old one.
            display.move_pointer(1, 0)
            patience = time.monotonic() + _PATIENCE
            while time.monotonic() < patience:
                time.sleep(_POLL)
                status = self._status()
                turned = (status.heading - heading + 180) % 360 - 180
                if max(abs(turned), abs(status.pitch)) < DEGREES_PER_PIXEL / 2:
                    slid = math.hypot(status.pos[0] - pos[0], status.pos[2] - pos[2])
                    return max(slid, math.hypot(status.velocity[0], status.velocity[2])) < _STANDING
        return False

    def _run(self, command: Sequence[str], group: int, **options: object) -> subprocess.Popen[bytes]:
        settings = {"stdin": subprocess.DEVNULL, **options}
        with self._folder.output.open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, process_group=group, **settings)  # type: ignore[call-overload]
        self._processes.append(process)
        return process  # type: ignore[no-any-return]

    def _await(self, find: Callable[[], Found], what: str, timeout: float) -> Found:
        """Call `find` until it returns something true, and return that."""
        deadline = time.monotonic() + timeout
        while not (found := find()):
            if self._dead():
                raise self._failure("has ended")
            if time.monotonic() > deadline:
                raise self._failure(f"did not {what} in {timeout:g} s")
            time.sleep(_POLL)
        return found

    def _status(self) -> Status:
        status = self._folder.status()
        assert status is not None, "the constructor has waited for it"
        return status

    def _dead(self) -> bool:
        return any(process.poll() is not None for process in self._processes)

    @contextmanager
    def _watched(self) -> Iterator[Display]:
        """Give the display, and turn what goes wrong when the game is gone into an error that says so."""
        if not self._stop.alive:
            raise MemworldError("this Minetest environment is closed: make a new one")
        try:
            yield self._display  # type: ignore[misc]
        except display_errors() as error:
            raise self._failure(f"has ended ({type(error).__name__})") from error

    def _failure(self, what: str) -> MemworldError:
        said = self._folder.last_words()
        return MemworldError(f"Minetest {what}; close this environment and make a new one. It said: {said}")


def _settle(display: Display, still: float) -> np.ndarray:
    """Wait until nothing has changed for `still` seconds, or for as long as it may take; what is seen then."""
    deadline = time.monotonic() + _SETTLE_TIMEOUT
    last, since = display.grab().astype(np.int16), time.monotonic()
    while time.monotonic() < min(deadline, since + still):
        time.sleep(_POLL)
        now = display.grab().astype(np.int16)
        if abs(now - last).mean() > _STILL_DIFFERENCE or now.std() < _EMPTY_CONTRAST:
            last, since = now, time.monotonic()
    return last


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(processes: list[subprocess.Popen[bytes]], path: Path, owner: int) -> None:
    """End processes, the last that was started first, and remove their folder."""
    if os.getpid() != owner:
        return  # a fork of the process, which has not started them
    for process in reversed(processes):
        # Xvfb must have time to remove its socket, and the supervisor heeds no other signal.
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
    shutil.rmtree(path, ignore_errors=True)
