"""The messages of one socket: what they ask of a session, and what is answered."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from memworld.errors import MemworldError
from memworld.play.answers import Pictures, packed, panels_told
from memworld.play.library import Library
from memworld.play.recorder import Recordings
from memworld.play.session import PlaySession

MOST_BYTES = 64 << 10
"""Of one message."""

_log = logging.getLogger(__name__)


class Conversation:
    """Answers the messages of one page, one at a time; nothing that a page sends makes it fail."""

    def __init__(self, library: Library, recordings: Recordings) -> None:
        """Nothing is open yet."""
        self._library, self._recordings = library, recordings
        self._session: PlaySession | None = None
        self.closed = False

    def answer(self, text: str | bytes | None) -> bytes:
        """The answer to a message."""
        number: int | None = None
        try:
            message = _read(text)
            number = message["n"]
            return self._do(number, message)
        except MemworldError as error:
            return _refused(number, str(error), fatal=False)
        except Exception:  # a defect: one session ends, and no other
            _log.exception("a session has failed")
            self.close()
            return _refused(number, "memworld has failed at this; the server's output says how", fatal=True)

    def close(self) -> None:
        """End the session, if one is open; what it was recording is written."""
        self.closed = True
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except MemworldError as error:  # nobody is there to be told
                _log.warning("%s", error)

    def _do(self, number: int, message: Mapping[str, Any]) -> bytes:
        doing = message.get("do")
        if doing == "close":
            self.close()
            return packed({"n": number, "ok": True})
        if doing == "open":
            return self._shown(number, self._open(message), message)
        session = self._session
        if session is None:
            raise MemworldError("nothing is open: open a source first")
        if not isinstance(doing, str) or doing not in _DOING:
            raise MemworldError(f"do is {str(doing)[:40]!r}: use open, {', '.join(_DOING)} or close")
        session.saved = []
        _DOING[doing](session, message)
        return self._shown(number, session, message)

    def _open(self, message: Mapping[str, Any]) -> PlaySession:
        stage = self._library.source(message.get("source")).stage()
        real = _switch(message, "real", False)
        session = PlaySession(stage, message.get("dreams", [{}]), message.get("start"), real, self._recordings)
        before = self._session
        if before is not None and before.recording:
            try:
                before.record(False)
            except MemworldError:  # what was played stays open, so that it can be written once that is mended
                session.close()
                raise
            session.saved = before.saved
        if before is not None:
            before.close()
        self._session = session
        return session

    def _shown(self, number: int, session: PlaySession, message: Mapping[str, Any]) -> bytes:
        panels, pictures = session.panels(), Pictures()
        thumbs = None
        if _switch(message, "thumbs", False):
            thumbs = [session.stage.frames([near.row for near in panel.neighbours]) for panel in panels]
        episode, step = session.start
        told = {
            "n": number,
            "ok": True,
            "step": session.steps,
            "panels": panels_told(panels, thumbs, pictures),
            "recording": session.recording,
            "saved": session.saved,
            "settings": [settings.to_json() for settings in session.settings],
            "start": {"episode": episode, "step": step, "id": session.stage.memory.ids[episode]},
            "real": session.real is not None,
            "real_error": session.why_not_real,
        }
        return packed(told, pictures)


_DOING: dict[str, Callable[[PlaySession, Mapping[str, Any]], None]] = {
    "step": lambda session, message: session.step(message.get("action")),
    "reset": lambda session, message: session.reset(message.get("start")),
    "settings": lambda session, message: session.change(message.get("dream"), message.get("settings")),
    "dreams": lambda session, message: session.dream(message.get("count")),
    "real": lambda session, message: session.beside_real(_switch(message, "on")),
    "record": lambda session, message: session.record(
        _switch(message, "on"), message.get("to", ("episodes",)), message.get("fps")
    ),
}
"""What a message asks of a session."""


def _read(text: str | bytes | None) -> Mapping[str, Any]:
    """A message that is an object with an integer `n`.

    Raises:
        MemworldError: it is something else.
    """
    if not isinstance(text, str) or len(text) > MOST_BYTES:
        raise MemworldError(f"a message is text of at most {MOST_BYTES} bytes")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MemworldError("a message is JSON, this is none") from error
    if not isinstance(message, dict) or type(message.get("n")) is not int or abs(message["n"]) > 2**53:
        raise MemworldError("a message is an object with a whole number n, which its answer repeats")
    return message


def _switch(message: Mapping[str, Any], name: str, usual: bool | None = None) -> bool:
    """What a message says of something that is on or off.

    Raises:
        MemworldError: nothing, or something else than true and false.
    """
    value = message.get(name, usual)
    if not isinstance(value, bool):
        raise MemworldError(f"{name} is to be true or false")
    return value


def _refused(number: int | None, why: str, fatal: bool) -> bytes:
    return packed({"n": number, "ok": False, "error": why, "fatal": fatal})
