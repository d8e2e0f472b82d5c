"""For everybody: no barriers that axe-core finds, the keyboard alone, small screens, and little motion."""

import pytest

from tests.browsers import no_barriers
from tests.play.browser.conftest import Open

FROM = "#tab=play&start=1.30"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_barriers_anywhere_in_either_theme(tab: Open, theme: str) -> None:
    here = tab(FROM, color_scheme=theme)
    no_barriers(here.page)
    here.page.get_by_label("Compare two settings").check()
    here.until("memworld.state().panels.length === 2")
    here.steps(3, "ArrowRight")
    no_barriers(here.page)
    here.shot(f"access-play-{theme}")
    here.page.locator("#sources button").first.click()
    dialog = here.moment()
    dialog.get_by_role("button", name="Search from here").click()
    dialog.locator("#moment-found button").first.wait_for(state="visible")
    no_barriers(here.page)
    here.shot(f"access-moment-{theme}", whole=False)
    here.page.keyboard.press("Escape")
    here.page.get_by_role("tab", name="Browse").click()
    here.page.locator("#episodes-body tr").first.wait_for()
    here.page.get_by_role("button", name="Where have I seen this?").click()
    here.says("moments found")
    no_barriers(here.page)
    here.shot(f"access-browse-{theme}")


def test_the_theme_can_be_chosen_and_is_kept(tab: Open) -> None:
    here = tab(FROM, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = here.ask(ground)
    toggle = here.page.get_by_role("button", name="Theme")
    toggle.click()
    toggle.click()
    assert toggle.get_attribute("aria-label") == "Theme: dark"
    dark = here.ask(ground)
    assert dark != light
    here.page.reload()
    here.until("window.memworld")
    assert here.ask(ground) == dark


def test_everything_is_reached_and_done_by_the_keyboard_alone(tab: Open) -> None:
    here = tab(FROM)
    keyboard = here.page.keyboard
    at = "document.activeElement.id || document.activeElement.className"
    keyboard.press("Tab")
    assert here.ask("document.activeElement.textContent") == "Skip to the content"
    keyboard.press("Enter")
    assert here.ask(at) == "main"
    keyboard.press("Tab")
    assert here.ask(at) == "stage"
    seen = []
    for _ in range(60):
        keyboard.press("Tab")
        seen.append(here.ask(at))
        outline = here.ask("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", seen[-1]  # one sees where one is
        if seen[-1] == "to-episodes":
            break
    order = ["play", "step", "reset", "choose-start", "record", "speed", "compare", "real", "map", "to-mp4"]
    assert [name for name in seen if name in order] == order
    here.page.locator("#step").focus()
    keyboard.press("Enter")
    here.until("memworld.state().step === 1")
    here.page.locator("#choose-start").focus()
    keyboard.press("Space")
    here.moment()
    assert here.ask(at) == "moment-step"
    here.until("document.querySelector('#moment-where').textContent.startsWith('Step 30 ')")
    keyboard.press("ArrowRight")
    here.until("document.querySelector('#moment-where').textContent.startsWith('Step 31 ')")
    for _ in range(12):
        keyboard.press("Tab")
        # Beyond its last element lies the browser's own frame, and never the page behind it.
        inside = "document.querySelector('dialog').contains(document.activeElement)"
        assert here.ask(f"{inside} || document.activeElement === document.body")
    keyboard.press("Escape")
    assert here.ask(at) == "choose-start"  # back where one came from
    here.page.get_by_role("tab", name="Play").focus()
    keyboard.press("ArrowRight")
    here.until("memworld.state().tab === 'browse'")
    assert here.page.get_by_role("tab", name="Browse").get_attribute("aria-selected") == "true"


@pytest.mark.parametrize("where", [FROM, FROM + "&dream=strategy:analogues&dream=strategy:replay_kl", "#tab=browse"])
def test_a_phone_shows_all_of_it(tab: Open, where: str) -> None:
    live = "play" in where
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    here = tab(where, live=live, **phone)
    here.page.wait_for_timeout(500)
    assert here.ask("document.documentElement.scrollWidth") <= 390
    here.shot(f"phone-{'browse' if not live else 'two' if 'replay' in where else 'one'}", whole=False)
    if live:
        # What one plays with and what one sees are on the screen together.
        for name in ("LEFT", "Play", "Step", "Reset"):
            box = here.page.locator("#view-play").get_by_role("button", name=name, exact=True).bounding_box()
            assert box
            assert box["y"] + box["height"] < 844
        here.says("Press Play, or hold the name of an action")  # there are no keys
        narrow = here.ask("[...document.querySelectorAll('.panel')].map((panel) => panel.clientWidth)")
        assert min(narrow) > 300
        cut = "[...document.querySelectorAll('.panel select, .panel dd')].filter((e) => e.scrollWidth > e.clientWidth)"
        assert here.ask(f"{cut}.length") == 0
        here.page.get_by_role("button", name="LEFT", exact=True).tap()
        here.until("memworld.state().step >= 1")
        here.says("^$")  # what asked to play has been heeded
        no_barriers(here.page)


@pytest.mark.parametrize("width", [360, 390, 430])
def test_frames_are_whole_on_phones(tab: Open, width: int) -> None:
    here = tab("#tab=browse", live=False, viewport={"width": width, "height": 800}, is_mobile=True)
    here.until("document.querySelector('#episode-frame').complete")
    box = here.page.locator("#episode-frame").bounding_box()
    well = here.page.locator(".episode .well").bounding_box()
    assert box
    assert well
    assert box["x"] >= well["x"]
    assert box["x"] + box["width"] <= well["x"] + well["width"]
    assert box["width"] > 250


def test_the_buttons_stay_where_they_are_as_panels_come_and_go(tab: Open) -> None:
    here = tab(FROM)
    before = here.page.locator("#play").bounding_box()
    for switch in ("Compare two settings", "The real world beside it"):
        here.page.get_by_label(switch).check()
    here.until("memworld.state().panels.length === 3")
    here.steps(1)
    assert here.page.locator("#play").bounding_box() == before
    here.page.get_by_label("Compare two settings").uncheck()
    here.until("memworld.state().panels.length === 2")
    assert here.page.locator("#play").bounding_box() == before


def test_dismissing_what_went_wrong_gives_the_focus_back(tab: Open) -> None:
    here = tab(FROM)
    here.page.get_by_label("mp4 video").uncheck()
    here.page.get_by_role("checkbox", name="Episodes").uncheck()
    here.page.locator("#record").focus()
    here.page.keyboard.press("Enter")
    here.page.get_by_role("alert").get_by_role("button", name="Dismiss").focus()
    here.page.keyboard.press("Enter")
    assert here.page.get_by_role("alert").is_hidden()
    assert here.ask("document.activeElement.id") == "record"


def test_little_motion_where_that_is_wished(tab: Open) -> None:
    here = tab(FROM, reduced_motion="reduce")
    assert here.ask("getComputedStyle(document.querySelector('.button')).transitionDuration") == "0s"
    here.page.wait_for_timeout(500)
    assert here.state["step"] == 0  # nothing moves before one asks for it


def test_nothing_jumps_while_it_plays(tab: Open) -> None:
    here = tab(FROM)
    here.ask("""window.jumped = 0, new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.jumped += entry.value;
    }).observe({type: "layout-shift"})""")
    here.page.keyboard.down("ArrowRight")
    here.until("memworld.state().step >= 20")
    here.page.keyboard.up("ArrowRight")
    assert here.ask("window.jumped") < 0.01
