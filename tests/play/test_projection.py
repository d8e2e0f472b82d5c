from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from memworld.play.projection import MOST_POINTS, Projection
from memworld.store import open_memory
from tests.envs.toys import line


def test_the_map_is_that_of_principal_components(memory: Path) -> None:
    rows = open_memory(memory).rows
    found = Projection.fit(rows)
    centred = (rows.latents.mu - rows.latents.mu.mean(0)).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(centred.T))
    for axis in range(2):
        direction = vectors[:, -1 - axis]
        np.testing.assert_allclose(abs(found.axes[:, axis].numpy() @ direction), 1, atol=1e-4)
        assert float(found.axes[:, axis][found.axes[:, axis].abs().argmax()]) > 0
        np.testing.assert_allclose(found.explained[axis], values[-1 - axis] / values.sum(), rtol=1e-4)
    np.testing.assert_array_equal(found.rows, np.arange(len(rows)))
    np.testing.assert_allclose(found.places(rows.latents.mu).numpy(), found.points, atol=1e-5)
    np.testing.assert_allclose(found.points.mean(0), 0, atol=1e-4)


def test_the_same_memory_gives_the_same_map(memory: Path) -> None:
    one, other = (Projection.fit(open_memory(memory).rows) for _ in range(2))
    np.testing.assert_array_equal(one.points, other.points)


def test_latents_of_few_numbers_and_memories_of_few_rows() -> None:
    rows = line().memory.rows  # two numbers
    found = Projection.fit(rows)
    assert abs(sum(found.explained) - 1) < 1e-6
    same = Projection.fit(replace(rows, latents=rows.latents[torch.zeros(len(rows)).long()]))
    np.testing.assert_array_equal(same.points, 0)  # nothing varies
    assert same.explained == (0, 0)


def test_of_many_rows_some_are_drawn_evenly() -> None:
    from memworld.play.projection import _evenly

    drawn = _evenly(10_000, MOST_POINTS)
    assert len(drawn) == MOST_POINTS == len(torch.unique(drawn))
    assert (int(drawn[0]), int(drawn[-1])) == (0, 9_999)
    assert {1, 2, 3} >= set(drawn.diff().tolist())
    assert _evenly(1, 5).tolist() == [0]
