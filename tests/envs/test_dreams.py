"""Futures that begin and end at different times are imagined as if each were alone."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from torch import Tensor

from memworld.analogues import AnalogueConfig, AnalogueDynamics, Analogues, Panel
from memworld.contexts import recorded_history
from memworld.dynamics import DynamicsConfig
from memworld.engine import Engine
from memworld.envs.dreams import Dreams
from memworld.hybrid import HybridDynamics
from memworld.hybrid.correction import Correction, CorrectionNetwork
from memworld.imagine import Dynamics, Mode, imagine_latents
from memworld.rollout import Prediction
from tests.analogues.toys import ACTIONS, glide, make_index, rows_of

DIM, SHAPE = 32, (2, 4, 4)
ROWS = rows_of(*glide(24, 16, DIM))
HORIZON = 4
ANALOGUES = Analogues(Panel(ROWS, SHAPE, AnalogueConfig(horizon=HORIZON, samples=400), make_index))


def babbling() -> CorrectionNetwork:
    """A network that says something, of random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CorrectionNetwork(DIM, ACTIONS, 2, 8, 1.0)
        torch.nn.init.normal_(network.change.weight, std=0.1)
    return network.eval()


def lookup(**settings: object) -> Dynamics:
    resolved = DynamicsConfig(**settings).resolved(Discrete(ACTIONS))  # type: ignore[arg-type]
    return Engine("exact", "cpu").build(resolved, ROWS, SHAPE)


CASES: dict[str, tuple[Dynamics, Mode]] = {
    "analogues": (AnalogueDynamics(ANALOGUES), "follow"),
    "analogues, requery": (AnalogueDynamics(ANALOGUES), "requery"),
    "hybrid": (HybridDynamics(ANALOGUES, Correction(babbling(), torch.full((4,), 0.9), torch.ones(4))), "follow"),
    "hybrid of no network": (HybridDynamics(ANALOGUES, Correction(None, torch.ones(4), torch.ones(4))), "follow"),
    "lookup": (lookup(strategy="replay_l2", k=3, rule="mean"), "follow"),
    "lookup, reanchor": (lookup(strategy="replay_l2", k=3, rule="mean"), "reanchor"),
    "lookup, requery": (lookup(strategy="replay_l2", k=3, rule="mean", context=(1.0, 0.5)), "requery"),
    "rollout": (lookup(strategy="rollout", rule="mean"), "follow"),
}


def same(one: Prediction, other: Prediction, place: int) -> None:
    """A future that is alone in its batch, and that in a place of another."""
    assert torch.allclose(one.latents.mu[0], other.latents.mu[place], atol=1e-4)
    assert torch.allclose(one.latents.sigma[0], other.latents.sigma[place], atol=1e-4)
    assert torch.equal(one.matches.rows[0], other.matches.rows[place])
    for name in ("weights", "support", "reward", "termination"):
        assert torch.allclose(getattr(one, name)[0], getattr(other, name)[place], atol=1e-4), name


@pytest.mark.parametrize("case", CASES)
def test_each_future_is_as_if_it_were_alone(case: str) -> None:
    dynamics, mode = CASES[case]
    rng = np.random.default_rng(0)
    dreams, generator = Dreams(dynamics, mode), torch.Generator()
    places, steps = 7, 14
    started: dict[int, int] = {}
    asked: dict[int, list[Tensor]] = defaultdict(list)
    said: dict[int, list[tuple[Prediction, int]]] = defaultdict(list)

    def check(place: int) -> None:
        history = recorded_history(ROWS, torch.tensor([started[place]]), dynamics.context)
        alone, _ = imagine_latents(dynamics, history, torch.stack(asked[place])[None], mode, torch.Generator())
        assert len(alone) == len(said[place])
        for one, (other, column) in zip(alone, said[place], strict=True):
            same(one, other, column)

    def begin(free: np.ndarray) -> None:
        rows = ROWS.candidates[torch.from_numpy(rng.integers(len(ROWS.candidates), size=len(free)))]
        dreams.begin(free, recorded_history(ROWS, rows, dynamics.context))
        for place, row in zip(free.tolist(), rows.tolist(), strict=True):
            started[place] = row
            asked[place], said[place] = [], []

    begin(np.arange(places))
    ended = 0
    for _ in range(steps):
        actions = torch.eye(ACTIONS)[torch.from_numpy(rng.integers(ACTIONS, size=places))].double()
        seen: list[int] = []
        for some, prediction in dreams.step(actions, generator):
            seen += some.tolist()
            for column, place in enumerate(some.tolist()):
                asked[place].append(actions[place])
                said[place].append((prediction, column))
        assert sorted(seen) == list(range(places))  # each once
        over = rng.random(places) < 0.3
        for place in np.flatnonzero(over).tolist():
            check(place)
        ended += int(over.sum())
        dreams.keep(~over)
        if over.any():
            begin(np.flatnonzero(over))
    assert ended > places
    for place in range(places):
        if said[place]:
            check(place)


@pytest.mark.parametrize(("case", "batches"), [("analogues", HORIZON), ("lookup", 1), ("analogues, requery", 1)])
def test_there_are_no_more_batches_than_phases(case: str, batches: int) -> None:
    dynamics, mode = CASES[case]
    dreams, actions = Dreams(dynamics, mode), torch.eye(ACTIONS)[:1].expand(40, -1).double()
    for place in range(40):
        dreams.begin(np.array([place]), recorded_history(ROWS, torch.tensor([3]), dynamics.context))
        stepped = len(list(dreams.step(actions, torch.Generator())))
        assert stepped == min(place + 1, batches)
    dreams.keep(np.zeros(40, bool))
    assert list(dreams.step(actions, torch.Generator())) == []


def test_a_history_is_what_memory_holds_and_says_where_it_begins() -> None:
    first = int(torch.nonzero(ROWS.steps == 0)[1])  # of the second episode
    history = recorded_history(ROWS, torch.tensor([first, first + 1, first + 5]), 3)
    assert history.known.tolist() == [[False, False, True], [False, True, True], [True, True, True]]
    assert torch.equal(history.present.z, ROWS.latents.mu[[first, first + 1, first + 5]])
    assert torch.equal(history.latents.mu[2], ROWS.latents.mu[first + 3 : first + 6])
    assert torch.equal(history.latents.mu[1, 1], ROWS.latents.mu[first])
