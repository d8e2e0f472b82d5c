"""Runs the cases, memory by memory, and keeps every result as soon as it is there."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from memworld.bench.cases import Case, Settings
from memworld.bench.data import make_memory, make_queries
from memworld.bench.imagination import imagined_kinds, measure_imagination
from memworld.bench.limits import Limits, measure_limits, measured_again
from memworld.bench.measure import answer, check_answers, ms_per_query, recall
from memworld.bench.memory_needed import bytes_available, bytes_of_index, bytes_of_memory
from memworld.bench.peer_times import Peers, Search, measure_peers, search_of
from memworld.bench.peers import has_faiss
from memworld.bench.results import (
    BATCH_FROM,
    ImaginedRecord,
    LeftOut,
    Measured,
    Record,
    Results,
    make_record,
    plain_settings,
    stored_results,
)
from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.search import Candidates, Index
from memworld.search.exact import ExactIndex
from memworld.search.products import choose_device
from memworld.storage import OnExisting


class _MeasuredIndex(Index, Protocol):
    """An index that says what it weighs."""

    @property
    def bytes_per_row(self) -> float: ...


def run(
    settings: Settings, file: Path | None = None, on_existing: OnExisting = "error", progress: bool = False
) -> Results:
    """Measure all cases that fit into memory.

    Args:
        settings: what and how.
        file: JSON in which results are kept, written again after each.
        on_existing: what to do if the file is there: `error`, `resume` or `overwrite`.
        progress: show a progress bar.

    Raises:
        MemworldError: a device that is not there, or a file that must not be replaced or gone on from.
        WrongAnswers: the exact index and the literal formula disagree.
    """
    if choose_device(settings.device).type != settings.device:
        raise MemworldError("the device of a run must be settled, cpu or cuda: see choose_device")
    plain = plain_settings(settings, torch=torch.__version__, threads=torch.get_num_threads())
    stored = stored_results(file, on_existing, plain) if file else None
    with tqdm(total=len(settings.cases) + 1, unit="case", disable=not progress) as bar:
        bar.set_postfix_str("limits of the machine")
        if stored is None:
            limits = measure_limits(settings.device, settings.copy_bytes, settings.matrix_size, settings.budget.seconds)
            stored = Results(plain, limits)
        # A case that did not fit may fit now; what was left out of a finished one stays so.
        again = {case.name for case in settings.cases}
        left_out = tuple(left for left in stored.left_out if left.case not in again)
        going = _Run(settings, file, bar, replace(stored, left_out=left_out))
        going.keep()
        going.all()
    return going.results


@dataclass
class _Ground:
    """One memory and what is known of it.

    Attributes:
        memory: what is searched.
        queries: what is looked for.
        peers: what others took and answered.
        exact_rows: (recall queries, K) exact rows by what is asked, for the recall of approximate indexes.
    """

    memory: Candidates
    queries: Latents
    peers: Peers
    exact_rows: dict[Search, Tensor] = field(default_factory=dict)


@dataclass
class _Run:
    """A run under way."""

    settings: Settings
    file: Path | None
    bar: Any
    results: Results

    def keep(self, *new: Record | ImaginedRecord | LeftOut) -> None:
        """Add to the results and write them."""
        records = tuple(n for n in new if isinstance(n, Record))
        imagined = tuple(n for n in new if isinstance(n, ImaginedRecord))
        self.results = replace(
            self.results,
            cases=self.results.cases + records,
            imagination=self.results.imagination + imagined,
        ).and_left_out(*(n for n in new if isinstance(n, LeftOut)))
        if self.file:
            self.results.write(self.file)

    def all(self) -> None:
        """Everything that is not there yet."""
        done = {record.case for record in self.results.cases}
        todo = [case for case in self.settings.cases if case.name not in done]
        self.bar.update(len(self.settings.cases) - len(todo))
        for (rows, d), group in groupby(sorted(todo, key=_memory_of), key=_memory_of):
            cases = [case for case in group if self._can_be_measured(case)]
            if cases:
                self.bar.set_postfix_str(f"{rows} rows, d={d}")
                self._one_memory(rows, d, cases)
        if self.settings.imagined:
            self.bar.set_postfix_str("imagination")
            there = [(r.conditioning, r.decode) for r in self.results.imagination]
            kinds = [kind for kind in imagined_kinds() if kind not in there]
            for record in measure_imagination(self.settings, kinds):
                self.keep(record)
        self.bar.update()

    def _can_be_measured(self, case: Case) -> bool:
        """Whether there is memory and software for a case; if not, that is noted."""
        why, needed = None, None
        host = bytes_of_memory(case)
        total = host + bytes_of_index(case)
        if total > bytes_available(self.settings.device) or host > bytes_available("cpu"):
            why, needed = "not enough memory", total
        elif case.index == "approximate" and not has_faiss():
            why = "FAISS is not installed: pip install memworld[approximate]"
        if why is not None:
            self.keep(LeftOut(case.name, why, needed))
            self.bar.update()
        return why is None

    def _one_memory(self, rows: int, d: int, cases: Sequence[Case]) -> None:
        """All cases of one memory: the peers first, then index by index, so that few lie in memory at once."""
        settings = self.settings
        memory = make_memory(rows, d, settings.seed)
        queries = make_queries(max(settings.recall_queries, *(c.batch for c in cases)), d, settings.seed)
        ground = _Ground(memory, queries, measure_peers(cases, memory, queries, settings))
        self.keep(*ground.peers.left_out)
        for (metric, approximate, precision), same in groupby(sorted(cases, key=_index_of), key=_index_of):
            own = list(same)
            sought = [c for c in cases if c.index == "approximate" and c.metric == metric]
            if approximate and any(search_of(c) not in ground.exact_rows for c in own):
                self._find_exactly(ExactIndex(metric, memory, device=settings.device), sought, ground)
            began = time.perf_counter()
            index = _build(own[0], memory, settings.device)
            build_s = time.perf_counter() - began
            if not approximate and precision == "auto":
                self._find_exactly(index, sought, ground)
            shares = {search_of(c): self._shares(c, index, ground) for c in own}
            for case in own:
                measured = self._measure(case, index, queries, build_s, shares[search_of(case)])
                times = ground.peers.times[search_of(case), case.batch]
                self.keep(make_record(case, measured, times, self._limits_now(case, measured)))
                self.bar.update()
            del index
            if settings.device == "cuda":
                torch.cuda.empty_cache()

    def _limits_now(self, case: Case, measured: Measured) -> Limits:
        """The run's limits, the one that bounds this case measured again beside it."""
        settings, limits, precision = self.settings, self.results.limits, measured.product_precision
        if precision is None or (precision == "bfloat16" and limits.gflops_bfloat16 is None):
            return limits
        which = precision if case.batch >= BATCH_FROM else None
        return measured_again(limits, which, settings.copy_bytes, settings.matrix_size, settings.budget.seconds)

    def _find_exactly(self, index: Index, cases: Sequence[Case], ground: "_Ground") -> None:
        """Note the exact rows of what approximate indexes will be asked."""
        asked = ground.queries[: self.settings.recall_queries]
        ground.exact_rows |= {search_of(c): answer(index, c, asked).rows for c in cases}

    def _shares(self, case: Case, index: Index, ground: "_Ground") -> tuple[float | None, float | None]:
        """Recall, of all k rows and of the first, of an approximate index; an exact one is checked, and has 1."""
        if case.index == "approximate":
            found = answer(index, case, ground.queries[: self.settings.recall_queries])
            return recall(found.rows, ground.exact_rows[search_of(case)])
        expected = ground.peers.literal_rows.get(search_of(case))
        if expected is None:
            return None, None
        asked = ground.queries[: self.settings.checked_queries]
        check_answers(answer(index, case, asked), expected, asked, ground.memory.latents, case.metric)
        return 1.0, 1.0

    def _measure(
        self,
        case: Case,
        index: _MeasuredIndex,
        queries: Latents,
        build_s: float,
        shares: tuple[float | None, float | None],
    ) -> Measured:
        """Time one case; which precision the product runs in is only asked afterwards, as an index may learn."""
        settings = self.settings
        ms = ms_per_query(lambda q: answer(index, case, q), queries, case.batch, settings.budget, settings.device)
        exact = index if isinstance(index, ExactIndex) else None
        return Measured(
            ms_per_query=ms,
            feature_bytes=exact.feature_bytes if exact else None,
            product_precision=exact.product_precision(case.batch) if exact else None,
            bytes_per_row=float(index.bytes_per_row),
            build_s=build_s,
            recall=shares[0],
            recall_at_1=shares[1],
        )


def _build(case: Case, memory: Candidates, device: str) -> _MeasuredIndex:
    """The index of a case."""
    if case.index == "exact":
        return ExactIndex(case.metric, memory, precision=case.precision, device=device)  # type: ignore[arg-type]
    from memworld.search.approximate import ApproximateIndex

    return ApproximateIndex(case.metric, memory)


def _memory_of(case: Case) -> tuple[int, int]:
    return case.rows, case.d


def _index_of(case: Case) -> tuple[str, bool, str]:
    """What tells indexes apart, exact ones of a metric before the approximate ones, which need their answers."""
    return case.metric, case.index != "exact", case.precision
