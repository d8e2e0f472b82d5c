"""Whether the trained baselines had a fair chance: what their losses did, and how long they were trained."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from memworld.baselines import Baseline
from memworld.evaluate.experiments.laboratory import Laboratory

FAIR = 100
"""A baseline that had not flattened had a fair chance with this many times the memory's build time."""

FLAT = 0.01
"""Share of its whole fall by which a loss is at most lower after a longer training, where it has flattened."""


def validation_looks(model: Baseline) -> list[Mapping[str, float]]:
    """Looks at the validation episodes during a training, with `step`, `seconds`, `loss`; empty if unknown."""
    history: Sequence[Mapping[str, float]] = getattr(model, "history", ())
    return [look for look in history if {"step", "seconds", "loss"} <= set(look)]


def last_improvement(looks: Sequence[Mapping[str, float]]) -> float | None:
    """The share of the loss's whole fall that came in the last quarter of the steps; None if too few looks tell.

    What counts is the best loss so far, as the best weights are those that are kept. A loss that never
    fell has improved by 0.
    """
    early = [look["loss"] for look in looks if look["step"] <= 0.75 * looks[-1]["step"]]
    if len(early) < 2 or len(early) == len(looks):
        return None
    best = min(look["loss"] for look in looks)
    fall = early[0] - best
    return (min(early) - best) / fall if fall > 0 else 0.0


def gained_by_more(looks: Sequence[Mapping[str, float]], less: Sequence[Mapping[str, float]]) -> float | None:
    """What a longer training gained over a shorter one, as a share of its loss's whole fall; None if not known.

    A single training cannot tell that it has flattened: its learning rate falls, and any loss does so in the end.
    """
    if not looks or not less:
        return None
    best, shorter = (min(look["loss"] for look in each) for each in (looks, less))
    fall = looks[0]["loss"] - best
    return max(0.0, (shorter - best) / fall) if fall > 0 else 0.0


def fairness(lab: Laboratory) -> Iterator[str]:
    """Whether every baseline had a fair chance, in words."""
    remember = lab.seconds.get("remember", float("nan"))
    for name, model in lab.models.items():
        seconds, looks = lab.seconds.get(name, float("nan")), validation_looks(model)
        times = seconds / remember if remember > 0 else float("nan")
        share = last_improvement(looks) if looks else None
        less = lab.budgets.get(name, ())
        gained = gained_by_more(looks, validation_looks(less[-1][1])) if less else None
        if share is None:
            flat = "how its validation loss went is not known"
        else:
            best = min(look["loss"] for look in looks)
            flat = (
                f"its validation loss fell from {looks[0]['loss']:.4g} to {best:.4g}, {share:.1%} of that in the last "
                "quarter of its steps"
            )
        if gained is not None:
            flat += f", and {gained:.1%} of it is what it has over a training of {less[-1][0]:.3g} s"
        if np.isfinite(times):
            enough = "at least" if times >= FAIR else "below"
            spent = f"{seconds:.3g} s of training are {times:,.0f} times the memory's {remember:.2g} s, {enough} {FAIR}"
        else:
            spent = "its training time beside the memory's is not known"
        fair = (gained is not None and gained <= FLAT) or times >= FAIR
        yield f"{name}: {flat}; {spent}. {'A fair chance.' if fair else 'Not shown to be a fair chance.'}"
