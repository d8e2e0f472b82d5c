"""Made-up evaluations, with all that a report shows."""

from collections.abc import Mapping

import numpy as np

from memworld.evaluate.results import Evaluation, MethodTiming, MetricRow, Neighbour, Retrieval, Strip, Table

HEIGHT, WIDTH = 6, 9
METHODS = (
    ("encoder_bound", ""),
    ("persistence", ""),
    ("data_mean", ""),
    ("rollout", "requery"),
    ("rollout", "follow"),
    ("replay_kl", "requery"),
    ("oracle", ""),
)
LABELS = [f"{name} {mode}".strip() for name, mode in METHODS]
ERRORS = dict(zip(METHODS, (0.02, 0.1, 0.14, 0.101, 0.08, 0.12, 0.06), strict=True))
METRICS = ("moving_pixel_l1", "l1", "ssim", "kl", "state_error")


def make_rows(
    errors: Mapping[tuple[str, str], float] = ERRORS, half: float = 0.01, world: str = "toy", state: str = "x"
) -> list[MetricRow]:
    """Errors that do not change over 20 horizons, `half` an interval to each side; SSIM is 1 minus the error."""
    rows = []
    for (name, mode), error in errors.items():
        values = {metric: 1 - error if metric == "ssim" else error for metric in METRICS}
        values[f"state_error:{state}"] = error
        if name != "persistence":
            against = errors["persistence", ""]
            differences = {f"{metric}_minus_persistence": error - against for metric in METRICS if metric != "kl"}
            values |= differences | {"ssim_minus_persistence": against - error}
        if mode:
            values["support"] = 0.5
        for metric, value in values.items():
            rows += [
                MetricRow(world, name, mode, h, metric, value, value - half, value + half, 4) for h in range(1, 21)
            ]
    return rows


def make_evaluation(channels: int = 3, hostile: str = "", rows: list[MetricRow] | None = None) -> Evaluation:
    """Noise frames; `hostile` is put into every text that comes from outside."""
    rng = np.random.default_rng(0)

    def frames(*shape: int) -> np.ndarray:
        return rng.integers(0, 256, (*shape, HEIGHT, WIDTH, channels), np.uint8)

    label = "rollout requery"
    strips = tuple(
        Strip(f"e{i}{hostile}", 7, (1, 5, 10, 20), frames(), frames(4), tuple((name, frames(4)) for name in LABELS))
        for i in range(2)
    )
    neighbours = tuple(Neighbour(f"n{i}{hostile}", 41, 1.5 + i, 0.5, frames(), frames()) for i in range(2))
    return Evaluation(
        Table(make_rows(world=f"toy{hostile}", state=f"x{hostile}") if rows is None else rows),
        (MethodTiming(f"rollout{hostile}", "requery", 12345, 8.125, 64, 0.5),),
        strips,
        (Retrieval(label + hostile, f"e0{hostile}", 7, frames(), frames(), frames(), 0.25, neighbours),),
        (f"something is wrong{hostile}",),
        {f"memory{hostile}": f"3 episodes{hostile}"},
    )
