"""The tests of the files `inside_*.py`, run once on a real cluster in namespaces, and reported one by one."""

import inspect
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.cluster.machines import ALONE, surroundings

pytest.importorskip("ray", reason="ray is not installed: pip install 'memworld[cluster]'")

from tests.cluster import inside_encoding, inside_end, inside_search

ROOT = Path(__file__).parent.parent.parent
FILES = [inside_search, inside_encoding, inside_end]
NAMES = [name for file in FILES for name, _ in inspect.getmembers(file, inspect.isfunction) if name.startswith("test_")]
LIMIT = 600
"""Seconds after which what hangs is ended."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What went wrong in each test."""
    alone = ALONE if os.geteuid() == 0 else [*ALONE, "--map-root-user"]
    try:
        subprocess.run([*alone, "ip", "link", "set", "lo", "up"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no permission to make namespaces for a cluster, or no `ip`: {error}")
    report = tmp_path_factory.mktemp("cluster") / "report.xml"
    tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
    tests += [str(file.__file__) for file in FILES]
    with surroundings() as variables:
        ended = subprocess.run(
            [*alone, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *tests],
            cwd=ROOT,
            env=os.environ | variables | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    assert report.exists(), ended.stdout + ended.stderr
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        wrong = [part.text or "" for part in case if part.tag in ("failure", "error", "skipped")]
        found.setdefault(case.get("name", "").partition("[")[0], []).extend(wrong)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_on_two_machines(outcomes: dict[str, list[str]], name: str) -> None:
    assert name in outcomes, "the test was not run"
    assert not outcomes[name], "\n".join(outcomes[name])
