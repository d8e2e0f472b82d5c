"""What an error is made of, measured: the parts in pictures, and the drift in latents."""

from dataclasses import dataclass, field

import numpy as np
import torch

from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.methods import Predicted
from memworld.evaluate.metrics import median_picture
from memworld.evaluate.windows import Windows
from memworld.gaussian import at_mean
from memworld.memory import Rows
from memworld.pixels import moving_pixel_l1
from memworld.search import Candidates, Query
from memworld.search.exact import ExactIndex


@dataclass
class Parts:
    """What one method's error is made of; one array per held-out episode, means over windows.

    Attributes:
        kind: what the method is.
        pixels: (H, 2) moving-pixel L1 of the whole error and of drift alone, at the shown steps.
        squared: (T, 3) mean squared error of frames in [0, 1]: total, drift, decoding.
        drift: (T, 2) root mean squared distance to the true posterior mean, in typical steps, of the
            predicted mean and of its sample.
        remembered: (H, 2) mean distance of the predicted sample to the nearest remembered mean, and to
            the true one, in typical steps, at the shown steps.
    """

    kind: str
    pixels: list[np.ndarray] = field(default_factory=list)
    squared: list[np.ndarray] = field(default_factory=list)
    drift: list[np.ndarray] = field(default_factory=list)
    remembered: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Ruler:
    """Measures the parts of an error.

    Attributes:
        median: uint8 (H, W, C) median picture of the training data.
        step: typical distance between consecutive remembered latents, `typical_step`.
        index: over the means of all remembered latents.
        shown: steps ahead that tables show.
    """

    median: np.ndarray
    step: float
    index: ExactIndex
    shown: tuple[int, ...]

    @classmethod
    def of(cls, lab: Laboratory, shown: tuple[int, ...]) -> "Ruler":
        """The ruler of a laboratory."""
        mu = lab.memory.rows.latents.mu
        every = torch.arange(len(mu))
        means = at_mean(mu, torch.ones_like(mu))
        index = ExactIndex("l2", Candidates(means, every, torch.zeros_like(every), torch.zeros(len(mu), 1)))
        return cls(median_picture(lab.training), typical_step(lab.memory.rows), index, shown)

    def measure(self, parts: Parts, windows: Windows, bound: np.ndarray, predicted: Predicted) -> None:
        """Add what one method says about one episode.

        Args:
            parts: what is added to.
            windows: of the episode.
            bound: uint8 (S, T, H, W, C) the decoder's pictures of the true latents.
            predicted: decoded predictions.
        """
        at = [step - 1 for step in self.shown]
        true, latents = windows.true_latents.mu, predicted.latents
        sides = [self._moving(other[:, at], predicted.frames[:, at]) for other in (windows.true_frames, bound)]
        parts.pixels.append(np.stack(sides, 1))
        parts.squared.append(squared_parts(windows.true_frames, bound, predicted.frames))
        distances = torch.stack([torch.linalg.vector_norm((x - true).double(), dim=2) for x in (latents.mu, latents.z)])
        parts.drift.append((distances**2).mean(1).sqrt().T.numpy() / self.step)
        z = latents.z[:, at].flatten(0, 1)
        nearest = self.index.nearest(Query(at_mean(z, torch.ones_like(z))), 1).distances[:, 0].sqrt()
        both = torch.stack([nearest.reshape(-1, len(at)), distances[1][:, at]], 2)
        parts.remembered.append(both.mean(0).numpy() / self.step)

    def _moving(self, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(H,) moving-pixel L1 between (S, H) frames, the mean over windows in which something moves."""
        frame = true.shape[2:]
        values = moving_pixel_l1(true.reshape(-1, *frame), predicted.reshape(-1, *frame), self.median)
        values = values.reshape(true.shape[:2])
        moves = ~np.isnan(values)
        count = moves.sum(0)
        total = np.where(moves, values, 0).sum(0)
        return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))


def typical_step(rows: Rows) -> float:
    """Root mean squared distance between the means of consecutive rows: as far as a world moves in a step."""
    here = rows.candidates
    change = (rows.latents.mu[here + 1] - rows.latents.mu[here]).double()
    return float((change**2).sum(1).mean().sqrt().clamp(min=1e-12))


def squared_parts(true: np.ndarray, bound: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean squared errors of frames in [0, 1]: uint8 (S, T, H, W, C) three times to float64 (T, 3).

    Total, drift (predicted against bound) and decoding (bound against true). Half of what the total
    is above the other two is the cross term.
    """
    pairs = ((predicted, true), (predicted, bound), (bound, true))
    return np.stack([_mean_squares(a, b) for a, b in pairs], 1) / 255**2


def _mean_squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(T,) mean squared difference of uint8 (S, T, H, W, C)."""
    difference = np.maximum(a, b) - np.minimum(a, b)
    # Squares of one byte fit into two.
    return np.asarray(np.square(difference, dtype=np.uint16).mean((0, 2, 3, 4), dtype=np.float64))


def shares(squared: np.ndarray) -> np.ndarray:
    """(..., 3) total, drift and decoding to the shares (..., 3) of drift, decoding and twice the cross term."""
    total, drift, decoding = np.moveaxis(squared, -1, 0)
    each = np.stack([drift, decoding, total - drift - decoding], -1)
    whole = np.broadcast_to(total[..., None], each.shape)
    return np.asarray(np.divide(each, whole, out=np.full(each.shape, np.nan), where=whole > 0))


def growth(drift: np.ndarray) -> np.ndarray:
    """The power p of drift(t) ~ t^p, by least squares in logarithms: (E, T) to (E,).

    Steps without any drift are left out; NaN where fewer than two have some.
    """
    powers = np.full(len(drift), np.nan)
    for i, values in enumerate(drift):
        steps = np.flatnonzero(values > 0)
        if len(steps) > 1:
            powers[i] = np.polyfit(np.log(steps + 1), np.log(values[steps]), 1)[0]
    return powers
