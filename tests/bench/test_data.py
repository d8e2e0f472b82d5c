"""Made-up memories: seeded, the same whatever their size, stationary, and near a sheet of low dimension."""

import torch

from memworld.bench.data import EPISODE_STEPS, MadeWorld, make_memory, make_queries


def test_a_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    one, same, other = (make_memory(300, 4, seed) for seed in (1, 1, 2))
    for name in ("mu", "sigma", "z"):
        assert torch.equal(getattr(one.latents, name), getattr(same.latents, name))
        assert not torch.equal(getattr(one.latents, name), getattr(other.latents, name))
    assert torch.equal(one.actions, same.actions)


def test_rows_do_not_depend_on_how_many_more_there_are() -> None:
    few, many = make_memory(1500, 4), make_memory(2700, 4)
    for name in ("mu", "sigma", "z"):
        assert torch.equal(getattr(few.latents, name), getattr(many.latents, name)[:1500])
    assert torch.equal(few.actions, many.actions[:1500])


def test_the_shape_of_a_memory() -> None:
    memory = make_memory(2300, 5)
    assert memory.latents.mu.shape == (2300, 5)
    assert all(x.dtype == torch.float32 for x in (memory.latents.mu, memory.latents.sigma, memory.latents.z))
    assert torch.equal(memory.rows, torch.arange(2300))
    assert torch.bincount(memory.episodes).tolist() == [1000, 1000, 300]
    memory.latents.check("made up")
    kinds = memory.actions.argmax(1)
    assert torch.unique(kinds).tolist() == list(range(6))
    assert (kinds.reshape(-1, 4) == kinds.reshape(-1, 4)[:, :1]).all(), "actions are held for four steps"


def test_latents_are_stationary_and_of_unit_variance() -> None:
    world = MadeWorld(6)
    episodes = [world.episode(str(i)).latents for i in range(60)]
    mu = torch.stack([e.mu for e in episodes])
    for part in (mu, mu[:, :100], mu[:, -100:]):
        assert abs(float(part.var()) - 1) < 0.25
        assert abs(float(part.mean())) < 0.15
    sigma = torch.stack([e.sigma for e in episodes])
    assert 0.05 < float(sigma.median()) < 0.4
    noise = torch.stack([(e.z - e.mu) / e.sigma for e in episodes])
    assert abs(float(noise.std()) - 1) < 0.01


def test_latents_move_smoothly_and_forget() -> None:
    world = MadeWorld(6)
    mu = torch.stack([world.episode(str(i)).latents.mu for i in range(60)])
    correlation = [float((mu[:, lag:] * mu[:, : EPISODE_STEPS - lag]).mean()) for lag in (1, 30, 300)]
    assert correlation[0] > 0.8
    assert 0.1 < correlation[1] < 0.5
    assert abs(correlation[2]) < 0.15


def test_latents_lie_near_a_sheet() -> None:
    """Neighbours are nearer than in noise of the same spread, and so worth looking for."""
    memory, queries = make_memory(3000, 32), make_queries(64, 32)
    noise = torch.randn(3000, 32, generator=torch.Generator().manual_seed(0))
    contrast = []
    for stored, asked in ((memory.latents.mu, queries.mu), (noise, noise[:64].roll(1, 1))):
        distances = torch.cdist(asked, stored)
        contrast.append(float((distances.amin(1) / distances.median(1).values).mean()))
    assert contrast[0] < 0.8 * contrast[1]


def test_queries_are_of_the_same_world_but_not_in_memory() -> None:
    queries, memory = make_queries(40, 4), make_memory(3000, 4)
    assert len(queries) == 40
    assert torch.equal(queries.z[:20], make_queries(20, 4).z)
    assert float(torch.cdist(queries.z, memory.latents.z).min()) > 0
    assert float(torch.cdist(queries.mu, memory.latents.mu).amin(1).mean()) < 1
