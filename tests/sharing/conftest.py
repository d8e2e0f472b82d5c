import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from memworld.sharing import push_memory
from memworld.store import forget_episodes, save_memory
from tests.sharing.hub_server import TOKEN, Hub, serving
from tests.toy_memories import ENCODER, episode, memory_of

GONE = episode(1, 4, id="removed-for-privacy")
"""An episode that was removed; nothing of it may be pushed."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory of several versions, of which an episode was removed, and the same pushed; nobody writes to either."""
    folder = tmp_path_factory.mktemp("made")
    save_memory(memory_of(*map(episode, (7, 8)), GONE), folder / "memory", encoder=ENCODER)
    save_memory(memory_of(episode(9)), folder / "memory", "resume")
    forget_episodes(folder / "memory", [GONE.id])
    (folder / "memory/learned").mkdir()
    (folder / "memory/learned/analogues-1.json").write_text("{}")
    push_memory(folder / "memory", folder / "pushed", license="cc-by-4.0")
    return folder


@pytest.fixture
def memory(made: Path, tmp_path: Path) -> Path:
    """The memory, to be written to."""
    shutil.copytree(made / "memory", tmp_path / "memory")
    return tmp_path / "memory"


@pytest.fixture
def pushed(made: Path, tmp_path: Path) -> Path:
    """The pushed folder, to be written to."""
    shutil.copytree(made / "pushed", tmp_path / "pushed")
    return tmp_path / "pushed"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the hub's own client is set up for."""
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants._HF_DEFAULT_ENDPOINT, hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        yield hub
