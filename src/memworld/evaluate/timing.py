"""What an imagined step costs."""

import time

import numpy as np

from memworld.encoders import Encoder
from memworld.episodes import EpisodeDataset
from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.results import MethodTiming
from memworld.evaluate.windows import held_out_windows
from memworld.memory import Memory
from memworld.world_model import DynamicsConfig, WorldModel


def measure_timings(
    encoder: Encoder, memory: Memory, held_out: EpisodeDataset, config: EvaluationConfig
) -> list[MethodTiming]:
    """Time one imagined world, and a batch of them, over five steps; the median of three runs."""
    steps = min(5, config.horizon)
    windows = next(iter(held_out_windows(held_out, encoder, steps, config.timing_batch, config.seed)))
    timings = []
    for strategy in config.strategies:
        for mode in config.modes:
            world = WorldModel(encoder, memory, DynamicsConfig(strategy, conditioning=config.conditioning))
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
            timings.append(MethodTiming(strategy, mode, memory.steps, cost[0], len(windows.starts), cost[1]))
    return timings
