"""Strategies and their settings while it plays, two dreams, the real world beside them, and other keys."""

from pathlib import Path

import pytest

from memworld.memory import Memory
from memworld.world_model import WorldModel
from tests.helpers import moving_square_dataset, untrained_vae
from tests.play.browser.conftest import Open, Serve

FROM = "#tab=play&start=1.30"


def test_the_strategy_is_switched_while_it_plays(tab: Open) -> None:
    here = tab(FROM)
    here.page.keyboard.press("p")
    here.until("memworld.state().step >= 4")
    here.page.get_by_label("Strategy of dream 1").select_option("replay_l2")
    here.until("memworld.state().dreams[0].strategy === 'replay_l2'")
    step = here.state["step"]
    assert step >= 4  # it goes on from where it was
    here.until(f"memworld.state().step > {step + 2}")
    here.page.keyboard.press("p")

    neighbours = here.page.get_by_label("Neighbours (k)")
    neighbours.fill("3")
    neighbours.press("Tab")
    here.until("memworld.state().dreams[0].k === 3")
    here.page.get_by_label("Aggregator").select_option("nearest")
    here.page.get_by_label("Conditioning").select_option("none")
    here.page.get_by_label("Mode").select_option("follow")
    here.page.get_by_label("Picture").select_option("frame")
    here.page.get_by_label("Context").select_option("2")
    here.until("memworld.state().dreams[0].context === 2")
    here.steps(2)
    chosen = {"strategy": "replay_l2", "k": 3, "rule": "nearest", "conditioning": "none", "mode": "follow"}
    assert here.state["dreams"] == [{**chosen, "decoding": "frame", "context": 2}]
    assert len(here.state["panels"][0]["neighbours"]) <= 3
    here.shot("settings")


def test_only_what_a_strategy_heeds_can_be_set(tab: Open) -> None:
    here = tab(FROM)
    assert here.page.get_by_label("Aggregator").count() == 0
    assert here.page.get_by_label("Neighbours (k)").count() == 0
    assert here.page.get_by_label("Mode").is_enabled()
    here.page.get_by_label("Strategy", exact=True).select_option("rollout")
    here.until("memworld.state().dreams[0].strategy === 'rollout'")
    assert here.page.get_by_label("Aggregator").is_enabled()
    assert here.page.get_by_label("Neighbours (k)").count() == 0  # it takes one of each episode


def test_every_setting_and_every_picture_is_explained(tab: Open) -> None:
    here = tab(FROM + "&dream=strategy:analogues&dream=strategy:replay_l2")
    controls = here.page.locator("#settings select, #settings input")
    assert controls.count() == 4 + 7
    for control in controls.all():
        assert (control.get_attribute("title") or "").endswith(".")
    pictures = here.page.get_by_label("Picture").first.locator("option").all_inner_texts()
    assert pictures == [
        "decoded, still parts kept sharp",
        "decoded (blurs and fades where unsure)",
        "recorded pieces (sharp)",
    ]
    assert "recorded frame (sharp)" in here.page.get_by_label("Picture").last.inner_text()


def test_support_that_says_nothing_is_no_number(tab: Open) -> None:
    here = tab(FROM + "&dream=strategy:replay_kl,k:1,conditioning:none")
    here.steps(2)
    support = here.page.locator(".meter.support")
    here.until("document.querySelector('.meter.support dd').textContent.includes('found that very one')")
    assert support.locator("dd span").first.inner_text() == "–"
    assert "at distance 0" in (support.get_attribute("title") or "")
    assert here.page.locator("#support-now").inner_text() == "–"


def test_what_is_being_made_ready_is_told(tab: Open, serve: Serve, tmp_path: Path) -> None:
    data = moving_square_dataset(episodes=40, steps=80)  # learning from so much takes longer than what is not told
    memory = Memory(data.info, encoder := untrained_vae((16, 16, 1), (4, 4, 4)))
    memory.extend(data, encoder)
    WorldModel(encoder, memory).save(tmp_path / "memory")
    here = tab("#tab=play&start=1.3&dream=strategy:replay_l2", server=serve("play", tmp_path / "memory"))
    here.steps(1)
    strategy = here.page.get_by_label("Strategy of dream 1")
    strategy.select_option("analogues")
    pending = here.until("""(() => {
        const [panel, form] = ["#frames select", "#setting-0-strategy"].map((name) => document.querySelector(name));
        const [text, time] = ["#busy-text", "#busy-time"].map((name) => document.querySelector(name).textContent);
        return !document.querySelector("#busy").hidden && [panel.value, panel.title, form.value, text, time];
    })()""")
    assert (pending[0], pending[2]) == ("analogues", "analogues")
    assert pending[1].startswith("Asked for, and not ready yet.")
    assert pending[3].startswith("Getting analogues ready: learning from memory")
    assert pending[4].endswith(" s so far")
    here.until("memworld.state().dreams[0].strategy === 'analogues'")
    here.says("The settings hold from here on")
    assert here.page.locator("#busy").is_hidden()


def test_a_setting_that_cannot_be_is_told_and_taken_back(tab: Open) -> None:
    here = tab(FROM + "&dream=strategy:replay_l2,k:4")
    here.page.get_by_label("Neighbours (k)").fill("5000")
    here.page.get_by_label("Neighbours (k)").press("Tab")
    alert = here.page.get_by_role("alert")
    assert "a whole number from 1 to 50" in alert.inner_text()
    assert here.page.get_by_label("Neighbours (k)").input_value() == "4"
    alert.get_by_role("button", name="Dismiss").click()
    assert here.state["dreams"][0]["k"] == 4


def test_a_changed_setting_keeps_the_focus(tab: Open) -> None:
    here = tab(FROM)
    here.page.get_by_label("Mode").focus()
    here.page.keyboard.press("ArrowDown")
    here.until("memworld.state().dreams[0].mode === 'requery'")
    assert here.ask("document.activeElement.id") == "setting-0-mode"


def test_two_settings_beside_each_other_under_the_same_keys(tab: Open) -> None:
    here = tab(FROM)
    here.page.get_by_label("Compare two settings").check()
    here.until("memworld.state().dreams.length === 2 && memworld.state().panels.length === 2")
    assert here.frame(0) == here.frame(1)
    here.steps(6, "ArrowLeft")
    assert here.frame(0) != here.frame(1)
    titles = [panel["title"] for panel in here.state["panels"]]
    assert titles == ["dream 1", "dream 2"]
    before = here.page.locator("#sources").inner_text()
    here.page.get_by_role("button", name="Dream 2").click()
    assert here.page.locator("#sources").inner_text() != before
    here.shot("compare")
    here.page.get_by_label("Strategy of dream 2").select_option("analogues")
    here.until("memworld.state().dreams[1].strategy === 'analogues'")
    here.page.get_by_label("Compare two settings").uncheck()
    here.until("memworld.state().dreams.length === 1 && memworld.state().panels.length === 1")


def test_the_real_world_plays_beside_the_dream(tab: Open) -> None:
    here = tab(FROM)
    here.page.get_by_label("The real world beside it").check()
    here.until("memworld.state().real && memworld.state().panels.length === 2")
    assert here.frame(0) == here.frame(1)  # the recorded frame, and the game brought to the same moment
    here.steps(6, "ArrowRight")
    assert here.state["panels"][1]["kind"] == "real"
    right = here.frame(1)
    here.shot("real")
    here.page.keyboard.press("r")
    here.until("memworld.state().step === 0")
    here.steps(6, "ArrowLeft")
    assert here.frame(1) != right


def test_keys_are_changed_kept_and_given_back(tab: Open) -> None:
    here = tab(FROM)
    rows = here.page.locator("#keys-actions li")
    right = rows.filter(has=here.page.get_by_role("button", name="RIGHT", exact=True))
    right.locator(".codes").click()
    here.says("Press the key for RIGHT")
    here.page.keyboard.press("l")
    here.says("RIGHT: L")
    here.page.locator("#stage").focus()
    here.page.keyboard.down("l")
    assert here.page.locator(".key.lit .hold").all_inner_texts() == ["RIGHT"]
    here.page.keyboard.up("l")
    here.until("!document.querySelector('.key.lit')")
    here.page.keyboard.down("ArrowRight")
    assert here.page.locator(".key.lit").count() == 0
    here.page.keyboard.up("ArrowRight")
    # Two keys held together, of which one command loses its own.
    left = rows.filter(has=here.page.get_by_role("button", name="LEFT", exact=True))
    left.locator(".codes").click()
    here.page.keyboard.down("j")
    here.page.keyboard.down("k")
    here.page.keyboard.up("k")
    here.page.keyboard.up("j")
    here.says("LEFT: J with K")
    fire = rows.filter(has=here.page.get_by_role("button", name="FIRE", exact=True))
    fire.locator(".codes").click()
    here.page.keyboard.press("r")
    here.says("Reset had that key before")
    noop = rows.filter(has=here.page.get_by_role("button", name="NOOP", exact=True))
    noop.locator(".codes").click()
    here.page.keyboard.press("Escape")
    here.says("stay as they were")
    here.shot("keys")

    here.page.reload()
    here.until("window.memworld && memworld.state().live")
    assert "L" in right.locator(".codes").inner_text()
    here.page.get_by_role("button", name="Reset to defaults").click()
    assert "→" in right.locator(".codes").inner_text()
    assert here.page.get_by_role("button", name="Reset to defaults").is_disabled()


def test_names_of_actions_can_be_held_by_mouse_and_finger(tab: Open) -> None:
    here = tab(FROM, has_touch=True)
    hold = here.page.get_by_role("button", name="LEFT", exact=True)
    hold.scroll_into_view_if_needed()
    box = hold.bounding_box()
    assert box
    here.page.mouse.move(box["x"] + 10, box["y"] + 10)
    here.page.mouse.down()
    here.until("memworld.state().step >= 3")
    assert here.page.locator(".key.lit .hold").all_inner_texts() == ["LEFT"]
    here.page.mouse.up()
    here.until("!document.querySelector('.key.lit')")
    hold.tap()


def test_a_gamepad_plays_by_stick_and_buttons(tab: Open) -> None:
    here = tab(FROM)
    # No pad is plugged into the computers that run tests: the browser's own list of them is filled in its place.
    here.ask("""
        window.pad = {axes: [0, 0], buttons: Array.from({length: 16}, () => ({pressed: false, value: 0}))};
        navigator.getGamepads = () => [window.pad];
        window.dispatchEvent(new Event("gamepadconnected"));
    """)
    here.ask("window.pad.axes[0] = 0.9")
    here.until("memworld.state().step >= 2")
    lit = here.page.locator(".key.lit .hold")
    assert lit.all_inner_texts() == ["RIGHT"]
    here.ask("window.pad.buttons[0].pressed = true")
    here.until("document.querySelector('.key.lit .hold').textContent === 'RIGHTFIRE'")
    here.ask("window.pad.axes[0] = 0, window.pad.buttons[0].pressed = false")
    here.until("!document.querySelector('.key.lit')")
    here.ask("window.pad.buttons[9].pressed = true")
    here.until("!memworld.state().playing")


@pytest.mark.parametrize("strategy", ["nonsense", "toString"])
def test_a_strategy_that_there_is_not_gives_way_to_the_usual_one(tab: Open, strategy: str) -> None:
    here = tab(f"{FROM}&dream=strategy:{strategy}")
    assert here.state["dreams"] == [{"strategy": "analogues"}]
    here.says(f'There is no strategy "{strategy}": analogues dreams instead. Hold a key to begin')


def test_where_a_start_is_no_more_the_first_moment_is_opened(tab: Open) -> None:
    here = tab("#tab=play&start=99.5", live=False)
    alert = here.page.get_by_role("alert")
    alert.wait_for()
    assert "episodes 0 to 3, not 99" in alert.inner_text()
    alert.get_by_role("button", name="Open again").click()
    here.until("memworld.state().live")
    assert (here.state["began"]["episode"], here.state["began"]["step"]) == (0, 0)
