from pathlib import Path

import numpy as np

import memworld
from memworld.recorded import imagine_recorded
from tests.helpers import one_clear_error


def test_imagination_beside_the_recording(quick_run: Path) -> None:
    output = quick_run
    world = memworld.WorldModel.open(output / "memory")
    dataset = memworld.open_dataset(output / "episodes")
    compared = imagine_recorded(world, dataset, start=20, horizon=6, mode="follow")
    assert compared.episode not in world.memory.ids
    episode = dataset.load(compared.episode)
    np.testing.assert_array_equal(compared.truth, episode.observations[21:27])
    assert compared.rollout.frames is not None
    assert compared.rollout.frames.shape == (1, 6, 64, 64, 3)
    with one_clear_error("has 150 steps, too few for 20 from step 140"):
        imagine_recorded(world, dataset, start=140)
    with one_clear_error("too few for 20 from step -1"):
        imagine_recorded(world, dataset, start=-1)
    with one_clear_error("no episode 'nobody'"):
        imagine_recorded(world, dataset, "nobody", horizon=5)
    with one_clear_error("horizon is 0"):
        imagine_recorded(world, dataset, horizon=0)
    with one_clear_error("holds every episode"):
        imagine_recorded(world, dataset.subset(world.memory.ids))
