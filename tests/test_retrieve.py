import torch

from memworld.gaussian import DISTANCES, at_mean
from memworld.retrieve import STRATEGIES
from memworld.search import Candidates, Query
from memworld.search.exact import ExactIndex


def line(metric: str) -> ExactIndex:
    """Three episodes of four rows each on a line: 0, 1, 2, 3; 10, 11, ...; 20, 21, ..."""
    mu = torch.tensor([[float(10 * (i // 4) + i % 4)] for i in range(12)])
    rows = torch.arange(12)
    return ExactIndex(metric, Candidates(at_mean(mu, torch.ones_like(mu)), rows, rows // 4, torch.zeros(12, 1)))


def query(value: float) -> Query:
    mu = torch.tensor([[value]])
    return Query(at_mean(mu, torch.ones_like(mu)))


def test_rollout_takes_one_row_of_every_episode() -> None:
    strategy = STRATEGIES["rollout"]
    assert strategy.search(line(strategy.metric), query(11.4), strategy.k).rows.tolist() == [[5, 3, 8]]


def test_replay_takes_the_nearest_of_all_memory() -> None:
    strategy = STRATEGIES["replay_l2"]
    assert strategy.k == 10
    assert strategy.search(line("l2"), query(11.4), 3).rows.tolist() == [[5, 6, 4]]
    strategy = STRATEGIES["replay_kl"]
    assert strategy.k == 1
    assert strategy.search(line(strategy.metric), query(20.4), strategy.k).rows.tolist() == [[8]]


def test_the_paper_s_settings() -> None:
    assert {name: (s.metric, s.rule) for name, s in STRATEGIES.items()} == {
        "rollout": ("l2", "gaussian"),
        "replay_l2": ("l2", "gaussian"),
        "replay_kl": ("kl_stored_query", "sample"),
    }
    assert all(s.metric in DISTANCES for s in STRATEGIES.values())
