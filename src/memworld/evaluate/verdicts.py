"""What is wrong or did not hold, said plainly."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from memworld.encoders import Encoder
from memworld.evaluate.metrics import StateProbe
from memworld.evaluate.results import KINDS, Table, label_of

FEW_ACTIVE_UNITS = 4
"""Fewer active latents than this are worth a warning."""

FEW_EPISODES = 8
"""Intervals over fewer episodes than this are worth a warning: of five, they cover the mean 91 times in 100, not 95."""

LOW_SUPPORT = 0.95
"""A support quantile above this is low support: memory itself is that far apart only in 1 case of 20."""


def warnings_about(
    table: Table,
    encoder: Encoder,
    support: Mapping[str, Sequence[np.ndarray]],
    horizons: Sequence[int],
    probe: StateProbe | None,
) -> Iterator[str]:
    """Plain sentences about what is to be distrusted: collapse, low support, metrics that say nothing.

    Args:
        table: all numbers.
        encoder: the encoder behind them.
        support: per search method, (S, T) support quantiles of each held-out episode.
        horizons: steps ahead to speak about.
        probe: the state probe, if the world shows its state.
    """
    if encoder.active_units < FEW_ACTIVE_UNITS:
        yield (
            f"The encoder is close to collapse: {encoder.active_units} active units. "
            "Whole-frame errors say nothing here."
        )
    if table.rows[0].n == 1:
        yield "There is one held-out episode, so no interval can be given: hold out more."
    elif table.rows[0].n < FEW_EPISODES:
        yield f"There are {table.rows[0].n} held-out episodes: intervals over so few are too narrow by a little."
    for label, quantiles in support.items():
        share = float(np.mean(np.concatenate(quantiles) > LOW_SUPPORT))
        if share > 0.1:
            yield (
                f"{label}: {share:.0%} of the predictions have low support "
                "(further from memory than 95% of memory is from itself)."
            )
    if probe is not None:
        yield from _state_probe_warning(table, horizons)


def misses(table: Table, horizons: Sequence[int]) -> Iterator[str]:
    """Name the methods that are not below persistence on what moves, and at which of the horizons."""
    lost: dict[str, list[str]] = {}
    undecided: dict[str, list[str]] = {}
    for method, mode in table.methods:
        for horizon in horizons:
            row = table.get(method, mode, "moving_pixel_l1_minus_persistence", horizon)
            if KINDS.get(method, "trained") != "trained" or row is None:
                continue
            if row.value >= 0:
                lost.setdefault(label_of(method, mode), []).append(str(horizon))
            elif row.high >= 0:
                undecided.setdefault(label_of(method, mode), []).append(str(horizon))
    for found, words in (
        (lost, "do not beat persistence, the last frame repeated"),
        (undecided, "are not shown to beat persistence, as the interval of the difference reaches 0"),
    ):
        if found:
            named = "; ".join(f"{label} (t = {', '.join(steps)})" for label, steps in found.items())
            yield f"On moving pixels, these {words}: {named}."


def _state_probe_warning(table: Table, horizons: Sequence[int]) -> Iterator[str]:
    """Say so where the probe's own floor is not well below persistence's error."""
    weak = []
    for horizon in horizons:
        floor = table.get("encoder_bound", "", "state_error", horizon)
        persistence = table.get("persistence", "", "state_error", horizon)
        if floor is not None and persistence is not None and floor.value > 0.7 * persistence.value:
            weak.append(f"t={horizon} ({floor.value:.2f} against {persistence.value:.2f})")
    if weak:
        yield (
            f"The error of the state says little at {', '.join(weak)}: the probe's own floor is not well below "
            "persistence's error."
        )
