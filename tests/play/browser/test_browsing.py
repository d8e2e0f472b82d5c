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
from memworld.store import save_memory
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


def test_what_only_reading_tells_is_filled_in_for_the_rows_on_screen(tab: Open, serve: Serve, tmp_path: Path) -> None:
    data = moving_square_dataset(episodes=60, steps=5)
    write_npz(data, tmp_path / "data")
    (tmp_path / "data" / "episodes" / "e2.npz").write_bytes(b"damaged")
    here = tab("", live=False, server=serve("browse", tmp_path / "data"), allowed=("400",))
    told = "[...document.querySelectorAll('#episodes-body tr')].map((row) => row.cells[3].textContent)"
    here.until(f"{told}.length === 60 && {told}.slice(3, 8).every((text) => text !== '–')")
    assert here.ask(f"{told}[59]") == "–"  # far below what is on screen
    unread = here.page.locator("tr[data-index='59'] td").nth(3)
    assert unread.get_attribute("title") == "Known once the episode has been read, as when it is opened."
    assert here.ask(f"{told}[2]") == "–"
    assert here.ask(f"{told}[5]") == f"{data[5].rewards.sum():g}"
    here.ask("document.querySelector('#episodes-scroll').scrollTop = 100000")
    here.until(f"{told}[59] !== '–'")
    assert unread.get_attribute("title") is None
    assert here.page.get_by_role("alert").is_hidden()


def test_the_chosen_episode_is_in_view(tab: Open, serve: Serve, tmp_path: Path) -> None:
    write_npz(moving_square_dataset(episodes=60, steps=5), tmp_path / "data")
    here = tab("#tab=browse&at=40.2", live=False, server=serve("browse", tmp_path / "data"))
    here.until("document.querySelector('tr.chosen')?.dataset.index === '40'")
    row, table = (here.page.locator(name).bounding_box() for name in ("tr.chosen", "#episodes-scroll"))
    assert row
    assert table
    assert table["y"] < row["y"] < table["y"] + table["height"] - row["height"]


def test_a_memory_without_episodes_leaves_no_other_picture_in_view(
    tab: Open, serve: Serve, pong: Path, tmp_path: Path
) -> None:
    encoder = untrained_vae((16, 16, 1), (4, 4, 4))
    save_memory(Memory(moving_square_dataset(1, 5).info, encoder), tmp_path / "empty", encoder=encoder)
    here = tab("", live=False, server=serve("browse", pong / "memory", tmp_path / "empty"))
    here.until("document.querySelector('#episode-frame').complete && document.querySelector('#episode-frame').src")
    assert here.page.locator("#episode-frame").is_visible()
    here.page.locator("#source").select_option("empty")
    here.until("document.querySelector('#episode-title').textContent === 'No episodes'")
    assert here.page.locator("#episode-frame").is_hidden()
    assert here.page.locator("#curves").is_hidden()


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
    assert "distance 0" in first.inner_text()
    assert "in nats" in (first.get_attribute("title") or "")
    assert here.page.locator("#found-means").inner_text().startswith("Distance: KL divergence of latents, in nats.")
    assert here.page.locator("#found-verdict").inner_text() == ""
    wide = tmp_path / "wide.png"
    Image.effect_noise((1280, 128), 90).save(wide)
    here.page.locator("#upload").set_input_files(wide)
    here.says("Nothing recorded is like this")
    verdict = here.page.locator("#found-verdict").inner_text()
    assert "The picture has 1280×128 pixels and was resized to 64×64 for this, which changes its shape." in verdict
    other = tmp_path / "not.png"
    other.write_bytes(b"not a picture at all")
    here = tab("#tab=browse", live=False, allowed=("400",))
    here.page.locator("#upload").set_input_files(other)
    here.until("!document.querySelector('#alert').hidden")
    assert "PNG" in here.page.get_by_role("alert").inner_text()
    here.says("^$")  # the search is over


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
    here.page.locator("#source").select_option("broken")
    alert.wait_for()
    assert here.page.locator("#view-browse").is_hidden()  # nothing of the memory stays
    here.shot("broken")
    alert.get_by_role("button", name="Browse").click()
    here.page.locator("#episodes-body tr").first.wait_for()
    assert here.page.locator("#source").input_value() == "memory"


def test_of_what_cannot_be_played_only_the_reason_is_shown(tab: Open) -> None:
    here = tab("#tab=play&source=episodes", live=False)
    alert = here.page.get_by_role("alert")
    alert.wait_for()
    assert "cannot be played" in alert.inner_text()
    assert alert.get_by_role("button").count() == 1
    for name in ("#stage", "#play", "#choose-start", "#record"):
        assert here.page.locator(name).is_hidden()
    alert.get_by_role("button", name="Play").click()
    here.until("memworld.state().live")
    assert here.page.locator("#play").is_enabled()
    assert alert.is_hidden()


def test_an_address_of_a_source_that_there_is_not_says_so(tab: Open) -> None:
    tab("#tab=browse&source=gone", live=False).says('There is no source "gone" here')
