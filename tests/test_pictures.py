import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memworld.analogues import AnalogueConfig, Scale
from memworld.datasets import DatasetInfo
from memworld.dynamics import DynamicsConfig
from memworld.encoders import Encoder
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.memory import Memory
from memworld.pictures import DECODINGS, Blend, Decoding, blended
from memworld.world_model import WorldModel
from tests.helpers import LEFT_RIGHT, PixelEncoder

SIDE = 8


class BlurredEncoder(PixelEncoder):
    """Cells of 2x2 pixels: what is finer is lost."""

    def __init__(self) -> None:
        super().__init__((SIDE, SIDE, 1))
        self.latent_shape = (1, SIDE // 2, SIDE // 2)
        self.active_units = 16
        self.fingerprint = "blurred"

    def encode(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        cells = frames.reshape(len(frames), SIDE // 2, 2, SIDE // 2, 2).mean((2, 4)).reshape(len(frames), -1)
        mu = torch.from_numpy(cells.astype(np.float32))
        return mu, torch.full_like(mu, 0.1)

    def decode(self, z: torch.Tensor) -> np.ndarray:
        cells = z.round().clamp(0, 255).numpy().astype(np.uint8).reshape(-1, SIDE // 2, SIDE // 2)
        return cells.repeat(2, 1).repeat(2, 2)[..., None]


def crossing(id: str, row: int, seed: int) -> Episode:
    """A block of 2x2 that crosses a still, finely grained picture, two pixels a step."""
    grain = np.random.default_rng(7).integers(0, 60, (SIDE, SIDE, 1), np.uint8)
    moves = np.random.default_rng(seed).integers(0, 2, 30)
    frames, column = [], 2
    for move in (*moves, 0):
        frame = grain.copy()
        frame[row : row + 2, column : column + 2] = 250
        frames.append(frame)
        column = (column + (2 if move else -2)) % SIDE
    return Episode(id, np.stack(frames), moves, np.zeros(30, np.float32), *np.zeros((2, 30), bool))


def world(keep_frames: bool = True, dynamics: AnalogueConfig | DynamicsConfig | None = None) -> WorldModel:
    encoder: Encoder = BlurredEncoder()
    memory = Memory(DatasetInfo((SIDE, SIDE, 1), LEFT_RIGHT.action_space, "grain"), encoder, keep_frames=keep_frames)
    for number in range(12):
        memory.append(crossing(f"e{number}", 2 * (number % 4), number), encoder)
    return WorldModel(encoder, memory, dynamics or AnalogueConfig(horizon=5, samples=400))


limit = st.one_of(st.just(0.0), st.floats(1, 40))


@given(limit, limit, st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_a_blend_lies_where_it_should(detail: float, still: float, values: list[int]) -> None:
    seen, present, predicted = (np.full((1, 1, 1, 1), v, np.uint8) for v in values)
    assert blended(seen, present, predicted, 0, 0) == predicted
    assert blended(seen, seen, predicted, detail, 0) == predicted  # the decoder had missed nothing
    assert blended(seen, present, present, max(detail, 1), max(still, 1)) == seen  # nothing moved
    far = blended(seen, np.zeros_like(seen), np.full_like(seen, 255), detail, still)
    assert int(far[0, 0, 0, 0]) == 255  # all moved


def test_limits_are_those_of_the_next_lower_step() -> None:
    blend = Blend((1, 5, 20), ((40.0, 20.0), (5.0, 0.0), (0.0, 0.0)))
    assert [blend.limits_at(s)[0] for s in (1, 4, 5, 19, 20, 50)] == [40, 40, 5, 5, 0, 0]


def test_limits_are_chosen_by_what_moves() -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 255, (20, 6, 6, 1), np.uint8)
    blurred = (still // 2 + 60).astype(np.uint8)
    median = np.full((6, 6, 1), 128, np.uint8)
    trusting = Blend.fit([1], still, blurred, blurred[None], still[None], median)
    assert max(trusting.limits[0]) > 0
    assert np.array_equal(trusting.show(still, blurred, blurred, 1), still)
    other = rng.integers(0, 255, (20, 6, 6, 1), np.uint8)
    # The prediction is right and differs little from the present in which all was elsewhere.
    wary = Blend.fit(
        [1], still, (other // 4 + 90).astype(np.uint8), (other // 4 + 91).astype(np.uint8)[None], other[None], median
    )
    assert wary.limits[0][0] == 0


def test_grain_that_the_decoder_cannot_show_is_kept_where_nothing_moves() -> None:
    model = world()
    episode = crossing("new", 2, 99)

    def shown(how: bool | Decoding) -> np.ndarray:
        frames = model.imagine(episode.observations[5], episode.actions[None, 5:8], decode=how).frames
        assert frames is not None
        return np.asarray(frames[0])

    assert np.array_equal(shown(True), shown("blend"))
    true = episode.observations[6:9].astype(int)
    errors = {how: np.abs(shown(how).astype(int) - true).mean() for how in DECODINGS}
    assert errors["blend"] < 0.6 * errors["decoder"]
    assert errors["frame"] < 0.6 * errors["decoder"]


def test_frames_are_recorded_ones_cell_by_cell() -> None:
    scales = (Scale(0, 0, 16, (2,)), Scale(2, 0, 4, (1,)))
    model = world(dynamics=AnalogueConfig(scales=scales, horizon=4, samples=400))
    episode = crossing("new", 4, 5)
    shown = model.imagine(episode.observations[3], episode.actions[None, 3:6], decode="frame").frames
    assert shown is not None
    every = np.concatenate([model.memory.frames(range(len(model.memory)))])
    for picture in shown[0]:
        for top in range(0, SIDE, 4):
            for left in range(0, SIDE, 4):
                area = (slice(top, top + 4), slice(left, left + 4))
                assert any(np.array_equal(picture[area], frame[area]) for frame in every)


def test_the_paper_s_strategies_show_the_whole_frame_of_the_heaviest_row() -> None:
    model = world(dynamics=DynamicsConfig("replay_l2", k=3, rule="weighted"))
    episode = crossing("new", 0, 5)
    rollout = model.imagine(episode.observations[3], episode.actions[None, 3:5], decode="frame")
    assert rollout.frames is not None
    for step in range(2):
        cited = rollout.citations(0, step)[0]
        row = model.memory.row_of(cited.episode, cited.step + 1)
        assert np.array_equal(rollout.frames[0, step], model.memory.frames([row])[0])


def test_what_is_not_there_is_not_shown() -> None:
    without = world(keep_frames=False)
    episode = crossing("new", 0, 5)
    assert without.imagine(episode.observations[3], [[1]]).frames is not None  # decoded
    hows: tuple[Decoding, ...] = ("blend", "frame")
    for how in hows:
        with pytest.raises(MemworldError, match="keeps no frames"):
            without.imagine(episode.observations[3], [[1]], decode=how)
    model = world()
    latents = model.encode(episode.observations[3])
    assert model.imagine(latents, [[1]]).frames is not None  # decoded
    with pytest.raises(MemworldError, match="give observations as frames"):
        model.imagine(latents, [[1]], decode="blend")
    with pytest.raises(MemworldError, match="unknown decoding"):
        model.imagine(latents, [[1]], decode="sharp")  # type: ignore[arg-type]
    paper = world(dynamics=DynamicsConfig("replay_l2"))
    with pytest.raises(MemworldError, match="chosen by analogues"):
        paper.imagine(episode.observations[3], [[1]], decode="blend")
    assert model.imagine(latents, [[1]], decode=False).frames is None
