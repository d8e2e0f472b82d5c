"""The ablation: one thing is left out at a time, and its worth is a paired difference."""

from dataclasses import fields, replace

import pytest

from memworld.analogues import AnalogueConfig, Scale, usual_scales
from memworld.evaluate.experiments import ablation, horizon
from memworld.evaluate.experiments.ablation import SAMPLES, UNBLENDED, variants
from memworld.evaluate.experiments.result import ExperimentResult, Number, ResultTable
from tests.evaluate.experiments.laboratories import square_laboratory


def changed(config: AnalogueConfig) -> dict[str, object]:
    """The settings that are not those of the variant with all of it."""
    whole = AnalogueConfig(samples=SAMPLES)
    names = [f.name for f in fields(config)]
    return {name: getattr(config, name) for name in names if getattr(config, name) != getattr(whole, name)}


@pytest.mark.parametrize("shape", [(4, 8, 8), (2, 4, 4), (16,)])
def test_every_variant_differs_in_one_thing(shape: tuple[int, ...]) -> None:
    usual = usual_scales(shape)
    scales: dict[str, tuple[Scale, ...]] = {}
    for name, config in variants(shape).items():
        assert isinstance(config, AnalogueConfig)
        assert len(changed(config)) == 1
        assert config.scales != usual
        if config.scales is not None:
            scales[name.split(":")[0]] = config.scales
    whole = tuple(s for s in usual if not s.block)
    parts = tuple(s for s in usual if s.block)
    assert len(whole) == 2
    assert scales.pop("one number of threads") == tuple(replace(s, threads=(5,)) for s in usual)
    blind = scales.pop("no foresight")
    assert {(s.places, s.changes) for s in blind} == {(0.0, 0.0)}
    assert [(s.block, s.threads) for s in blind] == [(s.block, s.threads) for s in (whole[0], *parts)]
    once = scales.pop("the whole searched once")
    assert once[1:] == parts
    assert once[0].threads == whole[0].threads
    assert scales == ({"no parts": whole, "no whole": parts} if parts else {})


@pytest.fixture(scope="module")
def result() -> ExperimentResult:
    return ablation.run(square_laboratory())


def table_of(result: ExperimentResult, metric: str) -> ResultTable:
    return next(table for table in result.tables if table.title.endswith(ablation.METRICS[metric]))


def test_every_variant_is_in_every_table(result: ExperimentResult) -> None:
    assert len(result.tables) == len(ablation.METRICS)
    for table in result.tables:
        assert [row.label for row in table.rows] == ["with all of it", *variants((4,)), UNBLENDED]
        assert table.columns == ("t=1", "t=5")
    assert result.evidence == ()


def test_the_whole_is_what_an_evaluation_says_of_the_default(result: ExperimentResult) -> None:
    _, evaluated = horizon.measure(square_laboratory(), "x", {"default": AnalogueConfig()})
    numbers = {(r.metric, r.horizon): r.value for r in evaluated.metrics if r.method == "default"}
    for metric in ablation.METRICS:
        for step, cell in zip((1, 5), table_of(result, metric).rows[0].cells, strict=True):
            assert isinstance(cell, Number)
            assert cell.value == pytest.approx(numbers[metric, step], rel=1e-5)


def test_what_a_variant_adds_is_what_it_has_more_than_the_whole(result: ExperimentResult) -> None:
    name, dynamics = next(iter(variants((4,)).items()))
    evaluation, _ = horizon.measure(square_laboratory(), "x", {"default": AnalogueConfig(), "other": dynamics})
    table = table_of(result, "kl")
    row = next(row for row in table.rows if row.label == name)
    for place, step in enumerate((1, 5)):
        other, own = (evaluation.per_episode[n, "follow", "kl"][:, step - 1] for n in ("other", "default"))
        cell = row.cells[place]
        assert isinstance(cell, Number)
        assert cell.value == pytest.approx((other - own).mean(), rel=1e-4, abs=1e-4)
        assert cell.low <= cell.value <= cell.high


def test_the_decoder_alone_changes_no_latents(result: ExperimentResult) -> None:
    for metric in ("kl", "state_error"):
        for cell in table_of(result, metric).rows[-1].cells:
            assert cell == Number(0.0, 0.0, 0.0)
    assert any(isinstance(c, Number) and c.value != 0 for c in table_of(result, "moving_pixel_l1").rows[-1].cells)
