"""Recordings that are broken, unlike the others, or made to harm: the rest still opens."""

import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from memworld.errors import MemworldError
from memworld.formats.minerl import MineRLWriter, open_minerl
from tests.formats.minerl_folders import make_recording, navigate_arrays, video_of
from tests.helpers import make_dataset, one_clear_error

pytest.importorskip("av")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """ROOT/MineRLNavigate-v0 with recordings a, b and c."""
    environment = tmp_path / "minerl" / "MineRLNavigate-v0"
    for number, name in enumerate("abc"):
        make_recording(environment / f"v4_{name}", navigate_arrays(4, seed=number))
    return environment


def rewrite(folder: Path, **changes: np.ndarray | None) -> None:
    """Change arrays of a recording, by key with $ written as __; None drops one."""
    with np.load(folder / "rendered.npz") as stored:
        arrays = dict(stored)
    arrays |= {key.replace("__", "$"): array for key, array in changes.items()}
    np.savez_compressed(folder / "rendered.npz", **{k: a for k, a in arrays.items() if a is not None})


def describe(folder: Path, **changes: object) -> None:
    """Change entries of a recording's metadata."""
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | changes))


def cut(file: Path, share: float = 0.5) -> None:
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])


def replace_by_link(path: Path) -> None:
    outside = path.parent.parent.parent.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut video": (lambda f: cut(f / "recording.mp4"), "recording.mp4 is no video, or is cut off"),
    "no video": (lambda f: (f / "recording.mp4").unlink(), "recording.mp4 is missing"),
    "few frames": (lambda f: describe(f, true_video_frame_count=4), "counts 4 frames of the video, 4 steps need 5"),
    "fewer frames than counted": (
        lambda f: describe(f, true_video_frame_count=20),
        "recording.mp4 holds 8 frames, 5 after the first 15 were expected",
    ),
    "count of words": (lambda f: describe(f, true_video_frame_count="many"), "counts many frames"),
    "no metadata": (lambda f: (f / "metadata.json").unlink(), "has no metadata.json"),
    "metadata cut": (lambda f: cut(f / "metadata.json"), "metadata.json is damaged"),
    "metadata a list": (lambda f: (f / "metadata.json").write_text("[]"), "no JSON object"),
    "odd success": (lambda f: describe(f, success="perhaps"), "has success 'perhaps'"),
    "success a list": (lambda f: describe(f, success=[1]), "has success"),
    "no arrays": (lambda f: (f / "rendered.npz").unlink(), "rendered.npz is missing"),
    "arrays cut": (lambda f: cut(f / "rendered.npz"), "rendered.npz is no .npz file"),
    "no rewards": (lambda f: rewrite(f, reward=None), "no array 'reward'"),
    "rewards NaN": (lambda f: rewrite(f, reward=np.full(4, np.nan)), "NaN or infinity in its rewards"),
    "no jump": (lambda f: rewrite(f, action__jump=None), r"action jump: missing \(most other"),
    "one more": (lambda f: rewrite(f, action__fly=np.zeros(4)), r"action fly: 1 numbers a step \(most other .*missing"),
    "no compass": (lambda f: rewrite(f, observation__compass__angle=None), "observation compass.angle: missing"),
    "actions too long": (lambda f: rewrite(f, action__jump=np.zeros(5, int)), r"expected 4 rows"),
    "observations too short": (lambda f: rewrite(f, observation__compass__angle=np.zeros(4)), "expected 5 rows"),
    "camera NaN": (lambda f: rewrite(f, action__camera=np.full((4, 2), np.nan)), r"NaN or infinity in action\$camera"),
    "camera too far": (lambda f: rewrite(f, action__camera=np.full((4, 2), 400.0)), "camera.* is outside"),
    "states NaN": (
        lambda f: rewrite(f, observation__compass__angle=np.full(5, np.nan)),
        "NaN or infinity in its states",
    ),
    "objects": (lambda f: rewrite(f, action__place=np.array([None] * 4)), "Object arrays cannot be loaded"),
    "two names": (lambda f: rewrite(f, action__place=np.array([["a", "b"]] * 4)), "one printable word a step"),
    "control": (lambda f: rewrite(f, action__place=np.array(["\x1b[2J"] * 4)), "one printable word a step"),
    "twice": (lambda f: rewrite(f, observation__compassAngle=np.zeros(5)), "two arrays of one name"),
    "link": (replace_by_link, "v4_b is a link, which could lead outside"),
    "linked video": (lambda f: replace_by_link(f / "recording.mp4"), "recording.mp4 is a link"),
    "too new": (lambda f: f.rename(f.with_name("v5_b")), "version '5'"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_broken_recording_leaves_the_others_readable(environment: Path, damage: str) -> None:
    harm, match = DAMAGE[damage]
    harm(environment / "v4_b")
    dataset = open_minerl(environment.parent)
    assert dataset.ids == (("a", "c", "b") if damage == "too new" else ("a", "b", "c"))
    with one_clear_error(match):
        dataset.load("b")
    with one_clear_error(r"episode b .*v\d_b"):
        dataset.load("b")
    for episode_id in ("a", "c"):
        assert len(dataset.load(episode_id)) == 4


def test_frames_of_another_size_need_one_size(environment: Path) -> None:
    make_recording(environment / "v4_d", navigate_arrays(4), video_of(8, height=12, width=12))
    with one_clear_error("episode d .*give a size"):
        open_minerl(environment).load("d")


def test_nothing_whole_is_an_error_at_once(environment: Path) -> None:
    for folder in environment.iterdir():
        cut(folder / "rendered.npz")
    with one_clear_error("v4_a/rendered.npz is no .npz file"):
        open_minerl(environment)


def test_no_video_at_all_is_an_error_at_once(environment: Path) -> None:
    for folder in environment.iterdir():
        (folder / "recording.mp4").write_bytes(b"")
    with one_clear_error("v4_a/recording.mp4 is no video"):
        open_minerl(environment)


@pytest.mark.parametrize("version", ["5", "", "four", "4.5", "9" * 100])
def test_other_versions_are_refused(environment: Path, version: str) -> None:
    (environment.parent / "VERSION").write_text(version)
    with one_clear_error("VERSION has version .*memworld reads 3, 4"):
        open_minerl(environment.parent)


def test_an_environment_that_is_a_link_is_refused(environment: Path, tmp_path: Path) -> None:
    environment.rename(tmp_path / "outside")
    environment.symlink_to(tmp_path / "outside")
    with one_clear_error("MineRLNavigate-v0 is a link"):
        open_minerl(environment.parent)


OBEYED, SHOWN = "\x1b]0;owned\x07", r"\\x1b\]0;owned\\x07"


@contextmanager
def one_printable_error(match: str) -> Iterator[None]:
    """Like `one_clear_error`, in which a folder called `OBEYED` is named so that no terminal obeys it."""
    with pytest.raises(MemworldError, match=match) as caught:
        yield
    assert str(caught.value).isprintable()


def test_names_of_folders_are_not_obeyed_by_the_terminal(environment: Path) -> None:
    recording = environment / "v4_a"
    recording.rename(environment / f"v4_{OBEYED}")
    with one_printable_error(f"v4_{SHOWN} must be renamed"):
        open_minerl(environment)
    (environment / f"v4_{OBEYED}").rename(recording)
    make_recording(environment.with_name(OBEYED) / "v4_a", navigate_arrays(4))
    with one_printable_error(rf"several environments \({SHOWN}, MineRLNavigate-v0\)"):
        open_minerl(environment.parent)


def test_nor_are_those_of_memworld_s_own(tmp_path: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0), episodes=2)
    with MineRLWriter(tmp_path, dataset.info) as writer:
        for episode in dataset:
            writer.append(episode)
    odd = (tmp_path / "toy" / "v4_e0").rename(tmp_path / "toy" / f"v4_{OBEYED}")
    (odd / "recording.mp4").unlink()
    with one_printable_error(f"episode e0 .*v4_{SHOWN}/recording.mp4 is missing"):
        open_minerl(tmp_path).load("e0")
    with one_printable_error(f"v4_{SHOWN} lacks recording.mp4"):
        MineRLWriter(tmp_path, dataset.info, "resume")


def test_names_that_are_no_ids_are_refused(environment: Path) -> None:
    (environment / "v4_a").rename(environment / "v4_a b")
    with one_clear_error("v4_a b must be renamed"):
        open_minerl(environment)


def test_a_small_file_cannot_ask_for_gigabytes(environment: Path) -> None:
    """A header may declare what it likes: the file is refused before anything is allocated."""
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1))
    header["shape"] = (2**40,)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(environment / "v4_b" / "rendered.npz", "a") as archive:
        archive.writestr("action$huge.npy", buffer.getvalue())
    dataset = open_minerl(environment)
    with one_clear_error("rendered.npz"):
        dataset.load("b")


def test_without_pyav_the_extra_is_named(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with one_clear_error(r'pip install "memworld\[video\]"'):
        open_minerl(environment)
