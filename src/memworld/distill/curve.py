"""How far off predictions are with fewer and fewer rows: in latents, by memory alone, and in pictures of held-out data.

In latents, moments of the memory are foretold five steps ahead by the kept moment of another episode that
looks most alike: what followed that is the prediction, its distance to the truth the error. That needs nothing
but the memory. In pictures, the library's own dynamics is asked about held-out episodes, as an evaluation does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from memworld.analogues import AnalogueConfig
from memworld.datasets import EpisodeDataset
from memworld.distill.covering import Choice, DistillConfig
from memworld.distill.pieces import Piece, remembered
from memworld.encoders import Encoder
from memworld.engine import DynamicsSettings
from memworld.errors import MemworldError
from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.experiments.distances import evenly
from memworld.evaluate.experiments.measuring import number, ratio
from memworld.evaluate.experiments.result import Chart, Number
from memworld.evaluate.experiments.result import Curve as Line
from memworld.evaluate.protocol import evaluate, split_by_memory
from memworld.gaussian import Latents, at_mean
from memworld.lookup import keys
from memworld.memory import Memory, Rows
from memworld.report.looks import looks_of
from memworld.search import Candidates, Query
from memworld.search.exact import ExactIndex
from memworld.storage import make_folder, write_bytes, write_json

AHEAD = 5
"""Steps ahead at which curves are measured."""

_TARGETS = 1024
"""Moments, evenly spaced, that are foretold in latents."""


@dataclass(frozen=True)
class Curve:
    """An error against the rows that are kept, all of them last.

    Attributes:
        name: of the error.
        about: what it is, in a sentence.
        rows: how many are kept, ascending.
        errors: with them, with 95% intervals where there are several held-out episodes.
        growth: error divided by that of all rows, with intervals likewise.
        baselines: errors, by name, of what needs no memory.
    """

    name: str
    about: str
    rows: tuple[int, ...]
    errors: tuple[Number, ...]
    growth: tuple[Number, ...]
    baselines: Mapping[str, Number]


def latent_curve(memory: Memory, choice: Choice, rows: Sequence[int], config: DistillConfig | None = None) -> Curve:
    """Foretell moments of the memory, `AHEAD` steps on, from kept moments of other episodes.

    Args:
        memory: the whole.
        choice: pieces of it.
        rows: sizes to measure; all rows are measured in any case.
        config: how many moments are compared.

    Raises:
        MemworldError: there is a single episode, none has so many steps, or a size has no room for a piece.
    """
    sizes = sorted({*rows, len(memory)})
    every, context = memory.rows, (config or DistillConfig()).context
    if len(memory.entries) < 2:
        raise MemworldError("a curve needs episodes to foretell from each other: the memory has a single one")
    can = _followed(every, kept_of(memory, choice, len(memory)))
    if len(can) == 0:
        raise MemworldError(f"no episode has {AHEAD} steps, at which a curve is measured")
    asked = can[torch.from_numpy(evenly(len(can), _TARGETS))]
    truth, mu = every.latents.mu[asked + AHEAD], every.latents.mu
    errors = [_error(every, _followed(every, kept_of(memory, choice, size)), asked, context, truth) for size in sizes]
    still = Number(float((truth - mu[asked]).norm(dim=1).mean()))
    middle = Number(float((truth - mu.mean(0)).norm(dim=1).mean()))
    return Curve(
        "latent error",
        f"Euclidean distance in latents, {AHEAD} steps ahead, of {len(asked)} moments of the memory foretold by the "
        f"nearest kept moment of another episode ({context} moments compared)",
        tuple(sizes),
        tuple(map(Number, errors)),
        tuple(Number(error / errors[-1]) for error in errors),
        {"persistence": still, "data_mean": middle},
    )


def picture_curve(
    memory: Memory,
    choice: Choice,
    rows: Sequence[int],
    encoder: Encoder,
    dataset: EpisodeDataset,
    *,
    dynamics: DynamicsSettings | None = None,
    starts: int = 20,
    seed: int = 0,
    progress: bool = False,
) -> Curve:
    """Measure smaller memories on held-out episodes.

    Args:
        memory: the whole.
        choice: pieces of it.
        rows: sizes to measure; all rows are measured in any case.
        encoder: the memory's.
        dataset: the memory's episodes, and held-out ones beside them.
        dynamics: what predicts; None is the library's own.
        starts: random starts per held-out episode.
        seed: of starts and intervals.
        progress: whether to show a bar.

    Raises:
        MemworldError: see `evaluate`; or a size has no room for a piece.
    """
    training, held_out = split_by_memory(dataset, memory)
    dynamics = AnalogueConfig() if dynamics is None else dynamics
    config = EvaluationConfig(
        horizon=AHEAD,
        starts=starts,
        shown=(AHEAD,),
        dynamics={"default": dynamics},
        modes=("follow",),
        seed=seed,
        strips=0,
        retrievals=0,
        timing_batch=1,
    )
    sizes = sorted({*rows, len(memory)})
    per_method: dict[str, np.ndarray] = {}
    errors = []
    for size in tqdm(sizes, desc="measure", unit="memory", disable=not progress):
        smaller = remembered(memory, kept_of(memory, choice, size))
        found = evaluate(encoder, smaller, training, held_out, config).per_episode.items()
        per_method = {name: of[:, AHEAD - 1] for (name, _, metric), of in found if metric == "moving_pixel_l1"}
        errors.append(per_method["default"])
    baselines = {name: number(per_method[name], seed) for name in ("encoder_bound", "persistence", "data_mean")}
    return Curve(
        "moving-pixel L1",
        f"error on moving pixels, {AHEAD} steps ahead, of {dynamics.resolved(memory.info.action_space).about} "
        f"on {len(held_out)} held-out episodes",
        tuple(sizes),
        tuple(number(error, seed) for error in errors),
        tuple(ratio(error, errors[-1], seed) for error in errors),
        baselines,
    )


def kept_of(memory: Memory, choice: Choice, rows: int) -> list[Piece]:
    """The pieces that at most so many rows have room for; whole episodes, if that is all.

    Raises:
        MemworldError: there is no room for a piece.
    """
    if rows >= len(memory):
        return [Piece(place, 0, entry.steps) for place, entry in enumerate(memory.entries)]
    return choice.within(rows)


def write_curve(folder: Path, curves: Sequence[Curve]) -> None:
    """Write curves into a folder: all as `curves.json`, and a picture of each.

    Raises:
        MemworldError: the folder cannot be written.
    """
    from memworld.report.chart_pngs import chart_png  # it takes long to load

    make_folder(folder)
    write_json(folder / "curves.json", [_to_json(curve) for curve in curves])
    for curve in curves:
        lines = [_line("default", curve.rows, curve.errors)]
        lines += [_line(name, curve.rows, [value] * len(curve.rows)) for name, value in curve.baselines.items()]
        chart = Chart(f"{curve.about[:1].upper()}{curve.about[1:]}", "rows kept", curve.name, tuple(lines))
        picture = chart_png(chart, looks_of(line.label for line in lines))
        write_bytes(folder / f"{curve.name.lower().replace(' ', '-')}.png", picture)


def _to_json(curve: Curve) -> dict[str, Any]:
    """A curve in plain JSON values; null where there is no interval."""

    def plain(number: Number) -> dict[str, float | None]:
        return {name: value if np.isfinite(value) else None for name, value in asdict(number).items()}

    return {
        "name": curve.name,
        "about": curve.about,
        "rows": list(curve.rows),
        "errors": [plain(error) for error in curve.errors],
        "growth": [plain(growth) for growth in curve.growth],
        "baselines": {name: plain(value) for name, value in curve.baselines.items()},
    }


def _line(label: str, rows: Sequence[int], errors: Sequence[Number]) -> Line:
    has = all(np.isfinite(error.low) for error in errors)
    sides = [tuple(getattr(error, side) for error in errors) if has else () for side in ("low", "high")]
    return Line(label, tuple(map(float, rows)), tuple(error.value for error in errors), *sides)


def _error(every: Rows, kept: Tensor, asked: Tensor, context: int, truth: Tensor) -> float:
    """The mean distance (Q, D) of what followed the nearest kept rows (M,) of other episodes to the truth."""
    if len(kept) == 0:
        raise MemworldError(f"no kept piece has {AHEAD} steps, at which a curve is measured: keep more, or longer ones")

    def means(rows: Tensor) -> Latents:
        found = keys(every, rows, context)
        return at_mean(found.mu, found.sigma)

    places = torch.arange(len(kept))
    stored = Candidates(means(kept), places, every.episodes[kept], every.actions[kept], every.discrete)
    found = ExactIndex("l2", stored).nearest(Query(means(asked), exclude_episode=every.episodes[asked]), 1)
    there = found.found[:, 0]
    followed = every.latents.mu[kept[found.rows[there, 0]] + AHEAD]
    return float((followed - truth[there]).norm(dim=1).mean())


def _followed(rows: Rows, pieces: Sequence[Piece]) -> Tensor:
    """Rows of the pieces that `AHEAD` further ones follow in their piece."""
    begins = torch.nonzero(rows.steps == 0)[:, 0].tolist()
    spans = [
        torch.arange(begins[p.episode] + p.first, begins[p.episode] + p.last - AHEAD + 1)
        for p in pieces
        if p.last - p.first >= AHEAD
    ]
    return torch.cat(spans) if spans else torch.empty(0, dtype=torch.int64)
