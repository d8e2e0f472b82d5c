"""Which settings count for which planners."""

from dataclasses import fields
from typing import Any

import pytest

from memworld.plan import PLANNERS, PlanConfig
from memworld.plan.config import HEEDED, check_heeded
from tests.helpers import one_clear_error


@pytest.mark.parametrize(
    ("planners", "given", "ignored"),
    [
        (["cem"], {"temperature": 1.0}, "temperature says nothing to cem"),
        (["vote", "vinn"], {"horizon": 5}, "horizon says nothing to vote, vinn"),
        (["random_shooting"], {"iterations": 2}, "iterations"),
        (["mppi"], {"best": 0.5}, None),
        (["mppi"], {"proposals": "even", "best": 0.5}, "best"),
        (["mppi"], {"proposals": "even", "recalled": 3}, "recalled"),
        (["mppi"], {"objective": "goal", "discount": 0.9}, "discount"),
        (["mppi", "vote"], {"temperature": 1.0}, None),
        (["mppi", "behaviour"], {"best": 0.5, "recalled": 4}, None),
        (["cem"], {"proposals": "behaviour", "best": 0.5, "iterations": 2}, None),
    ],
)
def test_settings_that_no_planner_heeds_are_refused(
    planners: list[str], given: dict[str, Any], ignored: str | None
) -> None:
    if ignored is None:
        check_heeded(planners, given)
        return
    with one_clear_error(ignored):
        check_heeded(planners, given)


def test_every_planner_says_what_it_heeds() -> None:
    assert set(HEEDED) == set(PLANNERS)
    settings = {field.name for field in fields(PlanConfig)} - {"planner"}
    assert frozenset[str]().union(*HEEDED.values()) | {"recalled", "best"} == settings
