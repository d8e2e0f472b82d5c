"""What is measured: the cases of a quick and of a full run, and the settings that they run under."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from memworld.bench.timing import Budget
from memworld.errors import MemworldError
from memworld.retrieve import STRATEGIES


@dataclass(frozen=True)
class Case:
    """One search to time.

    Attributes:
        rows: of the memory, all of them candidates.
        d: number of latents.
        batch: queries that are asked at once.
        strategy: a name in `retrieve.STRATEGIES`.
        k: rows asked for; of `rollout` 1 per episode.
        index: `exact` or `approximate`.
        precision: of the exact index's stored features, see `ExactIndex`.
    """

    rows: int
    d: int
    batch: int
    strategy: str
    k: int
    index: str = "exact"
    precision: str = "auto"

    @property
    def metric(self) -> str:
        """The strategy's distance."""
        return STRATEGIES[self.strategy].metric

    @property
    def name(self) -> str:
        """All of it in one word, by which a result is known."""
        return f"{self.index}-{self.precision}-{self.strategy}-k{self.k}-rows{self.rows}-d{self.d}-batch{self.batch}"


@dataclass(frozen=True)
class Imagined:
    """What imagination is measured on: `batch` futures of `horizon` steps, memory of `rows` rows and `d` latents."""

    rows: int = 15_000
    d: int = 32
    batch: int = 256
    horizon: int = 20


@dataclass(frozen=True)
class Settings:
    """A whole run.

    Attributes:
        cases: the searches.
        imagined: the imagination, or None.
        seed: of memory, queries, network and actions.
        device: of the index and of the literal searches, `cpu` or `cuda`.
        budget: how long each search is repeated.
        peer_rows: other ways to search are measured in memories of up to so many rows.
        recall_queries: queries that recall is measured on.
        checked_rows: exact answers are compared with the literal ones in memories of up to so many rows.
        checked_queries: on so many queries.
        copy_bytes: see `limits.measure_limits`.
        matrix_size: likewise.
    """

    cases: tuple[Case, ...]
    imagined: Imagined | None = None
    seed: int = 0
    device: str = "cpu"
    budget: Budget = field(default_factory=Budget)
    peer_rows: int = 1_000_000
    recall_queries: int = 256
    checked_rows: int = 150_000
    checked_queries: int = 4
    copy_bytes: int = 1 << 28
    matrix_size: int = 2048

    def __post_init__(self) -> None:
        if not self.cases:
            raise MemworldError("no case to measure: give at least one")


_ASKED = {"replay_l2": 10, "replay_kl": 1, "rollout": 1}
"""The strategies with the rows that they ask for."""

_RECALL = {"replay_l2": 10, "replay_kl": 10}
"""Searches of which recall is measured: ten rows, so that there is more than one to find."""


def _cases(
    rows: Sequence[int], d: Sequence[int], batch: Sequence[int], asked: Iterable[tuple[str, int]], **how: str
) -> list[Case]:
    return [Case(n, dim, b, s, k, **how) for n, dim, (s, k), b in product(rows, d, asked, batch)]


def quick_cases() -> tuple[Case, ...]:
    """A few minutes on two cores."""
    ends = (1, 256)
    return (
        *_cases((15_000,), (32, 128), (1, 16, 256), _ASKED.items()),
        *_cases((15_000,), (128,), ends, [("replay_kl", 1)], precision="bfloat16"),
        *_cases((150_000,), (32, 128), ends, _ASKED.items()),
        *_cases((1_000_000,), (64,), ends, _RECALL.items()),
        *_cases((1_000_000,), (64,), ends, _RECALL.items(), index="approximate"),
    )


def full_cases() -> tuple[Case, ...]:
    """All sizes, which takes long; what does not fit into memory is left out."""
    batches, asked = (1, 16, 256), (*_ASKED.items(), ("replay_kl", 10))
    cases = _cases((15_000, 150_000, 1_000_000, 10_000_000), (32, 64, 128, 512), batches, asked)
    for precision in ("float32", "bfloat16", "float16"):
        cases += _cases((150_000,), (128,), batches, asked, precision=precision)
    cases += _cases((150_000, 1_000_000, 10_000_000), (64, 128), batches, _RECALL.items(), index="approximate")
    return tuple(cases)


def settings_for(quick: bool, **changes: object) -> Settings:
    """The settings of a quick or a full run, some of them changed."""
    budget = Budget(seconds=0.2, most=1.0) if quick else Budget()
    settings = Settings(quick_cases() if quick else full_cases(), Imagined(), budget=budget)
    return replace(settings, **changes)  # type: ignore[arg-type]


def chosen(cases: Sequence[Case], **wanted: Sequence[object] | None) -> tuple[Case, ...]:
    """The cases that have one of the wanted values in each field that is named.

    Raises:
        MemworldError: no case has a wanted value, or none has all.
    """
    for name, values in wanted.items():
        there = sorted({getattr(case, name) for case in cases})
        for value in values or ():
            if value not in there:
                raise MemworldError(f"no case has {name} {value}: use one of {', '.join(map(str, there))}")
    kept = tuple(c for c in cases if all(not values or getattr(c, name) in values for name, values in wanted.items()))
    if not kept:
        raise MemworldError("no case has all that was asked for: ask for less at once")
    return kept
