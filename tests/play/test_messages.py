"""Messages and bodies of every kind, from those who should not send them; other sessions go on unharmed."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from memworld.play.pngs import write_png
from tests.play.asking import LIMIT, Asked, Page

# Each of these holds one session beside what it does to others, and asks it again in the end.
pytestmark = pytest.mark.usefixtures("unharmed")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
bounded = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


@bounded
@given(st.binary(max_size=100) | anything.map(lambda value: json.dumps(value).encode()), st.booleans())
def test_searches_for_anything(server: Asked, body: bytes, as_json: bool) -> None:
    kind = {"Content-Type": "application/json" if as_json else "image/png"}
    assert server.get("/api/sources/memory/search", method="POST", body=body, headers=kind).error


DOINGS = ["open", "step", "reset", "settings", "dreams", "real", "record", "close", "dance"]
near = st.fixed_dictionaries(
    {"n": st.integers(0, 2**53), "do": st.sampled_from(DOINGS[:7])},
    optional={
        "source": st.sampled_from(["memory", "episodes", "../memory"]) | anything,
        "dreams": st.lists(st.just({}) | anything, max_size=3),
        "start": st.fixed_dictionaries(
            {"episode": st.integers(-2, 7) | anything, "step": st.integers(-2, 30) | anything}
        ),
        "action": st.integers(-1, 4) | anything,
        "settings": st.dictionaries(
            st.sampled_from(["strategy", "mode", "k"]), st.sampled_from(["rollout", "follow", 1]) | anything
        ),
        "dream": st.integers(-1, 2) | anything,
        "count": st.integers(0, 3) | anything,
        "on": st.booleans() | anything,
        "to": st.lists(st.sampled_from(["episodes", "gif"]), max_size=2) | anything,
        "fps": anything,
        "thumbs": st.booleans() | anything,
        "real": st.booleans() | anything,
    },
)


@pytest.fixture(scope="module")
def victim(server: Asked) -> Iterator[Page]:
    with server.page() as page:
        page.open()
        yield page


@bounded
@given(anything.map(json.dumps) | near.map(json.dumps) | st.text(max_size=50) | st.binary(max_size=50))
def test_messages_of_any_kind_are_answered(victim: Page, message: str | bytes) -> None:
    victim.line.send(message)
    told = victim.heard()
    assert told["ok"] or (told["error"] and not told["fatal"])
    victim.open()


MALFORMED: list[str | bytes] = [
    *("", "{", "[]", "null", "3", "\x00", "[" * 30_000),
    *('{"n": 1.5}', '{"n": true}', '{"n": "1"}', '{"n": NaN}', '{"n": 1, "n": []}', '{"do": "step"}'),
    *('{"n": 1' + "0" * 5000 + "}", '{"n": 1, "do": ["open"]}', '{"n": 1, "do": null}'),
    '{"n": 1, "do": "step", "action": ' + "[" * 20_000 + "]" * 20_000 + "}",
    *(b"", b"\xff\xfe", b'{"n": 1}'),
]


@pytest.mark.parametrize("message", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_messages_are_refused(server: Asked, message: str | bytes) -> None:
    with server.page() as page:
        page.open()
        page.line.send(message)
        told = page.heard()
        assert (told["ok"], told["fatal"]) == (False, False)
        assert "\n" not in told["error"]
        assert page.ask("step", action=1)["ok"]


def test_messages_before_anything_is_open(server: Asked) -> None:
    with server.page() as page:
        for doing in DOINGS[1:7]:
            assert "nothing is open" in page.refused(doing)
        assert "no source" in page.refused("open", source="none")
        assert "remember them" in page.refused("open", source="episodes")
        page.open()
        assert "use open, step" in page.refused("dance")
        assert "true or false" in page.refused("record", on=1)
        assert page.ask("close")["ok"]


def test_large_messages_end_the_session_of_who_sends_them(server: Asked) -> None:
    with server.page() as page:
        page.open()
        page.line.send(json.dumps({"n": 1, "do": "step", "action": "x" * (1 << 20)}))
        with pytest.raises(ConnectionClosed, match="1009"):
            page.heard()


def test_a_broken_frame_ends_the_session_of_who_sends_it(server: Asked) -> None:
    with server.page() as page:
        page.open()
        page.line.socket.sendall(b"\xff" * 64)
        with pytest.raises(ConnectionClosed):
            page.heard()


def test_who_comes_and_goes_leaves_no_seat_taken(server: Asked) -> None:
    for _ in range(20):
        with contextlib.suppress(ConnectionClosed), server.page() as page:  # when there is no seat left
            page.line.send(json.dumps({"n": 1, "do": "open", "source": "memory", "dreams": [{}]}))
            page.line.socket.close()
    late = time.monotonic() + LIMIT
    while True:
        try:
            with server.page() as page:
                page.open()
            return
        except (AssertionError, ConnectionClosed):  # no seat is free yet
            assert time.monotonic() < late
            time.sleep(0.1)


def test_many_at_once(server: Asked) -> None:
    picture = write_png(np.zeros((16, 16, 1), np.uint8))
    wrong: list[object] = []

    def browse() -> None:
        for _ in range(5):
            for path in ("/api/about", "/api/sources/memory/map", "/api/sources/episodes/episodes/1/strip"):
                status = server.get(path).status
                wrong.extend([path] if status != 200 else [])
            found = server.get("/api/sources/memory/search", method="POST", body=picture)
            wrong.extend([found.body] if found.status != 200 else [])

    def play() -> None:
        with server.page() as page:
            page.open(dreams=[{}, {"strategy": "replay_l2"}])
            for step in range(30):
                told = page.ask("step", action=step % 4, thumbs=True)
                wrong.extend([told] if told["step"] != step + 1 else [])

    threads = [threading.Thread(target=work) for work in (browse, play, browse, play, play)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not wrong


def test_what_fails_in_one_session_ends_that_alone(server: Asked, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    from memworld.play.session import PlaySession

    with server.page() as page:
        page.open()
        monkeypatch.setattr(PlaySession, "reset", lambda session, start: 1 / 0)
        told = page.ask("reset")
        assert (told["ok"], told["fatal"]) == (False, True)
        assert "ZeroDivisionError" not in told["error"]
        with pytest.raises(ConnectionClosed):
            page.heard()
    assert "ZeroDivisionError" in caplog.text
