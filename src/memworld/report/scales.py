"""Where a value lies on an axis, and which values are written beside it."""

import math
import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

TICKS = 6
"""Most values that are written beside a linear axis."""

_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        low: the value at its one end; above 0 if it is logarithmic.
        high: the value at its other end, above `low`.
        start: where `low` lies, in units of the drawing.
        end: where `high` lies.
        log: whether it is logarithmic.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __post_init__(self) -> None:
        assert self.low < self.high and (self.low > 0 or not self.log), (self.low, self.high, self.log)  # noqa: PT018

    def at(self, values: np.ndarray | float) -> np.ndarray:
        """Places of values; one beyond an end lies at the end, NaN is NaN."""
        within = np.clip(values, self.low, self.high)
        low, high, places = (np.log(side) if self.log else side for side in (self.low, self.high, within))
        return np.asarray(self.start + (places - low) / (high - low) * (self.end - self.start))

    def ticks(self, whole: bool = False) -> list[float]:
        """The values to write beside it, in order; `whole` for whole numbers alone."""
        if self.log:
            return self._log_ticks()
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(s * power for s in _STEPS if s * power >= rough * (1 - 1e-9))
        if whole:
            step = max(1.0, step)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]

    def _log_ticks(self) -> list[float]:
        """Powers of ten, and few or more of their multiples, the less the axis spans."""
        reach = self.high / self.low
        multiples = (1, 1.5, 2, 3, 4, 5, 7) if reach < 6 else (1, 2, 5) if reach < 300 else (1,)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        every = -(-len(powers) // (TICKS + 1))  # of very many powers only some
        found = [m * 10.0**power for power in powers[::every] for m in multiples]
        found = [value for value in found if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]
        return found if len(found) > 1 else Scale(self.low, self.high, self.start, self.end).ticks()


def around(values: np.ndarray, start: float, end: float, *, log: bool = False, from_zero: bool = False) -> Scale:
    """An axis with room for values, and a little more.

    Args:
        values: (N,) finite, N of 1 or more; above 0 if `log`.
        start: where its lower end lies.
        end: where its upper end lies.
        log: whether it is logarithmic.
        from_zero: whether it begins at 0.
    """
    low, high = float(values.min()), float(values.max())
    if log:
        margin = max((high / low) ** 0.05, 1.05)
        return Scale(low / margin, high * margin, start, end, True)
    margin = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    if from_zero:
        return Scale(0.0, (high + margin) or 1.0, start, end)
    return Scale(low - margin, high + margin, start, end)


def tick_words(ticks: list[float], log: bool = False) -> list[str]:
    """What is written at ticks: as many decimals as tell them apart, or all as 2e5 where they are long."""
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    # A tick at 0 that is not quite 0 would be -0.0.
    ticks = [tick if abs(tick) > step / 2 or log else 0.0 for tick in ticks]
    if max(map(abs, ticks), default=0.0) > 99_999 or decimals > 4:
        words = [re.sub(r"e([+-])0*", r"e\1", f"{tick:.3e}").replace("e+", "e") for tick in ticks]
        words = [re.sub(r"\.?0*e", "e", word) if tick else "0" for word, tick in zip(words, ticks, strict=True)]
    else:
        words = [f"{tick:g}" if log else f"{tick:.{decimals}f}" for tick in ticks]
    return [word.replace("-", "−") for word in words]
