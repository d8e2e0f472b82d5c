"""Times the other ways to search, where memory suffices for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from memworld.bench.cases import Case, Settings
from memworld.bench.measure import ms_per_query
from memworld.bench.memory_needed import bytes_available, bytes_of_brute_force, bytes_of_literal
from memworld.bench.peers import Peer, faiss_flat, has_faiss, literal, numpy_brute_force
from memworld.bench.results import LeftOut, PeerTimes
from memworld.gaussian import Latents
from memworld.search import Candidates

Search = tuple[str, int]
"""A strategy and its k: what is asked, whatever answers."""


def search_of(case: Case) -> Search:
    """What a case asks for."""
    return case.strategy, case.k


@dataclass
class Peers:
    """What the others took on one memory, and what they answered.

    Attributes:
        times: by what is asked and by batch.
        literal_rows: (checked queries, K) rows that the literal formula found, in memories small enough.
        left_out: peers for which there was not enough memory or no library.
    """

    times: dict[tuple[Search, int], PeerTimes] = field(default_factory=dict)
    literal_rows: dict[Search, Tensor] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


def measure_peers(cases: Sequence[Case], memory: Candidates, queries: Latents, settings: Settings) -> Peers:
    """Time every peer on what these cases, all of one memory, ask."""
    peers = Peers()
    if cases[0].rows > settings.peer_rows:
        peers.left_out.append(LeftOut(f"others at {cases[0].rows} rows", f"slow beyond {settings.peer_rows} rows"))
        peers.times = {(search_of(c), c.batch): PeerTimes() for c in cases}
        return peers
    for search in dict.fromkeys(map(search_of, cases)):
        case = next(c for c in cases if search_of(c) == search)
        batches = sorted({c.batch for c in cases if search_of(c) == search})
        checked = case.rows <= settings.checked_rows
        single, unvalidated = None, None
        if _suffices(peers, case, "literal", bytes_of_literal(case), settings.device):
            by_formula = literal(memory, *search, settings.device)
            single = ms_per_query(by_formula, queries, 1, settings.budget, settings.device)
            if checked:
                peers.literal_rows[search] = by_formula(queries[: settings.checked_queries])
            if case.strategy == "replay_kl":
                by_formula = literal(memory, *search, settings.device, validate=False)
                unvalidated = ms_per_query(by_formula, queries, 1, settings.budget, settings.device)
        numpy = _batches(peers, case, "numpy", numpy_brute_force, memory, queries, batches, settings)
        flat = _batches(peers, case, "faiss flat", faiss_flat, memory, queries, batches, settings)
        for batch in batches:
            peers.times[search, batch] = PeerTimes(single, unvalidated, numpy.get(batch), flat.get(batch))
    if not has_faiss():
        peers.left_out.append(LeftOut("faiss flat", "FAISS is not installed: pip install memworld[approximate]"))
    elif any(case.strategy == "rollout" for case in cases):
        peers.left_out.append(LeftOut("faiss flat rollout", "FAISS has no search for the nearest row of each episode"))
    return peers


def _batches(
    peers: Peers,
    case: Case,
    name: str,
    make: Callable[[Candidates, str, str, int], Peer | None],
    memory: Candidates,
    queries: Latents,
    batches: Sequence[int],
    settings: Settings,
) -> dict[int, float]:
    """Milliseconds per query of a peer on the CPU, by batch; empty where there is no such peer."""
    if not _suffices(peers, case, name, bytes_of_brute_force(case), "cpu"):
        return {}
    peer = make(memory, case.metric, case.strategy, case.k)
    return {} if peer is None else {b: ms_per_query(peer, queries, b, settings.budget) for b in batches}


def _suffices(peers: Peers, case: Case, name: str, needed: int, device: str) -> bool:
    """Whether memory suffices for a peer; if not, that is noted."""
    if needed <= bytes_available(device):
        return True
    peers.left_out.append(
        LeftOut(f"{name} {case.strategy} k{case.k} rows{case.rows} d{case.d}", "not enough memory", needed)
    )
    return False
