"""From settings and the rows of a memory to a dynamics that is ready to be asked."""

import functools
from pathlib import Path
from typing import Literal, get_args

import torch

from memworld.analogues import AnalogueConfig, AnalogueDynamics, Analogues, Panel
from memworld.analogues.lessons import Lessons
from memworld.cluster import Cluster, ClusterIndex, Search, connect
from memworld.cluster.workers import ray_module
from memworld.dynamics import DynamicsConfig, ResolvedDynamics
from memworld.errors import MemworldError, lookup
from memworld.hybrid import HybridConfig, HybridDynamics
from memworld.hybrid.correction import Correction
from memworld.imagine import Dynamics
from memworld.learned.arrays import Learned
from memworld.lookup import Lookup, candidates, weights
from memworld.memory import Memory, Rows
from memworld.retrieve import STRATEGIES
from memworld.search import Candidates, Index
from memworld.search.approximate import IndexShelf
from memworld.search.exact import ExactIndex
from memworld.search.growing import GrownIndex
from memworld.search.products import choose_device
from memworld.store import LEARNED, Stored

IndexKind = Literal["exact", "approximate", "cluster"]

DynamicsSettings = DynamicsConfig | AnalogueConfig | HybridConfig
"""The settings of any dynamics: look up as the paper does, follow analogues, or correct what they say."""

ResolvedSettings = ResolvedDynamics | AnalogueConfig | HybridConfig
"""The same with nothing left open."""

_OWN: dict[str, type[AnalogueConfig] | type[HybridConfig]] = {"analogues": AnalogueConfig, "hybrid": HybridConfig}


def named_dynamics(name: str, k: int | None = None, conditioning: str | None = None) -> DynamicsSettings:
    """The settings called `analogues` or `hybrid`, or by the name of a strategy of the paper.

    Raises:
        MemworldError: a name or a setting that means nothing, or a setting that would be ignored.
    """
    if name not in _OWN:
        lookup({**_OWN, **STRATEGIES}, name, "strategy")
        return DynamicsConfig(name, k=k, conditioning=conditioning)  # type: ignore[arg-type]
    if k is not None or conditioning is not None:
        raise MemworldError(
            f"{name} has numbers of threads and an agreement of actions of its own: leave out k and conditioning, or "
            f"name one of the paper's strategies: {', '.join(STRATEGIES)}"
        )
    return _OWN[name]()


class Engine:
    """Where and how memory is searched, whatever for."""

    def __init__(self, kind: IndexKind | Cluster, device: str) -> None:
        """Choose.

        Args:
            kind: `exact`, `approximate`, or a cluster; `cluster` is the one that this process is connected to when
                memory is first searched, or else a Ray of our own.
            device: `cpu`, `cuda` or `auto`; of a cluster, that of its workers.

        Raises:
            MemworldError: a name that means nothing, a device that is not there, approximate search on a GPU, or a
                cluster without Ray.
        """
        self.cluster: Cluster | None = None
        if isinstance(kind, Cluster):
            self.cluster, kind = kind, "cluster"
        if kind not in get_args(IndexKind):
            raise MemworldError(f"unknown index {kind!r}: use {', '.join(get_args(IndexKind))}")
        if kind == "cluster":
            ray_module()
        self.kind: IndexKind = kind
        self.wanted: str = device
        self._shelf = IndexShelf(None)
        self.device: torch.device = choose_device("cpu" if kind == "cluster" and device == "cuda" else device)
        if kind == "approximate" and device == "cuda":
            raise MemworldError("approximate search runs on the CPU: use device cpu or auto, or the exact index")

    @property
    def index(self) -> IndexKind | Cluster:
        """What another engine is to be told to search as this one does."""
        return self.cluster or self.kind

    def check(self, settings: ResolvedSettings) -> None:
        """Do nothing if a dynamics of these settings can be built.

        Raises:
            MemworldError: otherwise.
        """
        if self.kind == "cluster" and not isinstance(settings, ResolvedDynamics):
            raise MemworldError(
                f"a cluster serves the paper's strategies: name one of {', '.join(STRATEGIES)}, or search with the "
                "exact or approximate index"
            )
        if self.kind == "approximate" and isinstance(settings, ResolvedDynamics) and len(set(settings.context)) > 1:
            raise MemworldError("approximate search counts all moments of a context alike: give equal weights")

    def build(
        self,
        settings: ResolvedSettings,
        rows: Rows,
        latent_shape: tuple[int, ...],
        progress: bool = False,
        known: Learned | None = None,
        before: Dynamics | None = None,
        memory: Memory | None = None,
    ) -> Dynamics:
        """Index the rows, and learn what there is to learn, unless it is known.

        Args:
            settings: of the dynamics.
            rows: the memory's.
            latent_shape: (d,) or (c, h, w).
            progress: whether to show bars.
            known: what was learned before, and still holds.
            before: what was built, by these settings, of rows that these have grown from
                (`search.growing.has_grown`): only what is new is indexed.
            memory: whose rows they are. A cluster needs it, to read them where they are stored, and approximate
                indexes are kept beside it.

        Raises:
            MemworldError: a cluster cannot hold them, see `ClusterIndex.of`.
        """
        if self.kind == "approximate":
            self._shelf = IndexShelf(None if memory is None else _place_of(memory))
        if isinstance(settings, AnalogueConfig):
            return AnalogueDynamics(self._analogues(settings, rows, latent_shape, progress, known, before))
        if isinstance(settings, HybridConfig):
            lessons = Lessons()
            analogues = self._analogues(settings.analogues, rows, latent_shape, progress, known, before, lessons)
            correction = known[1] if known else None
            return HybridDynamics(analogues, correction or Correction.fit(lessons, rows, settings, progress))
        make = functools.partial(self._index, settings, memory)
        return Lookup(rows, settings, make, before if isinstance(before, Lookup) else None)

    def _analogues(
        self,
        settings: AnalogueConfig,
        rows: Rows,
        latent_shape: tuple[int, ...],
        progress: bool,
        known: Learned | None,
        before: Dynamics | None,
        lessons: Lessons | None = None,
    ) -> Analogues:
        fit = known[0] if known else None
        # Keys are made by what is learned: those of another fit mean nothing to this.
        old = before.analogues if isinstance(before, AnalogueDynamics) and before.analogues.fit is fit else None
        panel = Panel(rows, latent_shape, settings, self._l2, fit.sights if fit else None, old.panel if old else None)
        return Analogues(panel, progress, lessons, fit, old)

    def _index(self, settings: ResolvedDynamics, memory: Memory | None, rows: Rows, before: Index | None) -> Index:
        """The index of a paper's strategy."""
        by_action = settings.conditioning in ("hard", "mixed")
        if self.kind == "cluster":
            assert memory is not None
            self.cluster = self.cluster or connect()
            search = Search(settings.metric, settings.context, by_action, self.wanted)
            return ClusterIndex.of(self.cluster, memory, search, before if isinstance(before, ClusterIndex) else None)
        counts = weights(settings.context, rows.latents.dim)

        def make(keys: Candidates) -> Index:
            if self.kind == "approximate":
                return self._shelf.index(settings.metric, keys)
            return ExactIndex(settings.metric, keys, device=self.device.type, by_action=by_action, weights=counts)

        context = len(settings.context)
        old = before if isinstance(before, GrownIndex) else None
        return GrownIndex.of(rows, lambda run: candidates(run.rows, context), make, old)

    def _l2(self, keys: Candidates) -> Index:
        if self.kind == "approximate":
            return self._shelf.index("l2", keys)
        return ExactIndex("l2", keys, device=self.device.type)


def _place_of(memory: Memory) -> Path | None:
    """Where approximate indexes of a memory are kept: beside it, unless it differs from what counts there now.

    What was removed there must not come back in an index of those who have not heard of it.
    """
    try:
        stored = memory.stored
        return stored.path / LEARNED / "index" if isinstance(stored, Stored) and stored.newer() is None else None
    except MemworldError:
        return None
