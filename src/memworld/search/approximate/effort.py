"""How much a search must spend to find what exact search finds, measured on rows of the memory itself."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memworld.errors import MemworldError
from memworld.gaussian import derived_seed, seeded
from memworld.search import Candidates, Query
from memworld.search.approximate.codes import Codes, product_codes, proxy_codes
from memworld.search.approximate.groups import Group
from memworld.search.approximate.lists import Effort, Lists
from memworld.search.approximate.proxy import Proxy
from memworld.search.exact import ExactIndex
from memworld.storage import one_line

_log = logging.getLogger(__name__)

_QUERIES = 512
"""Rows of memory that are looked for; the recall of 5,120 answers is known to about .002."""

_NEAREST = 10
"""The k of the recall."""

_CANDIDATES = (50, 100, 200, 400, 800)
"""Numbers of candidates to try."""

_SHARE_OF_CELLS = {"proxy": 4, "product": 1}
"""At most one cell in so many is looked into; where proxies mislead, so do the cells that are made of them."""

_STRETCHES = 16
"""Parts into which a memory of one episode is cut, so that a row is not looked for among its own neighbours."""

_ROWS_PER_CANDIDATE = 250
"""Rows whose codes are scanned in the time that measuring a candidate takes."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Queries whose answers are known.

    Attributes:
        query: (Q) rows of memory, each with its own episode left out.
        candidates: the memory; its episodes may be stretches of time.
        found: (Q, 10) int64 the candidates that exact search finds, -1 where there are fewer.
    """

    query: Query
    candidates: Candidates
    found: Tensor

    @classmethod
    def of(cls, metric: str, candidates: Candidates, generator: torch.Generator) -> "HeldOut":
        """Ask an exact index, which lives for this moment only, for random rows of the memory."""
        if int(candidates.episodes[-1]) == int(candidates.episodes[0]):
            stretches = torch.arange(len(candidates)) * _STRETCHES // len(candidates)
            candidates = replace(candidates, episodes=stretches)
        chosen = torch.randperm(len(candidates), generator=generator)[:_QUERIES].sort().values
        latents = candidates.latents[candidates.rows[chosen]]
        query = Query(latents, exclude_episode=candidates.episodes[chosen])
        rows = ExactIndex(metric, candidates, device="cpu").nearest(query, min(_NEAREST, len(candidates))).rows
        found = torch.searchsorted(candidates.rows, rows.clamp(min=0))
        return cls(query, candidates, torch.where(rows >= 0, found, -1))


def choose(metric: str, candidates: Candidates, target: float, seed: int) -> tuple[Codes, Effort, float]:
    """The codes, effort and recall: proxies, or where they fall short of the target the best of all codes.

    Raises:
        MemworldError: codes cannot hold latents of these sizes.
    """
    try:
        return _choose(metric, candidates, target, seed)
    except MemworldError:
        raise
    except ValueError as error:
        why = f"latents are too extreme for approximate search under {metric} ({one_line(error)})"
        raise MemworldError(f"{why}: use ExactIndex") from error


def _choose(metric: str, candidates: Candidates, target: float, seed: int) -> tuple[Codes, Effort, float]:
    held_out = HeldOut.of(metric, candidates, seeded(derived_seed(seed, "held out")))
    proxy = Proxy.of(metric, candidates, seed)
    builders: list[Callable[[], Codes]] = [lambda: proxy_codes(proxy, candidates, seed)]
    if metric != "l2":  # whose proxies are the latents themselves
        builders += [lambda: product_codes(proxy, candidates, 8), lambda: product_codes(proxy, candidates, 16)]
    tried: list[tuple[Codes, Effort, float]] = []
    for build in builders:
        codes = build()
        effort, recall = calibrate(codes, held_out, (1 + target) / 2)
        tried.append((codes, effort, recall))
        if recall >= target:
            return tried[-1]
    best = max(tried, key=lambda choice: choice[2])
    _log.warning(
        "approximate search under %s reached a recall of %.3f on this memory, not %g: use ExactIndex",
        metric,
        best[2],
        target,
    )
    return best


def calibrate(codes: Codes, held_out: HeldOut, goal: float) -> tuple[Effort, float]:
    """The least effort that reaches the goal, or else the one that comes nearest to it, and its recall.

    A row is found if its cell is looked into and if it is among the best candidates there. Cells are
    counted first, which takes no search; candidates then for a few numbers of cells.

    Args:
        codes: what is searched.
        held_out: queries with known answers.
        goal: the recall wanted.
    """
    search = Lists(codes, Group(codes.proxy.metric, held_out.candidates))
    known = held_out.found >= 0
    rows = held_out.candidates.rows[held_out.found.clamp(min=0)]
    cells = torch.from_numpy(codes.proxy.cells_of(held_out.candidates.latents[rows.flatten()])).view(rows.shape)
    ranks = codes.cell_ranks(held_out.query.latents).gather(1, cells)
    most = min(codes.cells, max(codes.cells // _SHARE_OF_CELLS[codes.name], 64))
    doubled = [2**i for i in range(13) if 2**i < most] + [most]
    enough = [probes for probes in doubled if float((ranks < probes)[known].double().mean()) >= goal]
    tried: list[tuple[Effort, float]] = []
    for probes in (enough or [most])[:4]:
        found = search(held_out.query, Effort(probes, _CANDIDATES[-1]))
        for candidates in _CANDIDATES:
            hit = (held_out.found[:, :, None] == found[:, None, :candidates]).any(2)
            tried.append((Effort(probes, candidates), float(hit[known].double().mean())))
    rows_per_cell = len(held_out.candidates) / codes.cells
    goal = min(goal, max(recall for _, recall in tried))
    return min(
        ((effort, recall) for effort, recall in tried if recall >= goal),
        key=lambda pair: pair[0].probes * rows_per_cell / _ROWS_PER_CANDIDATE + pair[0].candidates,
    )
