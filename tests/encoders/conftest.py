from pathlib import Path

import pytest

from memworld.encoders.training import TrainingResult
from tests.encoders.toys import train


@pytest.fixture(scope="session")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Path]:
    """An uninterrupted short run; none may write to its folder."""
    output = tmp_path_factory.mktemp("short") / "encoder"
    return train(output), output
