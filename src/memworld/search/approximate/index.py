"""Approximate search: FAISS finds candidates by short codes, the literal formula ranks them.

`codes` says what the codes are, `effort` how the number of cells and
candidates is chosen so that the asked recall is reached on rows of the memory itself. Every distance
in an answer is the literal formula's, and every row in it may answer; what can be missing is a row
that would have been nearer.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from memworld.errors import MemworldError, lookup
from memworld.gaussian import DISTANCES, seeded
from memworld.memory import Rows
from memworld.search import Candidates, Matches, Query, check_k, concatenate
from memworld.search.approximate.codes import Codes, restore_codes
from memworld.search.approximate.effort import choose
from memworld.search.approximate.files import damaged, fingerprint, read_index, write_index
from memworld.search.approximate.groups import Actions, Group
from memworld.search.approximate.lists import Effort, Lists
from memworld.search.approximate.proxy import import_faiss
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

_QUERIES = 256
"""Queries that are searched together."""


class ApproximateIndex:
    """Approximate nearest rows under one metric, on the CPU; see `Index`.

    A memory of up to 20,000 rows is searched exactly, as are the rows of an action of which there
    are no more, and more than one row in 32 of them asked for at once: it takes no longer.

    Where sigmas vary strongly, KL needs `product` codes (see `codes`): a quarter or a half of the bytes of
    an `ExactIndex`'s features, and slower than it for batches.

    `soft` conditioning is as good as the rest where actions are discrete, as the nearest rows of all
    and those of the asked action hold the answer. Otherwise four times the candidates are ranked by
    distance and penalty, and an action weight that far outweighs distances finds less.
    """

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
            MemworldError: an unknown metric, another recall or seed, latents that are not sound, or FAISS
                is not installed.
        """
        if not 0 < recall < 1:
            raise MemworldError(f"recall must be above 0 and below 1, got {recall!r}: use ExactIndex to find all rows")
        seeded(seed)
        self._start(metric, candidates, seed)
        self._codes: Codes | None = None
        self._effort, self._recall = Effort(0, 0), 1.0
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
        self._candidates = candidates.to(torch.device("cpu"))
        self._everyone = Group(metric, self._candidates)
        self._episodes = int(candidates.episodes.max()) + 1
        # Dropped with the groups, of which only a few are kept.
        self._cut: WeakKeyDictionary[Group, Windows] = WeakKeyDictionary()

    @property
    def recall(self) -> float:
        """The share of the ten nearest rows that was found on rows of the memory when the effort was chosen."""
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
        total += sum(int(self.__dict__[name].nbytes) for name in ("_rough", "_actions") if name in self.__dict__)
        total += sum(windows.nbytes for windows in self._cut.values())
        return total / len(self._candidates) + self._codes.bytes_per_row

    def nearest(self, query: Query, k: int) -> Matches:
        """The k nearest rows of all memory; see `Index`.

        Fewer are found only where fewer may answer. Ties go to the lower row among the rows found.

        Raises:
            MemworldError: k below 1 or above the number of candidates, or a query that does not fit.
        """
        check_k(k, self._candidates)
        query.check(self._candidates)
        if self._codes is None:
            return self._everyone.exact.nearest(query, k)
        return concatenate([self._nearest(piece, k) for piece in _pieces(query)])

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
        if self._codes is None:
            return self._everyone.exact.nearest_per_episode(query)
        return concatenate([self._nearest_per_episode(piece) for piece in _pieces(query)])

    def save(self, path: Path) -> None:
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
        write_index(path, description, {} if self._codes is None else self._codes.arrays)

    @classmethod
    def open(cls, path: Path, candidates: Candidates) -> "ApproximateIndex":
        """The index that `save` wrote, which answers as it did then; its rows are coded anew.

        Args:
            path: the folder.
            candidates: the rows that it was built on.

        Raises:
            MemworldError: it is missing, damaged, of another version or of another memory, or FAISS is not
                installed.
        """
        description, arrays = read_index(path)
        index = cls.__new__(cls)
        try:
            index._start(description["metric"], candidates, int(description["seed"]))
            if description["memory"] != fingerprint(index.metric, index._candidates):
                raise MemworldError(
                    f"approximate index {path} was built on another memory or on other rows of it: build it again"
                )
            index._effort = Effort(int(description["probes"]), int(description["candidates"]))
            index._recall, codes = float(description["recall"]), description["codes"]
            if codes not in ("exact", "proxy", "product") or not 0 <= index._recall <= 1:
                raise ValueError(f"codes {codes!r}, recall {index._recall}")
            index._codes = None
            if codes != "exact":
                index._codes = restore_codes(codes, index.metric, arrays, index._candidates)
                if not 1 <= index._effort.probes <= index._codes.cells or not 1 <= index._effort.candidates <= 1 << 20:
                    raise ValueError(f"{index._effort}")
        except MemworldError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise damaged(path, error) from error
        return index

    def _nearest(self, query: Query, k: int) -> Matches:
        pairs = [self._find(part, own, group, k) for part, own, group in self._parts(query)]
        asked, found = _join(pairs, len(self._candidates))
        return nearest_of_all(asked, measure(self._distance, query, self._candidates, asked, found), len(query), k)

    def _nearest_per_episode(self, query: Query) -> Matches:
        pairs = [self._find_in_each(part, own, group) for part, own, group in self._parts(query)]
        asked, found = _join(pairs, len(self._candidates))
        episodes = self._candidates.episodes.index_select(0, found)
        measured = measure(self._distance, query, self._candidates, asked, found)
        return nearest_of_each(asked, measured, len(query), episodes, self._episodes)

    def _parts(self, query: Query) -> Iterator[tuple[Query, Tensor, Group]]:
        """What to search for (q), for which queries (q,) int64, and among which candidates."""
        if query.conditioning != "hard":
            yield query, torch.arange(len(query)), self._everyone
        if query.conditioning != "none":
            # Soft as well: rows of the asked action have no penalty, so their own nearest are all that can answer.
            for own, group in self._actions.split(query):
                yield replace(query[own], conditioning="none"), own, group

    def _find(self, query: Query, own: Tensor, group: Group, k: int) -> tuple[Tensor, Tensor]:
        """Pairs (query of all, candidate) that may be among the k nearest of a group, (P,) int64 each."""
        if len(group) <= max(_EXACT_UP_TO, _EXACT_FROM * k):
            exact = group.exact if len(group) <= _EXACT_UP_TO else group.make_exact()
            return self._pairs(own, exact.nearest(query, min(k, len(group))))
        assert self._codes is not None
        more = max(1.0, k / _CALIBRATED_K) ** 0.5
        effort = self._effort.times(more * group.share**-0.5, more * (_SOFT if query.conditioning == "soft" else 1))
        effort = Effort(min(effort.probes, self._codes.cells), min(max(effort.candidates, 4 * k), len(group)))
        found = Lists(self._codes, group, k)(query, effort)
        there = found >= 0
        asked = torch.arange(len(query))[:, None].expand_as(found)
        costs = torch.full(found.shape, torch.inf)
        costs[there] = self._rough.costs(query, asked[there], found[there])
        best = found.gather(1, least(costs, max(2 * k, k + 16)))
        return own[asked[:, : best.shape[1]][best >= 0]], best[best >= 0]

    def _find_in_each(self, query: Query, own: Tensor, group: Group) -> tuple[Tensor, Tensor]:
        """Pairs (query of all, candidate) that may be the nearest of an episode, (P,) int64 each."""
        if len(group) <= _EXACT_UP_TO:
            return self._pairs(own, group.exact.nearest_per_episode(query))
        asked, found = self._windows(group).find(query, self._rough)
        if query.exclude_episode is not None:
            may = self._candidates.episodes.index_select(0, found) != query.exclude_episode.index_select(0, asked)
            asked, found = asked[may], found[may]
        return own[asked], found

    def _pairs(self, own: Tensor, matches: Matches) -> tuple[Tensor, Tensor]:
        """A table of answers as pairs (query of all, candidate)."""
        asked = own[:, None].expand_as(matches.rows)[matches.found]
        return asked, torch.searchsorted(self._candidates.rows, matches.rows[matches.found])

    def _windows(self, group: Group) -> Windows:
        assert self._codes is not None
        if group not in self._cut:
            self._cut[group] = Windows(self._codes, self._candidates, group.members)
        return self._cut[group]

    @cached_property
    def _rough(self) -> Rough:
        return Rough(self.metric, self._candidates)

    @cached_property
    def _actions(self) -> Actions:
        return Actions(self.metric, self._candidates)


def _pieces(query: Query) -> Iterator[Query]:
    query = query.to(torch.device("cpu"))
    for start in range(0, len(query), _QUERIES):
        yield query[start : start + _QUERIES]


def _join(pairs: list[tuple[Tensor, Tensor]], count: int) -> tuple[Tensor, Tensor]:
    """All pairs, each once; candidates are numbered below `count`."""
    if not pairs:
        return torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    if len(pairs) == 1:
        return pairs[0]
    asked, found = (torch.cat(column) for column in zip(*pairs, strict=True))
    both = torch.unique(asked * count + found)
    return both // count, both % count
