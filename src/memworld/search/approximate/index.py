"""Approximate search: FAISS finds candidates by short codes, the literal formula ranks them.

`codes` says what the codes are, `effort` how many cells and candidates it takes to reach the asked
recall on rows of the memory itself. Every distance in an answer is the literal formula's, and every
row in it may answer; what can be missing is a row that would have been nearer.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch

from memworld.errors import MemworldError, lookup
from memworld.gaussian import DISTANCES, seeded
from memworld.memory import Rows
from memworld.search import Candidates, Matches, Query, check_k, concatenate
from memworld.search.approximate.codes import Codes, restore_codes
from memworld.search.approximate.effort import choose
from memworld.search.approximate.files import damaged, fingerprint, read_index, write_index
from memworld.search.approximate.groups import ByAction, Group, Pairs, join, pieces
from memworld.search.approximate.lists import Effort, Lists
from memworld.search.approximate.proxy import detached, import_faiss
from memworld.search.approximate.rough import Rough, least
from memworld.search.approximate.windows import Windows
from memworld.search.rerank import measure, nearest_of_all, nearest_of_each

_EXACT_UP_TO = 20_000
"""Rows that exact search goes through in the time that lists take."""

_EXACT_FROM = 32
"""One row in so many, asked for at once, is left to exact search as well."""

_CALIBRATED_K = 10
"""The k that the effort is chosen for."""

_SOFT = 4
"""Times as many candidates where a penalty reorders them."""


class ApproximateIndex:
    """Approximate nearest rows under one metric, on the CPU; see `Index`.

    A memory of up to 20,000 rows is searched exactly, as are the rows of an action of which there
    are no more, and more than one row in 32 of them asked for at once: it takes no longer.

    Where sigmas vary strongly, KL needs `product` codes (see `codes`): a quarter or a half of the bytes of
    an `ExactIndex`'s features, and slower than it for batches.

    `soft` conditioning is as good as the rest where actions are discrete, as the nearest rows of all
    and those of the asked action hold the answer. Otherwise four times the candidates are ranked by
    distance and penalty, and an action weight that far outweighs distances finds less; so it is with
    `mixed` conditioning among the rows of the asked discrete choices.
    """

    _codes: Codes | None
    _effort: Effort
    _recall: float

    @torch.no_grad()
    def __init__(self, metric: str, candidates: Candidates, recall: float = 0.99, seed: int = 0) -> None:
        """Code all candidates and choose the effort.

        The effort is measured on up to 512 rows of the memory, each searched for with its own episode
        left out (a memory of one episode is cut into 16 stretches of time). For that an `ExactIndex` of
        all candidates lives for a moment, 4 (2 D + 2) bytes a row for KL: 0.5 GB for a million of D = 64.

        Args:
            metric: a name in `gaussian.DISTANCES`.
            candidates: the rows that may answer; their latents are kept, not copied.
            recall: the share of the ten nearest rows that is to be found, above 0 and below 1. Half of what
                is missing to 1 is asked for on top, as the chosen effort is the one that did well there.
            seed: of the cells, the codes and the rows that are searched for.

        Raises:
            MemworldError: an unknown metric, another recall or seed, latents that are not sound or that float32
                cannot hold, or FAISS is not installed.
        """
        if not isinstance(recall, (int, float, np.floating)) or not 0 < recall < 1:
            raise MemworldError(f"recall must be above 0 and below 1, got {recall!r}: use ExactIndex to find all rows")
        seeded(seed)
        self._start(metric, candidates, seed)
        self._codes, self._effort, self._recall = None, Effort(0, 0), 1.0
        if len(candidates) > _EXACT_UP_TO:
            self._codes, self._effort, self._recall = choose(metric, self._candidates, recall, seed)

    @classmethod
    def of(cls, rows: Rows, metric: str, recall: float = 0.99, seed: int = 0) -> "ApproximateIndex":
        """The index of a memory's rows that have a successor."""
        return cls(metric, Candidates.of(rows), recall, seed)

    def _start(self, metric: str, candidates: Candidates, seed: int) -> None:
        import_faiss()
        self.metric = metric
        self._distance = lookup(DISTANCES, metric, "metric")
        self._seed = seed
        candidates.latents.check("memory")
        self._candidates = replace(candidates, latents=detached(candidates.latents)).to(torch.device("cpu"))
        self._everyone = Group(metric, self._candidates)
        self._episodes = int(candidates.episodes.max()) + 1
        # Dropped with the groups, of which only a few are kept.
        self._by_action = ByAction(metric, self._candidates)
        self._cut: WeakKeyDictionary[Group, Windows] = WeakKeyDictionary()

    @property
    def recall(self) -> float:
        """The share of the ten nearest rows that was found on rows of the memory when the effort was chosen.

        It is about rows of the memory, each looked for with its own episode left out. New queries may get
        less; those unlike any row get much less under KL, as with sigmas ten times as wide, or far outside.
        """
        return self._recall

    @property
    def effort(self) -> Effort:
        """The cells looked into, and the candidates taken from them, for ten rows of all; 0 if all is searched."""
        return self._effort

    @property
    def codes(self) -> str:
        """What is compared: `proxy` or `product`, see `codes`; `exact` if rows are too few for codes."""
        return "exact" if self._codes is None else self._codes.name

    @property
    def bytes_per_row(self) -> float:
        """Bytes that the index holds for each candidate, beside the memory's own latents.

        What a first search per episode or by action makes counts from then on.
        """
        if self._codes is None:
            return float(self._everyone.exact.bytes_per_row)
        total = self._candidates.rows.nbytes + self._candidates.episodes.nbytes + self._candidates.actions.nbytes
        total += int(self._rough.nbytes) if "_rough" in self.__dict__ else 0
        total += self._everyone.nbytes + self._by_action.nbytes + sum(cut.nbytes for cut in self._cut.values())
        return total / len(self._candidates) + self._codes.bytes_per_row

    @torch.no_grad()
    def nearest(self, query: Query, k: int) -> Matches:
        """The k nearest rows of all memory; see `Index`.

        Fewer are found only where fewer may answer. Ties go to the lower row among the rows found. A query
        100 times as far away as rows are from each other is searched exactly, as float32 cannot rank them;
        an index for that is made each time.

        Raises:
            MemworldError: k below 1 or above the number of candidates, or a query that does not fit.
        """
        check_k(k, self._candidates)
        query.check(self._candidates)
        query = self._candidates.settle(query)
        if self._codes is None:
            return self._everyone.exact.nearest(query, k)
        return concatenate([self._nearest(piece, k) for piece in pieces(query)])

    @torch.no_grad()
    def nearest_per_episode(self, query: Query) -> Matches:
        """The nearest row of each episode, coarse to fine in time (`windows`); see `Index`.

        Every episode that has a row which may answer gives one. On smooth episodes it is the row of exact
        search in .92 (`kl_query_stored`), .94 (`kl_stored_query`) and .97 (`l2`) of cases, at distances on
        average 1.2, 1.0 and .3% above; the nearest episode's in .99. A batch takes longer than exact search
        of all rows, from 100,000 rows on; what is saved is memory, and time where queries come singly.
        `tests/search/test_approximate.py` measures the agreement.

        Raises:
            MemworldError: a query that does not fit.
        """
        query.check(self._candidates)
        query = self._candidates.settle(query)
        if self._codes is None:
            return self._everyone.exact.nearest_per_episode(query)
        return concatenate([self._nearest_per_episode(piece) for piece in pieces(query)])

    @torch.no_grad()
    def save(self, path: str | Path) -> None:
        """Write what the index learned into the folder `path`; the rows stay with the memory.

        Raises:
            MemworldError: the folder cannot be written.
        """
        description = {
            "metric": self.metric,
            "memory": fingerprint(self.metric, self._candidates),
            "codes": self.codes,
            "probes": self._effort.probes,
            "candidates": self._effort.candidates,
            "recall": self._recall,
            "seed": self._seed,
        }
        write_index(Path(path), description, {} if self._codes is None else self._codes.arrays)

    @classmethod
    @torch.no_grad()
    def open(cls, path: str | Path, candidates: Candidates) -> "ApproximateIndex":
        """The index that `save` wrote, which answers as it did then; its rows are coded anew.

        Args:
            path: the folder.
            candidates: the rows that it was built on.

        Raises:
            MemworldError: it is missing, damaged, of another version or of another memory, or FAISS is not
                installed.
        """
        path = Path(path)
        description, arrays = read_index(path)
        index = cls.__new__(cls)
        try:
            index._start(description["metric"], candidates, description["seed"])
            if description["memory"] != fingerprint(index.metric, index._candidates):
                raise MemworldError(
                    f"approximate index {path} was built on another memory or on other rows of it: build it again"
                )
            index._effort = Effort(description["probes"], description["candidates"])
            index._recall, index._codes = description["recall"], None
            if description["codes"] != "exact":
                index._codes = restore_codes(description["codes"], index.metric, arrays, index._candidates)
                if index._effort.probes > index._codes.cells:
                    raise ValueError(f"{index._effort}")
        except MemworldError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise damaged(path, error) from error
        return index

    def _nearest(self, query: Query, k: int) -> Matches:
        asked, found = self._collect(query, lambda part, group: self._find(part, group, k))
        return nearest_of_all(asked, measure(self._distance, query, self._candidates, asked, found), len(query), k)

    def _nearest_per_episode(self, query: Query) -> Matches:
        asked, found = self._collect(query, self._find_in_each)
        episodes = self._candidates.episodes.index_select(0, found)
        measured = measure(self._distance, query, self._candidates, asked, found)
        return nearest_of_each(asked, measured, len(query), episodes, self._episodes)

    def _collect(self, query: Query, find: Callable[[Query, Group], Pairs]) -> Pairs:
        """The pairs that `find` gives among all candidates, or those of each asked action."""
        pairs = []
        if query.conditioning in ("none", "soft"):
            pairs.append(find(query, self._everyone))
        if query.conditioning != "none":
            # Soft as well: rows of the asked action have no penalty, so their own nearest are all that can answer.
            groups, few = self._by_action.split(query)
            pairs.append(few)
            for own, within, group in groups:
                asked, found = find(within, group)
                pairs.append((own[asked], found))
        return join(pairs, len(self._candidates))

    def _find(self, query: Query, group: Group, k: int) -> Pairs:
        """Pairs that may be among the k nearest of a group."""
        if len(group) <= max(_EXACT_UP_TO, _EXACT_FROM * k):
            exact = group.exact if len(group) <= _EXACT_UP_TO else group.make_exact()
            return self._pairs(exact.nearest(query, min(k, len(group))))
        assert self._codes is not None
        near = torch.nonzero(self._codes.may_ask(query.latents))[:, 0]
        asked, found = self._find_by_code(query[near], group, k)
        asked = near[asked]
        short = torch.bincount(asked, minlength=len(query)) < group.admitted(query).clamp(max=k)
        far = torch.nonzero(short)[:, 0]
        if len(far) == 0:
            return asked, found
        rest, best = self._pairs(group.make_exact().nearest(query[far], min(k, len(group))))
        return join([(asked, found), (far[rest], best)], len(self._candidates))

    def _find_by_code(self, query: Query, group: Group, k: int) -> Pairs:
        if len(query) == 0:
            return join([], len(group))
        assert self._codes is not None
        more = max(1.0, k / _CALIBRATED_K) ** 0.5
        effort = self._effort.times(
            more * group.share**-0.5, more * (_SOFT if query.conditioning in ("soft", "mixed") else 1)
        )
        effort = Effort(min(effort.probes, self._codes.cells), min(max(effort.candidates, 4 * k), len(group)))
        found = Lists(self._codes, group, k)(query, effort)
        there = found >= 0
        asked = torch.arange(len(query))[:, None].expand_as(found)
        costs = torch.full(found.shape, torch.inf)
        costs[there] = self._rough.costs(query, asked[there], found[there])
        best = found.gather(1, least(costs, max(2 * k, k + 16)))
        return asked[:, : best.shape[1]][best >= 0], best[best >= 0]

    def _find_in_each(self, query: Query, group: Group) -> Pairs:
        """Pairs that may be the nearest of an episode in a group."""
        if len(group) <= _EXACT_UP_TO:
            return self._pairs(group.exact.nearest_per_episode(query))
        assert self._codes is not None
        may_ask = self._codes.may_ask(query.latents)
        pairs = []
        if bool(may_ask.any()):
            near = torch.nonzero(may_ask)[:, 0]
            asked, found = self._windows(group).find(query[near], self._rough)
            pairs.append((near[asked], found))
        if not bool(may_ask.all()):
            far = torch.nonzero(~may_ask)[:, 0]
            asked, found = self._pairs(group.make_exact().nearest_per_episode(query[far]))
            pairs.append((far[asked], found))
        asked, found = join(pairs, len(self._candidates))
        if query.exclude_episode is None:
            return asked, found
        may = self._candidates.episodes.index_select(0, found) != query.exclude_episode.index_select(0, asked)
        return asked[may], found[may]

    def _pairs(self, matches: Matches) -> Pairs:
        """A table of answers as pairs."""
        asked = torch.arange(len(matches.rows))[:, None].expand_as(matches.rows)[matches.found]
        return asked, torch.searchsorted(self._candidates.rows, matches.rows[matches.found])

    def _windows(self, group: Group) -> Windows:
        assert self._codes is not None
        if group not in self._cut:
            self._cut[group] = Windows(self._codes, self._candidates, group.members)
        return self._cut[group]

    @cached_property
    def _rough(self) -> Rough:
        return Rough(self.metric, self._candidates)
