"""What the hub's client raises, each in one line that names the cause and the fix."""

import errno
from typing import Any

from memworld.errors import MemworldError
from memworld.storage import one_line

_LOG_IN = "log in with hf auth login, or set HF_TOKEN"

_HERE = (errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT, errno.EIO)
"""Faults of a disk, which the client passes on as they are."""


_HTTP = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")
"""Libraries that the client speaks through, of which all errors are of the connection."""


def explained(error: Exception, known: Any, place: str, done: str, revision: str | None = None) -> MemworldError:
    """What a failure means, and what to do.

    Args:
        error: what was raised.
        known: the client's module of errors.
        place: the repository, as the user named it.
        done: what could not be done, as "pushed to".
        revision: that was asked for, if any.
    """
    # Some wrap what has happened, and say less.
    while isinstance(error, known.LocalEntryNotFoundError | RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return MemworldError(f"{place} cannot be {done}: {_cause_and_fix(error, known, done, revision)}")


def _cause_and_fix(error: Exception, known: Any, done: str, revision: str | None) -> str:
    said = one_line(error)[:300]
    if isinstance(error, known.HFValidationError):
        return f"{said}; give hub:owner/name"
    if isinstance(error, known.LocalTokenNotFoundError):
        return f"no token of the hub is there: {_LOG_IN}"
    if isinstance(error, known.OfflineModeIsEnabled):
        return "the hub's client is told to stay offline: unset HF_HUB_OFFLINE"
    if isinstance(error, known.GatedRepoError):
        return f"it is gated: ask for access on its page, and {_LOG_IN}"
    if isinstance(error, known.RevisionNotFoundError):
        return f"it has no revision {one_line(revision)}: leave it out for the newest, or see its page for those it has"
    if isinstance(error, known.RepositoryNotFoundError):
        return f"there is no such data set, or it is private: check the name, and {_LOG_IN}"
    if isinstance(error, known.HfHubHTTPError):
        return _of_answer(error, said, done)
    if isinstance(error, OSError) and error.errno in _HERE:
        return f"{error.strerror} ({error.filename or 'here'}): free space, or change permissions"
    if isinstance(error, ConnectionError | TimeoutError) or type(error).__module__.partition(".")[0] in _HTTP:
        return f"the hub cannot be reached ({said}): check the network, and HF_ENDPOINT if it is set"
    return f"{type(error).__name__}: {said}; try again, and update huggingface_hub if it stays"


def _of_answer(error: Any, said: str, done: str) -> str:
    """What an answer with an error's status means."""
    status = error.response.status_code if error.response is not None else 0
    if status == 401:
        return f"the hub does not accept the token ({said}): {_LOG_IN} with another"
    if status == 403:
        right = "that may write there" if done == "pushed to" else "that may read it"
        return f"the token has no right to it ({said}): use one {right}"
    if status == 404:
        return f"it is not there ({said}): check the name"
    if status in (409, 412):
        return "somebody else has written to it meanwhile: push again"
    if status == 429:
        return f"the hub asks for patience ({said}): wait, and try again"
    if status >= 500:
        return f"the hub itself failed ({said}): try again later"
    return f"the hub refuses it ({said})"
