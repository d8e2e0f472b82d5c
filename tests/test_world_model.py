from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memworld.analogues import AnalogueConfig
from memworld.datasets import DatasetInfo
from memworld.dynamics import DynamicsConfig
from memworld.episodes import Episode
from memworld.gaussian import at_mean
from memworld.memory import Memory
from memworld.rollout import Past
from memworld.world_model import WorldModel
from tests.helpers import LEFT_RIGHT, PixelEncoder, one_clear_error, walk


def world(*episodes: Episode, sigma: float = 0.01, **dynamics: object) -> WorldModel:
    encoder = PixelEncoder(sigma=sigma)
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend(episodes, encoder)
    # Without conditioning unless a test asks for it, as in the paper's tables.
    config = DynamicsConfig(**{"conditioning": "none", **dynamics})  # type: ignore[arg-type]
    return WorldModel(encoder, memory, config)


def frame(position: int, lane: int = 0) -> np.ndarray:
    return np.array([[[position], [lane]]], np.uint8)


RIGHT = walk("right", 50, [1] * 6)
LEFT = walk("left", 120, [0] * 6)


def test_next_reads_state_reward_and_termination_from_the_retrieved_row() -> None:
    model = world(RIGHT, LEFT, strategy="replay_kl")
    prediction = model.next(model.encode(frame(60)), [1])
    assert model.decode(prediction.latents)[0, 0, :, 0].tolist() == [70, 0]
    assert prediction.reward.tolist() == [1.0]
    assert prediction.termination.tolist() == [0.0]
    assert prediction.matches.rows.tolist() == [[1]]
    last = model.next(model.encode(frame(100)), 1)  # the last step of "right" ended its episode
    assert last.termination.tolist() == [1.0]


def test_the_last_observation_is_never_a_candidate_and_no_search_crosses_an_end() -> None:
    model = world(RIGHT, LEFT, strategy="replay_l2", k=1)
    prediction = model.next(model.encode(frame(110)), [1])  # the very last frame of "right"
    assert prediction.matches.rows.tolist() == [[8]]  # "left" at 110 is the only row there with a successor


@settings(max_examples=30)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4), horizon=st.integers(1, 8), seed=st.integers(0, 99))
def test_every_cited_row_of_every_step_has_a_successor_in_its_own_episode(
    lengths: list[int], horizon: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    episodes = [
        walk(f"e{i}", 100, [int(a) for a in rng.integers(0, 2, n)], lane=int(rng.integers(0, 50)))
        for i, n in enumerate(lengths)
    ]
    for strategy in ("rollout", "replay_l2", "replay_kl"):
        model = world(*episodes, strategy=strategy, k=None if strategy != "replay_l2" else min(3, sum(lengths)))
        for mode in ("requery", "follow"):
            rollout = model.imagine(frame(100), [[1] * horizon], mode=mode)
            for step in range(horizon):
                cited = rollout.citations(0, step)
                assert cited
                assert sum(c.weight for c in cited) == pytest.approx(1, abs=1e-5)
                for citation in cited:
                    assert citation.step < lengths[int(citation.episode[1:])]


def test_follow_walks_a_thread_and_searches_again_where_it_ends() -> None:
    model = world(RIGHT, strategy="replay_l2", k=1, rule="nearest")
    rollout = model.imagine(frame(90), [[1] * 4], mode="follow")
    assert rollout.steps[0, :, 0].tolist() == [4, 5, 5, 5]  # 90, 100, then the end: 110 is nearest to 100 again
    assert rollout.searched[0].tolist() == [True, False, True, True]
    assert rollout.frames is not None
    assert rollout.frames[0, :, 0, 0, 0].tolist() == [100, 110, 110, 110]


def test_a_thread_that_ends_drops_out_while_others_walk_on() -> None:
    short, long = walk("short", 50, [1, 1]), walk("long", 50, [1] * 5, lane=1)
    model = world(short, long, strategy="rollout", rule="mean")
    rollout = model.imagine(frame(50), [[1] * 4], mode="follow")
    assert rollout.shortfall[0].tolist() == [0, 0, 0, 0]
    assert rollout.ended_threads[0].tolist() == [0, 0, 1, 1]
    assert rollout.searched[0].tolist() == [True, False, False, False]
    assert [c.episode for c in rollout.citations(0, 3)] == ["long"]


def test_requery_searches_from_the_prediction() -> None:
    model = world(RIGHT, LEFT, strategy="replay_l2", k=1, rule="nearest", conditioning="hard")
    rollout = model.imagine(frame(60), [[1, 1, 0]], mode="requery")
    assert rollout.frames is not None
    assert rollout.frames[0, :, 0, 0, 0].tolist() == [70, 80, 70]
    assert bool(rollout.searched.all())


def test_delta_carries_the_change_to_where_we_are() -> None:
    model = world(RIGHT, strategy="replay_l2", k=1, rule="nearest", delta=True)
    rollout = model.imagine(frame(53, lane=7), [[1, 1]])
    assert rollout.frames is not None
    assert rollout.frames[0, :, 0, :, 0].tolist() == [[63, 7], [73, 7]]


def test_hard_conditioning_reports_what_is_missing_and_never_falls_back() -> None:
    model = world(RIGHT, walk("one", 120, [0]), strategy="replay_l2", k=3, rule="mean", conditioning="hard")
    prediction = model.next(model.encode(frame(60)), [0])
    assert prediction.matches.rows.tolist() == [[7, -1, -1]]
    assert prediction.matches.shortfall.tolist() == [2]
    without = world(RIGHT, strategy="replay_l2", k=3, conditioning="hard")
    state = without.encode(frame(60))
    nothing = without.next(state, [0])
    assert torch.equal(nothing.latents.z, state.z)  # unchanged, and said so:
    assert nothing.support.tolist() == [1.0]
    assert (nothing.reward.tolist(), nothing.weights.tolist()) == ([0.0], [[0.0] * 3])
    rollout = without.imagine(frame(60), [[0, 1]], mode="requery")
    assert rollout.found_nothing.tolist() == [[True, False]]
    assert rollout.citations(0, 0) == []


def test_soft_conditioning_prefers_the_asked_action_within_reach() -> None:
    away, near = walk("away", 66, [0, 0]), walk("near", 60, [1, 1])
    far = walk("far", 200, [0, 0])
    soft = world(away, near, far, strategy="replay_l2", k=1, conditioning="soft", action_weight=100.0)
    free = world(away, near, far, strategy="replay_l2", k=1)
    assert free.next(free.encode(frame(61)), [0]).matches.rows.tolist() == [[3]]
    assert soft.next(soft.encode(frame(61)), [0]).matches.rows.tolist() == [[0]]


def test_one_observation_serves_many_action_sequences_and_the_other_way_round() -> None:
    model = world(RIGHT, LEFT, strategy="replay_l2", k=1, rule="nearest", conditioning="hard")
    many = model.imagine(frame(80), [[1, 1], [0, 0], [1, 0]])
    assert many.frames is not None
    assert many.frames[:, -1, 0, 0, 0].tolist() == [100, 60, 80]
    assert many.latents.mu.shape == (3, 2, 2)
    single = model.imagine(np.stack([frame(80), frame(60)]), [1])
    assert single.frames is not None
    assert single.frames[:, 0, 0, 0, 0].tolist() == [90, 70]
    assert model.imagine(frame(80), [1, 1], decode=False).frames is None


def test_deterministic_batches_are_their_members_alone() -> None:
    model = world(RIGHT, LEFT, strategy="replay_l2", k=3, rule="weighted")
    frames = np.stack([frame(p) for p in (55, 75, 115)])
    actions = [[1, 0, 1]] * 3
    start = at_mean(*model.encoder.encode(frames))
    together = model.imagine(start, actions)
    for i in range(3):
        alone = model.imagine(start[i : i + 1], actions[i])
        torch.testing.assert_close(alone.latents.mu[0], together.latents.mu[i])
        assert torch.equal(alone.rows[0], together.rows[i])


def test_seed_makes_sampling_repeatable() -> None:
    model = world(RIGHT, LEFT, sigma=5.0, strategy="replay_kl")
    one, two, other = (model.imagine(frame(80), [[1] * 3], seed=s).latents.z for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_new_episodes_count_at_once_and_removed_ones_never_again() -> None:
    model = world(RIGHT, strategy="replay_l2", k=1, rule="nearest")
    before = model.imagine(frame(200), [[1]])
    model.memory.append(walk("new", 200, [0, 0]), model.encoder)
    after = model.imagine(frame(200), [[1]])
    assert [c.episode for c in after.citations(0, 0)] == ["new"]
    model.memory.remove(["right"])
    assert [c.episode for c in model.imagine(frame(100), [[1]]).citations(0, 0)] == ["new"]
    # A rollout keeps citing what it was made from.
    assert [c.episode for c in before.citations(0, 0)] == ["right"]


def test_support_is_the_quantile_of_distances_between_episodes() -> None:
    model = world(RIGHT, walk("beside", 52, [1] * 6), strategy="replay_l2", k=1)
    assert float(model.next(model.encode(frame(60)), [1]).support) < 0.5
    assert float(model.next(model.encode(frame(250)), [1]).support) == 1.0
    alone = world(RIGHT, strategy="replay_l2", k=1)
    assert torch.isnan(alone.next(alone.encode(frame(60)), [1]).support).all()


def test_continuous_actions() -> None:
    info = DatasetInfo((1, 2, 1), gymnasium.spaces.Box(-1, 1, (2,), np.float32))
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (5, 2)).astype(np.float32)
    last = np.arange(5) == 4
    frames = np.arange(12, dtype=np.uint8).reshape(6, 1, 2, 1)
    encoder = PixelEncoder()
    memory = Memory(info, encoder)
    memory.append(Episode("e", frames, actions, np.zeros(5), ~last & last, last), encoder)
    memory.append(Episode("f", frames + 100, actions[::-1].copy(), np.zeros(5), ~last & last, last), encoder)
    soft = WorldModel(encoder, memory, DynamicsConfig("replay_l2", k=1, conditioning="soft", action_weight=1e6))
    found = soft.next(soft.encode(frames[2]), actions[4]).matches.rows
    assert found.tolist() == [[4]]
    assert soft.imagine(frames[0], actions[None, :3]).rewards.shape == (1, 3)
    with one_clear_error("is outside Box"):
        soft.next(soft.encode(frames[0]), [2.0, 0.0])


EMPTY: list[Any] = [[], [[]], np.zeros((1, 0), np.int64)]


def test_bad_input() -> None:
    model = world(RIGHT, LEFT)
    for actions in EMPTY:
        with one_clear_error("horizon is 0"):
            model.imagine(frame(60), actions)
    with one_clear_error(r"action 2 is outside Discrete\(2\)"):
        model.imagine(frame(60), [[0, 2]])
    with one_clear_error("takes integers"):
        model.imagine(frame(60), [[0.5]])
    with one_clear_error("2 observations and 3 action sequences"):
        model.imagine(np.stack([frame(60)] * 2), [[1]] * 3)
    with one_clear_error("give one per state"):
        model.next(model.encode(frame(60)), [0, 1])
    with one_clear_error("must be latents, not ndarray: encode frames first"):
        model.next(frame(60), 1)  # type: ignore[arg-type]
    with one_clear_error(r"give \(T,\) or \(B, T\)"):
        model.imagine(frame(60), [[[1]]])
    with one_clear_error("unknown mode 'walk'"):
        model.imagine(frame(60), [[1]], mode="walk")  # type: ignore[arg-type]
    with one_clear_error("k=99 is outside 1 to 12"):
        world(RIGHT, LEFT, k=99).imagine(frame(60), [[1]])
    with one_clear_error("the memory is empty"):
        world().imagine(frame(60), [[1]])
    with one_clear_error("made by encoder"):
        WorldModel(PixelEncoder(sigma=0.5), model.memory)


def test_bad_dynamics() -> None:
    for settings_, message in (
        ({"strategy": "replay"}, "unknown strategy"),
        ({"metric": "cosine"}, "unknown metric"),
        ({"rule": "mode"}, "unknown rule"),
        ({"conditioning": "firm"}, "unknown conditioning"),
        ({"k": 0}, "k must be a whole number from 1"),
        ({"strategy": "rollout", "k": 3}, "leave k out"),
        ({"action_weight": float("nan")}, "action_weight must be 0 or above"),
    ):
        with one_clear_error(message):
            DynamicsConfig(**settings_)


def test_without_settings_a_world_follows_analogues() -> None:
    encoder = PixelEncoder(sigma=0.01)
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend([RIGHT, LEFT], encoder)
    default, named = WorldModel(encoder, memory), WorldModel(encoder, memory, AnalogueConfig())
    assert default.dynamics == named.dynamics
    assert default.usual_mode == "follow"
    for left, right in zip(*(w.imagine(frame(80), [[1, 1], [0, 0]]).latents.mu for w in (default, named)), strict=True):
        assert torch.equal(left, right)


def test_of_the_papers_strategies_actions_count_unless_told_otherwise() -> None:
    encoder = PixelEncoder(sigma=0.01)
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend([RIGHT, LEFT], encoder)
    usual = WorldModel(encoder, memory, DynamicsConfig())
    assert usual.lookup.settings.conditioning == "hard"
    rollout = usual.imagine(frame(80), [[1, 1], [0, 0]])
    assert rollout.frames is not None
    assert rollout.frames[:, -1, 0, 0, 0].tolist() == [100, 60]
    box = DynamicsConfig().resolved(gymnasium.spaces.Box(-1, 1, (2,)))
    assert (box.conditioning, box.action_weight) == ("soft", 1.0)
    with one_clear_error("action_weight belongs to soft conditioning, not to hard"):
        WorldModel(encoder, memory, DynamicsConfig(action_weight=2.0))
    with one_clear_error("action_weight belongs to soft conditioning, not to none"):
        DynamicsConfig(conditioning="none", action_weight=2.0)


def test_every_draw_has_noise_of_its_own() -> None:
    """The query's, the first prediction's, and each later one's; and the same again from the same seed."""

    def drawn() -> list[torch.Tensor]:
        model = world(RIGHT, LEFT, sigma=5.0, strategy="replay_kl")
        states = [model.encode(frame(80))]
        for _ in range(3):
            states.append(model.next(states[-1], [1]).latents)
        return [(s.z - s.mu) / s.sigma for s in states]

    noise = drawn()
    for i in range(4):
        for j in range(i):
            assert not torch.isclose(noise[i], noise[j], atol=1e-4).any()
    assert all(torch.equal(a, b) for a, b in zip(noise, drawn(), strict=True))
    model = world(RIGHT, LEFT, sigma=5.0, strategy="replay_kl")
    rollout = model.imagine(frame(80), [[1] * 3], seed=7).latents
    inside = ((rollout.z - rollout.mu) / rollout.sigma)[0]
    start = model.encode(frame(80), torch.Generator().manual_seed(7))
    own = ((start.z - start.mu) / start.sigma)[0]
    assert not torch.isclose(inside, own, atol=1e-4).any()


def test_distances_are_the_metric_s_own_and_the_penalty_stands_beside_them() -> None:
    model = world(RIGHT, LEFT, strategy="replay_l2", k=3, conditioning="soft", action_weight=100.0)
    state = model.encode(frame(80))
    matches = model.next(state, [0]).matches
    stored = model.memory.rows.latents[matches.rows[0]]
    torch.testing.assert_close(matches.distances[0], ((stored.z - state.z).double() ** 2).sum(1))
    wrong = model.memory.rows.actions[matches.rows[0], 0] == 0  # column 0 is the action asked for
    assert torch.equal(matches.penalties[0] > 0, wrong)
    assert bool((matches.costs[0].diff() >= 0).all())
    alone = world(RIGHT, strategy="replay_l2", conditioning="soft")
    with one_clear_error("soft conditioning measures in distances between episodes"):
        alone.next(alone.encode(frame(80)), [0])


def test_soft_conditioning_where_most_moments_are_in_another_episode_too() -> None:
    """A small world without noise: the median distance to another episode is 0, and yet some are apart."""
    twice, apart = walk("one", 50, [1] * 6), walk("two", 50, [1] * 6)
    other = walk("three", 50, [0] * 3)
    model = world(twice, apart, other, strategy="replay_kl", conditioning="soft", action_weight=100.0)
    assert float(model.lookup.support.distances.median()) == 0
    assert model.lookup.support.typical == float(
        model.lookup.support.distances[model.lookup.support.distances > 0].median()
    )
    matches = model.next(model.encode(frame(50)), [0]).matches
    assert int(model.memory.rows.episodes[matches.rows[0, 0]]) == 2


def test_ended_threads_are_no_shortfall() -> None:
    short, long = walk("short", 50, [1, 1]), walk("long", 50, [1] * 5, lane=1)
    model = world(short, long, strategy="replay_l2", k=3, conditioning="hard", rule="mean")
    rollout = model.imagine(frame(50), [[1] * 5], mode="follow")
    assert rollout.shortfall[0].tolist() == [0, 0, 0, 0, 0]
    assert rollout.ended_threads[0, -1] > 0
    fewer = world(short, strategy="replay_l2", k=2, conditioning="hard", rule="mean")
    fewer.memory.append(walk("left", 90, [0]), fewer.encoder)
    rollout = fewer.imagine(frame(90), [[0]], mode="follow")
    assert (rollout.shortfall.tolist(), rollout.ended_threads.tolist()) == ([[1]], [[0]])


def test_the_approximate_index_serves_a_world_and_follows_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # Real lists even for few rows.
    monkeypatch.setattr("memworld.search.approximate.index._EXACT_UP_TO", 0)
    encoder = PixelEncoder((2, 2, 1), sigma=5.0)
    memory = Memory(DatasetInfo((2, 2, 1), gymnasium.spaces.Discrete(2)), encoder)
    rng = np.random.default_rng(0)
    last = np.arange(60) == 59

    def episode(name: str) -> Episode:
        frames = rng.integers(0, 256, (61, 2, 2, 1), dtype=np.uint8)
        return Episode(name, frames, rng.integers(0, 2, 60), np.zeros(60), ~last & last, last)

    memory.extend([episode(str(i)) for i in range(4)], encoder)
    dynamics = DynamicsConfig("replay_kl", rule="nearest", conditioning="hard")
    exact = WorldModel(encoder, memory, dynamics, device="cpu")
    approximate = WorldModel(encoder, memory, dynamics, index="approximate")
    start = rng.integers(0, 256, (20, 2, 2, 1), dtype=np.uint8)
    for turn in range(2):
        actions = rng.integers(0, 2, (20, 3))
        found, wanted = (w.imagine(at_mean(*encoder.encode(start)), actions).rows for w in (approximate, exact))
        assert float((found == wanted).double().mean()) > 0.9
        memory.append(episode(f"new{turn}"), encoder)
        memory.remove([str(turn)])
    with one_clear_error("unknown index 'best'"):
        WorldModel(encoder, memory, index="best")  # type: ignore[arg-type]
    with one_clear_error("runs on the CPU"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        WorldModel(encoder, memory, index="approximate", device="cuda")


def test_a_world_s_parts_cannot_be_swapped_under_its_index() -> None:
    model = world(RIGHT)
    for name in ("dynamics", "memory", "encoder"):
        with pytest.raises(AttributeError):
            setattr(model, name, None)


def test_seeds_and_ragged_sequences() -> None:
    model = world(RIGHT, LEFT)
    for seed in (-1, 2**32, None, 0.5):
        with one_clear_error("seed must be a whole number"):
            model.imagine(frame(60), [[1]], seed=seed)  # type: ignore[arg-type]
    with one_clear_error("action"):
        model.imagine(frame(60), [[1, 0], [1]])


def test_follow_leaves_threads_that_take_another_action_than_asked() -> None:
    turning, straight = walk("turning", 50, [1, 1, 0, 0]), walk("straight", 50, [1] * 5, lane=1)
    model = world(turning, straight, strategy="rollout", rule="mean", conditioning="hard")
    rollout = model.imagine(frame(50), [[1, 1, 1, 0]], mode="follow")
    assert [len(rollout.citations(0, t)) for t in range(3)] == [2, 2, 1]
    assert [c.episode for c in rollout.citations(0, 2)] == ["straight"]
    # No thread goes left where it is asked for, so memory is searched again for one that does.
    assert rollout.searched[0].tolist() == [True, False, False, True]
    assert rollout.shortfall[0].tolist() == [0, 0, 0, 1]
    assert [c.episode for c in rollout.citations(0, 3)] == ["turning"]
    every = model.memory.rows.actions[rollout.rows.clamp(min=0)][0, :, :, 1] > 0  # column 1 is "right"
    for t, asked in enumerate([True, True, True, False]):
        found = rollout.rows[0, t] >= 0
        assert bool((every[t][found] == asked).all())


def test_empty_batches_and_unbatched_states() -> None:
    model = world(RIGHT, LEFT)
    state = model.encode(frame(60))
    for bad in (state[:0], state[0], state.reshape(1, 1)):
        with one_clear_error(r"states must be \(B, 2\) latents with B of at least 1"):
            model.next(bad, [1])
        with one_clear_error("states must be"):
            model.imagine(bad, [[1]])
    with one_clear_error("give at least one frame"):
        model.encode(np.zeros((0, 1, 2, 1), np.uint8))


def test_reanchor_leaves_threads_that_disagree_and_searches_where_most_have() -> None:
    """Three walks side by side; the first turns back at once, the second a step later."""
    walks = [walk("a", 100, [1, 0, 0, 0]), walk("b", 100, [1, 1, 0, 0], lane=1), walk("c", 100, [1, 1, 1, 1], lane=2)]
    model = world(*walks, strategy="replay_l2", k=3, rule="mean")
    rollout = model.imagine(frame(100, lane=1), [[1, 1, 1, 1]], mode="reanchor")
    assert rollout.searched[0].tolist() == [True, False, True, True]
    assert {c.episode for c in rollout.citations(0, 0)} == {"a", "b", "c"}
    assert {c.episode for c in rollout.citations(0, 1)} == {"b", "c"}
    followed = model.imagine(frame(100, lane=1), [[1, 1, 1, 1]], mode="follow")
    assert followed.searched[0].tolist() == [True, False, False, False]


@pytest.mark.parametrize("steering", [False, True])
def test_a_policy_is_imagined_as_the_actions_it_takes_are(steering: bool) -> None:
    encoder = PixelEncoder(sigma=0.01)
    memory = Memory(LEFT_RIGHT, encoder)
    memory.extend([RIGHT, LEFT, walk("turning", 60, [1, 0, 0, 1, 1, 1])], encoder)
    model = WorldModel(encoder, memory, AnalogueConfig.steering() if steering else DynamicsConfig("replay_l2", k=2))
    before = Past(frame(70)[None, None], np.array([[1]]), np.ones((1, 1), bool))
    seen: list[torch.Tensor] = []
    rng = np.random.default_rng(0)

    def policy(recent: torch.Tensor) -> np.ndarray:
        seen.append(recent.clone())
        return np.where(recent[:, 0, 0] < 85, 1, rng.integers(0, 2, len(recent)))

    rollout, actions = model.imagine_policy(frame(80), policy, 4, count=3, past=before, seed=5)
    assert (actions.shape, actions[:, 0].tolist()) == ((3, 4), [1, 1, 1])
    again = model.imagine(frame(80), actions, past=before, seed=5)
    for name in ("rewards", "termination", "rows", "weights", "support"):
        assert torch.equal(getattr(rollout, name), getattr(again, name)), name
    assert torch.equal(rollout.latents.mu, again.latents.mu)
    np.testing.assert_array_equal(rollout.frames, again.frames)
    # It sees the moments that were given, and one more after every step, the latest first.
    assert [recent.shape for recent in seen] == [(3, 2 + step, 2) for step in range(4)]
    assert seen[0][:, :, 0].tolist() == [[80, 70]] * 3
    for step in range(1, 4):
        assert torch.equal(seen[step][:, 1:], seen[step - 1])
        assert torch.equal(seen[step][:, 0], rollout.latents.mu[:, step - 1])


def test_a_policy_acts_in_every_observation_and_must_give_an_action_for_each() -> None:
    model = world(RIGHT, LEFT, conditioning="hard")
    frames = np.stack([frame(60), frame(90)])
    rollout, actions = model.imagine_policy(frames, lambda recent: np.array([1, 0]), 2, decode=False)
    assert actions.tolist() == [[1, 1], [0, 0]]
    assert rollout.latents.mu[:, 0, 0].tolist() == [70, 80]
    one, taken = model.imagine_policy(model.encode(frame(60)), lambda recent: np.array([1]), 3, decode=False)
    assert (one.rewards.shape, taken.tolist()) == ((1, 3), [[1, 1, 1]])
    for wrong in (np.array(1), np.array([1]), np.array([1, 0, 1]), np.array([[1, 0]])):
        with one_clear_error("the policy gave actions of shape .* give one per future"):
            model.imagine_policy(frames, lambda recent, wrong=wrong: wrong, 2)  # type: ignore[misc]
    with one_clear_error(r"action 2 is outside Discrete\(2\)"):
        model.imagine_policy(frames, lambda recent: np.array([2, 0]), 2)
    with one_clear_error("horizon is 0"):
        model.imagine_policy(frames, lambda recent: np.array([1, 0]), 0)
    with one_clear_error("2 observations and 3 action sequences"):
        model.imagine_policy(frames, lambda recent: np.array([1, 0]), 2, count=3)


def test_a_history_is_what_was_seen_at_the_posteriors_means() -> None:
    model = world(RIGHT, LEFT, sigma=5.0)
    alone = model.history(frame(80))
    assert alone.latents.z.tolist() == alone.latents.mu.tolist() == [[[80, 0]]]
    assert alone.latents.sigma.tolist() == [[[5, 5]]]
    frames = np.stack([frame(80), frame(100)])
    shown = np.stack([[frame(60), frame(70)], [frame(0), frame(110)]])
    known = np.array([[True, True], [False, True]])
    history = model.history(frames, Past(shown, np.zeros((2, 2), np.int64), known))
    assert history.latents.mu[..., 0].tolist() == [[60, 70, 80], [0, 110, 100]]
    assert torch.equal(history.latents.z, history.latents.mu)
    assert history.known.tolist() == [[True, True, True], [False, True, True]]
    before = model.encode(frame(80)).z
    model.history(frame(80))
    other = world(RIGHT, LEFT, sigma=5.0)
    assert torch.equal(other.encode(frame(80)).z, before)
    assert torch.equal(other.encode(frame(80)).z, model.encode(frame(80)).z)  # it draws nothing of the world's own
    with one_clear_error("a past of 2 and 1 observations"):
        model.history(frame(80), Past(shown, np.zeros((2, 2), np.int64), known))
