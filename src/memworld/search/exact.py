"""Exact search: one product that rounds, a bound on how much, and the literal formula where it matters.

The product is quick but rounds. `blocks` says how far off it can be, so every row that could belong
to the answer is known: those whose least possible value is no more than the largest possible value
of the k-th best. Exactly those rows are measured again with the literal formula in float64
(`rerank`), and the answer is the literal formula's, ties included, in whatever precision the
product ran. (Queries so far away, 10^15 times the spread of the memory and more, that the literal
formula in float64 itself cannot tell rows apart get rows that are as near as it can tell.)
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from memworld.errors import MemworldError, lookup
from memworld.gaussian import DISTANCES
from memworld.memory import Rows
from memworld.search import Candidates, Conditioning, Matches, Query, check_k, concatenate
from memworld.search.blocks import FeatureForm, Region, arrange, build
from memworld.search.kinds import Kinds
from memworld.search.products import choose_device, coarse_pays
from memworld.search.rerank import measure, nearest_of_all, nearest_of_each
from memworld.search.scan import Wanted, scan

Precision = Literal["auto", "float32", "bfloat16", "float16"]

_STORAGE = {"auto": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_QUERIES = 256
"""Queries that are searched together: as many as can share a product that stays in a CPU's cache."""

_COARSE_FROM = 4
"""Queries in a batch from which a bfloat16 product repays the conversion of the features."""

_ROWS_PER_ACTION = 32
"""Rows that each action must have on average to be searched apart."""

_MANY = 64
"""Pairs per wanted row beyond which a bfloat16 product was too coarse, and float32 is taken."""

_TRIES = 3
"""Times that bfloat16 may have been too coarse before float32 is taken at once."""

_PAIRS = 1 << 23
"""Pairs beyond which fewer queries are searched at once, as where thousands of rows are alike."""


class ExactIndex:
    """Exact nearest rows under one metric."""

    @torch.no_grad()
    def __init__(
        self,
        metric: str,
        candidates: Candidates,
        precision: Precision = "auto",
        device: str = "auto",
        by_action: bool = False,
        weights: Tensor | None = None,
    ) -> None:
        """Precompute the features of all candidates.

        Args:
            metric: a name in `gaussian.DISTANCES`.
            candidates: the rows that may answer.
            precision: of the stored features. `auto` stores float32 and multiplies large batches in
                bfloat16 where that is faster; answers are exact in all of them.
            device: `cpu`, `cuda`, or `auto`: a GPU if there is one.
            by_action: whether rows of one action lie together, so that `hard` conditioning searches
                only them, or `mixed` where some of an action is not discrete; not done where there
                are almost as many actions as rows. It costs other searches a little; answers are
                the same.
            weights: (D,) of the latents in the metric, finite, from 0 and not all 0; None counts each once.

        Raises:
            MemworldError: an unknown metric, precision or device, or latents or weights that are not sound.
        """
        self.metric = metric
        self._distance = lookup(DISTANCES, metric, "metric")
        self._weights: Tensor | None = None
        if weights is not None:
            self._weights = _sound(weights, candidates.dim).to(choose_device(device))
            self._distance = functools.partial(self._distance, weights=self._weights)
        self._storage = lookup(_STORAGE, precision, "precision")
        self._device = choose_device(device)
        self._candidates = candidates.to(self._device).check()
        self._kinds: dict[Conditioning, Kinds] = {}
        discrete = self._candidates.discrete
        mixed = discrete is not None and bool(discrete.any()) and not bool(discrete.all())
        together = self._kinds_of("mixed" if mixed else "hard") if by_action else None
        self._together = together if together and len(together) * _ROWS_PER_ACTION <= len(candidates) else None
        self._form, self._regions = self._lay_out("none")
        self._episodes = int(candidates.episodes.max()) + 1
        self._coarse_tries = _TRIES if precision in ("auto", "bfloat16") and coarse_pays(self._device) else 0

    def _lay_out(self, conditioning: Conditioning) -> tuple[FeatureForm, list[Region]]:
        form = FeatureForm(self.metric, self._candidates, conditioning, self._weights)
        blocks = arrange(self._together.of if self._together else None, self._candidates.episodes)
        return form, [build(form, members, self._candidates.episodes, self._storage) for members in blocks]

    @classmethod
    def of(cls, rows: Rows, metric: str, by_action: bool = False, device: str = "auto") -> "ExactIndex":
        """The index of a memory's rows that have a successor."""
        return cls(metric, Candidates.of(rows), device=device, by_action=by_action)

    @property
    def feature_bytes(self) -> int:
        """Bytes of the stored features."""
        return sum(region.features.nbytes for region in self._regions)

    @property
    def bytes_per_row(self) -> float:
        """Bytes that the index holds for each candidate, beside the memory's own latents."""
        total = self._candidates.rows.nbytes + self._candidates.episodes.nbytes + self._candidates.actions.nbytes
        return (total + sum(region.nbytes for region in self._regions)) / len(self._candidates)

    def product_precision(self, batch: int) -> str:
        """What a batch of so many queries is multiplied in: `float32` or `bfloat16`."""
        return "bfloat16" if self._coarse_tries > 0 and batch >= _COARSE_FROM else "float32"

    def nearest(self, query: Query, k: int) -> Matches:
        """The k nearest rows of all memory; see `Index`.

        Where a filter leaves fewer than k rows, `Matches.shortfall` says by how many.

        Raises:
            MemworldError: k below 1 or above the number of candidates, or a query that does not fit.
        """
        check_k(k, self._candidates)
        return self._search(query, k, per_episode=False)

    def nearest_per_episode(self, query: Query) -> Matches:
        """The nearest row of each episode; see `Index`.

        Raises:
            MemworldError: a query that does not fit.
        """
        return self._search(query, self._episodes, per_episode=True)

    @torch.no_grad()
    def _search(self, query: Query, width: int, per_episode: bool) -> Matches:
        query.check(self._candidates)
        query = self._candidates.settle(query.to(self._device))
        pieces = [query[start : start + _QUERIES] for start in range(0, len(query), _QUERIES)]
        return concatenate([self._answer(piece, width, per_episode) for piece in pieces])

    def _answer(self, query: Query, width: int, per_episode: bool) -> Matches:
        """Search for as many queries at once as there is room for what rounding leaves in the running."""
        found = self._find(query, width, per_episode)
        if found is None:
            half = len(query) // 2
            return concatenate([self._answer(piece, width, per_episode) for piece in (query[:half], query[half:])])
        asked, members = found
        measured = measure(self._distance, query, self._candidates, asked, members)
        if not per_episode:
            return nearest_of_all(asked.cpu(), measured, len(query), width)
        episodes = self._candidates.episodes.index_select(0, members).cpu()
        return nearest_of_each(asked.cpu(), measured, len(query), episodes, width)

    def _find(self, query: Query, width: int, per_episode: bool) -> tuple[Tensor, Tensor] | None:
        """Every pair (query, candidate) that may belong to the answer, (P,) int64 each; None if they are too many."""
        asked_actions = query.actions if query.actions is not None else query.latents.mu[:, :0]
        actions = self._candidates.may_differ(asked_actions, query.conditioning)
        if actions is not None and self._form.conditioning != query.conditioning:
            # Only now, as most indexes are never asked this; it takes the place of what was there.
            self._form, self._regions = self._lay_out(query.conditioning)
        wanted = Wanted(
            self._form.weights(query.latents, actions, query.action_weight),
            k=1 if per_episode else width,
            episodes=self._episodes if per_episode else 0,
            exclude=query.exclude_episode,
        )
        same = self._candidates.must_equal(asked_actions, query.conditioning)
        known = self._kinds_of(query.conditioning)
        if same is None or known is None:
            return self._scan(wanted, self._regions)
        kinds = known.find(same)
        if known is not self._together:
            return self._scan(replace(wanted, kinds=kinds, kind_of=known.of), self._regions)
        pairs = [(kinds[:0], kinds[:0])]
        for kind in torch.unique(kinds[kinds >= 0]).tolist():
            own = torch.nonzero(kinds == kind)[:, 0]
            found = self._scan(wanted[own], self._regions[kind : kind + 1])
            if found is None:
                return None
            pairs.append((own[found[0]], found[1]))
        asked, members = zip(*pairs, strict=True)
        return torch.cat(asked), torch.cat(members)

    def _scan(self, wanted: Wanted, regions: Sequence[Region]) -> tuple[Tensor, Tensor] | None:
        """Scan in the precision that pays; None if too many pairs remain and fewer queries can be searched at once."""
        room = _PAIRS if len(wanted) > 1 else None
        if self.product_precision(len(wanted)) == "bfloat16":
            most = _MANY * len(wanted) * (wanted.episodes or wanted.k)
            found = scan(regions, wanted, coarse=True, most=min(most, _PAIRS))
            if found is not None:
                return found
            self._coarse_tries -= most <= _PAIRS
        return scan(regions, wanted, coarse=False, most=room)

    def _kinds_of(self, conditioning: Conditioning) -> Kinds | None:
        """The distinct actions, as far as rows must equal the query in them; None where that is in nothing."""
        if conditioning not in self._kinds:
            features = self._candidates.must_equal(self._candidates.actions, conditioning)
            if features is None:
                return None
            self._kinds[conditioning] = Kinds(features)
        return self._kinds[conditioning]


def _sound(weights: Tensor, dim: int) -> Tensor:
    """Weights (D,) of latents as float64.

    Raises:
        MemworldError: of another number, negative, not finite or all 0.
    """
    sound = weights.shape == (dim,) and bool(torch.isfinite(weights).all()) and bool((weights >= 0).all())
    if not sound or not bool((weights > 0).any()):
        raise MemworldError(f"weights of latents must be {dim} finite numbers from 0, not all 0")
    return weights.double()
