"""What an imagined step costs."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder
from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.methods import Method
from memworld.evaluate.results import KINDS, MethodTiming
from memworld.evaluate.windows import Windows, held_out_windows
from memworld.rollout import Past


def measure_timings(
    methods: Sequence[Method],
    held_out: EpisodeDataset,
    encoder: Encoder,
    rows: int,
    config: EvaluationConfig,
    progress: bool = False,
) -> list[MethodTiming]:
    """Time one imagined world, and a batch of them, over five steps; the median of three runs.

    Args:
        methods: those that neither repeat what is there nor use the truth are timed.
        held_out: gives the starts.
        encoder: encodes them.
        rows: search candidates in memory.
        config: steps and batch.
        progress: whether to show a progress bar.
    """
    steps = min(5, config.horizon)
    windows = next(
        held_out_windows(held_out, encoder, steps, config.timing_batch, config.seed, past=config.context - 1)
    )
    timings = []
    timed = [method for method in methods if KINDS.get(method.name, "trained") == "trained"]
    for method in tqdm(timed, "time a step", unit="method", disable=not progress):
        cost = []
        for batch in (1, len(windows.starts)):
            asked = first_windows(windows, batch)
            method.predict(asked)
            runs = []
            for _ in range(3):
                began = time.perf_counter()
                method.predict(asked)
                runs.append((time.perf_counter() - began) * 1000 / (steps * batch))
            cost.append(float(np.median(runs)))
        searched = 0 if method.name in KINDS else rows
        timings.append(MethodTiming(method.name, method.mode, searched, cost[0], len(windows.starts), cost[1]))
    return timings


def first_windows(windows: Windows, count: int) -> Windows:
    """The first of several windows."""
    past = windows.past
    return replace(
        windows,
        starts=windows.starts[:count],
        past=Past(past.observations[:count], past.actions[:count], past.known[:count]),
        start_frames=windows.start_frames[:count],
        start_latents=windows.start_latents[torch.arange(min(count, len(windows.starts)))],
        actions=windows.actions[:count],
        true_frames=windows.true_frames[:count],
        true_latents=windows.true_latents[torch.arange(min(count, len(windows.starts)))],
        true_states=None if windows.true_states is None else windows.true_states[:count],
    )
