import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memworld.storage import (
    check_no_links,
    locked,
    prepare_folder,
    read_arrays,
    read_json,
    remove_unfinished,
    write_bytes,
)
from tests.helpers import folder_bytes, one_clear_error

# Folders


def test_a_new_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    for mode in ("error", "resume", "overwrite"):
        prepare_folder(tmp_path / mode / "a/b", mode, "ours.json")
        prepare_folder(tmp_path / mode / "a/b", mode, "ours.json")
        assert list((tmp_path / mode / "a/b").iterdir()) == []


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    (tmp_path / "run/deep/deeper").mkdir(parents=True)
    for name in ("ours.json", "deep/deeper/x", "a", "z"):
        (tmp_path / "run" / name).write_text(name)
    (tmp_path / "precious").write_text("elsewhere")
    (tmp_path / "run/link").symlink_to(tmp_path)
    return tmp_path / "run"


def test_an_existing_folder_is_refused_kept_or_emptied(ours: Path) -> None:
    before = folder_bytes(ours)
    with one_clear_error("run exists and is not empty: name another, or use --resume or --overwrite"):
        prepare_folder(ours, "error", "ours.json")
    prepare_folder(ours, "resume", "ours.json")
    assert folder_bytes(ours) == before
    prepare_folder(ours, "overwrite", "ours.json")
    assert list(ours.iterdir()) == []
    assert (ours.parent / "precious").exists()  # a link goes, not what it points to


def test_a_link_to_a_folder_is_emptied_and_stays_a_link(ours: Path) -> None:
    link = ours.parent / "short"
    link.symlink_to(ours)
    prepare_folder(link, "overwrite", "ours.json")
    assert link.is_symlink()
    assert list(ours.iterdir()) == []


@pytest.mark.parametrize("mode", ["resume", "overwrite"])
def test_a_folder_that_is_not_ours_is_left_alone(ours: Path, mode: Any) -> None:
    before = folder_bytes(ours)
    with one_clear_error(f"run exists and holds no other.json, so it is not memworld's to {mode}: name another"):
        prepare_folder(ours, mode, "other.json")
    with one_clear_error("holds no deep"):  # a folder of that name is no marker
        prepare_folder(ours, mode, "deep")
    assert folder_bytes(ours) == before


@pytest.mark.parametrize("removed", range(4))
def test_an_overwriting_that_was_killed_can_be_repeated(
    ours: Path, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    unlink = Path.unlink
    gone: list[str] = []

    def killed(path: Path, *args: Any, **settings: Any) -> None:
        if len(gone) == removed:
            raise KeyboardInterrupt
        gone.append(path.name)
        unlink(path, *args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_folder(ours, "overwrite", "ours.json")
    assert len(gone) == removed
    prepare_folder(ours, "overwrite", "ours.json")
    assert list(ours.iterdir()) == []


def test_what_a_killed_first_write_left_is_no_content(tmp_path: Path) -> None:
    (tmp_path / ".tmp-abc.json").write_text("{")
    for mode in ("error", "resume", "overwrite"):
        prepare_folder(tmp_path, mode, "ours.json")


def test_an_unknown_mode_touches_nothing(ours: Path) -> None:
    with one_clear_error("unknown on_existing 'owerwrite': use error, resume or overwrite"):
        prepare_folder(ours, "owerwrite", "ours.json")  # type: ignore[arg-type]
    assert (ours / "ours.json").exists()


def test_folders_that_cannot_be(ours: Path) -> None:
    with one_clear_error("output .*ours.json is a file: name a folder"):
        prepare_folder(ours / "ours.json", "overwrite", "ours.json")
    with one_clear_error("ours.json/below cannot be written .Not a directory.: name another or change its permissions"):
        prepare_folder(ours / "ours.json/below", "error", "ours.json")
    with one_clear_error("cannot be written .File name too long"):
        prepare_folder(ours / ("x" * 300), "error", "ours.json")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that nobody may write to")
def test_a_file_system_that_cannot_be_written() -> None:
    with one_clear_error("output folder /proc/memworld cannot be written"):
        prepare_folder(Path("/proc/memworld"), "error", "ours.json")
    with one_clear_error("cannot write /proc/memworld"):
        write_bytes(Path("/proc/memworld"), b"")


def test_a_folder_that_cannot_be_emptied(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with one_clear_error("run cannot be written .Permission denied"):
        prepare_folder(ours, "overwrite", "ours.json")
    assert (ours / "ours.json").exists()


# Locks


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "deep/run"
    with locked(folder):
        assert list(folder.iterdir()) == []  # so that it counts as empty, and no comparison finds a file
        with one_clear_error(f"another memworld is writing to {folder}: wait for it"), locked(folder):
            pass
        with locked(folder / "within"), locked(tmp_path):
            pass
    with pytest.raises(KeyboardInterrupt), locked(folder):
        raise KeyboardInterrupt
    with locked(folder):
        pass


def test_another_process_waits_until_the_lock_is_free_or_its_holder_dead(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from memworld.storage import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with one_clear_error("another memworld is writing to"), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        pass


def test_overwriting_keeps_the_lock(ours: Path) -> None:
    with locked(ours):
        prepare_folder(ours, "overwrite", "ours.json")
        with one_clear_error("another memworld is writing"), locked(ours):
            pass


def test_what_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with one_clear_error("file is a file: name a folder"), locked(tmp_path / "file"):
        pass
    with one_clear_error("file/sub cannot be written"), locked(tmp_path / "file/sub"):
        pass

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path):  # a file system without locks is no reason not to work
        pass
    assert "cannot be locked (No locks available)" in caplog.text


# Links and leftovers


@pytest.mark.parametrize("link", ["part", "part/file", "list.json"])
def test_links_that_could_lead_outside(tmp_path: Path, link: str) -> None:
    folder = tmp_path / "folder"
    (folder / "part").mkdir(parents=True)
    for name in ("part/file", "list.json", "other"):
        (folder / name).write_bytes(b"")
    (folder / "other").unlink()
    (folder / "other").symlink_to(tmp_path)  # not asked about
    check_no_links(folder, "part", "list.json", "none")
    (tmp_path / "short").symlink_to(folder)
    check_no_links(tmp_path / "short", "part", "list.json")
    (folder / link).rename(tmp_path / "moved")
    (folder / link).symlink_to(tmp_path / "moved")
    with one_clear_error(f"{folder / link} is a link, which could lead outside {folder}: put what it points to"):
        check_no_links(folder, "part", "list.json")
    (folder / link).unlink()
    (folder / link).symlink_to(folder / link)  # nor one that leads nowhere
    with one_clear_error("is a link"):
        check_no_links(folder, "part", "list.json")


def test_unfinished_files_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".tmp-a", ".tmp-b.json", "c.tmp-", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".tmp-folder").mkdir()
    remove_unfinished(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", ".tmp-folder", "c.tmp-"]
    remove_unfinished(tmp_path / "none")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (read_json, read_arrays):
        with one_clear_error("cannot read .*pipe .Not a regular file.: check the path"):
            read(tmp_path / "pipe", "thing")
