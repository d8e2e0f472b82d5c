"""Analogues as a world's dynamics: what they predict, what they may know, and what they cite."""

import numpy as np
import pytest
import torch
from torch import Tensor

from memworld.analogues import AnalogueConfig, AnalogueDynamics, Analogues, Panel, Scale
from memworld.datasets import DatasetInfo
from memworld.dynamics import DynamicsConfig
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.gaussian import at_mean
from memworld.imagine import Mode, imagine_latents
from memworld.memory import Memory, Rows
from memworld.rollout import History, Past
from memworld.world_model import WorldModel
from tests.analogues.toys import ACTIONS, glide, make_index, rows_of
from tests.helpers import LEFT_RIGHT, PixelEncoder, walk

SHAPE = (2, 4, 4)
SMALL = AnalogueConfig(horizon=6, samples=600)


def dynamics(rows: Rows, shape: tuple[int, ...] = SHAPE, config: AnalogueConfig = SMALL) -> AnalogueDynamics:
    return AnalogueDynamics(Analogues(Panel(rows, shape, config, make_index)))


def histories(means: list[Tensor], start: int, moments: int = 2) -> History:
    recent = torch.stack([track[start - moments + 1 : start + 1] for track in means])
    return History(at_mean(recent, torch.ones_like(recent)), torch.ones(recent.shape[:2]).bool())


def imagined(made: AnalogueDynamics, history: History, actions: Tensor, mode: Mode | None = None) -> Tensor:
    predictions, _ = imagine_latents(made, history, actions.double(), mode, torch.Generator())
    return torch.stack([p.latents.mu for p in predictions], 1)


GLIDES = glide(48, 16, 32)
AHEAD = glide(5, 16, 32, seed=7)


@pytest.mark.parametrize("shape", [SHAPE, (32,)])
@pytest.mark.parametrize("mode", ["follow", "requery"])
def test_motion_that_is_linear_is_carried_on(shape: tuple[int, ...], mode: Mode) -> None:
    made = dynamics(rows_of(*GLIDES), shape)
    means, actions = AHEAD
    true = torch.stack([track[7:15] for track in means])
    asked = torch.stack([a[6:14] for a in actions])
    said = imagined(made, histories(means, 6), asked, mode)
    error = (said - true).square().mean((0, 2))
    still = (torch.stack([track[6] for track in means])[:, None] - true).square().mean((0, 2))
    # Two steps beyond the six that are fitted: there the search starts anew from what was predicted.
    assert bool((error < 0.25 * still).all()), (error, still)


def test_no_action_tells_of_steps_before_it() -> None:
    made = dynamics(rows_of(*GLIDES))
    means, actions = AHEAD
    asked = torch.stack([a[6:12] for a in actions])
    whole = imagined(made, histories(means, 6), asked)
    for steps in (1, 3, 5):
        other = asked.clone()
        other[:, steps:] = other[:, steps:].roll(1, 2)
        said = imagined(made, histories(means, 6), other)
        assert torch.equal(said[:, :steps], whole[:, :steps])
        assert not torch.equal(said[:, steps:], whole[:, steps:])


def test_a_batch_is_imagined_as_its_futures_one_by_one() -> None:
    made = dynamics(rows_of(*GLIDES))
    means, actions = AHEAD
    asked = torch.stack([a[6:12] for a in actions])
    together = imagined(made, histories(means, 6), asked)
    for one in range(len(means)):
        alone = imagined(made, histories(means[one : one + 1], 6), asked[one : one + 1])
        assert torch.allclose(alone[0], together[one], atol=1e-4)


def test_a_longer_past_than_is_compared_changes_nothing_and_a_shorter_one_is_made_up() -> None:
    made = dynamics(rows_of(*GLIDES))
    means, actions = GLIDES
    asked = torch.stack([a[6:10] for a in actions])
    usual = imagined(made, histories(means, 6), asked)
    assert torch.equal(imagined(made, histories(means, 6, moments=5), asked), usual)
    # These moments are in memory, so what looks most like them moved as they do.
    alone = imagined(made, histories(means, 6, moments=1), asked)
    true = torch.stack([track[7:11] for track in means])
    still = (torch.stack([track[6] for track in means])[:, None] - true).square().mean()
    assert float((alone - true).square().mean()) < float(still)
    unknown = histories(means, 6, moments=2)
    unknown.latents.mu[:, 0] = torch.nan
    hidden = History(unknown.latents, torch.tensor([[False, True]]).expand(len(means), -1))
    assert torch.equal(imagined(made, hidden, asked), alone)


def test_what_is_said_is_made_of_the_rows_that_are_cited() -> None:
    """Without differences to carry on, a prediction is the weighted mean of the cited rows' successors."""
    rows = rows_of(*GLIDES)
    made = dynamics(rows)
    for fitted in made.analogues.horizons:
        for propagation in fitted.propagations:
            object.__setattr__(propagation, "share", 0.0)
            propagation.matrix.zero_()
    means, actions = AHEAD
    asked = torch.stack([a[6:10] for a in actions]).double()
    predictions, searched = imagine_latents(made, histories(means, 6), asked, None, torch.Generator())
    assert searched.tolist() == [[True, False, False, False]] * len(means)
    squares = made.analogues.panel.squares
    for prediction in predictions:
        matches, weights = prediction.matches, prediction.weights
        assert torch.allclose(weights.sum(1), torch.ones(len(means)))
        assert bool((weights[~matches.found] == 0).all())
        assert bool(rows.has_successor[matches.rows[matches.found]].all())
        mean = torch.zeros(len(means), 2, 4, 4)
        share = torch.zeros(4, 4)
        after = rows.latents.mu[matches.rows.clamp(min=0) + 1].reshape(len(means), -1, 2, 4, 4)
        for column, (top, bottom, left, right) in enumerate(squares.tolist()):
            cells = 16 / ((bottom - top) * (right - left))
            part = after[:, column, :, top:bottom, left:right]
            mean[:, :, top:bottom, left:right] += cells * weights[:, column, None, None, None] * part
            share[top:bottom, left:right] += cells * weights[0, column]
        assert torch.allclose(share, torch.ones(4, 4), atol=1e-4)
        assert torch.allclose(mean.flatten(1), prediction.latents.mu, atol=1e-3)


def test_reward_is_that_of_the_threads_and_support_is_worse_far_from_memory() -> None:
    rows = rows_of(*GLIDES)
    made = dynamics(rows)
    means, actions = GLIDES
    asked = torch.stack([a[6:7] for a in actions]).double()
    seen, _ = imagine_latents(made, histories(means, 6), asked, None, torch.Generator())
    assert seen[0].reward.shape == (48,)
    assert bool(((seen[0].reward >= 0) & (seen[0].reward < 16)).all())
    away = histories([track + 30 for track in means], 6)
    unseen, _ = imagine_latents(made, away, asked, None, torch.Generator())
    assert float(unseen[0].support.mean()) > 0.95 > float(seen[0].support.mean())
    assert float(unseen[0].latents.sigma.mean()) > float(seen[0].latents.sigma.mean())


def test_intervals_cover_what_they_say() -> None:
    made = dynamics(rows_of(*glide(60, 16, 32)))
    means, actions = glide(40, 16, 32, seed=3)
    asked = torch.stack([a[6:10] for a in actions]).double()
    predictions, _ = imagine_latents(made, histories(means, 6), asked, None, torch.Generator())
    for ahead, prediction in enumerate(predictions):
        true = torch.stack([track[7 + ahead] for track in means])
        off = (true - prediction.latents.mu).abs() / prediction.latents.sigma
        assert 0.35 < float((off < 0.674).float().mean()) < 0.9
        assert 0.8 < float((off < 1.645).float().mean()) <= 1


def world(*lengths: int, config: AnalogueConfig = SMALL) -> WorldModel:
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    rng = np.random.default_rng(0)
    for number, length in enumerate(lengths):
        actions = rng.integers(0, 2, length).tolist()
        memory.append(walk(f"e{number}", 120, actions, lane=int(rng.integers(0, 9))), encoder)
    return WorldModel(encoder, memory, config)


@pytest.mark.parametrize("lengths", [(1,), (2,), (1, 1), (3, 1, 4), (70,), (30, 1, 30, 1)])
def test_the_smallest_memories_answer_too(lengths: tuple[int, ...]) -> None:
    model = world(*lengths)
    frames = np.array([[[120], [3]]], np.uint8)
    rollout = model.imagine(frames, [[1, 0, 1, 1]])
    assert bool(torch.isfinite(rollout.latents.mu).all())
    assert bool((rollout.latents.sigma > 0).all())
    for step in range(4):
        cited = rollout.citations(0, step)
        assert sum(c.weight for c in cited) == pytest.approx(1, abs=1e-5)
        for citation in cited:
            assert citation.step < lengths[int(citation.episode[1:])]


def test_what_is_remembered_and_what_is_forgotten_counts_at_once() -> None:
    model = world(30, 30)
    frames = np.array([[[250], [200]]], np.uint8)
    before = model.imagine(frames, [[0]])
    model.memory.append(walk("new", 250, [0] * 20, lane=200), model.encoder)
    after = model.imagine(frames, [[0]])
    assert not torch.equal(before.latents.mu, after.latents.mu)
    assert after.citations(0, 0)[0].episode == "new"
    model.memory.remove(["new"])
    assert torch.equal(model.imagine(frames, [[0]]).latents.mu, before.latents.mu)


def test_the_same_memory_gives_the_same_futures() -> None:
    frames = np.array([[[150], [3]]], np.uint8)
    first, second = (world(40, 40, 40).imagine(frames, [[1] * 8], seed=s) for s in (0, 1))
    assert torch.equal(first.latents.mu, second.latents.mu)


def test_a_past_is_looked_at_and_a_wrong_one_refused() -> None:
    model = world(60, 60, 60)
    frames = np.array([[[[150], [3]]]], np.uint8)
    past = np.array([[[[[140], [3]]]]], np.uint8)
    moving = Past(past, np.array([[1]]), np.array([[True]]))
    standing = Past(frames[None], np.array([[1]]), np.array([[True]]))
    action = [[1]]
    assert not torch.equal(
        model.imagine(frames, action, past=moving).latents.mu, model.imagine(frames, action, past=standing).latents.mu
    )
    with pytest.raises(MemworldError, match="a past of 1 and 2 observations"):
        model.imagine(np.repeat(frames, 2, 0), [[1], [0]], past=moving)


def test_there_is_nothing_to_look_up() -> None:
    with pytest.raises(MemworldError, match="strategy of the paper"):
        _ = world(5, 5).lookup


@pytest.mark.parametrize(
    "wrong",
    [{"context": 0}, {"horizon": 0}, {"samples": 0}, {"agreement": -1.0}, {"agreement": float("nan")}, {"scales": ()}],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MemworldError):
        AnalogueConfig(**wrong)  # type: ignore[arg-type]


def test_scales_that_the_latent_cannot_be_cut_into_are_refused_when_they_meet_it() -> None:
    with pytest.raises(MemworldError, match="cannot be cut"):
        dynamics(rows_of(*GLIDES), (32,), AnalogueConfig(scales=(Scale(2, 1, 4, (5,)),)))


class GridEncoder(PixelEncoder):
    """Pixels as a grid of cells with one channel."""

    def __init__(self, side: int) -> None:
        super().__init__((side, side, 1))
        self.latent_shape = (1, side, side)
        self.fingerprint += "grid"


def test_each_part_of_the_picture_has_sources_of_its_own() -> None:
    """Two dots on their ways, seen together in no episode: each part is found where its own dot was."""
    encoder = GridEncoder(8)
    memory = Memory(DatasetInfo((8, 8, 1), LEFT_RIGHT.action_space, "dots"), encoder)

    def dots(id: str, above: int | None, below: int | None) -> Episode:
        frames = np.zeros((8, 8, 8, 1), np.uint8)
        for step in range(8):
            if above is not None:
                frames[step, above, step] = 200
            if below is not None:
                frames[step, below, 7 - step] = 200
        return Episode(id, frames, np.zeros(7, np.int64), np.zeros(7, np.float32), *np.zeros((2, 7), bool))

    for lane in range(4):
        memory.append(dots(f"above{lane}", lane, None), encoder)
        memory.append(dots(f"below{lane}", None, 4 + lane), encoder)
    scales = (Scale(0, 0, 30, (2,)), Scale(4, 0, 16, (1,)))
    model = WorldModel(encoder, memory, AnalogueConfig(scales=scales, agreement=0.0))
    both = dots("both", 2, 5).observations
    past = Past(both[None, 1:2], np.array([[0]]), np.array([[True]]))
    rollout = model.imagine(both[2], [[0, 0]], past=past)
    assert rollout.frames is not None
    above, below = rollout.citations(0, 1, cell=(2, 3)), rollout.citations(0, 1, cell=(5, 4))
    assert sum(c.weight for c in above) == pytest.approx(1)
    assert {c.episode for c in above} >= {"above2"}
    assert {c.episode for c in below} >= {"below1"}
    everything = rollout.citations(0, 1)
    assert sum(c.weight for c in everything) == pytest.approx(1, abs=1e-5)
    assert len({(c.episode, c.step) for c in everything}) == len(everything)
    with pytest.raises(MemworldError, match="8x8 cells"):
        rollout.citations(0, 1, cell=(8, 0))


def test_imagination_stops_where_memory_knows_nothing() -> None:
    encoder = PixelEncoder()
    memory = Memory(LEFT_RIGHT, encoder)
    rng = np.random.default_rng(0)
    for number in range(8):
        memory.append(walk(f"e{number}", 120, rng.integers(0, 2, 25).tolist(), step=3), encoder)
    model = WorldModel(encoder, memory, DynamicsConfig("replay_l2", k=3, rule="mean", delta=True, conditioning="none"))
    # Always to the right, out of all that was seen.
    frames = np.array([[[120], [0]]], np.uint8)
    onward = np.ones((1, 30), np.int64)
    whole = model.imagine(frames, onward, mode="requery")
    cut = model.imagine(frames, onward, mode="requery", stop_when_unsupported=True)
    steps = cut.support.shape[1]
    supported = whole.supported()[0].tolist()
    assert steps == max(1, sum(supported))
    assert supported == sorted(supported, reverse=True)
    assert torch.equal(whole.accumulated_support[0], torch.cummax(whole.support[0], 0).values)
    assert torch.equal(cut.latents.mu, whole.latents.mu[:, :steps])
    assert cut.frames is not None
    assert cut.frames.shape[1] == steps
    away = model.imagine(np.array([[[255], [255]]], np.uint8), onward, stop_when_unsupported=True)
    assert away.support.shape[1] == 1  # at least one step, which says that it has no support
    assert not bool(away.supported().any())
    both = model.imagine(np.array([[[[255], [255]]], [[[120], [0]]]], np.uint8), onward, stop_when_unsupported=True)
    assert both.support.shape[1] >= steps
    memory.remove(memory.ids[1:])
    alone = WorldModel(encoder, memory, DynamicsConfig("replay_l2", k=3, conditioning="none"))
    with pytest.raises(MemworldError, match="single episode"):
        alone.imagine(frames, onward, stop_when_unsupported=True)


def test_analogues_know_no_reanchoring() -> None:
    with pytest.raises(MemworldError, match="use follow or requery"):
        world(30, 30).imagine(np.array([[[120], [0]]], np.uint8), [[1]], mode="reanchor")


def test_held_actions_are_answered_by_those_who_did_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(ACTIONS, generator=generator) for _ in range(30)]
    episodes = [torch.eye(ACTIONS)[order].repeat_interleave(4, 0) for order in orders]  # each held for 4 steps
    rows = rows_of([torch.randn(len(e) + 1, 32, generator=generator) for e in episodes], episodes)
    asked = torch.eye(ACTIONS)[:, None].expand(-1, 4, -1)
    history = histories([rows.latents.mu[:2]] * ACTIONS, 1)

    def done_otherwise(config: AnalogueConfig) -> Tensor:
        made = dynamics(rows, (32,), config)
        predictions, _ = imagine_latents(made, history, asked.double(), None, torch.Generator())
        matches, weights = predictions[0].matches, predictions[0].weights
        same = (rows.actions[matches.rows] * asked[:, :1]).sum(2)
        return 1 - (weights * same).sum(1) / weights.sum(1)

    assert bool((done_otherwise(AnalogueConfig.holding(4)) < 0.1).all())
    assert bool((done_otherwise(AnalogueConfig.steering()) > 0.1).any())
    assert dynamics(rows, (32,), AnalogueConfig.holding(4)).analogues.horizon == 4
