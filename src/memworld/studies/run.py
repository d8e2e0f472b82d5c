"""The run: what is asked for and not there yet is done, and what is there is reported."""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from memworld.errors import MemworldError, lookup
from memworld.evaluate.experiments.claims import Verdicts, judge
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.laboratory import Laboratory
from memworld.evaluate.experiments.result import ExperimentResult, read_result, write_result
from memworld.evaluate.results import write_metrics
from memworld.pipeline import versions
from memworld.report.study import Gap, claims_markdown, figures, write_claims, write_study_report
from memworld.storage import (
    KIND_KEY,
    OnExisting,
    begin_run,
    delete,
    locked,
    make_folder,
    to_json,
    write_bytes,
    write_json,
)
from memworld.studies.prepare import TIMES, StageTimes, prepare
from memworld.studies.study import Study
from memworld.worlds import availability

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StudyRun:
    """What a run gives.

    Attributes:
        study: what it is about.
        results: of every experiment and world that is finished, also in earlier calls.
        verdicts: of every claim.
        gaps: what is missing, and why.
        report: the report's path.
    """

    study: Study
    results: tuple[ExperimentResult, ...]
    verdicts: tuple[Verdicts, ...]
    gaps: tuple[Gap, ...]
    report: Path


def run_study(
    study: Study,
    output: str | Path,
    size: str = "full",
    worlds: Sequence[str] = (),
    experiments: Sequence[str] = (),
    seed: int = 0,
    *,
    again: bool = False,
    on_existing: OnExisting = "resume",
    progress: bool = False,
    config: StudyConfig | None = None,
) -> StudyRun:
    """Run those experiments of a study that have not run yet, and write the report of all that have.

    A world that cannot run here, or in which something fails, is a gap in the report; the others go on.

    Args:
        study: which.
        output: the run's folder.
        size: `full` or `quick`, a name in `Study.sizes`.
        worlds: those to do in this call; none takes the study's.
        experiments: those to do in this call, by name; none takes all.
        seed: of everything.
        again: whether to do the experiments anew that are finished; laboratories stay.
        on_existing: what to do if the folder holds something, see `storage.prepare_folder`.
        progress: whether to show progress bars.
        config: sizes of one's own instead of those of `size`.

    Raises:
        MemworldError: an unknown size, world or experiment, a folder that cannot be used or was begun
            with other settings, or nothing to report.
    """
    output = Path(output)
    config = replace(config or lookup(study.sizes, size, "size"), seed=seed)
    for name in experiments:
        lookup(study.experiments, name, "experiment")
    missing = {world.name: world.missing for world in availability()}
    for name in worlds:
        lookup(missing, name, "world")
    with locked(output):
        begin_run(output, study.name, to_json(config), on_existing)
        run = _Run(study, output, config, size, progress)
        for world in worlds or study.worlds:
            if missing[world]:
                run.skip(world, f"it cannot run here: {'; '.join(missing[world])}")
            else:
                run.do(world, [name for name in study.experiments if name in experiments or not experiments], again)
        before = [world for world in missing if (output / "worlds" / _folder(world)).is_dir()]
        return run.report(tuple(dict.fromkeys((*study.worlds, *worlds, *before))))


def write_digest(run: StudyRun, folder: str | Path) -> None:
    """Write what a page about a run shows, into `folder`: `claims.md`, a table, and the main charts as small PNGs.

    Raises:
        MemworldError: the folder cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    write_bytes(folder / "claims.md", claims_markdown(run.verdicts).encode())
    figures(run.results, folder, wanted=run.study.figures)


class _Run:
    """One call: what it does, and what it could not do."""

    def __init__(self, study: Study, output: Path, config: StudyConfig, size: str, progress: bool) -> None:
        self._study = study
        self._output = output
        self._config = config
        self._size = size
        self._progress = progress
        self._settings = to_json(config)
        self._why: dict[tuple[str, str], str] = {}

    def skip(self, world: str, why: str, experiments: Sequence[str] = ()) -> None:
        """Note that something cannot be done; without names, none of the experiments."""
        _log.warning("%s is left out: %s", world, why)
        self._why |= {(world, experiment): why for experiment in experiments or self._study.experiments}

    def do(self, world: str, experiments: Sequence[str], again: bool) -> None:
        """The experiments in one world that are not finished, or all `again`."""
        todo = [name for name in experiments if again or self._finished(name, world) is None]
        if not again:  # what is damaged is left as it is, to be looked at
            todo = [name for name in todo if (world, name) not in self._why]
        if not todo:
            return
        try:
            laboratory = prepare(world, self._config, self._output / "worlds" / _folder(world), self._progress)
        except MemworldError as error:
            self.skip(world, str(error))
            return
        for name in todo:
            try:
                self._run(name, laboratory, again)
            except MemworldError as error:
                self.skip(world, str(error), [name])

    def _run(self, name: str, laboratory: Laboratory, again: bool) -> None:
        folder = self._place(name, laboratory.world)
        # What was found before stays until there is something in its place.
        work = folder.with_name(f"{folder.name}.again") if again and folder.exists() else folder
        work.mkdir(parents=True, exist_ok=True)
        write_result(work, self._study.experiments[name].run(laboratory, work), self._settings)
        if work != folder:
            delete(folder)
            work.rename(folder)

    def _place(self, experiment: str, world: str) -> Path:
        return self._output / "results" / experiment / _folder(world)

    def _finished(self, experiment: str, world: str) -> ExperimentResult | None:
        try:
            return read_result(self._place(experiment, world), experiment, world, self._settings)
        except MemworldError as error:
            self.skip(world, str(error), [experiment])
            return None

    def report(self, worlds: Sequence[str]) -> StudyRun:
        """Report what is finished, in this call or before, and name what is not.

        Args:
            worlds: that belong in the report, whether there are results or not.
        """
        results, missing = [], []
        for name in self._study.experiments:
            for world in worlds:
                result = self._finished(name, world)
                if result is not None:
                    results.append(result)
                else:
                    missing.append(Gap(world, name, self._why.get((world, name), "it has not been run yet")))
        gaps = _summarised(missing, len(self._study.experiments))
        if not results:
            reasons = "; ".join(dict.fromkeys(f"{gap.world}: {gap.why}" for gap in gaps))
            raise MemworldError(f"no experiment could run, so there is nothing to report ({reasons})")
        verdicts = judge(self._study.claims, results, self._config.seed)
        metrics = [row for result in results for row in result.metrics]
        if metrics:
            write_metrics(self._output / "metrics.parquet", metrics)
        write_claims(self._output / "claims.json", verdicts)
        write_json(self._output / TIMES, self._times(results))
        report = self._output / "report.html"
        write_study_report(
            report,
            results,
            verdicts,
            title=self._study.title,
            gaps=gaps,
            experiments={name: (e.title, e.question) for name, e in self._study.experiments.items()},
            commands={
                (e, w): self._command("--experiment", e, "--world", w, "--again")
                for e in self._study.experiments
                for w in worlds
            },
            command=self._command(),
            config=self._settings,
            facts={world: facts for world in worlds if (facts := self._facts(world))},
        )
        return StudyRun(self._study, tuple(results), tuple(verdicts), tuple(gaps), report)

    def _command(self, *more: str) -> str:
        """The command that does it."""
        seed = ("--seed", str(self._config.seed)) if self._config.seed else ()
        return shlex.join(
            ["memworld", self._study.name, f"--{self._size}", "--output", str(self._output), *more, *seed]
        )

    def _times(self, results: Sequence[ExperimentResult]) -> dict[str, object]:
        """Seconds of every stage and experiment, by world."""
        experiments: dict[str, dict[str, float]] = {}
        for result in results:
            experiments.setdefault(result.world, {})[result.experiment] = round(result.seconds, 2)
        return {KIND_KEY: "timing", "experiments": experiments, "versions": versions()}

    def _facts(self, world: str) -> dict[str, str]:
        """What a world's laboratory is, in words; nothing where there is none."""
        seconds = StageTimes(self._output / "worlds" / _folder(world) / TIMES).seconds
        return {f"seconds of {stage}": f"{value:.1f}" for stage, value in seconds.items()}


def _summarised(gaps: Sequence[Gap], experiments: int) -> list[Gap]:
    """One gap for a world in which everything is missing for one reason."""
    whys = {world: [gap.why for gap in gaps if gap.world == world] for world in dict.fromkeys(g.world for g in gaps)}
    whole = {world: why[0] for world, why in whys.items() if len(why) == experiments and len(set(why)) == 1}
    return [*(Gap(w, "", why) for w, why in whole.items()), *(gap for gap in gaps if gap.world not in whole)]


def _folder(world: str) -> str:
    """The folder of a world: its name without what separates folders."""
    return world.replace("/", "-")
