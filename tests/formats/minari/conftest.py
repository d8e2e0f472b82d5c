from pathlib import Path

import numpy as np
import pytest

from memworld.formats.minari import write_minari
from tests.helpers import make_dataset


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has its own root of local Minari sets."""
    folder = tmp_path_factory.mktemp("root") / "minari"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return folder


@pytest.fixture(params=["hdf5", "arrow"])
def storage(request: pytest.FixtureRequest) -> str:
    """Both storages, one after the other."""
    name: str = request.param
    return name


@pytest.fixture
def stored(tmp_path: Path, rng: np.random.Generator, storage: str) -> Path:
    """A set of the episodes e0, e1 and e2 with a state, in each storage."""
    write_minari(make_dataset(rng, states=1), tmp_path / "set", storage=storage)
    return tmp_path / "set"


@pytest.fixture
def hdf5(tmp_path: Path, rng: np.random.Generator) -> Path:
    write_minari(make_dataset(rng, states=1), tmp_path / "hdf5")
    return tmp_path / "hdf5"


@pytest.fixture
def arrow(tmp_path: Path, rng: np.random.Generator) -> Path:
    write_minari(make_dataset(rng, states=1), tmp_path / "arrow", storage="arrow")
    return tmp_path / "arrow"
