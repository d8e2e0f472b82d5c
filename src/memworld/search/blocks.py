"""Product features of all candidates, laid out for the machine, with what their rounding may cost.

Candidates are put into *blocks* of a few rows that share an episode (and an action, if asked), and
blocks into *chunks*, one matrix each, feature by row:

    chunk (F, B * G): row j of block g is column j * G + g

so that a product with a batch of queries streams through the cache, a single query reads the
features once and in order, and the least value of every block is one elementwise minimum over B
contiguous slices. Everything that a search decides it decides block by block: which episode may
answer, which action was asked, what is near enough to be looked at.

Scaling. Columns are scaled against each other (features times s, weights over s), which leaves
every product alone and balances both sides, and weights are scaled to unit length, which leaves
every query's order alone, so that neither overflows.

Rounding. With x the exact features of a row and w the exact weights of a query, both rounded (x', w')
for the product, by Cauchy and Schwarz

    |x.w - x'.w'| <= |x - x'| |w| + |x'| |w - w'|,

and the sum itself, taken in float32 in any order, is off by at most n 2^-23 |x'| |w'|. The norms on
the side of the rows are kept per block, those of a query are known when it comes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from memworld.errors import MemworldError
from memworld.gaussian import Latents
from memworld.search import Candidates, Conditioning
from memworld.search.features import PRODUCT_FORMS, squared_difference_features, squared_difference_weights

_BLOCK = 32
"""Most rows in a block. More make the steps after the product cheaper, and leave more rows per hit to look at."""

_CHUNK = {"cpu": 8192, "cuda": 1 << 17}
"""Columns of a chunk: 256 queries' products with it stay in a CPU's cache, and keep a GPU busy."""

_PER_BLOCK = 2
"""The steps after the product take as long for a block as for so many columns before."""

_LANES = 64
"""Blocks in a chunk come in multiples of this: the minimum of other numbers of them takes up to five times as long."""

_SAMPLE = 4096
"""Rows that column scales are taken from; scales only matter for how tight the bounds are."""

_LARGEST = 2.0**10
"""Largest norm of the sampled rows' scaled features: far from where float16 ends on either side."""


@dataclass(frozen=True, eq=False)
class Region:
    """Blocks that are searched together: all of one action, or all.

    Attributes:
        features: (C, F, B * G) chunks in the precision of storage.
        members: (b, B) int64 the candidates in each block, -1 where a block is not full.
        episodes: (b,) int64 the episode of each block.
        sizes: (b,) float32 largest norm of a row's features in each block.
        errors: (b,) float32 largest norm of their rounding to the precision of storage.
        coarse_errors: (b,) float32 the same to bfloat16.
        largest_size: the largest of the sizes.
        largest_error: the largest of the errors.
    """

    features: Tensor
    members: Tensor
    episodes: Tensor
    sizes: Tensor
    errors: Tensor
    coarse_errors: Tensor
    largest_size: float
    largest_error: float

    @property
    def block_size(self) -> int:
        """B, the number of rows in a block."""
        return self.members.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        parts = (self.features, self.members, self.episodes, self.sizes, self.errors, self.coarse_errors)
        return sum(part.nbytes for part in parts)

    @property
    def blocks_per_chunk(self) -> int:
        """G."""
        return self.features.shape[2] // self.block_size


class FeatureForm:
    """The inner product of one metric over one memory, centred and scaled.

    Attributes:
        metric: which distance.
        conditioning: `soft` or `mixed` if it has columns for the difference of actions that these need.
    """

    def __init__(
        self, metric: str, candidates: Candidates, conditioning: Conditioning, counts: Tensor | None = None
    ) -> None:
        """Choose centre and scales; `counts` (D,) float64 are the weights of the latents in the metric."""
        self.metric, self.conditioning, self._counts = metric, conditioning, counts
        self._actions = candidates.may_differ(candidates.actions, conditioning)
        self._candidates = candidates
        # Distances do not change when everything moves by one vector, and near 0 numbers round least.
        self._centre = _mean(candidates)
        count = min(_SAMPLE, len(candidates))
        places = torch.arange(count, device=candidates.rows.device)
        chosen = places * (len(candidates) - 1) // max(1, count - 1)
        raw = self._raw(chosen)
        self._mean = raw.mean(0)
        typical = self._latent_weights(candidates.latents[candidates.rows[chosen]])
        typical = torch.cat([typical, typical.new_ones(len(typical), raw.shape[1] - typical.shape[1])], 1)
        spread, pull = ((x**2).mean(0).sqrt() for x in (raw - self._mean, typical))
        scale = ((pull + pull.max() * 1e-12) / (spread + spread.max() * 1e-12)).sqrt()
        self._scale = torch.where(torch.isfinite(scale) & (scale > 0), scale, 1.0)
        largest = float(torch.linalg.vector_norm(self.features(chosen)[0], dim=1).max())
        if 0 < largest < torch.inf:
            self._scale = self._scale * (_LARGEST / largest)

    @property
    def width(self) -> int:
        """F, the number of features."""
        return len(self._scale)

    def features(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The scaled features (R, F) of candidates (R,), and how far (R,) float64 itself may be off; both float64."""
        raw = self._raw(chosen)
        size = torch.linalg.vector_norm((raw.abs() + self._mean.abs()) * self._scale, dim=1)
        # Products below float32's normal numbers may come out as 0.
        return (raw - self._mean) * self._scale, size * 2.0**-50 + self.width * 2.0**-125

    def weights(self, query: Latents, actions: Tensor | None, action_weight: float) -> Tensor:
        """The scaled weights (Q, F) of queries, float64, each of unit length.

        Args:
            query: (Q, D).
            actions: (Q, A) those features of actions whose difference counts, or None.
            action_weight: by which it counts.

        Raises:
            MemworldError: a query so extreme that float64 cannot hold its weights.
        """
        weights = self._latent_weights(query)
        if self._actions is not None and actions is not None:
            weights = torch.cat([weights, action_weight * squared_difference_weights(actions.double())], 1)
        elif self._actions is not None:
            weights = torch.nn.functional.pad(weights, (0, self.width - weights.shape[1]))
        weights = weights / self._scale
        length: Tensor = torch.linalg.vector_norm(weights, dim=1, keepdim=True)
        if not float(length.max()) < torch.inf:
            raise MemworldError(
                f"a query is too extreme for {self.metric}: its sigma is too small or its mean too far away; "
                "encode it with the memory's encoder"
            )
        return weights / length.clamp(min=torch.finfo(length.dtype).tiny)

    def _latent_weights(self, query: Latents) -> Tensor:
        return PRODUCT_FORMS[self.metric].weights(self._centred(query), self._counts)

    def _raw(self, chosen: Tensor) -> Tensor:
        latents = self._candidates.latents[self._candidates.rows[chosen]]
        features = PRODUCT_FORMS[self.metric].features(self._centred(latents), self._counts)
        if self._actions is None:
            return features
        return torch.cat([features, squared_difference_features(self._actions[chosen].double())], 1)

    def _centred(self, latents: Latents) -> Latents:
        exact = latents.double()
        return Latents(exact.mu - self._centre.mu, exact.sigma, exact.z - self._centre.z)


def arrange(kinds: Tensor | None, episodes: Tensor) -> list[Tensor]:
    """Put candidates into blocks of one episode each, and of one kind each if there are kinds.

    Args:
        kinds: (M,) int64 from 0, or None.
        episodes: (M,) int64, ascending.

    Returns:
        Per kind (one for all without kinds) the members (b, B) of its blocks, -1 where one is not full.
    """
    kinds = torch.zeros_like(episodes) if kinds is None else kinds
    order = torch.argsort(kinds, stable=True)
    kinds, episodes = kinds[order], episodes[order]
    starts = torch.ones_like(kinds, dtype=torch.bool)
    starts[1:] = (kinds[1:] != kinds[:-1]) | (episodes[1:] != episodes[:-1])
    segment = torch.cumsum(starts, 0) - 1
    first = torch.nonzero(starts)[:, 0]
    lengths = torch.diff(first, append=first.new_tensor([len(order)]))
    size = _block_size(lengths, order.device.type)
    blocks = (lengths + size - 1) // size
    offset = torch.cumsum(blocks, 0) - blocks
    within = torch.arange(len(order), device=order.device) - first[segment]
    members = order.new_full((int(blocks.sum()), size), -1)
    members[offset[segment] + within // size, within % size] = order
    return list(torch.split(members, torch.bincount(torch.repeat_interleave(kinds[first], blocks)).tolist()))


def _block_size(lengths: Tensor, device: str) -> int:
    """The block that makes the least work; lengths (S,) of what is to be cut into blocks."""

    def work(size: int) -> int:
        chunks, per_chunk = _chunking(int(((lengths + size - 1) // size).sum()), size, device)
        return chunks * per_chunk * (size + _PER_BLOCK)

    sizes: list[int] = [*range(_BLOCK, _BLOCK // 2, -1)]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    return min(sizes, key=work)


def _chunking(blocks: int, size: int, device: str) -> tuple[int, int]:
    """How many chunks to cut blocks of this size into, and the blocks in each."""
    per_chunk = -(-blocks // -(-blocks * size // _CHUNK[device]))
    if per_chunk > _LANES // 2:
        per_chunk = -(-per_chunk // _LANES) * _LANES
    return -(-blocks // per_chunk), per_chunk


def build(form: FeatureForm, members: Tensor, episodes: Tensor, storage: torch.dtype) -> Region:
    """Compute the features of blocks and lay them out.

    Args:
        form: of the features.
        members: (b, B) int64 candidates, from `arrange`.
        episodes: (M,) int64 of all candidates.
        storage: dtype of the features.

    Raises:
        MemworldError: latents so extreme that this dtype cannot hold their features.
    """
    blocks, size = members.shape
    device = members.device
    # Copies of a block's first row fill it up: they never are nearer than the row itself.
    filled = torch.where(members >= 0, members, members[:, :1])
    chunks, per_chunk = _chunking(blocks, size, device.type)
    features = torch.zeros(chunks, form.width, size * per_chunk, dtype=storage, device=device)
    sizes, errors, coarse_errors = (torch.zeros(blocks, dtype=torch.float32, device=device) for _ in range(3))
    for chunk in range(chunks):
        own = slice(chunk * per_chunk, min((chunk + 1) * per_chunk, blocks))
        exact, slack = form.features(filled[own].T.reshape(-1))
        stored = exact.to(storage)
        view = features[chunk].view(form.width, size, per_chunk)
        view[:, :, : own.stop - own.start] = stored.T.reshape(form.width, size, -1)
        coarse = stored.to(torch.bfloat16)
        # A little more, for what rounds away of the norms themselves, and of the features the product is taken with.
        sizes[own] = _largest(exact, slack, size) * (1 + 2.0**-8)
        errors[own] = _largest(exact - stored.double(), slack, size) * (1 + 2.0**-20)
        coarse_errors[own] = _largest(exact - coarse.double(), slack, size) * (1 + 2.0**-20)
    if not bool(torch.isfinite(sizes + errors).all()):
        raise MemworldError(
            f"latents are too extreme for {form.metric} in {str(storage).removeprefix('torch.')}: choose float32 or "
            "bfloat16, or train the encoder again and keep its sigmas above 1e-15"
        )
    largest = float(sizes.max()), float(errors.max())
    return Region(features, members, episodes[members[:, 0]], sizes, errors, coarse_errors, *largest)


def _largest(vectors: Tensor, slack: Tensor, size: int) -> Tensor:
    """The largest norm in each block: vectors (B * g, F) and slack (B * g,) in float64 to (g,) float32."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=1) + slack
    return norms.view(size, -1).amax(0).float()


def _mean(candidates: Candidates) -> Latents:
    """The mean of all candidates (1, D), float64; sigma is 1."""
    total = torch.zeros(2, candidates.dim, dtype=torch.float64, device=candidates.rows.device)
    for piece in torch.split(candidates.rows, _CHUNK["cpu"]):
        for which, values in enumerate((candidates.latents.mu, candidates.latents.z)):
            total[which] += values.index_select(0, piece).double().sum(0)
    mu, z = total[:, None] / len(candidates)
    return Latents(mu, torch.ones_like(mu), z)
