"""Small random data for the tests, and comparisons; every value comes from the generator that is passed in."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import gymnasium
import numpy as np
import pytest
import torch

from memworld.actions import ActionSpace, as_actions
from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.encoders.network import VAENetwork
from memworld.encoders.vae import VAE, VAEConfig
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.memory import Memory, MemoryEpisode

Result = TypeVar("Result")

DISCRETE = gymnasium.spaces.Discrete(4)


def sampled_actions(space: ActionSpace, count: int, seed: int) -> Any:
    """`count` actions that the space itself draws, put together as `as_actions` takes them."""
    space.seed(seed)
    drawn: list[Any] = [space.sample() for _ in range(count)]
    if isinstance(space, gymnasium.spaces.Dict):
        return {name: np.stack([np.asarray(action[name]) for action in drawn]) for name in space.spaces}
    return np.stack([np.asarray(action) for action in drawn])


def make_episode(
    rng: np.random.Generator,
    steps: int = 5,
    shape: tuple[int, int, int] = (8, 8, 3),
    space: ActionSpace = DISCRETE,
    id: str = "e0",
    states: int = 0,
) -> Episode:
    """An episode of noise; it terminates or is truncated, by chance."""
    actions: np.ndarray
    if isinstance(space, gymnasium.spaces.Discrete):
        actions = rng.integers(space.start, space.start + space.n, steps)
    elif not isinstance(space, gymnasium.spaces.Box):
        actions = as_actions(sampled_actions(space, steps, int(rng.integers(2**31))), space)
    else:
        low, high = np.clip(space.low, -9, 9), np.clip(space.high, -9, 9)
        actions = np.clip(rng.uniform(low, high, (steps, *space.shape)).astype(np.float32), space.low, space.high)
    last = np.arange(steps) == steps - 1
    terminated = bool(rng.integers(2))
    return Episode(
        id,
        rng.integers(0, 256, (steps + 1, *shape), np.uint8),
        actions,
        rng.normal(size=steps).astype(np.float32),
        last & terminated,
        last & (not terminated),
        rng.normal(size=(steps + 1, states)).astype(np.float32) if states else None,
        {"policy": "random", "seed": int(rng.integers(1000))},
    )


def make_dataset(
    rng: np.random.Generator,
    episodes: int = 3,
    steps: int = 5,
    shape: tuple[int, int, int] = (8, 8, 3),
    space: ActionSpace = DISCRETE,
    states: int = 0,
) -> EpisodeDataset:
    """A data set in memory of `episodes` episodes e0, e1, ..., the first of `steps` steps, each next one longer."""
    info = DatasetInfo(shape, space, "toy", tuple(f"s{i}" for i in range(states)))
    made = [make_episode(rng, steps + i, shape, space, f"e{i}", states) for i in range(episodes)]
    return EpisodeDataset.from_episodes(info, made)


def assert_same_episode(a: Episode, b: Episode) -> None:
    """Equal in every field, and in the types of the arrays."""
    assert (a.id, dict(a.source)) == (b.id, dict(b.source))
    assert (a.states is None) == (b.states is None)
    for name in ("observations", "actions", "rewards", "terminations", "truncations", "states"):
        left, right = getattr(a, name), getattr(b, name)
        if left is not None:
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, err_msg=name)


def assert_same_dataset(a: EpisodeDataset, b: EpisodeDataset) -> None:
    """Equal info, entries and episodes."""
    assert a.info == b.info
    assert [(e.id, e.steps, dict(e.source)) for e in a.entries] == [(e.id, e.steps, dict(e.source)) for e in b.entries]
    for left, right in zip(a, b, strict=True):
        assert_same_episode(left, right)


@contextmanager
def one_clear_error(match: str) -> Iterator[None]:
    """The block must raise one MemworldError, of one line, in which `match` is found."""
    with pytest.raises(MemworldError, match=match) as caught:
        yield
    assert "\n" not in str(caught.value)


def unless_refused(call: Callable[[], Result]) -> Result | None:
    """What `call` returns; None if it raises a MemworldError instead, which must be of one line."""
    try:
        return call()
    except MemworldError as error:
        message = str(error)
    assert "\n" not in message
    return None


def literal_distances(metric: str, query: Latents, stored: Latents) -> np.ndarray:
    """(Q, N) distances exactly as METHOD section 3 writes them: NumPy, float64, a query at a time."""
    parts = {k: np.asarray(getattr(stored, k), np.float64) for k in ("mu", "sigma", "z")}
    rows = []
    for i in range(len(query)):
        mu, sigma, z = (np.asarray(getattr(query, k)[i], np.float64) for k in ("mu", "sigma", "z"))
        if metric == "l2":
            rows.append(((z - parts["z"]) ** 2).sum(1))
            continue
        if metric == "kl_stored_query":
            p_mu, p_sigma, q_mu, q_sigma = parts["mu"], parts["sigma"], mu, sigma
        else:
            p_mu, p_sigma, q_mu, q_sigma = mu, sigma, parts["mu"], parts["sigma"]
        terms = np.log(q_sigma / p_sigma) + (p_sigma**2 + (p_mu - q_mu) ** 2) / (2 * q_sigma**2) - 0.5
        rows.append(terms.sum(1))
    return np.stack(rows)


def literal_rounding(metric: str, query: Latents, stored: Latents) -> np.ndarray:
    """(Q, N) how far float64 itself may be off in `literal_distances`: 2^-50 of the size of the terms."""
    parts = {}
    for side, latents in (("q", query), ("s", stored)):
        parts[side] = [np.asarray(getattr(latents, k), np.float64) for k in ("mu", "sigma", "z")]
    sizes = []
    for q_mu, q_sigma, q_z in zip(*parts["q"], strict=True):
        s_mu, s_sigma, s_z = parts["s"]
        if metric == "l2":
            sizes.append(((np.abs(q_z) + np.abs(s_z)) ** 2).sum(1))
            continue
        narrow = q_sigma if metric == "kl_stored_query" else s_sigma
        terms = s_sigma**2 + q_sigma**2 + (np.abs(s_mu) + np.abs(q_mu)) ** 2
        sizes.append((np.abs(np.log(q_sigma)) + np.abs(np.log(s_sigma)) + terms / narrow**2 + 1).sum(1))
    return np.stack(sizes) * 2.0**-50


def literal_nearest(distances: np.ndarray, allowed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(Q, k) rows and distances by a full stable sort; -1 and infinity where too few are allowed."""
    masked = np.where(allowed, distances, np.inf)
    order = np.argsort(masked, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(masked, order, 1)
    return np.where(np.isfinite(found), order, -1), found


class PixelEncoder:
    """A plug-in encoder without a network: the latents are the pixels themselves, with a constant sigma."""

    def __init__(self, shape: tuple[int, int, int] = (1, 2, 1), sigma: float = 0.1) -> None:
        self.frame_shape = shape
        self.latent_shape: tuple[int, ...] = (int(np.prod(shape)),)
        self.active_units = self.latent_shape[0]
        self.episodes_seen: tuple[str, ...] = ()
        self.fingerprint = f"pixels-{shape}-{sigma}"
        self.sigma = sigma

    def encode(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        mu = torch.from_numpy(frames.reshape(len(frames), -1).astype(np.float32))
        return mu, torch.full_like(mu, self.sigma)

    def decode(self, z: torch.Tensor) -> np.ndarray:
        pixels: np.ndarray = z.round().clamp(0, 255).numpy().astype(np.uint8)
        return pixels.reshape(len(z), *self.frame_shape)

    def save(self, path: Path) -> None:
        raise AssertionError("this encoder lives in memory only")


LEFT_RIGHT = DatasetInfo((1, 2, 1), gymnasium.spaces.Discrete(2), "line", ("position",), ("left", "right"))


def walk(id: str, start: int, actions: list[int], lane: int = 0, step: int = 10) -> Episode:
    """A walk on a line: action 1 adds `step` to the first pixel, 0 subtracts it; the second is the lane.

    The reward is 1 where the walk moves right; it terminates at its end.
    """
    moves = np.where(np.array(actions) == 1, step, -step)
    positions = np.concatenate([[start], start + np.cumsum(moves)])
    frames = np.stack([positions, np.full_like(positions, lane)], 1).astype(np.uint8).reshape(-1, 1, 2, 1)
    last = np.arange(len(actions)) == len(actions) - 1
    return Episode(
        id,
        frames,
        np.array(actions, np.int64),
        np.array(actions, np.float32),
        last,
        np.zeros_like(last),
        positions[:, None].astype(np.float32),
    )


def untrained_vae(
    shape: tuple[int, int, int] = (16, 16, 3), latent_shape: tuple[int, ...] = (4,), seed: int = 0
) -> VAE:
    """A quick VAE of few, random weights, which claims that all its latents are active."""
    rows = latent_shape[1] if len(latent_shape) == 3 else 4
    halvings = max(1, (shape[0] // rows).bit_length() - 1)
    config = VAEConfig(latent_shape, tuple(4 * 2**i for i in range(halvings)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VAENetwork(shape, latent_shape, config.network_channels(shape))
        mean = torch.rand(shape)
    return VAE(config, network, mean, torch.full(shape, 0.25), int(np.prod(latent_shape)))


def moving_square_dataset(
    episodes: int = 6, steps: int = 30, shape: tuple[int, int, int] = (16, 16, 1), seed: int = 0
) -> EpisodeDataset:
    """A bright square of a quarter of the frame that a random walk moves left, right, up and down.

    It stays inside, the reward is 1 at the left edge, and its corner's column and row are the states.
    """
    rng = np.random.default_rng(seed)
    height, width, _ = shape
    size, step = height // 4, height // 8
    info = DatasetInfo(shape, DISCRETE, "square", ("x", "y"), ("left", "right", "up", "down"))
    made = []
    for number in range(episodes):
        actions = rng.integers(0, 4, steps)
        places = [rng.integers(0, (width - size, height - size))]
        for action in actions:
            place = places[-1].copy()
            place[action // 2] += (-step, step)[action % 2]
            places.append(place.clip(0, (width - size, height - size)))
        frames = np.full((steps + 1, *shape), 20, np.uint8)
        for frame, (x, y) in zip(frames, places, strict=True):
            frame[y : y + size, x : x + size] = 230
        rewards = np.array([place[0] == 0 for place in places[1:]], np.float32)
        last = np.arange(steps) == steps - 1
        states = np.array(places, np.float32)
        made.append(Episode(f"e{number}", frames, actions, rewards, np.zeros_like(last), last, states))
    return EpisodeDataset.from_episodes(info, made)


def literal_rows(episodes: Sequence[MemoryEpisode]) -> list[dict[str, object]]:
    """The rows of a memory of discrete actions exactly as METHOD section 1 lists them, one at a time."""
    rows: list[dict[str, object]] = []
    for number, episode in enumerate(episodes):
        for t in range(episode.entry.steps + 1):
            acts = t < episode.entry.steps
            row: dict[str, object] = {name: getattr(episode.latents, name)[t].tolist() for name in ("mu", "sigma", "z")}
            row |= {
                "episode": number,
                "step": t,
                "action": int(episode.actions[t]) if acts else None,
                "reward": float(episode.rewards[t]) if acts else 0.0,
                "terminated": bool(episode.terminations[t]) if acts else False,
                "candidate": acts,
            }
            rows.append(row)
    return rows


def assert_same_memory(a: Memory, b: Memory) -> None:
    """Equal in their settings and in all that they hold."""
    for name in ("info", "encoder_fingerprint", "latent_shape", "seed", "keep_frames", "ids"):
        assert getattr(a, name) == getattr(b, name), name
    for one, other in zip(a.episodes, b.episodes, strict=True):
        assert one.entry.to_json() == other.entry.to_json()
        for name in ("mu", "sigma", "z"):
            assert torch.equal(getattr(one.latents, name), getattr(other.latents, name)), name
        for name in ("actions", "rewards", "terminations", "truncations"):
            left, right = getattr(one, name), getattr(other, name)
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, err_msg=name)
        assert (one.frames is None) == (other.frames is None)
        if one.frames is not None:
            np.testing.assert_array_equal(np.asarray(one.frames), np.asarray(other.frames))


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None]]:
    """Mount a real disk of this size at `folder` and give a function that resizes it; skip the test without root."""

    def mount(options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)

    folder.mkdir()
    try:
        mount(f"size={kilobytes}k")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no permission to mount a small disk: {error}")
    try:
        yield lambda size: mount(f"remount,size={size}k")
    finally:
        # Lazily, as a memory that is still mapped keeps it busy.
        subprocess.run(["umount", "--lazy", folder], check=True)


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """The content of every file in a folder, by its path in it."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
