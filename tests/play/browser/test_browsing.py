"""Browsing: episodes, frames, curves, and where a frame has been seen."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Route

from memworld import open_dataset
from memworld.formats import write_npz
from memworld.memory import Memory
from memworld.world_model import WorldModel
from tests.helpers import moving_square_dataset, untrained_vae
from tests.play.browser.conftest import Open, Serve
from tests.play.browser.serving import Served

HOSTILE = '<img src=x onerror="document.title=1">'


def test_episodes_are_listed_sorted_and_looked_at(tab: Open, pong: Path) -> None:
    here = tab("", live=False)
    rows = here.page.locator("#episodes-body tr")
    rows.nth(3).wait_for()
    dataset = open_dataset(pong / "episodes")
    returns = [float(dataset[i].rewards.sum()) for i in range(4)]
    here.page.get_by_role("button", name="Return").click()
    shown = [float(text) for text in here.page.locator("#episodes-body td:nth-child(4)").all_inner_texts()]
    assert shown == sorted(returns, reverse=True)
    assert here.page.get_by_role("columnheader", name="Return").get_attribute("aria-sort") == "descending"
    here.page.get_by_role("button", name=dataset.ids[2]).click()
    here.until(f"document.querySelector('#episode-title').textContent === 'Episode {dataset.ids[2]}'")

    scrubber = here.page.get_by_label("Step of the episode")
    scrubber.focus()
    for _ in range(3):
        here.page.keyboard.press("ArrowRight")
    assert here.page.locator("#at-step").inner_text() == "3 of 119"
    action = int(dataset[2].actions[3])
    assert here.page.locator("#at-action").inner_text() == dataset.info.action_names[action]
    here.until("document.querySelector('#episode-frame').complete")
    here.shot("browse")
    here.page.locator("#strip").click(position={"x": 2, "y": 20})
    assert here.page.locator("#at-step").inner_text() == "0 of 119"
    here.page.get_by_role("button", name="Play the recording").click()
    here.until("parseInt(document.querySelector('#at-step').textContent) > 3")
    here.page.get_by_role("button", name="Stop").click()


def test_who_goes_along_the_episodes_by_the_keyboard_stays_there(tab: Open, pong: Path) -> None:
    ids = open_dataset(pong / "episodes").ids
    here = tab("#tab=browse&source=episodes", live=False)
    here.until(f"document.querySelector('#episode-title').textContent === 'Episode {ids[0]}'")
    here.page.get_by_role("button", name=ids[2]).focus()
    here.page.keyboard.press("Enter")
    here.until(f"document.querySelector('#episode-title').textContent === 'Episode {ids[2]}'")
    assert here.ask("document.activeElement.textContent") == ids[2]


def test_of_many_episodes_none_is_listed_anew_without_need(tab: Open, serve: Serve, tmp_path: Path) -> None:
    write_npz(moving_square_dataset(episodes=1, steps=5), tmp_path / "many")
    index = json.loads((tmp_path / "many" / "dataset.json").read_text())
    [entry] = index["episodes"]
    for number in range(1, 700):
        (tmp_path / "many" / "episodes" / f"x{number}.npz").hardlink_to(tmp_path / "many" / "episodes" / "e0.npz")
        index["episodes"].append({**entry, "id": f"x{number}"})
    (tmp_path / "many" / "dataset.json").write_text(json.dumps(index))
    here = tab("", live=False, server=serve("browse", tmp_path / "many"))
    rows = here.page.locator("#episodes-body tr")
    here.until("document.querySelector('#episodes-note').textContent === '700 episodes.'")
    assert rows.count() == 500
    here.ask("document.querySelectorAll('#episodes-body tr').forEach((row) => (row.dataset.old = 'yes'))")
    here.page.get_by_role("button", name="Show more").click()
    assert rows.count() == 700
    assert here.page.get_by_role("button", name="Show more").is_hidden()
    here.page.get_by_role("button", name="x300", exact=True).click()
    here.until("document.querySelector('#episode-title').textContent === 'Episode x300'")
    assert here.page.locator("tr[data-index='300'] td").all_inner_texts()[3:] != ["–", "–"]
    assert here.page.locator("tr[data-old]").count() == 500


def test_the_last_episode_that_was_asked_for_is_shown(tab: Open, pong: Path) -> None:
    ids = open_dataset(pong / "episodes").ids
    here = tab("#tab=browse&source=episodes", live=False)
    here.page.locator("#episodes-body tr").nth(4).wait_for()
    held: list[Route] = []
    here.page.route("**/episodes/3", lambda route: held.append(route))
    here.page.get_by_role("button", name=ids[3]).click()
    here.page.get_by_role("button", name=ids[1]).click()
    here.until(f"document.querySelector('#episode-title').textContent === 'Episode {ids[1]}'")
    with here.page.expect_response("**/episodes/3") as late:
        held[0].continue_()
    late.value.finished()
    here.page.wait_for_timeout(300)
    assert here.page.locator("#episode-title").inner_text() == f"Episode {ids[1]}"


def test_a_frame_is_found_again(tab: Open, pong: Path) -> None:
    here = tab("#tab=browse&at=1.40", live=False)
    here.until("document.querySelector('#at-step').textContent.startsWith('40 of')")
    here.page.get_by_role("button", name="Where have I seen this?").click()
    first = here.page.locator("#found button").first
    first.wait_for()
    here.says("recorded moments found")
    assert "step 40" in first.inner_text()
    here.shot("search")
    first.click()
    dialog = here.moment()
    assert dialog.locator("#moment-where").inner_text().startswith("Step 40 of")


def test_a_picture_that_is_brought_along_is_found(tab: Open, pong: Path, tmp_path: Path) -> None:
    here = tab("#tab=browse", live=False)
    here.page.locator("#episodes-body tr").first.wait_for()
    dataset = open_dataset(pong / "episodes")
    picture = tmp_path / "seen.png"
    Image.fromarray(dataset[3].observations[77]).save(picture)
    here.page.locator("#upload").set_input_files(picture)
    here.says("recorded moments found")
    first = here.page.locator("#found button").first
    assert dataset.ids[3] in first.inner_text()
    assert "step 77" in first.inner_text()
    other = tmp_path / "not.png"
    other.write_bytes(b"not a picture at all")
    here = tab("#tab=browse", live=False, allowed=("400",))
    here.page.locator("#upload").set_input_files(other)
    here.until("!document.querySelector('#alert').hidden")
    assert "PNG" in here.page.get_by_role("alert").inner_text()


def test_episodes_that_no_memory_holds_are_searched_for_in_one(tab: Open) -> None:
    here = tab("#tab=browse&source=episodes&at=4.20", live=False)
    here.until("document.querySelector('#at-step').textContent.startsWith('20 of')")
    assert here.page.get_by_role("button", name="Play from here").is_disabled()
    assert "memworld remember" in here.page.locator("#play-why").inner_text()
    here.page.get_by_label("Search in").select_option("memory")
    here.page.get_by_role("button", name="Where have I seen this?").click()
    here.says("12 recorded moments found")


def test_an_episode_is_played_on_from_where_one_looks(tab: Open) -> None:
    here = tab("#tab=browse&at=2.15", live=False)
    here.until("document.querySelector('#at-step').textContent.startsWith('15 of')")
    here.page.get_by_role("button", name="Play from here").click()
    here.until("memworld.state().live")
    assert (here.state["began"]["episode"], here.state["began"]["step"]) == (2, 15)
    here.page.get_by_role("tab", name="Browse").click()
    here.page.get_by_label("Step of the episode").fill("33")
    here.page.get_by_role("button", name="Play from here").click()
    here.until("memworld.state().began.step === 33")


@pytest.fixture
def hostile(serve: Serve, tmp_path: Path) -> Served:
    """A server of a memory that lies in a folder whose name is markup, as those of its actions are."""
    data = open_dataset(Path("tests/recorded/pong"))
    names = tuple(f"{HOSTILE}{i}" for i in range(len(data.info.action_names)))
    memory = Memory(replace(data.info, action_names=names), encoder := untrained_vae((64, 64, 3)))
    memory.extend(data, encoder)
    WorldModel(encoder, memory).save(tmp_path / HOSTILE)
    return serve("play", tmp_path / HOSTILE)


def test_names_are_text_and_never_markup(tab: Open, hostile: Served) -> None:
    here = tab("#tab=play&start=0.5", server=hostile)
    here.steps(2)
    assert here.page.locator("#keys-actions .hold").all_inner_texts() == [f"{HOSTILE}{i}" for i in range(6)]
    here.shot("hostile")
    here.page.locator("#sources button").first.click()
    dialog = here.moment()
    here.until("document.querySelector('#moment-action').textContent.includes('onerror')")
    dialog.get_by_role("button", name="See the episode").click()
    here.page.locator("#episodes-body tr").first.wait_for()
    assert here.page.locator("#at-action").inner_text().startswith(HOSTILE)
    assert HOSTILE in here.page.locator("#source").inner_text()
    assert here.page.locator("img[onerror]").count() == 0
    assert here.page.title() == f"{hostile.log.parent / HOSTILE} · memworld"
    here.shot("hostile-browse")


def test_what_cannot_be_opened_is_listed_with_the_reason(tab: Open, serve: Serve, pong: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(pong / "memory", broken)
    (broken / "memory.json").write_text("{")
    server = serve("browse", broken, pong / "memory")
    here = tab("#tab=browse&source=broken", server=server, live=False)
    alert = here.page.get_by_role("alert")
    alert.wait_for()
    assert "cannot be opened" in alert.inner_text()
    here.page.locator("#source").select_option("memory")
    here.page.locator("#episodes-body tr").first.wait_for()
    assert alert.is_hidden()
    here.shot("broken")
