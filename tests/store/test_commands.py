"""What one types about a memory on disk: forget, compact, check, versions, restore."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from memworld.storage import locked
from memworld.store import open_memory, version_numbers
from tests.store.contents import lasting_bytes, newest_version
from tests.toy_memories import GOLDEN

Call = Callable[..., Result]


def said(result: Result) -> str:
    """What a command that went well said."""
    assert result.exit_code == 0, (result.output, result.stderr)
    assert result.stderr == ""
    return result.output


def refused(result: Result, *words: str) -> None:
    """Exit code 2 and one line on standard error."""
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("memworld: error: ")
    assert all(word in line for word in words), line


def test_forget_and_bring_back(call: Call, stored: Path) -> None:
    assert said(call("forget", stored, "e1")) == (
        f"{stored}: 4 transitions left; memworld compact erases them from the disk\n"
    )
    assert open_memory(stored).ids == ("e0", "e2")
    lines = said(call("versions", stored)).splitlines()
    assert [line[:8] for line in lines] == ["      1 ", "*     2 "]
    assert re.search(r"\d{4}-\d\d-\d\dT\S+ +3 episodes +9 rows  appended 3 episodes$", lines[0])
    assert lines[1].endswith("2 episodes          6 rows  removed 1 episode")
    assert said(call("restore", stored, 1)) == f"{stored}: 3 episodes, 9 rows, as in version 1; now version 3\n"
    assert open_memory(stored).ids == ("e0", "e1", "e2")
    refused(call("restore", stored, 7), "has no version 7 to go back to: it has 1, 2, 3")


def test_forget_for_good(call: Call, stored: Path) -> None:
    assert said(call("forget", stored, "e1", "e0", "--erase")).endswith("3 transitions left; erased from the disk\n")
    assert len(version_numbers(stored)) == 1
    call("forget", stored, "e2")
    assert re.fullmatch(r".*: \d+\.\d MB before, \d+\.\d MB now; there is no way back\n", said(call("compact", stored)))
    assert said(call("check", stored)) == f"{stored}: sound: 0 episodes, 0 rows, 1 version\n"


def test_check(call: Call, stored: Path) -> None:
    for file in (stored / "arrays/1/mu.bin", stored / "arrays/1/z.bin"):
        file.write_bytes(b"\1" + file.read_bytes()[1:])
    refused(call("check", stored), "episode e0 is damaged", "make it anew from the table: memworld check --repair")
    assert said(call("check", stored, "--repair")) == f"{stored}: sound: 3 episodes, 9 rows, 2 versions\n"
    for file in (stored / "rows.lance/data").iterdir():
        file.write_bytes(b"")
    (stored / "arrays/2/rewards.bin").write_bytes(b"")
    done = call("check", stored)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 2
    refused(call("check", stored, "--repair"), "is damaged: its size or SHA-256 is not the one written; restore it")


def test_a_damaged_version_is_listed_and_given_up(call: Call, stored: Path) -> None:
    call("forget", stored, "e1")
    newest_version(stored).write_text("{}")
    done = call("versions", stored)
    assert done.exit_code == 0
    assert done.output.splitlines()[0].endswith("appended 3 episodes")
    assert done.stderr.startswith("!     2  ")
    assert said(call("restore", stored, 1)).startswith(f"{stored}: 3 episodes, 9 rows, as in version 1")


@pytest.mark.parametrize("command", [("forget", "e0"), ("compact",), ("restore", 1)])
def test_one_at_a_time(call: Call, stored: Path, command: tuple[str, ...]) -> None:
    before = lasting_bytes(stored)
    with locked(stored):
        refused(call(command[0], stored, *command[1:]), "another memworld is writing")
    assert lasting_bytes(stored) == before


@pytest.mark.parametrize("command", [("forget", "e0"), ("compact",), ("restore", 1), ("check",), ("versions",)])
def test_no_memory(call: Call, tmp_path: Path, command: tuple[str, ...]) -> None:
    refused(call(command[0], tmp_path / "none", *command[1:]), "is no memory: nothing is there")
    assert not (tmp_path / "none").exists()


def test_the_first_format(call: Call) -> None:
    memory = GOLDEN / "memory-v1"
    assert said(call("check", memory)) == f"{memory}: sound: 2 episodes, 6 rows\n"
    refused(call("versions", memory), "format 1 has no versions; its first change writes the memory anew, with them")
    refused(call("restore", memory, 1), "format 1 has no versions")
