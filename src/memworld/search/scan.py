"""The scan of exact search: every row that the rounding of the product leaves in the running.

For each query the scan keeps a *bound*: no more than the wanted number of rows can be nearer than
it. It starts at infinity and falls as products come in. A block is looked at only if its least
product, made as small as rounding allows, is within the bound.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from memworld.search.blocks import Region
from memworld.search.products import Product

_CELLS = 1 << 22
"""Query-row pairs in one product: 16 MB in float32, which stay in a CPU's cache."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a batch of Q queries wants of a scan.

    Attributes:
        weights: (Q, F) float64 of unit length.
        k: rows, of all or of each episode.
        episodes: number of episodes if the k rows are wanted of each, else 0. Then k is 1.
        exclude: (Q,) int64 episode that may not answer, or None.
        kinds: (Q,) int64 the only kind of row that may answer, or None.
        kind_of: (M,) int64 the kind of each candidate, where `kinds` is given.
    """

    weights: Tensor
    k: int
    episodes: int = 0
    exclude: Tensor | None = None
    kinds: Tensor | None = None
    kind_of: Tensor | None = None

    def __post_init__(self) -> None:
        assert self.k == 1 or not self.episodes

    def __getitem__(self, index: Tensor) -> "Wanted":
        exclude = None if self.exclude is None else self.exclude[index]
        kinds = None if self.kinds is None else self.kinds[index]
        return replace(self, weights=self.weights[index], exclude=exclude, kinds=kinds)

    def __len__(self) -> int:
        return len(self.weights)


def scan(regions: Sequence[Region], wanted: Wanted, coarse: bool, most: int | None) -> tuple[Tensor, Tensor] | None:
    """Every pair (query, candidate) that may belong to the answer, as (P,) int64 each.

    Args:
        regions: where to look.
        wanted: for whom, and what.
        coarse: whether to multiply in bfloat16 rather than float32.
        most: pairs beyond which the scan is given up and None returned.
    """
    product = Product.of(wanted.weights, coarse)
    state = _State(wanted)
    for region in regions:
        for span in _spans(region, len(wanted)):
            state.look_at(span, product)
            if most is not None and state.pairs > most:
                return None
    return state.result()


@dataclass(frozen=True, eq=False)
class _Span:
    """Chunks of a region that are multiplied at once, and their blocks: c chunks, b <= c * G blocks."""

    region: Region
    chunks: slice
    blocks: slice

    @property
    def features(self) -> Tensor:
        """(c, F, B * G)."""
        return self.region.features[self.chunks]

    @cached_property
    def members(self) -> Tensor:
        """(b, B)."""
        return self.region.members[self.blocks]

    @cached_property
    def episodes(self) -> Tensor:
        """(b,)."""
        return self.region.episodes[self.blocks]

    @cached_property
    def sizes(self) -> Tensor:
        """(b,)."""
        return self.region.sizes[self.blocks]

    def errors(self, coarse: bool) -> Tensor:
        """(b,) for a product in bfloat16 or in float32."""
        return (self.region.coarse_errors if coarse else self.region.errors)[self.blocks]

    def multiplied(self, product: Product, wanted: Wanted) -> Tensor:
        """(c, Q, B, G) products; infinite where another kind of row is wanted."""
        size = self.members.shape[1]
        products = product.times(self.features)
        products = products.view(*products.shape[:2], size, -1)
        if wanted.kinds is not None and wanted.kind_of is not None:
            kinds = wanted.kind_of[self.members[:, :1].where(self.members < 0, self.members)]
            missing = products.shape[0] * products.shape[3] - len(kinds)
            kinds = torch.nn.functional.pad(kinds, (0, 0, 0, missing), value=-1)
            kinds = kinds.view(products.shape[0], 1, products.shape[3], size).transpose(2, 3)
            products.masked_fill_(kinds != wanted.kinds[:, None, None], torch.inf)
        return products


def _spans(region: Region, queries: int) -> Iterator[_Span]:
    chunks, _, columns = region.features.shape
    step = max(1, _CELLS // (columns * queries))
    for first in range(0, chunks, step):
        blocks = slice(first * region.blocks_per_chunk, (first + step) * region.blocks_per_chunk)
        yield _Span(region, slice(first, first + step), blocks)


class _State:
    """What a scan knows so far."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        queries, device = len(wanted), wanted.weights.device
        self._bound = torch.full((queries, wanted.episodes or 1), torch.inf, dtype=torch.float32, device=device)
        self._best = torch.full((queries, wanted.k), torch.inf, dtype=torch.float32, device=device)
        self._found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self.pairs = 0

    def look_at(self, span: _Span, product: Product) -> None:
        """Take in one product."""
        products = span.multiplied(product, self._wanted)
        if len(self._wanted) == 1 and not self._wanted.episodes and not product.coarse:
            return self._look_for_one(span, product, products)
        blocks, queries = len(span.members), len(self._wanted)
        errors = span.errors(product.coarse)
        least = products.amin(2).transpose(0, 1).reshape(queries, -1)[:, :blocks].float()
        if self._wanted.exclude is not None:
            least = least.masked_fill(span.episodes == self._wanted.exclude[:, None], torch.inf)
        radius = torch.addr(errors.expand(queries, -1), product.losses, span.sizes)
        if product.output_error:
            # Where nothing may answer, infinity less infinity is NaN, which no bound admits.
            radius = radius.add_(least.abs(), alpha=product.output_error)
        self._tighten(least + radius, span.episodes)
        limits = self._limits(span.episodes)
        asked, block = torch.nonzero(least - radius <= limits, as_tuple=True)
        if len(asked) == 0:
            return
        chunk, place = block // products.shape[3], block % products.shape[3]
        values = products[chunk, asked, :, place].float()
        sizes, errors = span.sizes.index_select(0, block), errors.index_select(0, block)
        radius = (errors + product.losses.index_select(0, asked) * sizes)[:, None]
        if product.output_error:
            radius = radius + product.output_error * values.abs()
        limit = limits[asked, block] if self._wanted.episodes else limits.index_select(0, asked)[:, 0]
        self._collect(values, radius, limit, span, asked, block)

    def _look_for_one(self, span: _Span, product: Product, products: Tensor) -> None:
        """The same for a single query, in a third of the steps: one radius for all blocks, and rows straight away.

        What it saves is time between products, which is most of the time in a small memory.
        """
        radius = span.region.largest_error + span.region.largest_size * float(product.losses)
        products = products[:, 0]
        least = products.amin(1).view(1, -1)[:, : len(span.members)]
        if self._wanted.exclude is not None:
            least = least.masked_fill(span.episodes == self._wanted.exclude[:, None], torch.inf)
        self._tighten(least + radius, span.episodes)
        limit = min(float(self._bound) + radius, torch.finfo(products.dtype).max)
        block = torch.nonzero(least[0] <= limit)[:, 0]
        members = span.members.index_select(0, block)
        values = products[block // products.shape[2], :, block % products.shape[2]]
        pair, place = torch.nonzero((values <= limit) & (members >= 0), as_tuple=True)
        values, members = values[pair, place], members[pair, place]
        episodes = span.episodes.index_select(0, block.index_select(0, pair))
        self._keep(torch.zeros_like(members), members, values - radius, values + radius, episodes)

    def _limits(self, episodes: Tensor) -> Tensor:
        """(Q, b) or (Q, 1) the bounds of blocks; finite, so that none admits what may not answer."""
        bounds = self._bound.index_select(1, episodes) if self._wanted.episodes else self._bound
        return bounds.clamp(max=torch.finfo(bounds.dtype).max)

    def _tighten(self, upper: Tensor, episodes: Tensor) -> None:
        """Lower the bounds to what the nearest row of each block, at its furthest, guarantees; upper is (Q, b).

        For several rows only where there is no bound yet: those that are kept lower it further than blocks can.
        """
        k = self._wanted.k
        if self._wanted.episodes:
            self._bound.scatter_reduce_(1, episodes.expand_as(upper), upper, "amin")
        elif k == 1:
            self._bound = torch.minimum(self._bound, upper.amin(1, keepdim=True))
        elif upper.shape[1] >= k and bool(torch.isinf(self._bound).any()):
            nearest = torch.topk(upper, k, dim=1, largest=False).values
            self._bound = torch.minimum(self._bound, nearest[:, -1:])

    def _collect(
        self, values: Tensor, radius: Tensor, limit: Tensor, span: _Span, asked: Tensor, block: Tensor
    ) -> None:
        """Keep the rows of blocks (P,) that are within the limits (P,); values and radius are (P, B) or (P, 1)."""
        members = span.members.index_select(0, block)
        lower = values - radius
        lower = torch.where(members >= 0, lower, torch.inf)
        pair, place = torch.nonzero(lower <= limit[:, None], as_tuple=True)
        episodes = span.episodes.index_select(0, block.index_select(0, pair))
        upper = (values + radius)[pair, place] if self._wanted.k > 1 else None
        self._keep(asked.index_select(0, pair), members[pair, place], lower[pair, place], upper, episodes)

    def _keep(self, asked: Tensor, members: Tensor, lower: Tensor, upper: Tensor | None, episodes: Tensor) -> None:
        """Note pairs (P,) that may belong to the answer, and how near (P,) and far they may be."""
        if self._wanted.k > 1 and upper is not None:
            self._best = _least(self._best, asked, upper)
            self._bound = torch.minimum(self._bound, self._best[:, -1:])
        self._found.append((asked, members, lower, episodes))
        self.pairs += len(asked)

    def result(self) -> tuple[Tensor, Tensor]:
        """The pairs that are within the bounds now."""
        if not self._found:
            nothing = torch.empty(0, dtype=torch.int64, device=self._bound.device)
            return nothing, nothing
        asked, members, lower, episodes = self._found[0]
        if len(self._found) > 1:
            asked, members, lower, episodes = (torch.cat(column) for column in zip(*self._found, strict=True))
        elif self._wanted.k == 1:
            return asked, members  # The bound has not fallen since they were found to be within it.
        bounds = self._bound[asked, episodes] if self._wanted.episodes else self._bound.index_select(0, asked)[:, 0]
        within = torch.nonzero(lower <= bounds)[:, 0]
        return asked.index_select(0, within), members.index_select(0, within)


def _least(best: Tensor, asked: Tensor, values: Tensor) -> Tensor:
    """The k least of best (Q, k) and of the values (P,) of the queries asked (P,), ascending (Q, k)."""
    counts = torch.bincount(asked, minlength=len(best))
    # nonzero gives pairs in order of queries, so those of one query lie together.
    place = torch.arange(len(asked), device=asked.device) - (torch.cumsum(counts, 0) - counts)[asked]
    width = best.shape[1]
    table = best.new_full((len(best), width + int(counts.max())), torch.inf)
    table[:, :width] = best
    table[asked, width + place] = values
    return torch.topk(table, width, dim=1, largest=False).values
