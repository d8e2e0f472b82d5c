"""Short codes of rows, sorted into cells, among which FAISS finds the candidates of an answer.

Two kinds, by what FAISS compares:

- `proxy`: squared L2 between proxies (`proxy`), one 4-bit code a dimension.
- `product`: the product form of KL (`features`), 8 or 16 bits a feature. 8 or 15 times the bytes at D = 64,
  and ten times the time; right however much the sigmas differ from row to row, which proxies cannot see.

Both share the cells, which are k-means of the proxies, and the order in which they are looked into.
FAISS's own files are not used, as its reader trusts what it reads; the few small arrays that make the
codes are kept, and rows are coded anew.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memworld.gaussian import Latents
from memworld.search import Candidates
from memworld.search.approximate.proxy import CELLS, SAMPLE, Proxy, faiss_seed, import_faiss, sound
from memworld.search.approximate.reach import FAR, Reach
from memworld.search.features import PRODUCT_FORMS

Arrays = Mapping[str, np.ndarray]

_SHORT = 16
"""Dimensions below which they are kept in float32: so few codes of 4 bits would leave too many rows alike."""

_CHUNK = 1 << 15
"""Rows that are coded at a time."""


@dataclass(frozen=True, eq=False)
class Codes:
    """A FAISS index of all candidates, numbered as they are.

    Attributes:
        name: `proxy` or `product`.
        proxy: what the cells are made of.
        arrays: all that makes the codes.
        index: the FAISS index.
        stored: latents (N, D) to the vectors that are coded, (N, W) float32.
        asked: query latents (Q, D) to what the index is asked, (Q, W) float32.
        reach: how far from the candidates a query may be.
    """

    name: str
    proxy: Proxy
    arrays: Arrays
    index: Any
    stored: Callable[[Latents], np.ndarray]
    asked: Callable[[Latents], np.ndarray]
    reach: Reach

    @property
    def cells(self) -> int:
        """Number of cells."""
        return int(self.index.nlist)

    @property
    def bytes_per_row(self) -> float:
        """Bytes of a row's code and number, and its share of the small arrays."""
        shared = sum(array.nbytes for array in self.arrays.values()) / max(1, int(self.index.ntotal))
        return float(self.index.code_size + 8 + shared)

    def search(self, latents: Latents, probes: int, candidates: int, selector: Any = None) -> Tensor:
        """The best candidates (Q, C) int64 by code in the nearest cells, the best first, -1 where there are few.

        Args:
            latents: (Q, D).
            probes: cells to look into.
            candidates: C.
            selector: a FAISS `IDSelector` of those that may answer, or None.
        """
        parameters = import_faiss().SearchParametersIVF(nprobe=probes, sel=selector)
        asked = self.asked(latents)
        if self.name == "proxy":
            return torch.from_numpy(self.index.search(asked, candidates, params=parameters)[1])
        distances, cells = self.proxy.quantizer.search(self.proxy.vectors(latents), probes)
        return _search_cells(self.index, asked, candidates, cells, distances, parameters)

    def may_ask(self, latents: Latents) -> Tensor:
        """(Q,) bool: whether float32 can rank candidates for each query; FAISS answers others with any row or none."""
        proxies = self.proxy.vectors(latents)
        fit = np.isfinite(self.asked(latents)).all(1) & (np.abs(proxies) < FAR).all(1)
        return torch.from_numpy(fit) & self.reach.holds(latents)

    def cell_ranks(self, latents: Latents) -> Tensor:
        """(Q, cells) int64: as which each cell would be looked into."""
        order = torch.from_numpy(self.proxy.quantizer.search(self.proxy.vectors(latents), self.cells)[1])
        return torch.empty_like(order).scatter_(1, order, torch.arange(self.cells).expand_as(order))


def proxy_codes(proxy: Proxy, candidates: Candidates, seed: int) -> Codes:
    """Choose a code book for the proxies and code all candidates."""
    faiss = import_faiss()
    book = np.empty(0, np.float32)
    width = proxy.turn.shape[1]
    if width >= _SHORT:
        coder = faiss.ProductQuantizer(width, width, 4)
        coder.cp.seed, coder.cp.min_points_per_centroid = faiss_seed(seed, "book"), 1
        coder.train(sound(proxy.vectors(_spread(candidates))))
        book = faiss.vector_to_array(coder.centroids)
    arrays = {"mean": proxy.mean, "turn": proxy.turn, "centroids": proxy.centroids, "book": book}
    return restore_codes("proxy", proxy.metric, arrays, candidates)


def product_codes(proxy: Proxy, candidates: Candidates, bits: int) -> Codes:
    """Choose scales for the product form and code all candidates with 8 or 16 bits a feature."""
    faiss = import_faiss()
    sample = _spread(candidates)
    form = PRODUCT_FORMS[proxy.metric]
    raw = form.features(_centred(sample, proxy.mean))
    weights = form.weights(_centred(sample, proxy.mean))
    scale = ((weights**2).mean(0).sqrt() / raw.std(0)).sqrt()
    scale = torch.where(torch.isfinite(scale) & (scale > 0), scale, 1.0)
    arrays = {"mean": proxy.mean, "turn": proxy.turn, "centroids": proxy.centroids}
    arrays |= {"middle": raw.mean(0).numpy(), "scale": scale.numpy(), "book": np.empty(0, np.float32)}
    if bits == 8:
        coder = faiss.ScalarQuantizer(_padded(len(scale)), faiss.ScalarQuantizer.QT_8bit)
        coder.train(sound(_stored_products(proxy, arrays)(sample)))
        arrays["book"] = faiss.vector_to_array(coder.trained)
    return restore_codes("product", proxy.metric, arrays, candidates)


def restore_codes(name: str, metric: str, arrays: Arrays, candidates: Candidates) -> Codes:
    """Code all candidates with what an earlier choice left in `arrays`.

    Raises:
        ValueError: the arrays do not belong together, or not to these candidates, or codes cannot hold these.
        KeyError: one is missing.
    """
    _check(name, metric, arrays, candidates.dim)
    proxy = Proxy(metric, arrays["mean"], arrays["turn"], arrays["centroids"])
    reach = Reach(metric, _spread(candidates))
    if name == "proxy":
        index = _proxy_index(proxy, arrays["book"])
        for chunk in _chunks(candidates):
            index.add(sound(proxy.vectors(chunk)))
        return Codes(name, proxy, arrays, index, proxy.vectors, proxy.vectors, reach)
    index = _product_index(proxy, arrays)
    stored = _stored_products(proxy, arrays)
    for chunk in _chunks(candidates):
        sound(proxy.vectors(chunk))
        _add_to_cells(index, sound(stored(chunk)), proxy.cells_of(chunk))
    return Codes(name, proxy, arrays, index, stored, _asked_products(proxy, arrays), reach)


def _proxy_index(proxy: Proxy, book: np.ndarray) -> Any:
    faiss = import_faiss()
    cells, width = proxy.centroids.shape
    if len(book) == 0:
        return faiss.IndexIVFFlat(proxy.quantizer, width, cells)
    index = faiss.IndexIVFPQFastScan(proxy.quantizer, width, cells, width, 4)
    faiss.copy_array_to_vector(book, index.pq.centroids)
    index.is_trained = True
    return index


def _product_index(proxy: Proxy, arrays: Arrays) -> Any:
    faiss = import_faiss()
    width, book = _padded(len(arrays["scale"])), arrays["book"]
    kind = faiss.ScalarQuantizer.QT_8bit if len(book) else faiss.ScalarQuantizer.QT_bf16
    # Its own idea of the cells is never asked: they are those of the proxies.
    unused = faiss.IndexFlatIP(width)
    unused.add(np.zeros((len(proxy.centroids), width), np.float32))
    metric = faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(unused, width, len(proxy.centroids), kind, metric, False)
    faiss.copy_array_to_vector(book, index.sq.trained)
    index.is_trained = True
    return index


def _add_to_cells(index: Any, vectors: np.ndarray, cells: np.ndarray) -> None:
    """Add vectors to given cells, not to those that the index itself would choose."""
    swig_ptr = import_faiss().swig_ptr
    index.add_core(len(vectors), swig_ptr(vectors), None, swig_ptr(np.ascontiguousarray(cells)))


def _search_cells(
    index: Any, asked: np.ndarray, count: int, cells: np.ndarray, distances: np.ndarray, parameters: Any
) -> Tensor:
    """Search given cells (Q, probes); FAISS's own call from Python takes no parameters."""
    swig_ptr = import_faiss().swig_ptr
    found = np.empty((len(asked), count), np.int64)
    values = np.empty((len(asked), count), np.float32)
    arrays = (swig_ptr(array) for array in (cells, distances, values, found))
    index.search_preassigned_c(len(asked), swig_ptr(asked), count, *arrays, False, parameters)
    return torch.from_numpy(found)


def _stored_products(proxy: Proxy, arrays: Arrays) -> Callable[[Latents], np.ndarray]:
    """Latents (N, D) to features (N, W) float32: centred and balanced, so that 8 bits tell as much as they can."""
    middle, scale = (torch.from_numpy(arrays[name]) for name in ("middle", "scale"))

    def stored(latents: Latents) -> np.ndarray:
        features = PRODUCT_FORMS[proxy.metric].features(_centred(latents, proxy.mean))
        return _pad(((features - middle) * scale).numpy())

    return stored


def _asked_products(proxy: Proxy, arrays: Arrays) -> Callable[[Latents], np.ndarray]:
    """Query latents (Q, D) to weights (Q, W) float32, whose product with features is the larger the nearer they are."""
    scale = torch.from_numpy(arrays["scale"])

    def asked(latents: Latents) -> np.ndarray:
        weights = -PRODUCT_FORMS[proxy.metric].weights(_centred(latents, proxy.mean)) / scale
        # The order does not depend on their length, float32 does.
        length = torch.linalg.vector_norm(weights, dim=1, keepdim=True)
        return _pad((weights / length.clamp(min=torch.finfo(length.dtype).tiny)).numpy())

    return asked


def _padded(width: int) -> int:
    """A multiple of 16: 8-bit codes of other widths take six times as long."""
    return -(-width // 16) * 16


def _pad(values: np.ndarray) -> np.ndarray:
    padded = np.zeros((len(values), _padded(values.shape[1])), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        padded[:, : values.shape[1]] = values
    return padded


def _centred(latents: Latents, mean: np.ndarray) -> Latents:
    exact = latents.double()
    return Latents(exact.mu - torch.from_numpy(mean), exact.sigma, exact.z)


def _spread(candidates: Candidates) -> Latents:
    """Rows spread evenly over the candidates."""
    count = min(SAMPLE, len(candidates))
    # In whole numbers: float32 does not know all of them from 2^24 on.
    places = torch.arange(count) * (len(candidates) - 1) // max(1, count - 1)
    return candidates.latents[candidates.rows[places]]


def _chunks(candidates: Candidates) -> Iterator[Latents]:
    for rows in torch.split(candidates.rows, _CHUNK):
        yield candidates.latents[rows]


def _check(name: str, metric: str, arrays: Arrays, dim: int) -> None:
    """Do nothing if arrays fit together: FAISS would read past their ends without a word."""
    cells, width = arrays["centroids"].shape
    expected = {"mean": (dim,), "turn": (dim, width), "centroids": (cells, width)}
    kinds = {"mean": np.float64, "turn": np.float64, "middle": np.float64, "scale": np.float64}
    if name == "proxy":
        expected["book"] = (width * 16,) if width >= _SHORT else (0,)
    else:
        features = (2 * dim + 1,)
        book = (2 * _padded(features[0]),) if len(arrays["book"]) else (0,)
        expected |= {"middle": features, "scale": features, "book": book}
    found = {key: arrays[key].shape for key in expected}
    if found != expected or not 0 < cells <= CELLS or not 0 < width <= dim:
        raise ValueError(f"arrays of {found}, expected {expected}")
    for key in expected:
        if arrays[key].dtype != kinds.get(key, np.float32) or not np.isfinite(arrays[key]).all():
            raise ValueError(f"{key} is not finite {kinds.get(key, np.float32).__name__}")
    if name == "product" and not bool((arrays["scale"] > 0).all()):
        raise ValueError("scale is not above 0")
