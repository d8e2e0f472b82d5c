"""Files of a memory as accidents, and authors who mean harm, may leave them."""

import hashlib
import json
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memworld.store import INDEX, read_index
from memworld.store.arrays import ARRAYS, LISTING, digest, forms
from memworld.store.versions import VERSIONS, Seal, _digest, name_of

DEEP = 100_000
"""Lists in lists: more than a reader that calls itself can stand."""


@dataclass(frozen=True)
class Mutant:
    """What was done to a memory's folder.

    Attributes:
        file: which file was changed, by its path in the folder.
        how: what was done to it.
        sealed: whether the checksums were made to fit, so that the author meant it.
    """

    file: str
    how: str
    sealed: bool

    @property
    def in_table(self) -> bool:
        """Whether Lance is given what somebody made for it."""
        return self.sealed and self.file.startswith("rows.lance")


# Bytes


def _flip(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _put(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(len(content))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])


def _number(content: bytearray, rng: random.Random) -> None:
    """A length or an offset that is not what it was."""
    value = rng.choice([0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
    width, at = rng.choice([4, 8]), rng.randrange(len(content))
    content[at : at + width] = value.to_bytes(8, "little")[:width]


def _truncate(content: bytearray, rng: random.Random) -> None:
    del content[rng.choice([0, rng.randrange(len(content)), len(content) - 1]) :]


def _extend(content: bytearray, rng: random.Random) -> None:
    content += rng.randbytes(rng.choice([1, 16, 4096]))


def _zero(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content))
    block = content[at : at + rng.choice([4, 64, 512])]
    content[at : at + len(block)] = bytes(len(block))


def _copy(content: bytearray, rng: random.Random) -> None:
    """A block over another."""
    width, here, there = rng.choice([4, 16, 64]), rng.randrange(len(content)), rng.randrange(len(content))
    block = content[here : here + width]
    content[there : there + len(block)] = block


def _double(content: bytearray, rng: random.Random) -> None:
    """A block once more."""
    at = rng.randrange(len(content))
    content[at:at] = content[at : at + rng.choice([1, 16, 64])]


class _Bomb:
    """Whoever loads its pickle writes the canary."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


BYTES: dict[str, Callable[[bytearray, random.Random], None]] = {
    "flip": _flip,
    "put": _put,
    "number": _number,
    "truncate": _truncate,
    "extend": _extend,
    "zero": _zero,
    "copy": _copy,
    "double": _double,
}

# JSON

HUGE = 10**400
"""A number that is no float."""

VALUES: list[Any] = [
    *(-1, 0, 1, 2, 1.5, 1e308, float("nan"), float("inf"), -float("inf"), 2**31, 2**63, -(2**63), 10**30, HUGE),
    *(
        "",
        "x",
        "../../../etc/passwd",
        "/etc/passwd",
        "C:\\x",
        "a\0b",
        "a\nb",
        "\x1b[2J",
        "\ud800",
        "é" * 300,
        "0" * 9999,
    ),
    *(None, True, False, [], {}, [[]], [None], {"": None}, ["../x"], [1] * 5000),
]
"""What a value may become."""


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a JSON value, with each of its keys or indices."""
    found = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found += [(value, key), *_places(value[key])]
    return found


def mutate_json(value: Any, rng: random.Random) -> str:
    """Change one place of a JSON value; what was done."""
    places = _places(value)
    if not places:
        return "left as it is"
    holder, key = rng.choice(places)
    how = rng.choice(["value", "value", "value", "near", "drop", "rename", "move"])
    if how == "near" and type(holder[key]) is int:
        holder[key] += rng.choice([-1, 1, 2, 256, 1 << 20, -(1 << 20)])
    elif how == "drop":
        del holder[key]
    elif how == "rename" and isinstance(holder, dict):
        holder[str(rng.choice(["", "../../x", "/x", "data/../x", key + "x", "a\nb", "__class__"]))] = holder.pop(key)
    elif how == "move":
        other, place = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[place])) if key in holder or isinstance(holder, list) else None
    else:
        holder[key] = rng.choice(VALUES)
    return f"{how} at {str(key)[:40]!r}"


# Folders


def mutate(folder: Path, rng: random.Random, canary: Path) -> Mutant:
    """Change one file in a memory's folder, and perhaps make the checksums fit; a pickle would make a `canary`."""
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    # As often in each part, and not in proportion to how many files it has.
    part = rng.choice(sorted({name.split("/")[0] for name in files}))
    name = rng.choice([name for name in files if name.split("/")[0] == part])
    text = Path(name).suffix in (".json", ".jsonl")
    how = (
        _mutate_text(folder / name, rng) if text and rng.random() < 0.75 else _mutate_bytes(folder / name, rng, canary)
    )
    sealed = part != "encoder" and rng.random() < 0.7 and reseal(folder, name)
    return Mutant(name, how, sealed)


def _mutate_bytes(file: Path, rng: random.Random, canary: Path) -> str:
    content = bytearray(file.read_bytes())
    if rng.random() < 0.02:
        content[:], how = pickle.dumps(_Bomb(str(canary))), "pickle"
    elif not content:
        content, how = bytearray(rng.randbytes(8)), "extend"
    else:
        how = rng.choice(list(BYTES))
        BYTES[how](content, rng)
    file.write_bytes(content)
    return how


def _mutate_text(file: Path, rng: random.Random) -> str:
    """Change a place in a file of JSON, or in one of its lines."""
    whole = file.read_text()
    lines = whole.splitlines() if file.suffix == ".jsonl" else [whole]
    number = rng.randrange(len(lines))
    value = [json.loads(lines[number])]  # in a list, so that the whole may become something else
    how = mutate_json(value, rng)
    lines[number] = json.dumps(value[0]) if value else ""
    if rng.random() < 0.03:
        lines[number], how = lines[number][:-1] + ', "x": ' + "[" * DEEP + "]" * DEEP + "}", "deep"
    file.write_text("\n".join(lines) + "\n")
    return how


def reseal(folder: Path, name: str) -> bool:
    """Make the checksums fit what a file has become; whether there was anything to do, and it could be done."""
    try:
        if name == INDEX or name.startswith(VERSIONS):
            _sign(folder / name)
        elif name.startswith(ARRAYS):
            _reseal_arrays(folder, (folder / name).name != LISTING)
        elif name.startswith("rows.lance"):
            changed = [_reseal_table(folder, file) for file in (folder / VERSIONS).glob("*.json")]
            return any(changed)
        else:
            return False
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, OSError):
        return False
    return True


def _sign(file: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    value = json.loads(file.read_text())
    change(value)
    value.pop("sha256", None)
    file.write_text(json.dumps({**value, "sha256": _digest(value)}))


def _reseal_table(folder: Path, file: Path) -> bool:
    """Seal the files of the table, as they are, in a version; whether one had changed."""
    changed = False

    def seal(value: dict[str, Any]) -> None:
        nonlocal changed
        for name, before in value["files"].items():
            found = vars(Seal.of(folder / "rows.lance" / name))
            changed |= found != before
            value["files"][name] = found

    _sign(file, seal)
    return changed


def _reseal_arrays(folder: Path, rows: bool) -> None:
    """Let the list of episodes say the digests of the arrays as they are, if these changed, and seal the list."""
    settings, number = read_index(folder)
    version = folder / VERSIONS / name_of(number)
    arrays = folder / ARRAYS / str(json.loads(version.read_text())["arrays"])
    if rows:
        columns = {}
        for name, (dtype, shape) in forms(settings).items():
            values = np.frombuffer((arrays / f"{name}.bin").read_bytes(), dtype)
            columns[name] = values.reshape(-1, *shape)
        lines, start = [json.loads(line) for line in (arrays / LISTING).read_text().splitlines()], 0
        for line in lines:
            end = start + line["steps"] + 1
            line["sha256"] = digest({name: column[start:end] for name, column in columns.items()})
            start = end
        (arrays / LISTING).write_text("".join(json.dumps(line) + "\n" for line in lines))
    content = (arrays / LISTING).read_bytes()
    seal = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    _sign(version, lambda value: value.update(listing=seal))
