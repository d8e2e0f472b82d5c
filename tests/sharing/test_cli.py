from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from memworld.sharing import pull
from memworld.sharing.trying import problems
from memworld.store import open_memory
from tests.helpers import folder_bytes
from tests.sharing.hub_server import Hub


def test_push_and_pull(
    made: Path, tmp_path: Path, hub: Hub, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "problems_apart", problems)
    pushed = call("push", made / "memory", tmp_path / "out", "--license", "mit")
    assert pushed.exit_code == 0
    assert pushed.stdout == f"{tmp_path / 'out'}: 3 episodes, 30 rows, 0.0 MB in 16 files\n"
    assert 'license: "mit"' in (tmp_path / "out/README.md").read_text()
    assert call("push", made / "memory", tmp_path / "out").exit_code == 2
    assert call("push", made / "memory", tmp_path / "out", "--overwrite").exit_code == 0
    assert "license:" not in (tmp_path / "out/README.md").read_text()
    pulled = call("pull", tmp_path / "out", "-o", tmp_path / "in")
    assert pulled.exit_code == 0
    assert pulled.stdout == f"{tmp_path / 'in'}: sound: 3 episodes, 30 rows, 0.0 MB in 16 files\n"
    assert open_memory(tmp_path / "in").ids == ("e7", "e8", "e9")
    refused = call("pull", tmp_path / "out", "-o", tmp_path / "in")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"memworld: error: {tmp_path / 'in'} exists and is not empty: name another folder, or use --overwrite\n"
    )
    assert call("pull", tmp_path / "out", "-o", tmp_path / "in", "--overwrite").exit_code == 0


def test_push_and_pull_by_the_hub(
    made: Path, tmp_path: Path, hub: Hub, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "problems_apart", problems)
    pushed = call("push", made / "memory", "hub:some/toy", "--message", "Here", "--private", "-q")
    assert pushed.exit_code == 0
    assert pushed.output.startswith(f"{hub.url}/datasets/some/toy: 3 episodes, 30 rows,")
    sha, message, files = hub.repos["some/toy"].commits[-1]
    assert (message, hub.repos["some/toy"].private) == ("Here", True)
    assert call("push", made / "memory", "hub:some/toy", "-q").exit_code == 2
    assert call("push", made / "memory", "hub:some/toy", "--overwrite", "-q").exit_code == 0
    assert call("pull", "hub:some/toy", "-o", tmp_path / "in", "--revision", sha, "-q").exit_code == 0
    assert folder_bytes(tmp_path / "in") == {
        name: content for name, content in files.items() if name != ".gitattributes"
    }
