import subprocess
import sys

import pytest
import torch

from memworld.search.products import Product, choose_device, coarse_pays
from tests.helpers import one_clear_error


def test_the_device_is_the_one_asked_for_or_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu").type == "cpu"
    with one_clear_error("unknown device 'tpu': use auto, cpu or cuda"):
        choose_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with one_clear_error("no GPU"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == choose_device("cuda").type == "cuda"


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("queries", [1, 3, 5, 40])
def test_no_product_is_further_off_than_its_bound_says(coarse: bool, queries: int) -> None:
    """The bound that exact search rests on, against float64, on numbers that nearly cancel."""
    generator = torch.Generator().manual_seed(queries)
    features = torch.randn(3, 65, 96, generator=generator, dtype=torch.float64)
    features[:, 1] = -features[:, 0] + 1e-4 * features[:, 1]
    weights = torch.randn(queries, 65, generator=generator, dtype=torch.float64)
    weights[:, 1] = weights[:, 0]
    weights /= weights.norm(dim=1, keepdim=True)
    product = Product.of(weights, coarse)
    stored = features.float()
    found = product.times(stored).double()
    rounded = stored.bfloat16().double() if coarse else stored.double()
    sizes, errors = features.norm(dim=1), (features - rounded).norm(dim=1)
    room = errors[:, None] + product.losses[None, :, None] * sizes[:, None] * (1 + 2.0**-8)
    room = room + product.output_error * found.abs()
    wrong = (found - weights @ features).abs()
    assert bool((wrong <= room).all())
    # A bound that is never approached would let far too many rows through.
    assert float((wrong / room).max()) > (0.1 if coarse else 1e-3)


def test_which_product_is_faster_is_found_out_once() -> None:
    device = torch.device("cpu")
    assert isinstance(coarse_pays(device), bool)
    assert coarse_pays(device) is coarse_pays(device)


@pytest.mark.parametrize(
    "setting",
    ["backends.mkldnn.matmul.fp32_precision = 'bf16'", "backends.fp32_precision = 'tf32'"],
)
def test_a_lowered_precision_is_noticed_whichever_way_it_was_asked_for(setting: str) -> None:
    """In a process of its own, as PyTorch refuses to be told in its old way after its new one."""
    code = f"""
import torch
from memworld.search.products import Product
features = torch.linspace(0, 1, 2 * 65 * 96, dtype=torch.float64).view(2, 65, 96).sin().float()
weights = torch.nn.functional.normalize(torch.linspace(1, 2, 5 * 65, dtype=torch.float64).view(5, 65).cos())
try:
    torch.{setting}
except (AttributeError, RuntimeError):
    pass  # a PyTorch that does not know it
wrong = (Product.of(weights, False).times(features).double() - weights @ features.double()).abs().max()
assert float(wrong) < 1e-5, float(wrong)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
