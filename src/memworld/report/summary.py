"""What an evaluation found, in a sentence and in a table for a terminal."""

from collections.abc import Sequence

from memworld.evaluate.results import KINDS, Evaluation, interval, label_of
from memworld.report.result_tables import aligned
from memworld.report.tables import MAIN, headline, number, shown_horizons, table_decimals

DEFAULT = "default"
"""The library's own dynamics in the tables of an evaluation."""


def result(evaluation: Evaluation) -> str:
    """The main result in one sentence; "" if nothing can be said."""
    return default_result(evaluation) or next(iter(headline(evaluation.table)), "")


def default_result(evaluation: Evaluation) -> str:
    """Where the default dynamics is shown to err less than every other search, and what it errs at the last step shown.

    It is "" where the default or others were not measured.
    """
    table, horizons = evaluation.table, shown_horizons(evaluation)
    searches = [key for key in table.methods if key[0] not in KINDS and (*key, MAIN) in evaluation.per_episode]
    default = next((key for key in searches if key[0] == DEFAULT), None)
    others = [key for key in searches if key != default]
    if default is None or not others:
        return ""
    mine = evaluation.per_episode[*default, MAIN]
    highs = [interval(mine - evaluation.per_episode[*other, MAIN], 0)[2] for other in others]
    sure = [h for h in horizons if all(high[h - 1] < 0 for high in highs)]
    open_ = [h for h in horizons if h not in sure]
    said = "The default dynamics, analogues, "
    if sure:
        said += f"errs less than every other search at {_steps(sure)}"
        said += f", which is not shown at {_steps(open_)}" if open_ else ""
    else:
        said += f"is not shown to err less than every other search at {_steps(open_)}"
    last = horizons[-1]
    errors = {key: row.value for key in searches if (row := table.get(*key, MAIN, last)) is not None}
    next_best = min(others, key=lambda key: errors[key])
    persistence = table.get("persistence", "", MAIN, last)
    compared = f"; the best of the others, {label_of(*next_best)}, has {number(errors[next_best])}"
    compared += f", and the last frame, repeated, {number(persistence.value)}" if persistence is not None else ""
    return f"{said}. On moving pixels its error at t = {last} is {number(errors[default])}{compared}."


def held_text(evaluation: Evaluation) -> str:
    """The error on moving pixels of persistence and of every method under test, and whether it beats persistence."""
    table, horizons = evaluation.table, shown_horizons(evaluation)
    decimals = table_decimals([row for row in table.rows if row.metric == MAIN and row.horizon in horizons])
    rows = [["", *(f"t = {h}" for h in horizons)]]
    for name, mode in table.methods:
        found = [table.get(name, mode, MAIN, h) for h in horizons]
        if name == "persistence" or (KINDS.get(name, "trained") == "trained" and any(found)):
            values = ["–" if row is None else number(row.value, decimals=decimals) for row in found]
            said = [_beats(evaluation, name, mode, h) for h in horizons]
            rows.append([label_of(name, mode), *(f"{v} {s}".strip() for v, s in zip(values, said, strict=True))])
    return aligned(rows)


def _beats(evaluation: Evaluation, name: str, mode: str, horizon: int) -> str:
    """Whether a method beats persistence: `yes`, `no`, `not shown`; "" where it is not compared."""
    row = evaluation.table.get(name, mode, f"{MAIN}_minus_persistence", horizon)
    if row is None:
        return ""
    return "yes" if row.high < 0 else "no" if row.value >= 0 else "not shown"


def _steps(horizons: Sequence[int]) -> str:
    """`t = 1, 5 and 20`."""
    *before, last = map(str, horizons)
    return f"t = {', '.join(before)} and {last}" if before else f"t = {last}"
