"""Playing by the keyboard: keys and actions, pause, step, reset, moments to start from."""

import re
from pathlib import Path

from playwright.sync_api import WebSocket

from memworld.world_model import WorldModel
from tests.play.browser.conftest import Open

FROM = "#tab=play&start=1.30"


def test_a_held_key_plays_and_its_action_is_heeded(tab: Open) -> None:
    here = tab(FROM)
    assert here.state["began"]["episode"] == 1
    assert here.state["began"]["step"] == 30
    first = here.frame()
    here.says("Hold a key to begin")
    here.shot("play-opened")
    here.page.keyboard.down("ArrowRight")
    here.says("^$")  # what asked to begin has been heeded
    here.until("memworld.state().step >= 12")
    lit = here.page.locator(".key.lit")
    assert lit.locator(".hold").all_inner_texts() == ["RIGHT"]
    here.shot("play-right")
    here.page.keyboard.up("ArrowRight")
    here.until("!document.querySelector('.key.lit')")
    assert here.frame() != first

    # The very same steps under another key, and again under the same one.
    ends = []
    for key in ("ArrowRight", "ArrowLeft", "ArrowRight"):
        if here.state["playing"]:
            here.page.keyboard.press("p")
        here.page.keyboard.press("r")
        here.until("memworld.state().step === 0")
        assert here.frame() == first
        here.steps(8, key)
        ends.append(here.frame())
    assert ends[0] != ends[1]
    assert ends[0] == ends[2]


def test_keys_held_together_are_an_action_of_their_own(tab: Open) -> None:
    here = tab(FROM)
    here.page.locator("#stage").focus()
    here.page.keyboard.down("ArrowRight")
    here.page.keyboard.down("Space")
    assert here.page.locator(".key.lit .hold").all_inner_texts() == ["RIGHTFIRE"]
    here.page.keyboard.up("Space")
    here.until("document.querySelector('.key.lit .hold').textContent === 'RIGHT'")  # once a step has taken it
    here.page.keyboard.up("ArrowRight")
    here.until("!document.querySelector('.key.lit')")


def test_pause_single_steps_and_reset(tab: Open) -> None:
    here = tab(FROM)
    here.page.keyboard.press("p")
    here.until("memworld.state().step >= 3")
    assert here.page.locator("#play").inner_text() == "Pause"
    here.page.keyboard.press("p")
    here.page.wait_for_timeout(300)
    stopped = here.state
    here.page.wait_for_timeout(500)
    assert (here.state["step"], here.state["playing"]) == (stopped["step"], False)
    here.page.keyboard.down("ArrowLeft")  # who has paused does not go on by an action
    here.page.wait_for_timeout(300)
    here.page.keyboard.up("ArrowLeft")
    assert here.state["step"] == stopped["step"]
    here.page.keyboard.press(".")
    here.until(f"memworld.state().step === {stopped['step'] + 1}")
    here.page.keyboard.press("r")
    here.until("memworld.state().step === 0")
    assert here.state["began"]["step"] == 30
    here.says("Begins again at episode")


def test_buttons_leave_the_keys_to_the_game(tab: Open) -> None:
    here = tab(FROM)
    here.page.click("#play")
    here.until("memworld.state().step >= 2")
    here.page.keyboard.down("Space")  # fires, and does not press the button again
    here.page.wait_for_timeout(400)
    assert here.page.locator(".key.lit .hold").all_inner_texts() == ["FIRE"]
    here.page.keyboard.up("Space")
    assert here.state["playing"]


def test_speed_is_kept(tab: Open) -> None:
    here = tab(FROM)
    here.page.locator("#speed").fill("5")
    here.page.keyboard.press("p")
    here.page.locator("#stage").focus()
    here.page.keyboard.press("p")
    here.ask("memworld.clear()")
    here.page.wait_for_timeout(2500)
    assert 3.5 < here.ask("memworld.stats().overall") < 5.5
    here.page.reload()
    here.until("window.memworld && memworld.state().live")
    assert here.page.locator("#speed-text").inner_text() == "5 fps"


def test_a_start_is_chosen_among_all_recorded_moments(tab: Open, pong: Path) -> None:
    here = tab(FROM)
    here.page.click("#choose-start")
    dialog = here.moment()
    ids = WorldModel.open(pong / "memory").memory.ids
    here.until(f"document.querySelectorAll('#moment-episode option').length === {len(ids)}")
    assert dialog.get_by_label("Episode").locator("option").all_inner_texts() == list(ids)
    assert dialog.get_by_label("Episode").input_value() == "1"
    dialog.get_by_label("Episode").select_option(ids[3])
    here.until("document.querySelector('#moment-where').textContent.startsWith('Step 0 of')")
    dialog.get_by_label("Step", exact=True).fill("41")
    here.until("document.querySelector('#moment-frame').complete")
    assert dialog.locator("#moment-where").inner_text() == "Step 41 of 119"
    here.shot("moment-chosen", whole=False)
    dialog.get_by_role("button", name="Start here").click()
    here.until("memworld.state().began.episode === 3 && memworld.state().step === 0")
    assert here.state["began"]["step"] == 41
    here.steps(2)
    here.page.keyboard.press("r")
    here.until("memworld.state().step === 0")
    assert (here.state["began"]["episode"], here.state["began"]["step"]) == (3, 41)


def test_a_neighbour_opens_with_what_came_before_and_after(tab: Open) -> None:
    here = tab(FROM)
    here.steps(3, "ArrowRight")
    neighbour = here.state["panels"][0]["neighbours"][0]
    first = here.page.locator("#sources button").first
    here.until(f"document.querySelector('#sources .step').textContent === 'step {neighbour['step']}'")
    assert neighbour["id"] in (first.get_attribute("aria-label") or "")
    assert re.search(r"\ndistance [\d.]+\nweight \d+ %", first.inner_text())
    measure = here.page.locator("#sources-measure").inner_text()
    assert measure == (
        "Distance: squared, between how two moments look and move, on this memory's own scale. "
        "Weight: its share in the prediction."
    )
    assert (first.get_attribute("title") or "").endswith(measure)
    first.click()
    dialog = here.moment()
    here.until(f"document.querySelector('#moment-where').textContent === 'Step {neighbour['step']} of 119'")
    assert dialog.locator("h2").inner_text() == f"Episode {neighbour['id']}"
    dialog.get_by_role("button", name=f"Step {neighbour['step'] + 1}", exact=True).click()
    assert dialog.locator("#moment-where").inner_text().startswith(f"Step {neighbour['step'] + 1} of")
    dialog.get_by_role("button", name="Search from here").click()
    dialog.locator("#moment-found button").first.wait_for(state="visible")
    found = dialog.locator("#moment-found button:visible")
    assert f"step {neighbour['step'] + 1}" in found.first.inner_text()  # nearest to itself
    here.shot("moment-neighbour", whole=False)
    found.nth(1).click()
    here.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def test_the_map_opens_moments_and_shows_the_way(tab: Open, pong: Path) -> None:
    here = tab(FROM)
    here.until("document.querySelector('#map-caption').textContent.includes('varies most')")
    here.steps(3)
    here.page.locator("#map").focus()
    here.page.keyboard.press("ArrowUp")
    caption = here.page.locator("#map-caption").inner_text()
    assert re.match(rf"Episode ({'|'.join(WorldModel.open(pong / 'memory').memory.ids)}), step \d+:", caption)
    here.page.keyboard.press("ArrowLeft")
    here.page.keyboard.press("Enter")
    dialog = here.moment()
    assert dialog.locator("#moment-where").inner_text().startswith("Step ")
    here.page.keyboard.press("Escape")
    here.page.locator("#map").click(position={"x": 60, "y": 60})
    here.moment()


def test_the_page_measures_itself(tab: Open) -> None:
    here = tab(FROM)
    here.page.locator("#stage").focus()
    for _ in range(6):
        here.page.keyboard.press("ArrowRight", delay=120)
        here.page.wait_for_timeout(120)
    told = here.ask("memworld.stats()")
    assert told["presses"] >= 5
    assert 0 < told["median"] <= told["p99"] < 10_000
    here.until("document.querySelector('#performance').textContent.includes('key to frame')")
    assert "99 %" not in here.page.locator("#performance").inner_text()  # of so few


def test_there_is_never_more_than_one_step_on_its_way(tab: Open) -> None:
    here = tab(FROM + "&fps=60")
    asked, answered, most = 0, 0, 0

    def sent(_: object) -> None:
        nonlocal asked, most
        asked += 1
        most = max(most, asked - answered)

    def received(_: object) -> None:
        nonlocal answered
        answered += 1

    def connected(socket: WebSocket) -> None:
        socket.on("framesent", sent)
        socket.on("framereceived", received)

    here.page.on("websocket", connected)
    here.page.reload()
    here.until("window.memworld && memworld.state().live")
    here.page.keyboard.down("ArrowRight")
    here.until("memworld.state().step >= 40")
    here.page.keyboard.up("ArrowRight")
    assert asked > 40
    assert most == 1
