"""The code in README and docs runs, in the order in which it stands, beside a small run of the demo."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memworld.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TARGETS = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


def run_line(line: str) -> None:
    """Run a `memworld` line here; of `make`, see that the target is there; the others set up."""
    words = shlex.split(line, comments=True)
    if not words:
        return
    if words[0] == "make":
        assert set(words[1:]) <= set(TARGETS), line
        return
    if words[0] != "memworld":
        assert words[0] in ("pip", "git", "cd", "python", "python3"), f"{line!r} is not tested"
        return
    # Their full size is what `make demo` and `make bench` are for.
    less = {"demo": ["--quick"], "bench": ["--rows", "15000", "--d", "32", "--batch", "1", "--index", "exact"]}
    arguments = words[1:] + less.get(words[1], [])
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, f"{line}\n{result.output}\n{result.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_runs(page: Path, quick_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(quick_run, tmp_path / "runs" / "demo")
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(page.read_text())
    names: dict[str, object] = {"__name__": page.stem}
    for language, code in blocks:
        if language == "bash":
            for line in code.replace("\\\n", " ").splitlines():
                run_line(line)
        else:
            exec(compile(code, str(page), "exec"), names)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import runpy

    monkeypatch.setattr("tempfile.mkdtemp", lambda prefix: str(tmp_path))
    runpy.run_path(str(ROOT / "examples" / "your_own_environment.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "Rollout(1 futures of 10 steps" in said
    assert said.count("from seed0-") == 3
