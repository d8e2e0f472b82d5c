"""The addresses and the socket, asked over a real connection."""

import contextlib
import io
import json
import os
import shutil
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from memworld import __version__
from memworld.formats import open_npz
from memworld.memory import Memory
from memworld.play import server as serving
from memworld.play.pngs import write_png
from memworld.play.server import PAGE, SESSIONS
from memworld.world_model import WorldModel
from tests.helpers import moving_square_dataset, untrained_vae
from tests.play.asking import LIMIT, Asked, asked


def test_it_says_what_it_serves(server: Asked) -> None:
    about = server.get("/api/about").told
    assert (about["version"], about["opens"]) == (__version__, "play")
    memory, data = about["sources"]
    assert (memory["name"], memory["kind"], memory["playable"], memory["why_not"]) == ("memory", "memory", True, None)
    assert (memory["episodes"], memory["steps"], memory["frame"]) == (6, 120, [16, 16, 1])
    assert [action["label"] for action in memory["keys"]["actions"]] == ["left", "right", "up", "down"]
    assert memory["settings"]["usual"] == "analogues"
    assert not memory["real"]
    assert "square" in memory["why_not_real"]  # no world of that name
    assert (data["name"], data["kind"], data["playable"], data["keys"]) == ("episodes", "dataset", False, None)
    assert "remember" in data["why_not"]


def test_the_page_and_its_files(server: Asked) -> None:
    page = server.get("/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.body == (PAGE / "index.html").read_bytes()
    for path in PAGE.iterdir():
        assert server.get(f"/static/{path.name}").body == path.read_bytes()
    assert server.get("/static/none.js").status == 404


@pytest.mark.parametrize("source", ["memory", "episodes"])
def test_episodes(server: Asked, data: Path, source: str) -> None:
    dataset = open_npz(data)
    listed = server.get(f"/api/sources/{source}/episodes?offset=2&limit=3").told
    assert listed["total"] == 6
    assert [(e["index"], e["id"], e["steps"]) for e in listed["episodes"]] == [(i, f"e{i}", 20) for i in (2, 3, 4)]
    episode = server.get(f"/api/sources/{source}/episodes/2").told
    assert episode["actions"] == dataset[2].actions.tolist()
    assert episode["rewards"] == dataset[2].rewards.tolist()
    assert (episode["terminated"], episode["labels"]) == (False, ["left", "right", "up", "down"])
    listed = server.get(f"/api/sources/{source}/episodes").told["episodes"]
    assert (listed[2]["return"], listed[2]["terminated"]) == (dataset[2].rewards.sum(), False)
    frame = server.get(f"/api/sources/{source}/episodes/2/frames/20")
    assert frame.headers["content-type"] == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(frame.body)))
    np.testing.assert_array_equal(shown, dataset[2].observations[20, ..., 0])
    strip = np.asarray(Image.open(io.BytesIO(server.get(f"/api/sources/{source}/episodes/2/strip?count=3").body)))
    np.testing.assert_array_equal(strip, np.concatenate([dataset[2].observations[i, ..., 0] for i in (0, 10, 20)], 1))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/api/sources/none/episodes", "no source 'none'"),
        ("/api/sources/memory/episodes/6", "episodes 0 to 5, not 6"),
        ("/api/sources/memory/episodes/-1", "whole number"),
        ("/api/sources/memory/episodes/0/frames/21", "steps 0 to 20, not 21"),
        ("/api/sources/episodes/episodes/0/frames/21", "steps 0 to 20, not 21"),
        ("/api/sources/memory/episodes/0/frames/" + "9" * 5000, "whole number"),
        ("/api/sources/memory/episodes?offset=x", "offset is to be a whole number"),
        ("/api/sources/memory/episodes/0/strip?count=2.5", "count is to be a whole number"),
        ("/api/sources/episodes/map", "remember them"),
        ("/api/recordings/none.mp4", "no video"),
    ],
)
def test_what_is_not_there(server: Asked, path: str, says: str) -> None:
    answer = server.get(path)
    assert 400 <= answer.status < 500
    assert says in answer.error


def test_the_map(server: Asked, memory: Path) -> None:
    told = server.get("/api/sources/memory/map").told
    assert len(told["points"]) == len(told["rows"]) == 126
    assert told["rows"][:2] == [[0, 0], [0, 1]]
    assert told["rows"][-1] == [5, 20]
    assert (told["ids"][0], told["ids"][-1]) == ("e0", "e5")
    assert 0 < told["explained"][1] <= told["explained"][0] <= 1
    assert server.get("/api/sources/memory/map").told == told


@pytest.mark.parametrize("source", ["memory", "episodes"])
def test_search_by_a_recorded_moment_and_by_a_picture(server: Asked, data: Path, source: str) -> None:
    path = f"/api/sources/{source}/search?count=4"
    json = {"Content-Type": "application/json"}
    told = server.get(path, method="POST", body='{"episode": 3, "step": 7}', headers=json).told
    found = told["found"]
    assert (told["unlike"], told["resized"]) == (False, None)
    assert told["usual"] >= 0
    assert (found[0]["episode"], found[0]["step"], found[0]["distance"]) == (3, 7, 0)
    assert len(found) == 4
    assert np.isclose(sum(near["weight"] for near in found), 1)
    moments = [(near["episode"], near["step"]) for near in found]
    assert len(set(moments)) == 4
    picture = write_png(open_npz(data)[3].observations[7])
    png = {"Content-Type": "image/png"}
    told = server.get(path, method="POST", body=picture, headers=png).told
    by_picture = told["found"]
    assert (told["unlike"], told["resized"]) == (False, None)
    wide = write_png(np.random.default_rng(0).integers(0, 256, (16, 160, 1), np.uint8))
    told = server.get(path, method="POST", body=wide, headers=png).told
    assert (told["unlike"], told["resized"]) == (True, [16, 160])
    assert by_picture[0]["distance"] < 1e-3
    same = open_npz(data)[by_picture[0]["episode"]].observations[by_picture[0]["step"]]
    np.testing.assert_array_equal(same, open_npz(data)[3].observations[7])


def test_playing(server: Asked, memory: Path) -> None:
    world = WorldModel.open(memory)
    with server.page() as page:
        told = page.open()
        assert (told["step"], told["recording"], told["saved"], told["real"]) == (0, False, [], False)
        assert told["start"] == {"episode": 1, "step": 3, "id": "e1"}
        [panel] = told["panels"]
        assert (panel["title"], panel["kind"], panel["over"], panel["support"]) == ("dream 1", "dream", False, None)
        np.testing.assert_array_equal(panel["frame"], world.memory.frames([world.memory.row_of("e1", 3)])[0])
        assert panel["neighbours"] == [{"episode": 1, "id": "e1", "step": 3, "row": 24, "distance": 0, "weight": 1}]
        for step in range(1, 4):
            told = page.ask("step", action=1, thumbs=True)
            [panel] = told["panels"]
            assert told["step"] == step
            assert 0 <= panel["support"] <= 1
            assert len(panel["place"]) == 2
            shares = [near["weight"] for near in panel["neighbours"]]
            assert shares == sorted(shares, reverse=True)
            assert 1 <= len(shares) <= 8
            for near in panel["neighbours"]:
                np.testing.assert_array_equal(near["thumb"], world.memory.frames([near["row"]])[0])
        told = page.ask("reset", start={"episode": 2, "step": 0})
        assert (told["step"], told["start"]["id"]) == (0, "e2")
        assert page.ask("reset", start=None)["ok"]
        told = page.ask("dreams", count=2)
        told = page.ask("settings", dream=1, settings={"strategy": "replay_kl"})
        assert [settings["strategy"] for settings in told["settings"]] == ["analogues", "replay_kl"]
        told = page.ask("step", action=0)
        assert [panel["title"] for panel in told["panels"]] == ["dream 1", "dream 2"]
        assert page.ask("dreams", count=1)["settings"] == [told["settings"][0]]
        assert page.ask("close") == {"n": page._number, "ok": True}


def test_the_real_world_is_refused_with_a_reason(server: Asked) -> None:
    with server.page() as page:
        told = page.open(real=True)
        assert not told["real"]
        assert "square" in told["real_error"]
        assert page.ask("step", action=1)["ok"]


def test_recordings_are_listed(server: Asked) -> None:
    pytest.importorskip("av")
    with server.page() as page:
        page.open()
        assert page.ask("record", on=True, to=["mp4", "episodes"])["recording"]
        page.ask("step", action=1)
        told = page.ask("record", on=False)
        assert not told["recording"]
        video, episodes = told["saved"]
        assert page.ask("step", action=1)["saved"] == []
    told = server.get("/api/recordings").told
    assert told["folder"] == str(server.output.absolute())
    listed = {entry["name"]: entry for entry in told["recordings"]}
    assert (listed[video]["kind"], listed[video]["steps"]) == ("mp4", 2)
    assert (listed[episodes]["kind"], listed[episodes]["steps"]) == ("episodes", 1)
    download = server.get(f"/api/recordings/{video}")
    assert download.body == (server.output / video).read_bytes()
    assert video in download.headers["content-disposition"]
    assert server.get(f"/api/recordings/{episodes}").status == 400


def test_only_so_many_play_at_once(server: Asked) -> None:
    from contextlib import ExitStack

    with ExitStack() as open_pages:
        pages = [open_pages.enter_context(server.page()) for _ in range(SESSIONS)]
        for page in pages:
            page.open()
        with server.page() as late:
            told = late.heard()
            assert (told["n"], told["ok"], told["fatal"]) == (None, False, True)
            assert "8 pages" in told["error"]
        for page in pages:
            assert page.ask("step", action=1)["ok"]
    with server.page() as page:
        page.open()


def test_a_session_that_says_nothing_ends(memory: Path, tmp_path: Path) -> None:
    with asked([memory], tmp_path / "play", idle=0.5) as server, server.page() as page:
        page.open()
        with pytest.raises(Exception, match=r"1000.*nothing was said"):
            page.heard()


def test_a_page_that_leaves_while_it_records_loses_nothing(memory: Path, tmp_path: Path) -> None:
    with asked([memory], tmp_path / "play") as server:
        with server.page() as page:
            page.open()
            page.ask("record", on=True, to=["episodes"])
            page.ask("step", action=1)
            page.line.socket.close()
        deadline = 200
        while not server.get("/api/recordings").told["recordings"]:
            deadline -= 1
            assert deadline
    assert len(list((tmp_path / "play").iterdir())) == 1


def test_a_folder_whose_name_is_no_text(data: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        shutil.copytree(data, odd)
    except OSError as error:  # as on file systems of which all names are text
        pytest.skip(f"no such name is possible here: {error}")
    with asked([odd], tmp_path / "play", opens="browse") as server:
        [source] = server.get("/api/about").told["sources"]
        assert source["title"] == str(odd)
        assert server.get(f"/api/sources/{source['name']}/episodes/1/frames/2").status == 200


def test_who_never_reads_leaves_no_seat_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SESSIONS", 1)
    dataset = moving_square_dataset(episodes=2, steps=5, shape=(64, 64, 3))
    memory = Memory(dataset.info, encoder := untrained_vae((64, 64, 3)))
    memory.extend(dataset, encoder)
    WorldModel(encoder, memory).save(tmp_path / "memory")
    opening = {"n": 1, "do": "open", "source": "memory", "dreams": [{"strategy": "replay_l2"}] * 2, "thumbs": True}
    with asked([tmp_path / "memory"], tmp_path / "play", idle=1.0) as server, socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", server.at.port))
        hello = {"Host": "localhost", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        hello["Sec-WebSocket-Key"] = "x3JJHMbDL1EzLkh9GBhXDw=="
        headers = "".join(f"{name}: {value}\r\n" for name, value in hello.items())
        line.sendall(f"GET /ws HTTP/1.1\r\n{headers}\r\n".encode())
        assert line.recv(2000).startswith(b"HTTP/1.1 101")
        # More pictures than the system holds for someone who does not take them.
        for message in (opening, *[{"n": 1, "do": "step", "action": 1, "thumbs": True}] * 600):
            frame = Frame(Opcode.TEXT, json.dumps(message).encode())
            line.sendall(frame.serialize(mask=True))
        late = time.monotonic() + LIMIT / 2
        opened = False
        while not opened:
            assert time.monotonic() < late
            time.sleep(0.2)
            with contextlib.suppress(AssertionError, ConnectionClosed), server.page() as page:
                page.open(start={"episode": 1, "step": 0})
                opened = True


def test_a_page_goes_nowhere_else_while_its_recording_cannot_be_written(memory: Path, tmp_path: Path) -> None:
    with asked([memory], tmp_path / "play") as server, server.page() as page:
        page.open()
        page.ask("record", on=True, to=["episodes"])
        page.ask("step", action=1)
        server.output.write_bytes(b"in the way")
        assert "is a file" in page.refused("open", source="memory", dreams=[{}], start={"episode": 2, "step": 0})
        server.output.unlink()
        assert page.ask("step", action=2)["recording"]
        [name] = page.open()["saved"]
        assert open_npz(server.output / name)[0].actions.tolist() == [1, 2]
