"""A display in memory, on which the game is seen and its keys and pointer are moved."""

from collections.abc import Collection
from typing import Any

import numpy as np

from memworld.worlds.minetest.folder import WINDOW

SCREEN = 2048
"""Pixels a side of the display. The pointer starts in the middle, and so can move half of it in any direction."""

WIDEST = SCREEN // 2 - WINDOW
"""The most pixels by which the pointer should move at once."""


def display_errors() -> tuple[type[Exception], ...]:
    """What a connection raises when its server or the window is gone."""
    from Xlib import error

    return (OSError, error.DisplayError, error.ConnectionClosedError, error.XError)


class Display:
    """A connection to an X server with XTEST, and to the one window there."""

    def __init__(self, name: str) -> None:
        """Connect.

        Args:
            name: the display's, such as ":1".
        """
        from Xlib import X
        from Xlib.display import Display as Connection

        self._x = X
        self._connection = Connection(name)
        # Errors without a request that waits for them; by default they are printed.
        self._connection.set_error_handler(lambda error, request: None)
        # A held key must not be taken for one that is pressed again and again.
        self._connection.change_keyboard_control(auto_repeat_mode=X.AutoRepeatModeOff)
        self._window: Any = None
        self._held: set[str] = set()

    def find_window(self) -> bool:
        """Whether there is a window; one that is there is moved to the middle and gets the keys."""
        shown = [w for w in self._connection.screen().root.query_tree().children if w.get_wm_name()]
        if not shown:
            return False
        (self._window,) = shown
        corner = (SCREEN - WINDOW) // 2
        self._window.configure(x=corner, y=corner)
        self._window.set_input_focus(self._x.RevertToParent, self._x.CurrentTime)
        self._connection.sync()
        return True

    def hold(self, keys: Collection[str]) -> None:
        """Hold these keys, by their X11 names, and no others."""
        for key in self._held - set(keys):
            self._fake(self._x.KeyRelease, self._code(key))
        for key in sorted(set(keys) - self._held):
            self._fake(self._x.KeyPress, self._code(key))
        self._held = set(keys)
        self._connection.flush()

    def move_pointer(self, right: int, down: int) -> None:
        """Move the pointer by a number of pixels."""
        if right or down:
            self._fake(self._x.MotionNotify, True, x=right, y=down)
            self._connection.flush()

    def grab(self) -> np.ndarray:
        """The window's picture, uint8 (WINDOW, WINDOW, 3)."""
        image = self._window.get_image(0, 0, WINDOW, WINDOW, self._x.ZPixmap, 0xFFFFFFFF)
        pixels = np.frombuffer(image.data, np.uint8).reshape(WINDOW, WINDOW, 4)
        return pixels[..., 2::-1]  # blue, green, red and nothing

    def close(self) -> None:
        """Let go of the server, if it is still there."""
        self._connection.close()

    def _fake(self, kind: int, detail: int, **place: int) -> None:
        from Xlib.ext import xtest

        xtest.fake_input(self._connection, kind, detail, **place)

    def _code(self, key: str) -> int:
        from Xlib import XK

        return int(self._connection.keysym_to_keycode(XK.string_to_keysym(key)))
