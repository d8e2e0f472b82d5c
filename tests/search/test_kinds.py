import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from memworld.search.kinds import Kinds

NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 0.5**0.5, -1.0, 1e-300, 1e300])


@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=1, max_size=30))
)
def test_kinds_are_the_distinct_actions(rows: list[list[float]]) -> None:
    actions = torch.tensor(rows, dtype=torch.float64)
    kinds = Kinds(actions)
    assert len(kinds) == len({tuple(x + 0.0 for x in row) for row in rows})
    assert torch.equal(kinds.actions[kinds.of], actions)
    assert torch.equal(kinds.find(actions), kinds.of)
    assert kinds.find(actions + 3).tolist() == [
        next((k for k, kind in enumerate(kinds.actions.tolist()) if kind == row), -1) for row in (actions + 3).tolist()
    ]


def test_actions_that_share_a_number_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Kinds._key

    def poor(self: Kinds, actions: Tensor) -> Tensor:
        return key(self, actions) * (0 if self._salt < 2 else 1)

    monkeypatch.setattr(Kinds, "_key", poor)
    actions = torch.tensor([[0.0], [1.0], [2.0], [1.0]], dtype=torch.float64)
    kinds = Kinds(actions)
    assert len(kinds) == 3
    assert torch.equal(kinds.actions[kinds.of], actions)
    assert int(kinds.find(torch.tensor([[5.0]]))[0]) == -1
