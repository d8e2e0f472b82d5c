"""The options of a planner, and what becomes of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

Horizon = Annotated[int | None, typer.Option("--horizon", help="Steps to imagine.")]
Candidates = Annotated[int | None, typer.Option("--candidates", help="Sequences of actions to imagine for a decision.")]
Iterations = Annotated[int | None, typer.Option("--iterations", help="Rounds of a decision.")]
Commit = Annotated[int | None, typer.Option("--commit", help="Steps of a plan taken before the next.")]
Discount = Annotated[float | None, typer.Option("--discount", help="Of a step's reward.")]
Value = Annotated[
    bool | None, typer.Option("--value/--no-value", help="Whether the end of a future counts for what it is worth.")
]
Pessimism = Annotated[
    float | None, typer.Option("--pessimism", help="What is taken off for steps that memory does not know.")
]
Proposing = Annotated[
    str | None, typer.Option("--proposals", help="Where sequences come from: memory, behaviour or even.")
]
Recalled = Annotated[int | None, typer.Option("--recalled", help="Moments whose continuations memory proposes.")]
Best = Annotated[
    float | None, typer.Option("--best", help="Share of the episodes whose play is good, of behaviour and memory.")
]
Explore = Annotated[float | None, typer.Option("--explore", help="Share of proposals drawn evenly.")]
Temperature = Annotated[float | None, typer.Option("--temperature", help="Of mppi.")]
ImaginedBy = Annotated[
    str | None,
    typer.Option("--strategy", help="Of imagination: analogues, hybrid, replay_l2, ... [default: to be steered]."),
]
MaxSteps = Annotated[int, typer.Option("--max-steps", help="Most steps of an episode.")]
RandomStart = Annotated[int, typer.Option("--random-start", help="Most random steps before an episode.")]


def given(planners: Sequence[str], **options: Any) -> dict[str, Any]:
    """Those options of planners that were given: the rest stay as `PlanConfig` has them.

    Raises:
        MemworldError: one that none of the planners heeds.
    """
    from memworld.plan.config import check_heeded

    said = {name: value for name, value in options.items() if value is not None}
    check_heeded(planners, said)
    return said


def words(options: Mapping[str, Any]) -> Iterator[object]:
    """Options of a planner as they are written in a command."""
    for name, said in options.items():
        yield from [f"--{'' if said else 'no-'}value"] if name == "value" else [f"--{name}", said]
