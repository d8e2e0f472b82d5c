"""Gathers the numbers of an evaluation, and the pictures, while it goes over the held-out episodes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.methods import Method, Predicted
from memworld.evaluate.metrics import mean_of_numbers
from memworld.evaluate.results import MetricRow, Neighbour, Retrieval, Strip, interval
from memworld.evaluate.windows import Windows
from memworld.memory import Memory
from memworld.rollout import Rollout

_COMPARED = ("moving_pixel_l1", "l1", "ssim", "state_error")
"""Metrics whose paired difference from persistence is part of the table."""

_NEIGHBOURS = 8
"""Most retrieved moments that are shown of one prediction."""


Measured = Mapping[tuple[str, str], dict[str, np.ndarray]]
"""By method and mode, every metric by name, (S, T) each."""


class Numbers:
    """Means over windows, per method, metric and episode."""

    def __init__(self) -> None:
        """Start with none."""
        self._values: dict[tuple[str, str], dict[str, list[np.ndarray]]] = {}
        self.support: dict[str, list[np.ndarray]] = {}
        """Per search method, the (S, T) support quantiles of each episode."""
        self.missing_rows: dict[str, int] = {}
        """Per search method, rows that conditioning asked for and memory did not have."""

    def note(self, method: Method, predicted: Predicted) -> None:
        """Take what a search says of itself."""
        if predicted.rollout is not None:
            self.support.setdefault(method.label, []).append(predicted.rollout.support.numpy())
            missing = int(predicted.rollout.shortfall.sum())
            self.missing_rows[method.label] = self.missing_rows.get(method.label, 0) + missing

    def add(self, measured: Measured) -> None:
        """Take all methods' metrics on one episode, and their differences from persistence, window by window."""
        baseline = measured["persistence", ""]
        for key, metrics in measured.items():
            per_metric = self._values.setdefault(key, {})
            compared = [name for name in _COMPARED if name in metrics and key != ("persistence", "")]
            differences = {f"{name}_minus_persistence": metrics[name] - baseline[name] for name in compared}
            for name, value in {**metrics, **differences}.items():
                per_metric.setdefault(name, []).append(mean_of_numbers(value))

    def per_episode(self) -> dict[tuple[str, str, str], np.ndarray]:
        """By method, mode and metric, (E, T): means over windows of every held-out episode; NaN where there is none."""
        return {
            (method, mode, metric): np.stack(values)
            for (method, mode), metrics in self._values.items()
            for metric, values in metrics.items()
        }

    def table(self, world: str, seed: int) -> list[MetricRow]:
        """Means and intervals over episodes."""
        rows: list[MetricRow] = []
        for (method, mode, metric), values in self.per_episode().items():
            mean, low, high = (side.tolist() for side in interval(values, seed))
            counts = (~np.isnan(values)).sum(0).tolist()
            rows += [
                MetricRow(world, method, mode, t + 1, metric, mean[t], low[t], high[t], counts[t])
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
        self._first_modes: dict[str, str] = {}

    def add(self, method: Method, windows: Windows, predicted: Predicted) -> None:
        """Take what is wanted of one method's pictures on one episode, always of its middle window."""
        window = len(windows.starts) // 2
        self._add_to_strip(method, windows, predicted, window)
        kept = sum(r.method == method.name for r in self.retrievals)
        first = self._first_modes.setdefault(method.name, method.mode)
        wanted = kept < self._config.retrievals and method.mode == first
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
