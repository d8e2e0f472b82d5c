"""The hub's own client against a small hub on loopback."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils._http import close_session
from huggingface_hub.utils.tqdm import are_progress_bars_disabled

from memworld.sharing import pull, pull_memory, push_memory
from memworld.sharing.trying import problems
from memworld.store import open_memory
from tests.helpers import assert_same_memory, folder_bytes, one_clear_error
from tests.sharing.hub_server import Hub
from tests.toy_memories import GOLDEN

PONG = "hub:some/pong"


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pulled is tried by this process, which takes no time."""
    monkeypatch.setattr(pull, "problems_apart", problems)


# There and back


def test_what_is_pulled_from_the_hub_is_what_was_pushed_there(made: Path, tmp_path: Path, hub: Hub) -> None:
    pushed = push_memory(made / "memory", PONG, license="mit", message="A first try", private=True)
    repo = hub.repos["some/pong"]
    assert (repo.private, [message for _, message, _ in repo.commits]) == (True, ["first", "A first try"])
    assert (pushed.place, pushed.url) == (PONG, f"{hub.url}/datasets/some/pong")
    assert (pushed.episodes, pushed.rows, pushed.files) == (3, 30, len(repo.files) - 1)  # one is the hub's own
    assert hub.large  # some went the way of large files
    assert f"memworld pull {PONG} --output memory" in repo.files["README.md"].decode()
    pulled = pull_memory(PONG, tmp_path / "out")
    assert_same_memory(open_memory(tmp_path / "out"), open_memory(made / "memory"))
    files = {name: content for name, content in repo.files.items() if name != ".gitattributes"}
    assert folder_bytes(tmp_path / "out") == files
    assert (pulled.files, pulled.bytes) == (pushed.files, pushed.bytes)
    assert [child.name for child in tmp_path.iterdir()] == ["out"]  # nothing is left of either


def test_another_push_replaces_all_in_one_commit_and_the_first_can_still_be_pulled(
    made: Path, tmp_path: Path, hub: Hub
) -> None:
    push_memory(made / "memory", PONG)
    first, _, before = hub.repos["some/pong"].commits[-1]
    with one_clear_error("hub:some/pong exists and is not empty: name another, or use --overwrite"):
        push_memory(GOLDEN / "memory-v1", PONG)
    push_memory(GOLDEN / "memory-v1", PONG, overwrite=True)
    [_, _, (_, message, now)] = hub.repos["some/pong"].commits
    assert message == "Push 2 episodes"
    assert now[".gitattributes"] == before[".gitattributes"]
    assert {name for name in now if name.startswith("rows.lance/data/")}.isdisjoint(before)
    pull_memory(PONG, tmp_path / "new")
    pull_memory(PONG, tmp_path / "old", revision=first)
    assert_same_memory(open_memory(tmp_path / "new"), open_memory(GOLDEN / "memory-v1"))
    assert_same_memory(open_memory(tmp_path / "old"), open_memory(made / "memory"))


def test_a_new_repository_of_the_hub_s_page_holds_nothing_that_could_be_lost(made: Path, hub: Hub) -> None:
    hub.make("some/empty", {})
    push_memory(made / "memory", "hub:some/empty")
    hub.make("some/page", {"README.md": b"---\nlicense: mit\n---\n"})
    with one_clear_error("hub:some/page exists and is not empty"):
        push_memory(made / "memory", "hub:some/page")
    push_memory(made / "memory", "hub:some/page", overwrite=True)
    assert b"A memory of toy" in hub.repos["some/page"].files["README.md"]


@pytest.mark.parametrize("index", [None, b"{}", b'{"memworld": "run"}', b"[", b"x" * 5000])
def test_a_repository_of_something_else_is_left_alone(made: Path, hub: Hub, index: bytes | None) -> None:
    repo = hub.make("some/thesis", {"thesis.txt": b"years of work"} | ({"memory.json": index} if index else {}))
    with one_clear_error("hub:some/thesis holds no memory, so it is not memworld's to overwrite: name another"):
        push_memory(made / "memory", "hub:some/thesis", overwrite=True)
    assert len(repo.commits) == 1


def test_what_is_public_is_not_taken_for_private(made: Path, hub: Hub) -> None:
    hub.make("some/pong", {})
    with one_clear_error(
        f"{PONG} is there already, and public: make it private on {hub.url}/datasets/some/pong/settings"
    ):
        push_memory(made / "memory", PONG, private=True)
    hub.make("some/own", {}, private=True)
    push_memory(made / "memory", "hub:some/own", private=True)
    push_memory(made / "memory", "hub:some/own", overwrite=True)  # which leaves it private
    assert hub.repos["some/own"].private


def test_no_bars_unless_they_are_wanted(made: Path, hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    push_memory(made / "memory", PONG)
    assert capfd.readouterr() == ("", "")
    assert not are_progress_bars_disabled()  # left as they were
    push_memory(made / "memory", PONG, overwrite=True, progress=True)
    assert "%" in capfd.readouterr().err


# What goes wrong


def answers(status: int, code: str = "", where: str = "") -> Callable[[Hub], None]:
    def change(hub: Hub) -> None:
        hub.fault = lambda method, path: (status, code) if re.search(where, f"{method} {path}") else None

    return change


def interfere(hub: Hub) -> None:
    """Another's commit, while ours is being uploaded."""

    def fault(method: str, path: str) -> None:
        if "preupload" in path:
            hub.repos["some/pong"].commit("another's", {"thesis.txt": b""})

    hub.fault = fault


PUSHES: dict[str, tuple[Callable[[Hub], object], str]] = {
    "unknown token": (answers(401, where="whoami"), "the hub does not accept the token .*: log in with hf auth"),
    "no right": (answers(403, where="create"), "the token has no right to it .*: use one that may write there"),
    "no right to commit": (answers(403, where="/commit/"), "the token has no right to it"),
    "gated": (answers(403, "GatedRepo", "GET /api/datasets"), "it is gated: ask for access on its page, and log in"),
    "broken": (answers(500, where="whoami"), "the hub itself failed .*: try again later"),
    "broken in the end": (answers(500, where="/commit/"), "the hub itself failed"),
    "too many": (answers(429, where="create"), "the hub asks for patience .*: wait, and try again"),
    "refused": (answers(400, where="validate-yaml"), "Invalid metadata in README.md"),
    "another's commit": (interfere, "somebody else has written to it meanwhile: push again"),
}  # fmt: skip


@pytest.mark.parametrize("case", PUSHES)
def test_a_push_that_fails_says_why_and_leaves_what_was_there(made: Path, tmp_path: Path, hub: Hub, case: str) -> None:
    change, match = PUSHES[case]
    change(hub)
    with one_clear_error(f"^{PONG} cannot be pushed to: .*{match}"):
        push_memory(made / "memory", PONG)
    repo = hub.repos.get("some/pong")
    assert repo is None or {name for _, _, files in repo.commits for name in files} <= {".gitattributes", "thesis.txt"}
    assert list(tmp_path.iterdir()) == []


def test_files_that_the_hub_does_not_take_are_missed(made: Path, hub: Hub) -> None:
    hub.ignored = {"arrays/1/mu.bin", "arrays/1/z.bin"}
    with one_clear_error(f"{PONG} was pushed to, but has not taken arrays/1/mu.bin and 1 more files"):
        push_memory(made / "memory", PONG)


PULLS: dict[str, tuple[Callable[[Hub], object], str]] = {
    "none": (lambda hub: hub.repos.clear(), "there is no such data set, or it is private: check the name, and log in"),
    "private": (lambda hub: hub.make("some/pong", {}, private=True), "there is no such data set, or it is private"),
    "gated": (answers(401, "GatedRepo", "GET"), "it is gated: ask for access on its page"),
    "no right": (answers(403, where="GET"), "the token has no right to it .*: use one that may read it"),
    "broken": (answers(500, where="GET"), "the hub itself failed .*: try again later"),
    "gone": (answers(404, where="HEAD .*/resolve/"), "it is not there .*: check the name"),
    "half gone": (answers(404, "EntryNotFound", "HEAD .*mu.bin"), "it is not there .*: check the name"),
}  # fmt: skip


@pytest.mark.parametrize("case", PULLS)
def test_a_pull_that_fails_says_why_and_leaves_what_was_there(
    made: Path, memory: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    change, match = PULLS[case]
    hub.make("some/pong", folder_bytes(made / "pushed"))
    monkeypatch.setenv("HF_TOKEN", "another's")
    before = folder_bytes(memory)
    change(hub)
    with one_clear_error(f"^{PONG} cannot be pulled from: .*{match}"):
        pull_memory(PONG, memory, overwrite=True)
    assert folder_bytes(memory) == before
    assert [child.name for child in memory.parent.iterdir()] == ["memory"]


def test_no_such_revision(made: Path, tmp_path: Path, hub: Hub) -> None:
    hub.make("some/pong", folder_bytes(made / "pushed"))
    for revision in ("none", "0" * 40):
        with one_clear_error(f"it has no revision {revision}: leave it out for the newest, or see its page"):
            pull_memory(PONG, tmp_path / "out", revision=revision)


def test_what_cannot_be_a_memory_is_not_downloaded(made: Path, tmp_path: Path, hub: Hub) -> None:
    files = folder_bytes(made / "pushed")
    [table] = [name for name in files if name.startswith("rows.lance/data/")]
    for change, match in (
        ({table: b"x" * 9999}, f"{table} has 9999 bytes, and must have"),
        ({"arrays/1/mu.bin": files["arrays/1/mu.bin"] + b"x"}, "mu.bin has 241 bytes, and must have 240"),
        ({"memory.json": b"{}"}, f"{PONG}/memory.json cannot be used|{PONG}/memory.json is damaged"),
    ):
        hub.make("some/pong", files | change)
        hub.asked.clear()
        with one_clear_error(match):
            pull_memory(PONG, tmp_path / "out")
        assert not any("resolve" in asked and asked.endswith((".bin", ".lance")) for asked in hub.asked)
    hub.make("some/pong", {name: content for name, content in files.items() if name != table})
    with one_clear_error(f"{PONG} holds no whole memory: it has no {table}"):
        pull_memory(PONG, tmp_path / "out")
    hub.make("some/pong", files | {"run.sh": b"harm", "encoder/run.py": b"harm", "learned/x.json": b"{}"})
    hub.asked.clear()
    pull_memory(PONG, tmp_path / "out")
    assert folder_bytes(tmp_path / "out") == files
    assert not any("run" in asked or "learned" in asked for asked in hub.asked)


def test_damage_on_the_hub_is_found(made: Path, tmp_path: Path, hub: Hub) -> None:
    files = folder_bytes(made / "pushed")
    hub.make("some/pong", files | {"arrays/1/mu.bin": bytes(240)})
    with one_clear_error(f"{PONG} was not taken: {PONG}/arrays/1: episode e7 is damaged"):
        pull_memory(PONG, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_no_hub_no_token_and_no_client(made: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def both(match: str, place: str = PONG) -> None:
        with one_clear_error(match):
            push_memory(made / "memory", place)
        with one_clear_error(match):
            pull_memory(place, tmp_path / "out")

    both(r"hub:a..b/c cannot be named: .*; give hub:owner/name", "hub:a..b/c")
    both(r"hub:-a/b c cannot be named: .*; give hub:owner/name", "hub:-a/b c")
    with monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        both("the hub cannot be reached .*: check the network, and HF_ENDPOINT if it is set")
    with monkeypatch.context() as patch:
        patch.setattr(constants, "is_offline_mode", lambda: True)
        close_session()
        both("the hub's client is told to stay offline: unset HF_HUB_OFFLINE")
    close_session()
    with monkeypatch.context() as patch:
        patch.delenv("HF_TOKEN")
        patch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        with one_clear_error("no token of the hub is there: log in with hf auth login, or set HF_TOKEN"):
            push_memory(made / "memory", PONG)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "huggingface_hub", None)
        both(r'memories on the hub need the package huggingface_hub .*: pip install "memworld\[hub\]"')
    assert list(tmp_path.iterdir()) == []


def test_the_client_s_own_settings_say_which_hub(tmp_path: Path, hub: Hub) -> None:
    settings = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "memworld.cli", "pull", "hub:some/none", "-o", str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings}, timeout=120)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.strip() == (
        "memworld: error: hub:some/none cannot be pulled from: there is no such data set, or it is private: check the "
        "name, and log in with hf auth login, or set HF_TOKEN"
    )
    assert "GET /api/datasets/some/none" in hub.asked
