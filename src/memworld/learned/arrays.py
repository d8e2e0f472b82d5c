"""What dynamics learn, as named arrays and back."""

import torch
from torch import Tensor

from memworld.analogues import AnalogueConfig
from memworld.analogues.blend import Trust
from memworld.analogues.blocks import cut, usual_scales
from memworld.analogues.fitting import Fit, Horizon
from memworld.analogues.foresight import Sight
from memworld.analogues.keys import Basis
from memworld.analogues.propagation import Propagation, inputs_of
from memworld.hybrid import HybridConfig
from memworld.hybrid.correction import Correction, CorrectionNetwork
from memworld.memory import Memory

Learned = tuple[Fit, Correction | None]
"""What analogues fit, and the correction that a hybrid has trained."""

_BASIS = ("seen", "mean", "components")


def to_arrays(known: Learned) -> dict[str, Tensor]:
    """Named tensors of all that was learned."""
    fit, correction = known
    arrays = {"rows": torch.tensor(fit.rows)}
    for i, sight in enumerate(fit.sights):
        arrays |= {f"basis.{i}.{name}": getattr(sight.basis, name) for name in _BASIS}
        arrays[f"metric.{i}"] = sight.metric
    for h, horizon in enumerate(fit.horizons):
        arrays[f"horizon.{h}.shares"] = horizon.shares
        for name in ("variance", "weights", "usual", "furthest"):
            arrays[f"horizon.{h}.trust.{name}"] = getattr(horizon.trust, name)
        for e, propagation in enumerate(horizon.propagations):
            arrays[f"horizon.{h}.share.{e}"] = torch.tensor(propagation.share)
            arrays[f"horizon.{h}.matrix.{e}"] = propagation.matrix
    if correction is not None:
        arrays |= {"correction.shares": correction.shares, "correction.spread": correction.spread}
        if correction.network is not None:
            arrays |= {f"network.{name}": value for name, value in correction.network.state_dict().items()}
    return arrays


def from_arrays(arrays: dict[str, Tensor], settings: AnalogueConfig | HybridConfig, memory: Memory) -> Learned:
    """The same again.

    Raises:
        KeyError: something is missing.
        RuntimeError: the network's weights have other shapes.
        ValueError: there is nothing.
    """
    sights = []
    for i in range(_count(arrays, "basis.{}.seen")):
        basis = Basis(*(arrays[f"basis.{i}.{name}"] for name in _BASIS))
        sights.append(Sight(basis, arrays[f"metric.{i}"]))
    horizons = []
    for h in range(_count(arrays, "horizon.{}.shares")):
        propagations = tuple(
            Propagation(float(arrays[f"horizon.{h}.share.{e}"]), arrays[f"horizon.{h}.matrix.{e}"])
            for e in range(len(arrays[f"horizon.{h}.shares"]))
        )
        trust = Trust(*(arrays[f"horizon.{h}.trust.{name}"] for name in ("variance", "weights", "usual", "furthest")))
        horizons.append(Horizon(propagations, arrays[f"horizon.{h}.shares"], trust))
    fit = Fit(tuple(sights), tuple(horizons), int(arrays["rows"]))
    _check(fit, settings.analogues if isinstance(settings, HybridConfig) else settings, memory)
    correction = None
    if isinstance(settings, HybridConfig):
        network = _network(arrays, settings, memory)
        correction = Correction(network, arrays["correction.shares"], arrays["correction.spread"])
        # A memory too small to learn from has steps ahead, and nothing that corrects them.
        if network is not None and not len(correction.shares) == len(correction.spread) >= len(fit.horizons):
            raise ValueError("the correction is of other steps")
    return fit, correction


def _check(fit: Fit, settings: AnalogueConfig, memory: Memory) -> None:
    """Do nothing if all shapes are those that the settings give in this memory: a file may come from anywhere.

    Raises:
        ValueError: one is not.
    """
    scales = settings.scales or usual_scales(memory.latent_shape)
    actions = memory.rows.actions.shape[1]
    expected: list[tuple[Tensor, tuple[int, ...]]] = []
    forecasters = []
    for scale, sight in zip(scales, fit.sights, strict=True):
        blocks = cut(memory.latent_shape, scale)
        basis = sight.basis
        if not torch.equal(basis.seen, blocks.seen):
            raise ValueError("a basis is of other blocks")
        count, size = blocks.seen.shape
        components = min(scale.components, size)
        compared = components * settings.context
        expected += [(basis.mean, (count, 1, size)), (basis.components, (count, size, components))]
        expected += [(sight.metric, (count, compared, compared))]
        forecasters += [(count, compared, blocks.own.shape[1])] * len(set(scale.threads))
    if not 1 <= len(fit.horizons) <= settings.horizon:
        raise ValueError("there are other steps ahead")
    for steps, horizon in enumerate(fit.horizons, 1):
        trust = horizon.trust
        expected += [(horizon.shares, (len(forecasters),)), (trust.variance, (memory.rows.latents.dim,))]
        expected += [(trust.weights, (3,)), (trust.usual, (len(trust.usual),)), (trust.furthest, (2,))]
        for (count, key, own), propagation in zip(forecasters, horizon.propagations, strict=True):
            expected.append((propagation.matrix, (count, inputs_of(key, actions, steps), own)))
    for tensor, shape in expected:
        if tensor.shape != shape or tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
            raise ValueError("numbers of another shape or kind")


def _count(arrays: dict[str, Tensor], pattern: str) -> int:
    """How many names of a pattern there are, from 0 on without a gap."""
    count = 0
    while pattern.format(count) in arrays:
        count += 1
    return count


def _network(arrays: dict[str, Tensor], settings: HybridConfig, memory: Memory) -> CorrectionNetwork | None:
    weights = {key.removeprefix("network."): value for key, value in arrays.items() if key.startswith("network.")}
    if not weights:
        return None
    rows = memory.rows
    network = CorrectionNetwork(
        rows.latents.dim, rows.actions.shape[1], settings.analogues.context, settings.hidden, float(weights["unit"])
    )
    network.load_state_dict(weights)
    return network.eval()
