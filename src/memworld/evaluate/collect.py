"""Gathers the numbers of an evaluation, and the pictures, while it goes over the held-out episodes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.methods import Method, Predicted
from memworld.evaluate.results import MetricRow, Neighbour, Retrieval, Strip, interval
from memworld.evaluate.windows import Windows
from memworld.imagine import Rollout
from memworld.memory import Memory

_COMPARED = ("moving_pixel_l1", "l1", "ssim", "state_error")
"""Metrics whose paired difference from persistence is part of the table."""

_NEIGHBOURS = 8
"""Most retrieved moments that are shown of one prediction."""


class Numbers:
    """Means over windows, per method, metric and episode."""

    def __init__(self) -> None:
        """Start with none."""
        self._values: dict[tuple[str, str], dict[str, list[np.ndarray]]] = {}
        self.support: dict[str, list[np.ndarray]] = {}
        """Per search method, the (S, T) support quantiles of each episode."""
        self.missing_rows: dict[str, int] = {}
        """Per search method, rows that conditioning asked for and memory did not have."""

    def add(self, method: Method, predicted: Predicted, measured: dict[str, np.ndarray]) -> None:
        """Take one method's metrics (S, T) on one episode."""
        per_metric = self._values.setdefault((method.name, method.mode), {})
        for name, value in measured.items():
            # A frame in which nothing moves has no moving-pixel error; the others speak for the step.
            with np.errstate(invalid="ignore"):
                total, count = np.nansum(value, axis=0), (~np.isnan(value)).sum(0)
                per_metric.setdefault(name, []).append(total / count)
        if predicted.rollout is not None:
            self.support.setdefault(method.label, []).append(measured["support"])
            missing = int(predicted.rollout.shortfall.sum())
            self.missing_rows[method.label] = self.missing_rows.get(method.label, 0) + missing

    def table(self, world: str, methods: Sequence[Method], seed: int) -> list[MetricRow]:
        """Means and intervals over episodes, and the paired differences from persistence."""
        rows: list[MetricRow] = []
        baseline = self._values["persistence", ""]
        for method in methods:
            measured = {name: np.stack(v) for name, v in self._values[method.name, method.mode].items()}
            if method.name != "persistence":
                measured |= {
                    f"{name}_minus_persistence": measured[name] - np.stack(baseline[name])
                    for name in _COMPARED
                    if name in measured
                }
            for metric, per_episode in measured.items():
                mean, low, high = (side.tolist() for side in interval(per_episode, seed))
                rows += [
                    MetricRow(
                        world, method.name, method.mode, t + 1, metric, mean[t], low[t], high[t], len(per_episode)
                    )
                    for t in range(len(mean))
                ]
        return rows


class Gallery:
    """Film strips, and predictions with the moments behind them."""

    def __init__(self, config: EvaluationConfig, memory: Memory) -> None:
        """Start with none.

        Args:
            config: how many to keep, and the steps to show.
            memory: gives the frames of retrieved moments, if it keeps them.
        """
        self._config = config
        self._memory = memory
        self.strips: list[Strip] = []
        self.retrievals: list[Retrieval] = []

    def add(self, method: Method, windows: Windows, predicted: Predicted) -> None:
        """Take what is wanted of one method's pictures on one episode, always of its middle window."""
        window = len(windows.starts) // 2
        self._add_to_strip(method, windows, predicted, window)
        kept = sum(r.method == method.name for r in self.retrievals)
        wanted = kept < self._config.retrievals and method.mode == self._config.modes[0]
        if predicted.rollout is not None and wanted and self._memory.keep_frames:
            self.retrievals.append(
                Retrieval(
                    method.name,
                    windows.episode,
                    int(windows.starts[window]),
                    windows.start_frames[window],
                    windows.true_frames[window, 0],
                    predicted.frames[window, 0].copy(),
                    float(predicted.rollout.support[window, 0]),
                    self._neighbours(predicted.rollout, window),
                )
            )

    def _add_to_strip(self, method: Method, windows: Windows, predicted: Predicted, window: int) -> None:
        """One strip for each of the first few episodes; the methods come one after the other."""
        at = [h - 1 for h in self._config.shown_horizons]
        if not self.strips or self.strips[-1].episode != windows.episode:
            if len(self.strips) == self._config.strips:
                return
            start, frame = int(windows.starts[window]), windows.start_frames[window]
            truth = windows.true_frames[window, at]
            self.strips.append(Strip(windows.episode, start, self._config.shown_horizons, frame, truth, ()))
        strip = self.strips[-1]
        row = (method.label, predicted.frames[window, at].copy())
        self.strips[-1] = replace(strip, rows=(*strip.rows, row))

    def _neighbours(self, rollout: Rollout, window: int) -> tuple[Neighbour, ...]:
        """The moments behind the first step of a rollout, nearest first."""
        neighbours = []
        for cited in sorted(rollout.citations(window, 0), key=lambda c: c.distance)[:_NEIGHBOURS]:
            row = self._memory.row_of(cited.episode, cited.step)
            frame, successor = self._memory.frames([row, row + 1])
            neighbours.append(Neighbour(cited.episode, cited.step, cited.distance, cited.weight, frame, successor))
        return tuple(neighbours)
