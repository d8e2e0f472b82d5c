"""Frames per second of the VAE: training, encoding and decoding, in float32 and bfloat16, vector and grid.

    python benchmarks/encoder_speed.py [--json FILE]

Each figure is the median of several runs on random 64 x 64 frames.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from memworld.encoders.network import VAENetwork
from memworld.encoders.training import TrainingConfig, gradient_step
from memworld.encoders.vae import VAE, VAEConfig

FRAME = (64, 64, 3)


def frames_per_second(run: Callable[[], None], frames: int, repeats: int = 5) -> float:
    """Median over `repeats` runs, after one to warm up."""
    run()
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        rates.append(frames / (time.perf_counter() - began))
    return statistics.median(rates)


def measure(latent_shape: tuple[int, ...], precision: str) -> dict[str, object]:
    """The speeds of one kind of encoder."""
    config = VAEConfig(latent_shape)
    how = TrainingConfig(precision=precision)  # type: ignore[arg-type]
    network = VAENetwork(FRAME, latent_shape, config.network_channels(FRAME))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters())
    frames = torch.randint(0, 256, (512, *FRAME), dtype=torch.uint8)
    mean, scale = torch.zeros(FRAME), torch.ones(FRAME)

    def train() -> None:
        for step in range(4):
            gradient_step(network, optimiser, frames, mean, scale, config, how, step)

    trained = frames_per_second(train, 4 * how.batch_size)
    encoder = VAE(config, network, mean, scale, active_units=1)
    pictures = frames.numpy()
    mu, _ = encoder.encode(pictures)
    return {
        "latent_shape": list(latent_shape),
        "precision": precision,
        "train": round(trained),
        "encode": round(frames_per_second(lambda: void(encoder.encode(pictures)), len(pictures))),
        "decode": round(frames_per_second(lambda: void(encoder.decode(mu)), len(pictures))),
    }


def void(_: object) -> None:
    """Drop a result."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the table there")
    arguments = parser.parse_args()
    table = [measure(shape, p) for shape in ((32,), (4, 8, 8)) for p in ("float32", "bfloat16")]
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, NumPy {np.__version__}; frames per second")
    for row in table:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
