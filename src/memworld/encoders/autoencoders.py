"""Autoencoders in the format of the `diffusers` package: where their files lie, and networks made of them.

Settings and weights are read here, as JSON and safetensors, rather than by `from_pretrained`: that
fills weights that are missing with random ones, and follows an index to files elsewhere.
"""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from tqdm import tqdm

from memworld.errors import MemworldError, lookup
from memworld.extras import import_extra
from memworld.storage import check_file, one_line, read_json

EXTRA = "pretrained"
"""memworld's extra that installs what pretrained encoders need."""

_BLOCKS = {"AutoencoderKL": "block_out_channels", "AutoencoderTiny": "num_encoder_blocks"}
"""The classes that can be used, and which setting of each has an entry for every resolution."""

_CONFIG, _WEIGHTS, _PICKLED = "config.json", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"

_HUB_ID = re.compile(r"(?P<repository>\w[\w.-]{0,95}/\w[\w.-]{0,95})(?:/(?P<folder>\w[\w.-]{0,95}))?", re.ASCII)

_FIRST_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Parts of an attention layer as the first published weights call them, and as they are called now."""

_MOST = {"layers_per_block": 64, "num_encoder_blocks": 64, "num_decoder_blocks": 64}
"""No setting may be so large that building the layers takes forever; others: 65,536."""

_MISFITS = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What torch and diffusers raise for settings that make no network and weights that do not fit it."""


class _Silent(tqdm):  # type: ignore[misc]
    """A progress bar that is never seen; the hub's client asks for a class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})


def locate(source: str | Path, progress: bool = False) -> Path:
    """The folder of a model's files: `source` itself, or where the hub's client keeps what `source` names.

    Args:
        source: a folder, or a hub id: owner/name, or owner/name/folder for a model inside a pipeline.
        progress: show progress bars of a download.

    Raises:
        MemworldError: it is neither, or cannot be fetched.
    """
    if Path(source).is_dir():
        return Path(source)
    named = _HUB_ID.fullmatch(str(source))
    if named is None or ".." in str(source):
        raise MemworldError(
            f"{one_line(source)[:120]} is neither a folder nor a hub id such as owner/name: give the folder of a "
            f"model, with its {_CONFIG} and {_WEIGHTS}"
        )
    hub = import_extra("huggingface_hub", EXTRA, "pretrained encoders from the hub")
    inside = f"{named['folder']}/" if named["folder"] else ""
    try:
        # Only these files, and both of one revision.
        found = hub.snapshot_download(
            named["repository"],
            allow_patterns=[inside + _CONFIG, inside + _WEIGHTS],
            tqdm_class=tqdm if progress else _Silent,
        )
    # The client's own errors are ValueErrors and OSErrors; those of its HTTP library are neither.
    except Exception as error:
        raise MemworldError(
            f"{source} is no folder here and cannot be fetched from the hub ({one_line(error)[:200]}): download its "
            f"{_CONFIG} and {_WEIGHTS} where there is a network, and give their folder"
        ) from error
    return Path(found) / inside


def read_model(folder: Path) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """Read what `save_pretrained` of diffusers wrote.

    Returns:
        The name of the model's class, all settings of that class that the file gives, and its weights in float32.

    Raises:
        MemworldError: a file is missing or damaged, the weights are pickled, or the class is another.
    """
    if not (folder / _CONFIG).exists() and (folder / "vae" / _CONFIG).exists():
        raise MemworldError(f"{folder} holds a whole pipeline: give the folder of its autoencoder, {folder / 'vae'}")
    described = read_json(folder / _CONFIG, "model of diffusers")
    model = described.get("_class_name") if isinstance(described, dict) else None
    if not isinstance(model, str):
        raise MemworldError(f"{folder / _CONFIG} does not say which class of diffusers it is of: restore it")
    known = inspect.signature(_class(model)).parameters
    return model, {k: v for k, v in described.items() if k in known}, _read_weights(folder)


def _class(model: str) -> Any:
    """The class of diffusers of this name."""
    lookup(_BLOCKS, model, "model class")
    diffusers = import_extra("diffusers", EXTRA, "pretrained encoders")
    try:
        return getattr(diffusers, model)
    except (AttributeError, RuntimeError) as error:  # it imports its parts when they are asked for
        raise MemworldError(
            f'diffusers has no {model} that works ({one_line(error)[:200]}): pip install "memworld[{EXTRA}]"'
        ) from error


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / _WEIGHTS
    try:
        check_file(path)
        weights = safetensors.torch.load_file(path)
    except FileNotFoundError as error:
        if (folder / _PICKLED).exists():
            raise MemworldError(
                f"{folder} holds pickled weights only ({_PICKLED}), and loading those can run code: get or save them "
                f"as {_WEIGHTS}"
            ) from error
        raise MemworldError(f"{folder} has no weights, {_WEIGHTS}: download them too") from error
    except OSError as error:
        raise MemworldError(
            f"cannot read {path} ({error.strerror or error}): check the path and its permissions"
        ) from error
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise MemworldError(f"{path} is truncated or damaged ({one_line(error)}): download it again") from error
    return {_current_name(name): value.float() for name, value in weights.items()}


def _current_name(name: str) -> str:
    layer, _, part = name.rpartition(".")
    before, _, last = layer.rpartition(".")
    return f"{before}.{_FIRST_NAMES[last]}.{part}" if ".attentions." in name and last in _FIRST_NAMES else name


def build_network(model: str, settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """A network of these weights, float32, without gradients.

    Raises:
        MemworldError: settings that make no autoencoder of colour frames, weights that do not fit
            them, or that are not finite.
    """
    kind = _class(model)
    for name, value in settings.items():
        if not _is_small(value, _MOST.get(name, 2**16)):
            raise MemworldError(f"{model} cannot have {name} {str(value)[:60]}: restore its description")
    try:
        # Without weights of its own: they would be drawn from, and so change, torch's global generator.
        with torch.device("meta"):
            network: nn.Module = kind(**settings)
            _check_shapes(network, model, settings)
        network.load_state_dict(dict(weights), assign=True)
    except MemworldError:
        raise
    except _MISFITS as error:
        raise MemworldError(
            f"the weights do not fit the description of their {model} ({one_line(error)[:200]}): get both again, of "
            "one model"
        ) from error
    broken = [name for name, value in network.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise MemworldError(f"the weights {broken[0]} of {model} are not finite: get the model's file again")
    return network.float().eval().requires_grad_(False)


def _is_small(value: object, most: int) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= 64 and all(_is_small(part, most) for part in value)
    return abs(value) <= most if isinstance(value, int | float) else value is None or isinstance(value, str)


def _check_shapes(network: Any, model: str, settings: Mapping[str, Any]) -> None:
    """See, on tensors without content, that a frame becomes a grid of latents and a frame again."""
    side = 4 * shrink_factor(model, settings)
    if (network.config.in_channels, network.config.out_channels) != (3, 3):
        raise MemworldError(
            f"this {model} takes frames of {network.config.in_channels} colours and gives {network.config.out_channels}"
            ": use one of 3"
        )
    frame = torch.empty(1, 3, side, side)
    mu, _ = posterior(network, frame, 1.0)
    decoded = network.decode(mu).sample
    if mu.shape != (1, network.config.latent_channels, 4, 4) or decoded.shape != frame.shape:
        raise MemworldError(
            f"this {model} turns frames of {side}x{side} into latents {tuple(mu.shape[1:])} and frames "
            f"{tuple(decoded.shape[1:])}: use one that gives back what it takes"
        )


def shrink_factor(model: str, settings: Mapping[str, Any]) -> int:
    """How many times smaller than the frame the grid of latents is, along each side."""
    blocks = settings.get(_BLOCKS[model], inspect.signature(_class(model)).parameters[_BLOCKS[model]].default)
    return int(2 ** (len(blocks) - 1))


def posterior(network: Any, inputs: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W) frames in [-1, 1] to mu and sigma (B, c, h, w) in the model's own units; `sigma` if it has none."""
    encoded = network.encode(inputs)
    if "latent_dist" in encoded:
        return encoded.latent_dist.mean, encoded.latent_dist.std
    return encoded.latents, torch.full_like(encoded.latents, sigma)
