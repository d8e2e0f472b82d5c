"""Memories whose files were changed, by accident or by somebody who can compute checksums; `make fuzz` tries more."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from memworld.errors import MemworldError
from memworld.store import check_memory, open_memory, read_index, read_version
from tests.store.forking import Forks
from tests.store.fuzzing import Fuzz, template
from tests.store.lives import state_of

MUTANTS = 100
"""Of the memory that the long run changes 10,000 times."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as started:
        yield started


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory that is not to be changed."""
    return template(tmp_path_factory.mktemp("sound"))


def test_no_change_of_a_file_crashes_hangs_or_takes_all_memory(forks: Forks, tmp_path: Path) -> None:
    fuzz = Fuzz(forks, tmp_path.resolve())
    fuzz.run(list(range(MUTANTS)))
    assert not fuzz.problems
    assert sum(fuzz.counts.values()) == MUTANTS
    parts = {part for part, _, _ in fuzz.counts}
    assert parts == {"arrays", "encoder", "learned", "memory.json", "rows.lance", "versions"}
    assert sum(count for (_, sealed, refused), count in fuzz.counts.items() if sealed and refused) > 10


def found_damaged(folder: Path) -> bool:
    """Whether a check says that something is wrong."""
    try:
        return bool(check_memory(folder).problems)
    except MemworldError:
        return True


def flip(file: Path, place: int, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << bit
    file.write_bytes(content)


def test_a_flipped_bit_is_found_wherever_it_is(sound: Path, tmp_path: Path) -> None:
    rng, (_, number) = random.Random(0), read_index(sound)
    version = read_version(sound, number)
    arrays = sorted((sound / "arrays" / str(version.arrays)).iterdir())
    files = [*arrays, *(sound / "rows.lance" / name for name in version.files)]
    files += [sound / "memory.json", *sorted((sound / "versions").iterdir())]
    for file in files:
        content = file.read_bytes()
        for place in {0, len(content) - 1, *(rng.randrange(len(content)) for _ in range(6))}:
            folder = tmp_path / "memory"
            shutil.copytree(sound, folder)
            flip(folder / file.relative_to(sound), place, rng.randrange(8))
            assert found_damaged(folder), (file, place)
            shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["mu.bin", "rewards.bin", "ends.bin"])
def test_a_flipped_bit_is_found_at_every_byte_of_an_array(sound: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "memory"
    shutil.copytree(sound, folder)
    [file] = folder.glob(f"arrays/*/{name}")
    content = file.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        # Another file, as what is mapped must stay as it was.
        file.unlink()
        file.write_bytes(damaged)
        with pytest.raises(MemworldError, match="is damaged"):
            open_memory(folder)
    file.unlink()
    file.write_bytes(content)
    assert state_of(folder) == state_of(sound)
