"""The verdicts on claims: as JSON, as a table for the documentation, and as the page shows them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memworld.evaluate.experiments.claims import Claim, Judged, Verdicts
from memworld.report.result_tables import with_interval
from memworld.storage import one_line, write_json

SPAN = 4.0
"""How many times the bound the axis of a drawn ratio reaches, upwards and downwards."""


@dataclass(frozen=True)
class Bar:
    """An interval beside its bound, drawn small.

    Attributes:
        low: left end of the interval, in percent of the axis, whose middle is the bound.
        value: place of the value.
        high: right end.
    """

    low: float
    value: float
    high: float


def write_claims(path: Path, verdicts: Sequence[Verdicts]) -> None:
    """Write `claims.json`, atomically: a list with one object a claim; what is no number is null.

    Raises:
        MemworldError: the file cannot be written.
    """
    write_json(path, [_plain(found) for found in verdicts])


def claims_markdown(verdicts: Sequence[Verdicts]) -> str:
    """The verdicts as a table in Markdown: claim, verdict, evidence over all worlds, and each world's."""
    lines = ["| claim | verdict | evidence | world by world |", "|---|---|---|---|"]
    for found in verdicts:
        worlds = [f"{_escaped(judged.world)}: {judged.verdict}, {evidence(judged)}" for judged in found.worlds]
        decided = f"{evidence(found.overall)}<br>{_escaped(decided_by(found.claim))}"
        cells = [_escaped(found.claim.text), f"**{found.overall.verdict}**", decided, "<br>".join(worlds) or "–"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def evidence(judged: Judged) -> str:
    """`1.32 [1.20, 1.45]`, or that there is no evidence."""
    if math.isnan(judged.value):
        return "no evidence"
    words = with_interval(judged.value, judged.low, judged.high)
    return words if "[" in words else f"{words}, no interval"


def decided_by(claim: Claim) -> str:
    """What is compared, and where it must lie."""
    return f"{claim.decided_by} (holds below {claim.bound:g})"


def bar(claim: Claim, judged: Judged) -> Bar | None:
    """Where an interval lies beside its claim's bound, cut at the axis' ends; None without a value."""
    if not math.isfinite(judged.value):
        return None
    places = [_place(claim, side) for side in (judged.low, judged.value, judged.high)]
    low, value, high = (places[1] if math.isnan(place) else place for place in places)
    return Bar(low, value, high)


def _place(claim: Claim, value: float) -> float:
    """Percent of the axis: a ratio's by its logarithm over `SPAN`, a difference's between -1 and 1 beside its bound."""
    if claim.compare == "difference":
        off = value - claim.bound
    elif value > 0:
        off = math.log(value / claim.bound, SPAN)
    else:
        off = -1.0 if value == 0 else math.nan
    return off if math.isnan(off) else 50 + 50 * max(-1.0, min(1.0, off))


def _plain(found: Verdicts) -> dict[str, Any]:
    """A claim as it stands in `claims.json`."""
    claim = found.claim
    return {
        "claim": claim.id,
        "text": claim.text,
        "decided_by": claim.decided_by,
        "bound": claim.bound,
        "verdict": found.overall.verdict,
        "evidence": {**_numbers(found.overall), "unit": claim.compare},
        "worlds": [
            {"world": judged.world, "compared": judged.compared, "verdict": judged.verdict, **_numbers(judged)}
            for judged in found.worlds
        ],
    }


def _numbers(judged: Judged) -> dict[str, float | int | None]:
    """Value, interval and number of episodes."""
    sides = {"value": judged.value, "low": judged.low, "high": judged.high}
    finite: dict[str, float | int | None] = {name: x if math.isfinite(x) else None for name, x in sides.items()}
    return finite | {"episodes": judged.episodes}


def _escaped(text: str) -> str:
    """Words in one line that neither end a cell nor become HTML."""
    for sign, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\\", "&#92;"), ("|", "&#124;")):
        text = text.replace(sign, instead)
    return one_line(text)
