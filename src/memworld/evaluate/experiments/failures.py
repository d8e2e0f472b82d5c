"""The paper's failure signatures, counted; and whether they tell the bad predictions from the good ones."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.measuring import (
    curve,
    evaluation_config,
    evidence,
    gaps,
    kind_of,
    numbers,
    windows_of,
)
from memworld.evaluate.experiments.result import (
    Cell,
    Chart,
    Evidence,
    ExperimentResult,
    Number,
    ResultTable,
    Row,
)
from memworld.evaluate.experiments.signatures import (
    SIGNATURES,
    UNUSUAL,
    Seen,
    auroc,
    nearby_disagreement,
    persistence,
    strip_of,
    usual_disagreement,
)
from memworld.evaluate.methods import Predicted
from memworld.evaluate.metrics import mean_of_numbers, median_picture
from memworld.evaluate.protocol import all_methods
from memworld.evaluate.results import Strip, label_of
from memworld.evaluate.verdicts import LOW_SUPPORT
from memworld.evaluate.windows import Windows
from memworld.world_model import WorldModel

LONGEST = 20
"""Most steps ahead."""

JUDGED_AT = 5
"""Steps ahead at which the signatures are held against the error."""

NEIGHBOURS = 10
"""Nearest rows whose disagreement is measured of a search that takes a single one."""

REPLAY_L2, REPLAY_KL, ROLLOUT = (label_of(name, "requery") for name in ("replay_l2", "replay_kl", "rollout"))

KL_NEIGHBOURS = f"{REPLAY_KL}, its {NEIGHBOURS} nearest"
"""The row in which the disagreement is that of replay_kl's nearest rows, of which it takes one."""


@dataclass
class Gathered:
    """What was found, by the methods' labels.

    Attributes:
        shown: steps ahead that tables show.
        seed: of the bootstrap.
        kinds: what each method is, in the tables' order.
        seen: one per held-out episode.
        moved: per episode, (S, T) `signatures.persistence`.
        worst: how bad the worst case of each signature is, and its film strip.
    """

    shown: tuple[int, ...]
    seed: int
    kinds: dict[str, str] = field(default_factory=dict)
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    moved: list[np.ndarray] = field(default_factory=list)
    worst: dict[str, tuple[float, Strip]] = field(default_factory=dict)

    @property
    def judged(self) -> int:
        """Steps ahead at which signatures are held against errors."""
        return JUDGED_AT if JUDGED_AT in self.shown else self.shown[-1]

    def add(self, label: str, kind: str, seen: Seen) -> None:
        """Take what a method's predictions on one more episode look like."""
        self.kinds[label] = kind
        self.seen.setdefault(label, []).append(seen)

    def row(self, label: str, per_episode: np.ndarray) -> Row:
        """A table's row from (E, C) numbers; a column without any is left blank."""
        cells: list[Cell] = ["" if np.isnan(n.value) else n for n in numbers(per_episode, self.seed)]
        return Row(label, tuple(cells), self.kinds[label])


def run(lab: Laboratory) -> ExperimentResult:
    """Count the signatures of every method's predictions on the held-out episodes."""
    began = time.perf_counter()
    gathered, limits = _gather(lab)
    told = _together(gathered)
    return ExperimentResult(
        "failures",
        lab.world,
        tables=(*(_counted(gathered, place) for place in range(len(gathered.shown))), told),
        charts=(_disagreement_chart(gathered), *(_share_chart(gathered, name) for name in SIGNATURES)),
        strips=tuple(strip for _, strip in gathered.worst.values()),
        evidence=_evidence(gathered),
        notes=(*gaps(lab, min(LONGEST, lab.config.horizon)), *_notes(gathered, limits, told)),
        seconds=time.perf_counter() - began,
    )


def _gather(lab: Laboratory) -> tuple[Gathered, dict[str, float]]:
    """Look at every method on every held-out episode; and the searches' usual disagreement."""
    config = evaluation_config(lab, horizon=min(LONGEST, lab.config.horizon))
    worlds = {name: WorldModel(lab.encoder, lab.memory, dynamics) for name, dynamics in config.dynamics.items()}
    methods = all_methods(lab.encoder, lab.memory, lab.training, worlds, lab.models, config)
    limits = {name: usual_disagreement(world, world.lookup.settings.k) for name, world in worlds.items()}
    near = usual_disagreement(worlds["replay_kl"], NEIGHBOURS)
    median, rows = median_picture(lab.training), lab.memory.rows
    gathered = Gathered(config.shown_horizons, config.seed)
    for windows in windows_of(lab, config, "failures"):
        gathered.moved.append(persistence(windows))
        for method in methods:
            if method.name == "oracle":
                continue
            predicted = method.predict(windows)
            limit = limits.get(method.name, np.nan)
            seen = Seen.of(method, windows, predicted, rows, median, gathered.shown, limit)
            gathered.add(method.label, kind_of(method.name), seen)
            _keep_worst(gathered, method.label, windows, predicted, seen, lab)
            if method.label == REPLAY_KL:
                spread = nearby_disagreement(worlds["replay_kl"], windows, predicted, NEIGHBOURS)
                gathered.add(KL_NEIGHBOURS, "", seen.with_disagreement(spread, near))
    return gathered, limits


def _keep_worst(
    gathered: Gathered, label: str, windows: Windows, predicted: Predicted, seen: Seen, lab: Laboratory
) -> None:
    """Keep the film strip of the worst case: of the loosest successors, the furthest row, the most drift."""
    if label not in (REPLAY_L2, REPLAY_KL) or predicted.rollout is None:
        return
    looked_for = {"hallucination": (gathered.judged, seen.disagreement)}
    if label == REPLAY_KL:
        # A search asks with the true frame at the first step alone. A quantile cannot tell one mismatch from a worse
        # one, the distance can.
        distances = predicted.rollout.distances.amin(2).numpy()
        looked_for = {"mismatch": (1, distances), "drift": (gathered.shown[-1], seen.beyond)}
    for signature, (step, values) in looked_for.items():
        badness = np.where(seen.shows(signature) == 1, values, -np.inf)[:, step - 1]
        window = int(badness.argmax())
        if badness[window] > gathered.worst.get(signature, (-np.inf,))[0]:
            name = f"{signature} at t={step}: {label}"
            strip = strip_of(name, windows, predicted, window, gathered.shown, lab.encoder, lab.memory.rows)
            gathered.worst[signature] = (float(badness[window]), strip)


def _shares(seen: Sequence[Seen], signature: str) -> np.ndarray:
    """(E, T) share of the windows that show a signature."""
    return np.stack([each.shows(signature).mean(0) for each in seen])


def _counted(gathered: Gathered, place: int) -> ResultTable:
    """How many predictions show each signature at one step."""
    step = gathered.shown[place]
    rows = []
    for label, seen in gathered.seen.items():
        cells = [[float(mean_of_numbers(each.error[:, place])), *_signs(each, step - 1)] for each in seen]
        rows.append(gathered.row(label, np.array(cells)))
    about = (
        f"Share of predictions that show a signature. Hallucination: the retrieved successors disagree (root mean "
        f"variance of their means over latents) more than in {UNUSUAL:.0%} of the searches for memory's own moments "
        "with their own episodes left out. A search that takes a single row has no disagreement; the row of its "
        f"{NEIGHBOURS} nearest shows theirs. Mismatch: the nearest row is further away than memory's moments are from "
        f"each other in {LOW_SUPPORT:.0%} of cases. From t=2 on, requery asks with what memory gave, which is near it "
        "whatever the truth is; follow keeps the support of its last search. Drift: the predicted mean is further from "
        "the truth in latents than the frame at the start. Beside them the error, lower is better."
    )
    columns = ("moving-pixel L1", *SIGNATURES, "none of them")
    return ResultTable(f"Failure signatures, t={step}", about, columns, tuple(rows))


def _signs(seen: Seen, place: int) -> list[float]:
    """The share of an episode's predictions with each signature, and, of a search, with none."""
    signs = np.stack([seen.shows(signature)[:, place] for signature in SIGNATURES])
    no_search = np.isnan(signs[:2]).all()
    return [*signs.mean(1), np.nan if no_search else float((signs != 1).all(0).mean())]


def _together(gathered: Gathered) -> ResultTable:
    """Whether the signatures tell the worst tenth of the predictions."""
    rows = [
        gathered.row(label, np.array([_worst_tenth(each, gathered) for each in seen]))
        for label, seen in gathered.seen.items()
    ]
    columns = ["L1, worst tenth", "L1, others"]
    columns += [f"{signature}, {part}" for signature in SIGNATURES for part in ("worst tenth", "others")]
    about = (
        "The worst tenth of the predictions in each episode, by moving-pixel L1, against the others: their error, and "
        "the share of them that shows each signature. AUROC: how often one of the worst has the greater disagreement "
        "(or the worse support) than one of the others; 0.5 is chance, 1 tells them all. First support is that of the "
        "search at t=1, the only one of requery that asks with a true frame."
    )
    titles = (*columns, "AUROC of disagreement", "AUROC of support", "AUROC of first support")
    return ResultTable(f"Do the signatures tell the worst predictions? t={gathered.judged}", about, titles, tuple(rows))


def _worst_tenth(seen: Seen, gathered: Gathered) -> list[float]:
    """Errors and shares of signatures, of an episode's worst tenth and of the others; every AUROC."""
    error = seen.error[:, gathered.shown.index(gathered.judged)]
    known = np.flatnonzero(~np.isnan(error))
    order = known[np.argsort(-error[known], kind="stable")]
    few = -(-len(order) // 10)
    worst, others = order[:few], order[few:]
    place = gathered.judged - 1
    values = [error, *(seen.shows(signature)[:, place] for signature in SIGNATURES)]
    tellers = (seen.disagreement[:, place], seen.support[:, place], seen.support[:, 0])
    sides = [float(mean_of_numbers(value[part])) for value in values for part in (worst, others)]
    return [*sides, *(auroc(teller[worst], teller[others]) for teller in tellers)]


def _disagreement_chart(gathered: Gathered) -> Chart:
    lines = {
        label: np.array([[float(mean_of_numbers(column)) for column in each.disagreement.T] for each in seen])
        for label, seen in gathered.seen.items()
    }
    lines["persistence"] = np.stack([moved.mean(0) for moved in gathered.moved])
    title = "Disagreement of the successors, beside persistence's distance to the truth"
    return _chart(gathered, title, lines, "root mean square over latents")


def _share_chart(gathered: Gathered, signature: str) -> Chart:
    lines = {label: _shares(seen, signature) for label, seen in gathered.seen.items()}
    if signature != "hallucination":
        del lines[KL_NEIGHBOURS]  # The same predictions as those of replay_kl.
    return _chart(gathered, f"Share of predictions that show {signature}", lines, "share of predictions")


def _chart(gathered: Gathered, title: str, lines: Mapping[str, np.ndarray], y_label: str) -> Chart:
    """Lines from (E, T) numbers each; those without any number are left out."""
    curves = [curve(label, v, gathered.seed) for label, v in lines.items() if not np.isnan(v).all()]
    return Chart(title, "steps ahead, t", y_label, tuple(curves))


def _evidence(gathered: Gathered) -> tuple[Evidence, ...]:
    """What the successors' spread at the first step says; nothing where there is none."""
    rollout, l2 = (
        np.array([mean_of_numbers(each.disagreement[:, 0]) for each in gathered.seen[label]])
        for label in (ROLLOUT, REPLAY_L2)
    )
    moved = np.array([each[:, 0].mean() for each in gathered.moved])
    same = "root mean square over latents at t = 1"
    pairs = (
        ("rollout_steadier", f"{same}: spread of rollout's successors / of replay_l2's", rollout, l2),
        ("l2_hallucinates", f"{same}: persistence's distance / spread of replay_l2's successors", moved, l2),
    )
    found = [evidence(claim, what, a, b) for claim, what, a, b in pairs if not np.isnan(a + b).all()]
    return tuple(item for part in found for item in part)


def _notes(gathered: Gathered, limits: Mapping[str, float], told: ResultTable) -> Iterator[str]:
    """What the counts say."""
    if all(np.isnan(limit) for limit in limits.values()):
        yield "Hallucination has no yardstick: memory has too few episodes to leave one out."
    for place, what in ((-3, "disagreement"), (-2, "support"), (-1, "first support")):
        verdicts: dict[str, list[str]] = {"tells": [], "points the wrong way for": [], "is undecided for": []}
        for row in told.rows:
            cell = row.cells[place]
            if isinstance(cell, Number):
                decided = "tells" if cell.low > 0.5 else "points the wrong way for" if cell.high < 0.5 else ""
                verdicts[decided or "is undecided for"].append(f"{row.label} ({cell.value:.2f})")
        lists = "; ".join(f"{verdict}: {', '.join(labels)}" for verdict, labels in verdicts.items() if labels)
        if lists:
            yield f"Against the worst tenth at t={gathered.judged}, by AUROC, {what} {lists}."
    missing = [signature for signature in SIGNATURES if signature not in gathered.worst]
    if missing:
        yield f"No film strip of {', '.join(missing)}: no prediction showed it where it is looked for."
