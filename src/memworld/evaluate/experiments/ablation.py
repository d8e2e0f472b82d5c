"""What each ingredient of the library's own dynamics is worth: each is left out alone."""

import time
from dataclasses import replace

import numpy as np

from memworld.analogues import AnalogueConfig, usual_scales
from memworld.engine import DynamicsSettings
from memworld.evaluate.experiments.comparison import DEFAULT
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import at_steps, evaluation_config, gaps, numbers, windows_of
from memworld.evaluate.experiments.result import ExperimentResult, ResultTable, Row
from memworld.evaluate.methods import Method, Predicted, search_methods
from memworld.evaluate.metrics import StateProbe, mean_of_numbers, median_picture
from memworld.evaluate.protocol import Judge
from memworld.evaluate.windows import Windows
from memworld.gaussian import derived_seed
from memworld.world_model import WorldModel

HORIZON = 20
"""Most steps ahead."""

SAMPLES = 2048
"""Rows of memory that every variant is fitted on, the whole too: ten fits are many."""

METRICS = {
    "moving_pixel_l1": "error on moving pixels",
    "kl": "KL to the true frame's posterior, nats",
    "state_error": "error of the world's state",
}

UNBLENDED = "pictures by the decoder alone"
"""The one that changes the pictures and not the latents."""


def variants(latent_shape: tuple[int, ...]) -> dict[str, DynamicsSettings]:
    """The library's own dynamics with one ingredient left out, by what is left out; of a vector none has parts."""
    scales = usual_scales(latent_shape)
    whole, parts = ([s for s in scales if (s.block == 0) == of_all] for of_all in (True, False))
    own = AnalogueConfig(samples=SAMPLES)
    found: dict[str, DynamicsSettings] = {
        "no past: searched by the present alone": replace(own, context=1),
        "nothing carried on: threads as recorded": replace(own, carry=False),
        "threads whatever their actions": replace(own, agreement=0.0),
        "one number of threads": replace(own, scales=tuple(replace(s, threads=scales[0].threads[:1]) for s in scales)),
        "no foresight: moments compared as they are": replace(
            own, scales=tuple(replace(s, places=0.0, changes=0.0) for s in (whole[0], *parts))
        ),
        "the whole searched once": replace(own, scales=(replace(whole[0], places=0.4, changes=0.4), *parts)),
    }
    if parts:
        found["no parts: searched by the whole latent alone"] = replace(own, scales=tuple(whole))
        found["no whole: searched by parts alone"] = replace(own, scales=tuple(parts))
    return found


def run(lab: Laboratory) -> ExperimentResult:
    """Measure the library's own dynamics whole, and without each ingredient."""
    began = time.perf_counter()
    horizon = min(HORIZON, lab.config.horizon)
    config = evaluation_config(
        lab, {DEFAULT: AnalogueConfig(samples=SAMPLES), **variants(lab.memory.latent_shape)}, horizon=horizon
    )
    shown = tuple(sorted({1, *config.shown_horizons}))
    probe = StateProbe.fit(lab.training, lab.memory) if lab.training.info.state_names else None
    judge = Judge(median_picture(lab.training), probe)
    worlds = {name: WorldModel(lab.encoder, lab.memory, dynamics) for name, dynamics in config.dynamics.items()}
    methods = [m for name, world in worlds.items() for m in search_methods(world, name, config.modes, config.seed)]
    methods.append(_unblended(worlds[DEFAULT], config.seed))
    errors: dict[str, dict[str, list[np.ndarray]]] = {metric: {} for metric in METRICS}
    for windows in windows_of(lab, config, "ablation"):
        for method in methods:
            measured = judge.measure(*at_steps(windows, method.predict(windows), shown))
            for metric in METRICS:
                if metric in measured:
                    errors[metric].setdefault(method.name, []).append(mean_of_numbers(measured[metric]))
    tables = [
        _table(metric, {name: np.stack(per_episode) for name, per_episode in found.items()}, shown, config.seed)
        for metric, found in errors.items()
        if found
    ]
    return ExperimentResult(
        "ablation",
        lab.world,
        tables=tuple(tables),
        notes=gaps(lab, horizon),
        seconds=time.perf_counter() - began,
    )


def _unblended(world: WorldModel, seed: int) -> Method:
    """The library's own dynamics, drawn by the decoder alone."""

    def predict(windows: Windows) -> Predicted:
        own = derived_seed(seed, UNBLENDED, windows.episode)
        rollout = world.imagine(windows.start_frames, windows.actions, past=windows.past, seed=own, decode="decoder")
        assert rollout.frames is not None  # decode="decoder"
        return Predicted(rollout.latents, rollout.frames, rollout=rollout)

    return Method(UNBLENDED, "", predict)


def _table(metric: str, errors: dict[str, np.ndarray], shown: tuple[int, ...], seed: int) -> ResultTable:
    """The whole first, then what each ingredient's loss adds to its error, paired by episode."""
    whole = errors[DEFAULT]
    rows = [Row("with all of it", numbers(whole, seed))]
    rows += [Row(name, numbers(values - whole, seed)) for name, values in errors.items() if name != DEFAULT]
    return ResultTable(
        f"What each ingredient is worth: {METRICS[metric]}",
        f"The first row is the error of the library's own dynamics, fitted on {SAMPLES} rows. Each of the others is "
        "what its error grows by where one ingredient is left out: above 0 it was worth something, below 0 it harmed.",
        tuple(f"t={step}" for step in shown),
        tuple(rows),
    )
