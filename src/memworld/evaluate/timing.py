"""What an imagined step costs."""

import time
from collections.abc import Mapping

import numpy as np

from memworld.datasets import EpisodeDataset
from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.results import MethodTiming
from memworld.evaluate.windows import held_out_windows
from memworld.world_model import WorldModel


def measure_timings(
    worlds: Mapping[str, WorldModel], held_out: EpisodeDataset, config: EvaluationConfig
) -> list[MethodTiming]:
    """Time one imagined world, and a batch of them, over five steps; the median of three runs."""
    steps = min(5, config.horizon)
    encoder = next(iter(worlds.values())).encoder
    windows = next(iter(held_out_windows(held_out, encoder, steps, config.timing_batch, config.seed)))
    timings = []
    for name, world in worlds.items():
        for mode in config.modes:
            cost = []
            for batch in (1, len(windows.starts)):
                frames, actions = windows.start_frames[:batch], windows.actions[:batch]
                world.imagine(frames, actions, mode=mode)
                runs = []
                for _ in range(3):
                    began = time.perf_counter()
                    world.imagine(frames, actions, mode=mode)
                    runs.append((time.perf_counter() - began) * 1000 / (steps * batch))
                cost.append(float(np.median(runs)))
            timings.append(MethodTiming(name, mode, world.memory.steps, cost[0], len(windows.starts), cost[1]))
    return timings
