"""Recordings, reloads, several tabs, and a connection that is lost."""

from pathlib import Path

import pytest

from memworld import open_dataset
from tests.play.browser.conftest import Open, Serve
from tests.play.browser.serving import Served

FROM = "#tab=play&start=1.30"
BROKEN = ("WebSocket connection to", "ERR_CONNECTION", "Failed to load resource")
"""What Chromium itself writes while a server is away."""


def test_what_is_played_is_recorded_and_downloaded(tab: Open, served: Served, tmp_path: Path) -> None:
    pytest.importorskip("av")
    here = tab(FROM)
    here.page.get_by_role("button", name="Record", exact=True).click()
    here.until("memworld.state().recording")
    here.steps(5, "ArrowRight")
    here.shot("recording")
    here.page.get_by_role("button", name="Stop recording").click()
    here.says("Saved: ")
    link = here.page.locator("#recordings a").first
    link.wait_for()
    here.shot("saved")
    with here.page.expect_download() as coming:
        link.click()
    video = tmp_path / "video.mp4"
    coming.value.save_as(video)
    assert video.read_bytes()[4:8] == b"ftyp"
    folder = served.log.parent / "runs" / "play"
    listed = here.page.locator("#recordings li").filter(has_text="Dream's episodes").first
    assert "6 steps" in listed.inner_text()
    assert "8 frames" in here.page.locator("#recordings li").filter(has_text="Video").first.inner_text()
    assert str(folder) in here.page.locator("#recordings-where").inner_text()
    name = listed.locator(".name").inner_text()
    episode = list(open_dataset(folder / name))[-1]  # the reset has begun another
    assert len(episode.actions) == 5
    assert set(episode.actions.tolist()) == {2}  # RIGHT


def test_a_recording_needs_something_to_record_to(tab: Open) -> None:
    here = tab(FROM)
    here.page.get_by_label("mp4 video").uncheck()
    here.page.get_by_role("checkbox", name="Episodes").uncheck()
    here.page.get_by_role("button", name="Record", exact=True).click()
    assert "Choose what to record to" in here.page.get_by_role("alert").inner_text()
    assert not here.state["recording"]


def test_a_reload_keeps_source_start_and_settings(tab: Open) -> None:
    here = tab(FROM)
    here.page.get_by_label("Strategy of dream 1").select_option("replay_kl")
    here.page.get_by_label("Compare two settings").check()
    here.until("location.hash.split('dream=').length === 3")
    before = here.state
    here.page.reload()
    here.until("window.memworld && memworld.state().live")
    after = here.state
    assert [after[name] for name in ("source", "dreams", "tab")] == [
        before[name] for name in ("source", "dreams", "tab")
    ]
    assert (after["began"]["episode"], after["began"]["step"]) == (1, 30)


def test_two_tabs_play_at_once(tab: Open) -> None:
    first = tab(FROM)
    second = tab("#tab=play&start=2.10&dream=strategy:replay_l2", beside=first)
    first.page.bring_to_front()
    first.steps(3, "ArrowRight")
    second.page.bring_to_front()
    second.steps(4, "ArrowLeft")
    assert (first.state["step"], second.state["step"]) == (3, 4)
    assert first.state["dreams"][0]["strategy"] == "analogues"
    assert second.state["began"]["episode"] == 2


def test_a_lost_connection_comes_back(tab: Open, serve: Serve, pong: Path) -> None:
    server = serve("play", pong / "memory")
    here = tab(FROM, server=server, allowed=BROKEN)
    here.steps(5, "ArrowRight")
    near = here.state["panels"][0]["neighbours"][0]
    server.kill()
    here.says(r"The connection to the server is lost\. Trying again in \d")
    here.until("!memworld.state().live")
    assert here.page.locator("#connection-text").inner_text() == "reconnecting"
    assert here.page.locator("#play").is_disabled()
    here.shot("lost")
    here.page.wait_for_timeout(1500)
    server.start()
    here.until("memworld.state().live")
    here.says("The connection is back. The dream goes on from episode")
    assert here.page.locator("#connection-text").inner_text() == "connected"
    began = here.state["began"]
    assert (began["episode"], began["step"]) == (near["episode"], near["step"])
    here.steps(2)


def test_a_server_that_is_gone_is_told_in_words(tab: Open, serve: Serve, pong: Path) -> None:
    server = serve("browse", pong / "episodes")
    here = tab("", live=False, server=server, allowed=BROKEN)
    here.page.locator("#episodes-body tr").first.wait_for()
    server.kill()
    here.page.locator("#episodes-body button").nth(2).click()
    here.until("!document.querySelector('#alert').hidden")
    assert "The server does not answer" in here.page.get_by_role("alert").inner_text()


def test_more_players_than_there_is_room_for_are_told(tab: Open, serve: Serve, pong: Path) -> None:
    server = serve("play", pong / "memory")
    first = tab(FROM, server=server)
    for _ in range(7):
        tab(FROM, server=server, beside=first)
    ninth = tab(FROM, server=server, beside=first, live=False)
    ninth.says("8 pages play already")
    first.page.close()
    ninth.until("memworld.state().live")


def test_a_token_opens_the_page_and_does_not_stay_in_sight(tab: Open, serve: Serve, pong: Path) -> None:
    server = serve("play", pong / "memory", "--token")
    assert "?token=" in server.address
    here = tab(FROM, server=server)
    assert "token" not in here.ask("location.href")
    here.page.reload()
    here.until("window.memworld && memworld.state().live")
    here.steps(1)


def test_what_is_opened_while_the_connection_is_lost_begins_where_it_was_asked_to(
    tab: Open, serve: Serve, pong: Path
) -> None:
    server = serve("play", pong / "memory")
    here = tab(FROM, server=server, allowed=BROKEN)
    here.steps(2, "ArrowRight")
    here.page.get_by_role("button", name="Start from…").click()
    dialog = here.moment()
    server.kill()
    here.until("!memworld.state().live")
    here.page.locator("#moment-step").fill("50")
    dialog.get_by_role("button", name="Start here").click()
    server.start()
    here.until("memworld.state().live")
    began = here.state["began"]
    assert (began["episode"], began["step"]) == (1, 50)


def test_a_recording_whose_length_cannot_be_told_is_listed(tab: Open, serve: Serve, pong: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "play").mkdir(parents=True)
    name = "20200101-000000-abcdef.mp4"
    (tmp_path / "runs" / "play" / name).write_bytes(b"no video")
    here = tab(FROM, server=serve("play", pong / "memory"))
    listed = here.page.locator("#recordings li")
    listed.wait_for()
    assert listed.inner_text().split("\n") == ["Video", "8 B", name]
    assert here.page.locator("#alert").is_hidden()
