"""Small real memories and data sets to play in and to browse, and a server of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from memworld.formats import write_npz
from memworld.memory import Memory
from memworld.play.stage import Stage
from memworld.world_model import WorldModel
from tests.helpers import moving_square_dataset, untrained_vae
from tests.play.asking import Asked, Page, asked


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recorded episodes of a square that moves."""
    path = tmp_path_factory.mktemp("squares") / "episodes"
    write_npz(moving_square_dataset(episodes=6, steps=20), path)
    return path


@pytest.fixture(scope="session")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory of them that keeps frames."""
    return saved(tmp_path_factory.mktemp("kept") / "memory", keep_frames=True)


@pytest.fixture(scope="session")
def frameless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory of them that keeps no frames."""
    return saved(tmp_path_factory.mktemp("frameless") / "memory", keep_frames=False)


@pytest.fixture(scope="session")
def stage(memory: Path) -> Stage:
    """What dreams in the memory share."""
    return Stage(WorldModel.open(memory))


@pytest.fixture(scope="module")
def server(memory: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A server of the memory `memory` and the data set `episodes`."""
    with asked([memory, data], tmp_path_factory.mktemp("recorded") / "play") as serving:
        yield serving


@pytest.fixture(scope="module")
def beside(server: Asked) -> Iterator[Page]:
    with server.page() as page:
        page.open()
        yield page


@pytest.fixture
def unharmed(beside: Page) -> Iterator[None]:
    """A session that was there before goes on after."""
    before = beside.ask("step", action=1)
    assert before["ok"]
    yield
    after = beside.ask("step", action=2)
    assert after["ok"]
    assert after["step"] == before["step"] + 1


def saved(path: Path, keep_frames: bool) -> Path:
    """The squares as a memory in a folder."""
    dataset = moving_square_dataset(episodes=6, steps=20)
    encoder = untrained_vae((16, 16, 1), (4, 4, 4))
    memory = Memory(dataset.info, encoder, keep_frames=keep_frames)
    memory.extend(dataset, encoder)
    WorldModel(encoder, memory).save(path)
    return path
