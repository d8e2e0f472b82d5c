"""Worlds of other actions and other frames than Pong's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memworld import open_dataset
from memworld.datasets import EpisodeDataset
from memworld.memory import Memory
from memworld.world_model import WorldModel
from tests.helpers import make_dataset, moving_square_dataset, untrained_vae
from tests.play.browser.conftest import Open, Serve
from tests.play.browser.serving import Served
from tests.toy_memories import BOX, SPACES

Serving = Callable[[EpisodeDataset], Served]


@pytest.fixture
def serving(serve: Serve, tmp_path: Path) -> Serving:
    """Serves a memory of episodes, under an encoder that has learned nothing."""

    def started(data: EpisodeDataset) -> Served:
        encoder = untrained_vae(data.info.observation_shape)
        memory = Memory(data.info, encoder)
        memory.extend(data, encoder)
        WorldModel(encoder, memory).save(tmp_path / "memory")
        return serve("play", tmp_path / "memory")

    return started


def test_grey_frames_of_another_size(tab: Open, serving: Serving) -> None:
    here = tab("#tab=play&start=0.3", server=serving(moving_square_dataset()))
    pixels = np.array(here.frame()).reshape(16, 16, 4)
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert len(np.unique(pixels[..., 0])) > 1
    here.steps(3, "ArrowLeft")
    here.shot("grey")


def test_numbers_are_steered_by_keys(tab: Open, serving: Serving) -> None:
    data = make_dataset(np.random.default_rng(0), episodes=3, steps=12, shape=(24, 16, 3), space=BOX)
    here = tab("#tab=play&start=0.3", server=serving(data))
    assert here.page.locator("#keys-actions .hold").count() == 6  # three numbers, up and down
    here.page.locator("#stage").focus()
    here.page.keyboard.down("ArrowLeft")
    here.page.keyboard.down("ArrowUp")
    here.until("memworld.state().step >= 3")
    assert len(here.page.locator(".key.lit .hold").all_inner_texts()) == 2  # one choice for each column
    here.shot("numbers")
    here.page.keyboard.up("ArrowLeft")
    here.page.keyboard.up("ArrowUp")
    here.page.get_by_role("tab", name="Browse").click()
    here.until("document.querySelector('#at-action').textContent.includes(',')")
    here.until("document.querySelector('#episode-frame').complete")
    here.shot("numbers-browse")


def test_a_world_of_long_names(tab: Open, serving: Serving) -> None:
    pytest.importorskip("av")
    here = tab("#tab=play&start=0.3", server=serving(open_dataset(Path("tests/recorded/supertuxkart"))))
    here.page.keyboard.down("ArrowLeft")
    here.page.keyboard.down("ArrowUp")
    here.until("memworld.state().step >= 3")
    assert here.page.locator(".key.lit .hold").all_inner_texts() == ["left accelerate"]
    here.shot("long-names")
    here.page.keyboard.up("ArrowLeft")
    here.page.keyboard.up("ArrowUp")


def test_actions_of_many_parts(tab: Open, serving: Serving) -> None:
    data = make_dataset(np.random.default_rng(0), episodes=3, steps=12, shape=(16, 16, 3), space=SPACES[4])
    here = tab("#tab=play&start=0.3", server=serving(data))
    assert here.page.locator("#keys-actions .hold").count() >= 6
    here.page.locator("#keys-actions .hold").first.click()
    here.until("memworld.state().step >= 1")
    here.shot("parts")
