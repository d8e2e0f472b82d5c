"""The hybrid, and a latent GRU that trained for at least as long.

Of the GRU's trainings the shortest is taken that took no less time than the hybrid's whole preparation,
the analogues' fitting included; if none did, the longest.
"""

import time
from collections.abc import Iterator
from dataclasses import replace

from memworld.analogues import AnalogueConfig
from memworld.baselines import Baseline
from memworld.evaluate.experiments.comparison import DEFAULT, GRU, PIXELS
from memworld.evaluate.experiments.horizon import measure
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import at, evidence
from memworld.evaluate.experiments.result import Evidence, ExperimentResult, Number, ResultTable, Row
from memworld.evaluate.results import Evaluation
from memworld.hybrid import HybridConfig
from memworld.world_model import WorldModel

HYBRID = "hybrid"

HORIZONS = (1, 5, 20)
"""Steps ahead at which it is held against the GRU."""


def run(lab: Laboratory) -> ExperimentResult:
    """Measure the hybrid, the analogues that it corrects, and the GRU on the held-out episodes."""
    began = time.perf_counter()
    own, hybrid = (_seconds(lab, settings) for settings in (AnalogueConfig(), HybridConfig()))
    trained = _trained_as_long(lab, hybrid)
    some = replace(lab, models={} if trained is None else {GRU: trained[1]})
    evaluation, result = measure(some, HYBRID, {DEFAULT: AnalogueConfig(), HYBRID: HybridConfig()})
    seconds = {"default": own, HYBRID: hybrid} | ({} if trained is None else {GRU: trained[0]})
    table = ResultTable(
        "Seconds of preparation",
        "From the remembered latents on: fitting, and training. All of them on the same machine, though not at the "
        "same time.",
        ("seconds",),
        tuple(Row(name, (Number(round(value, 1)),)) for name, value in seconds.items()),
    )
    notes = ("The GRU is missing: it was not trained, or in no known time.",) if trained is None else ()
    return replace(
        result,
        tables=(table, *result.tables),
        # The comparison has the others' numbers, and under the GRU's name those of its longest training.
        metrics=tuple(row for row in result.metrics if row.method == HYBRID),
        evidence=tuple(_evidence(evaluation, seconds)),
        notes=(*notes, *result.notes),
        seconds=time.perf_counter() - began,
    )


def _seconds(lab: Laboratory, settings: AnalogueConfig | HybridConfig) -> float:
    """What the preparation takes from the memory on."""
    began = time.perf_counter()
    WorldModel(lab.encoder, lab.memory, settings).prepare(lab.progress)
    return time.perf_counter() - began


def _trained_as_long(lab: Laboratory, seconds: float) -> tuple[float, Baseline] | None:
    """Seconds and model of the GRU's shortest training that took no less; None if there is no GRU."""
    if GRU not in lab.models or GRU not in lab.seconds:
        return None
    trainings = [*lab.budgets.get(GRU, ()), (lab.seconds[GRU], lab.models[GRU])]
    longer = [training for training in trainings if training[0] >= seconds]
    return min(longer, key=lambda t: t[0]) if longer else max(trainings, key=lambda t: t[0])


def _evidence(evaluation: Evaluation, seconds: dict[str, float]) -> Iterator[Evidence]:
    """The hybrid against the GRU."""
    mode = next(mode for name, mode in evaluation.table.methods if name == HYBRID)
    for h in HORIZONS:
        said = at(evaluation.per_episode, HYBRID, mode, PIXELS, [h])
        trained = at(evaluation.per_episode, GRU, "", PIXELS, [h])
        compared = f"t = {h}, hybrid after {seconds[HYBRID]:.3g} s, {GRU} after {seconds.get(GRU, 0):.3g} s"
        yield from evidence(f"hybrid_better_than_{GRU}_{h}", compared, said, trained)
