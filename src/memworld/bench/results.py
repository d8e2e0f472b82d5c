"""What a run gives: a record per search, in a file that is written again after each."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from memworld.bench.cases import Case, Settings
from memworld.bench.limits import Limits
from memworld.bench.memory_needed import product_features
from memworld.errors import MemworldError
from memworld.storage import KIND_KEY, OnExisting, check_file, read_json, to_json, write_json

_KIND = "bench"

BATCH_FROM = 16
"""Queries in a batch from which the product is the limit; below it is reading the features."""


@dataclass(frozen=True)
class PeerTimes:
    """Milliseconds per query of others on the same search; None where one was left out."""

    literal: float | None = None
    literal_unvalidated: float | None = None
    numpy: float | None = None
    faiss_flat: float | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured of one search.

    Attributes:
        ms_per_query: median time of the batch over its queries.
        feature_bytes: that one query must read; None of an approximate index.
        product_precision: in which the batch was multiplied; None likewise.
        bytes_per_row: of the index beside the latents.
        build_s: seconds to build the index.
        recall: share of the k exact rows that were found; of the exact index 1 where it was checked.
        recall_at_1: share of queries whose nearest row came first; likewise.
    """

    ms_per_query: float
    feature_bytes: int | None
    product_precision: str | None
    bytes_per_row: float
    build_s: float
    recall: float | None = None
    recall_at_1: float | None = None


@dataclass(frozen=True)
class Record:
    """One line of the table: the case (see `Case`), what was measured (see `Measured`), and what follows from both.

    Attributes:
        literal_ms: milliseconds per query of the literal formulas; None as in `PeerTimes`.
        literal_unvalidated_ms: the same without PyTorch's checks of arguments; of KL only.
        numpy_ms: of NumPy.
        faiss_flat_ms: of FAISS.
        times_faster_than_literal: their time over ours, and so on.
        share_of_limit: the least time that the machine's limit allows over ours, 1 is ideal; None of
            an approximate index, which need not read or multiply everything.
        limit: `bandwidth` (the features read once, at the rate of a copy) or `product` (multiplied
            once at the rate of a large product).
        limit_rate: that rate, measured beside the search: 10^9 bytes, or operations, per second.
    """

    case: str
    rows: int
    d: int
    batch: int
    metric: str
    strategy: str
    k: int
    index: str
    precision: str
    product_precision: str | None
    ms_per_query: float
    literal_ms: float | None
    literal_unvalidated_ms: float | None
    numpy_ms: float | None
    faiss_flat_ms: float | None
    times_faster_than_literal: float | None
    times_faster_than_numpy: float | None
    times_faster_than_faiss_flat: float | None
    share_of_limit: float | None
    limit: str | None
    limit_rate: float | None
    recall: float | None
    recall_at_1: float | None
    bytes_per_row: float
    build_s: float


def make_record(case: Case, measured: Measured, peers: PeerTimes, limits: Limits) -> Record:
    """Join what was measured, and compare."""

    def faster(than: float | None) -> float | None:
        return None if than is None else than / measured.ms_per_query

    share, limit, rate = share_of_limit(case, measured, limits)
    return Record(
        case=case.name,
        metric=case.metric,
        **asdict(case),
        product_precision=measured.product_precision,
        ms_per_query=measured.ms_per_query,
        literal_ms=peers.literal,
        literal_unvalidated_ms=peers.literal_unvalidated,
        numpy_ms=peers.numpy,
        faiss_flat_ms=peers.faiss_flat,
        times_faster_than_literal=faster(peers.literal),
        times_faster_than_numpy=faster(peers.numpy),
        times_faster_than_faiss_flat=faster(peers.faiss_flat),
        share_of_limit=share,
        limit=limit,
        limit_rate=rate,
        recall=measured.recall,
        recall_at_1=measured.recall_at_1,
        bytes_per_row=measured.bytes_per_row,
        build_s=measured.build_s,
    )


def share_of_limit(case: Case, measured: Measured, limits: Limits) -> tuple[float | None, str | None, float | None]:
    """The least time that the machine allows over the time taken, which limit that is, and its rate; see `Record`."""
    if measured.feature_bytes is None or measured.product_precision is None:
        return None, None, None
    seconds = measured.ms_per_query * case.batch / 1000
    if case.batch < BATCH_FROM:
        return measured.feature_bytes / (limits.copy_gb_s * 1e9) / seconds, "bandwidth", limits.copy_gb_s
    operations = 2 * case.rows * product_features(case.metric, case.d) * case.batch
    rate = limits.gflops(measured.product_precision)
    return operations / (rate * 1e9) / seconds, "product", rate


@dataclass(frozen=True)
class ImaginedRecord:
    """The speed of imagination.

    Attributes:
        rows: of the memory.
        d: number of latents.
        batch: futures at once.
        horizon: steps of each.
        conditioning: on actions, see `Query`.
        decode: whether every step was decoded into a 64 x 64 frame.
        steps_per_second: imagined steps, `batch * horizon` of them in one run.
    """

    rows: int
    d: int
    batch: int
    horizon: int
    conditioning: str
    decode: bool
    steps_per_second: float


@dataclass(frozen=True)
class LeftOut:
    """What was not measured: its name, why, and the bytes that it would need where that is why."""

    case: str
    why: str
    bytes: int | None = None


@dataclass(frozen=True)
class Results:
    """Everything that a run gives, so far.

    Attributes:
        settings: as `plain_settings` gives them.
        limits: of the machine.
        cases: a record per search.
        imagination: a record per kind of imagination.
        left_out: what was not measured.
    """

    settings: dict[str, Any]
    limits: Limits
    cases: tuple[Record, ...] = ()
    imagination: tuple[ImaginedRecord, ...] = ()
    left_out: tuple[LeftOut, ...] = field(default=())

    def and_left_out(self, *more: LeftOut) -> "Results":
        """The same with others left out; what is there already is not said twice."""
        return replace(self, left_out=tuple(dict.fromkeys((*self.left_out, *more))))

    def write(self, path: Path) -> None:
        """Write all of it as JSON, atomically."""
        write_json(path, {KIND_KEY: _KIND, **asdict(self)})


def plain_settings(settings: Settings, **machine: object) -> dict[str, Any]:
    """Settings in plain JSON values, the cases by their names, and beside them what else must not change."""
    return {**to_json(settings), "cases": [case.name for case in settings.cases], **machine}


def read_results(path: Path) -> Results:
    """Undo `Results.write`.

    Raises:
        MemworldError: the file is missing, damaged or of another kind.
    """
    found = read_json(path, "file of benchmark results")
    try:
        if found[KIND_KEY] != _KIND:
            raise KeyError(KIND_KEY)
        return Results(
            dict(found["settings"]),
            Limits(**found["limits"]),
            tuple(Record(**r) for r in found["cases"]),
            tuple(ImaginedRecord(**r) for r in found["imagination"]),
            tuple(LeftOut(**r) for r in found["left_out"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MemworldError(
            f"{path} is damaged or holds no results of memworld bench: name another file, or remove it"
        ) from error


def stored_results(path: Path, on_existing: OnExisting, settings: dict[str, Any]) -> Results | None:
    """What an earlier run left in `path` for this one to go on from, if it is to.

    Raises:
        MemworldError: a file that must not be replaced, or one that another run, of other settings, wrote.
    """
    if not path.parent.is_dir():
        raise MemworldError(f"there is no folder {path.parent}: make it, or name another file")
    if not path.exists():
        return None
    check_file(path)
    if on_existing == "error":
        raise MemworldError(f"{path} exists: name another file, or use --resume or --overwrite")
    stored = read_results(path)
    if on_existing == "overwrite":
        return None
    for name, value in settings.items():
        if stored.settings.get(name) != value:
            short = "others" if name == "cases" else f"{stored.settings.get(name)!r} and not {value!r}"
            raise MemworldError(f"{path} was measured with other settings ({name}: {short}): use --overwrite")
    return stored
