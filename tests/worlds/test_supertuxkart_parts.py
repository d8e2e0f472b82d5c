"""What surrounds the engine, and needs neither it nor its assets."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memworld.worlds import open_world
from memworld.worlds.supertuxkart import FAMILY, assets
from memworld.worlds.supertuxkart.demonstrator import Demonstrator
from memworld.worlds.supertuxkart.env import ACTION_NAMES, PATH_AHEAD
from memworld.worlds.supertuxkart.lap import CentreLine, Lap
from tests.helpers import one_clear_error

LENGTH = 100.0


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the installed assets, and a cache of its own."""
    folder = tmp_path / "assets"
    for name in ("lighthouse", "abyss", "mines", "tutorial"):
        (folder / "tracks" / name).mkdir(parents=True)
        (folder / "tracks" / name / "quads.xml").touch()
    (folder / "tracks" / "stadium").mkdir()
    (folder / "skins" / "peach").mkdir(parents=True)
    (folder / "skins" / "ocean").mkdir()
    (folder / "stk_config.xml").write_text("<config/>")
    monkeypatch.setattr(assets, "_DATA_FOLDERS", (tmp_path / "nowhere", folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def tree(folder: Path) -> dict[str, str]:
    """Every entry below a folder, and where it leads if it is a link."""
    paths = [path for path in folder.rglob("*") if not any(parent.is_symlink() for parent in path.parents)]
    return {str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else "" for path in paths}


def prepared(scratch: Path) -> tuple[dict[str, str], Path]:
    environment = assets.engine_environment(scratch)
    return environment, Path(environment["XDG_CACHE_HOME"]) / "PySuperTuxKart2" / "1.5"


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "_DATA_FOLDERS", (tmp_path,))
    assert "the Debian package supertuxkart-data: apt-get install supertuxkart-data" in FAMILY.missing()
    assert list(FAMILY.names()) == [f"supertuxkart/{track}" for track in assets.PAPER_TRACKS]
    with one_clear_error("supertuxkart/lighthouse needs .*apt-get install supertuxkart-data"):
        open_world("supertuxkart/lighthouse")
    with one_clear_error("apt-get install supertuxkart-data"):
        assets.engine_environment(tmp_path)


def test_tracks_are_the_papers_and_the_other_races(installed: Path) -> None:
    assert assets.tracks() == [*assets.PAPER_TRACKS, "abyss"]


def test_prepared_assets(installed: Path, tmp_path: Path) -> None:
    environment, folder = prepared(tmp_path)
    assert folder.is_relative_to(tmp_path / "cache" / "memworld")
    assert (folder / "__downloaded__.txt").is_file()
    assert (folder / "data" / "supertuxkart.1.5").is_file()
    assert (folder / "data" / "stk_config.xml").read_text() == "<config/>"
    assert (folder / "data" / "skins" / "classic").resolve() == installed / "skins" / "peach"
    assert (folder / "data" / "skins" / "ocean").resolve() == installed / "skins" / "ocean"
    assert {environment[f"XDG_{name}"] for name in ("CONFIG_HOME", "DATA_HOME")} == {str(tmp_path)}


def test_half_prepared_and_outdated_assets_are_completed(installed: Path, tmp_path: Path) -> None:
    _, folder = prepared(tmp_path)
    whole = tree(folder)
    (folder / "data" / "tracks").unlink()
    (folder / "data" / "skins" / "classic").unlink()
    (folder / "__downloaded__.txt").unlink()
    (folder / "data" / "stk_config.xml").unlink()
    (folder / "data" / "stk_config.xml").symlink_to(tmp_path / "older" / "stk_config.xml")
    prepared(tmp_path)
    assert tree(folder) == whole


def test_several_processes_may_prepare_the_assets_at_once(installed: Path, tmp_path: Path) -> None:
    _, folder = prepared(tmp_path)
    whole = tree(folder)
    code = (
        "import pathlib, sys; from memworld.worlds.supertuxkart import assets; home = pathlib.Path(sys.argv[1]);"
        "assets._DATA_FOLDERS = (home / 'assets',)\n"
        "for _ in range(50):\n"
        "    assets.engine_environment(home)\n"
        "    (home / 'cache/memworld/supertuxkart/PySuperTuxKart2/1.5/data/tracks').unlink(missing_ok=True)\n"
        "assets.engine_environment(home)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [process.wait(100) for process in running] == [0, 0]
    prepared(tmp_path)
    assert tree(folder) == whole


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser can write everywhere")
def test_a_cache_that_cannot_be_written(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with one_clear_error("set XDG_CACHE_HOME"):
        prepared(tmp_path)


def test_a_cache_that_is_a_file(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with one_clear_error("set XDG_CACHE_HOME"):
        prepared(tmp_path)


def ring(corners: int, radius: float) -> np.ndarray:
    """(N, 2, 2) the sides of a regular polygon, anticlockwise from the right."""
    angles = 2 * np.pi * np.arange(corners + 1) / corners
    points = radius * np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.stack([points[:-1], points[1:]], 1)


@given(
    corners=st.integers(3, 40),
    segment=st.integers(0, 39),
    share=st.floats(0, 1),
    distances=st.lists(st.floats(0, 50), min_size=1, max_size=6).map(sorted),
)
def test_points_ahead_are_where_walking_along_the_line_leads(
    corners: int, segment: int, share: float, distances: list[float]
) -> None:
    segments = ring(corners, 10.0)
    segment %= corners
    side = float(np.linalg.norm(segments[0, 1] - segments[0, 0]))
    start = segments[segment, 0] + share * (segments[segment, 1] - segments[segment, 0])
    line = CentreLine(segments, [(i + 1) % corners for i in range(corners)])
    found = line.ahead(start, segment, np.array(distances))
    for point, distance in zip(found, distances, strict=True):
        sides, rest = divmod((segment + share) * side + distance, side)
        first, last = segments[int(sides) % corners]
        # The line may be walked once; more of it is not kept than that.
        if distance <= (corners - 1) * side:
            np.testing.assert_allclose(point, first + rest / side * (last - first), atol=1e-6)


def test_a_position_beside_the_line_counts_from_the_point_beside_it() -> None:
    line = CentreLine(np.array([[[0.0, 0.0], [0.0, 10.0]], [[0.0, 10.0], [10.0, 10.0]]]), [1, 0])
    found = line.ahead(np.array([3.0, 4.0]), 0, np.array([1.0, 6.0, 9.0]))
    np.testing.assert_allclose(found, [[0, 5], [0, 10], [3, 10]])


def test_a_track_without_length_has_an_end() -> None:
    line = CentreLine(np.zeros((2, 2, 2)), [1, 0])
    np.testing.assert_array_equal(line.ahead(np.ones(2), 0, PATH_AHEAD), np.zeros((5, 2)))


def lap(distance: float = 0.0) -> Lap:
    track = {"length": LENGTH, "nodes": [[[0, 0, 0], [0, 0, LENGTH]]], "next": [0]}
    return Lap({"track": track, "distance": distance})


def drive(started: Lap, *distances: float, finished: bool = False) -> float:
    """Drive to distances in turn; returns the sum of rewards."""
    return sum(started.advance({"distance": distance, "finished": finished}) for distance in distances)


@given(moves=st.lists(st.floats(-40, 40), max_size=60))
def test_rewards_add_up_to_the_way_driven_and_no_detour_pays(moves: list[float]) -> None:
    started = lap()
    gained, place = 0.0, 0.0
    for move in moves:
        place += move
        gained += drive(started, place % LENGTH)
        assert gained <= 1 + 1e-9
        assert started.progress == pytest.approx(min(place / LENGTH, 1.0), abs=1e-9)
        assert gained == pytest.approx(started.progress, abs=1e-9)


def test_a_whole_lap_is_worth_one() -> None:
    started = lap()
    assert drive(started, 20, 40, 60, 80, 99) == pytest.approx(0.99)
    assert drive(started, 1, finished=True) == pytest.approx(0.01)


def test_the_way_back_over_the_line_is_no_lap() -> None:
    started = lap()
    assert drive(started, 5, 1, 98) == pytest.approx(-0.02)
    assert drive(started, 3) == pytest.approx(0.05)


def test_a_lap_that_the_game_does_not_count_pays_only_once() -> None:
    started = lap()
    assert drive(started, 30, 60, 90, 10, 40) == 1.0
    assert drive(started, 70, 95) == 0.0
    assert drive(started, 2, finished=True) == 0.0


def info(angle: float, speed: float) -> dict[str, np.ndarray]:
    """The kart at some speed, with the centre line in a straight line in some direction, right if positive."""
    state = np.array([0, 0, 0, speed, 0, 0, 1, 0, 0], np.float32)
    path = PATH_AHEAD[:, None] * np.array([math.sin(angle), math.cos(angle)])
    return {"state": state, "path": path.astype(np.float32)}


@pytest.mark.parametrize(
    ("angle", "speed", "action"),
    [
        (0.0, 20.0, "straight accelerate"),
        (0.2, 20.0, "right accelerate"),
        (-0.2, 20.0, "left accelerate"),
        (0.4, 20.0, "right coast"),
        (-0.8, 20.0, "left brake"),
        (-0.8, 5.0, "left accelerate"),
        (3.0, 5.0, "right accelerate"),
    ],
)
def test_the_demonstrator_turns_to_the_line(angle: float, speed: float, action: str) -> None:
    assert ACTION_NAMES[Demonstrator()(np.zeros(0), info(angle, speed))] == action


def test_the_demonstrator_backs_out_of_a_wall_and_goes_on() -> None:
    demonstrator = Demonstrator()
    done = [ACTION_NAMES[demonstrator(np.zeros(0), info(0.8, 0.1))] for _ in range(40)]
    assert done[0] == "right accelerate"
    back = done.index("left brake")
    assert set(done[back : back + 12]) == {"left brake"}
    assert done[back + 12] == "right accelerate"
