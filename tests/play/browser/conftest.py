"""A real browser before a real server of small real memories."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from memworld.encoders.training import TrainingConfig, train_vae
from memworld.encoders.vae import VAEConfig
from memworld.memory import Memory
from memworld.record import record
from memworld.world_model import WorldModel
from memworld.worlds import open_world
from tests.play.browser.serving import Served
from tests.play.browser.tab import Tab

Open = Callable[..., Tab]
Serve = Callable[..., Served]


@pytest.fixture(scope="session")
def pong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `episodes`, five real ones of Pong, and a `memory` of the first four."""
    folder = tmp_path_factory.mktemp("pong")
    data = record(open_world("pong"), "demonstrator", folder / "episodes", episodes=5, max_steps=120, skills=(1.0, 0.3))
    kept, other = data.subset(data.ids[:4]), data.subset(data.ids[4:])
    config = VAEConfig(latent_shape=(4, 8, 8), channels=(24, 48, 96))
    encoder = train_vae(
        kept, other, folder / "encoder", config, TrainingConfig(steps=150, batch_size=16, validate_every=75)
    ).encoder
    memory = Memory(data.info, encoder)
    memory.extend(kept, encoder)
    WorldModel(encoder, memory).save(folder / "memory")
    return folder


@pytest.fixture(scope="module")
def served(pong: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of the Pong memory and of the episodes that it was made from."""
    server = Served(tmp_path_factory.mktemp("served"), "browse", pong / "memory", pong / "episodes")
    yield server
    server.kill()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers of a test's own, by the arguments of the program."""
    servers: list[Served] = []

    def started(*arguments: object) -> Served:
        servers.append(Served(tmp_path, *arguments))
        return servers[-1]

    yield started
    for server in servers:
        server.kill()


@pytest.fixture
def tab(browser: Browser, served: Served, serve: Serve, pictures: Path) -> Iterator[Open]:
    """Opens tabs on the page, each a visitor of its own unless told to be `beside` another.

    In the end none may have complained of anything but what it was `allowed` to. (They are closed before any server of
    `serve` ends, which they would complain of.)
    """
    tabs: list[tuple[Tab, tuple[str, ...]]] = []

    def opened(
        where: str = "#tab=play",
        *,
        live: bool = True,
        beside: Tab | None = None,
        allowed: tuple[str, ...] = (),
        server: Served = served,
        **visitor: Any,
    ) -> Tab:
        visitor.setdefault("viewport", {"width": 1280, "height": 800})
        context = beside.page.context if beside else browser.new_context(**visitor)
        made = Tab(context.new_page(), pictures)
        tabs.append((made, allowed))
        return made.open(server.address + where, live)

    yield opened
    for made, allowed in tabs:
        made.page.context.close()
        unexpected = [text for text in made.complaints if not any(word in text for word in allowed)]
        assert not unexpected, unexpected
