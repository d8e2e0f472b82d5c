"""`returns.json`: every episode of every way to act, with what it was played with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memworld.control.demonstrations import Demonstrations
from memworld.errors import MemworldError
from memworld.evaluate.playing import Outcome
from memworld.storage import KIND_KEY, one_line, read_json, write_json

KIND = "returns"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Returns:
    """What was gained.

    Attributes:
        world: name of the world.
        ways: by way to act, the outcomes of its episodes, by number.
        demonstrations: returns of memory's own episodes; empty where they are not comparable.
        settings: of the run, as `config.json` has them.
        versions: of what it was made with.
    """

    world: str
    ways: Mapping[str, Sequence[Outcome]]
    demonstrations: np.ndarray
    settings: Mapping[str, Any]
    versions: Mapping[str, str]


def write_returns(
    path: Path,
    outcomes: Mapping[str, Sequence[Outcome]],
    recorded: Demonstrations | None,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
) -> None:
    """Write `returns.json`, atomically; the same but for times if the same is played again."""
    write_json(
        path,
        {
            KIND_KEY: KIND,
            "version": VERSION,
            "world": settings["world"],
            "versions": dict(versions),
            "settings": dict(settings),
            "ways": {way: [asdict(outcome) for outcome in played] for way, played in outcomes.items()},
            "demonstrations": [] if recorded is None else recorded.returns.tolist(),
        },
    )


def read_returns(path: str | Path) -> Returns:
    """Read what `control` wrote.

    Raises:
        MemworldError: it is missing, damaged, or of another version.
    """
    stored = read_json(Path(path), KIND)
    try:
        if (stored[KIND_KEY], stored["version"]) != (KIND, VERSION):
            raise ValueError(f"it is {stored[KIND_KEY]!r} of version {stored['version']!r}, expected {KIND}, {VERSION}")
        return Returns(
            str(stored["world"]),
            {str(way): tuple(map(Outcome.from_json, played)) for way, played in stored["ways"].items()},
            np.array(stored["demonstrations"], np.float64),
            dict(stored["settings"]),
            {str(name): str(version) for name, version in stored["versions"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MemworldError(
            f"{path} is damaged or no returns ({one_line(error)}): run `memworld control` again"
        ) from error
