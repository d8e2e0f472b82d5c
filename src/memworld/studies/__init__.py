"""Studies: experiments in several worlds as one run, with one report that judges what is claimed.

`paper.py` and `better.py` say what a study is about; `prepare.py` makes a laboratory for each world, and
`run.py` does what has not been done. The folder of a run holds `config.json`, `worlds/<world>/`
(episodes, encoder, memory, baselines), `results/<experiment>/<world>/`, `metrics.parquet`,
`timing.json`, `claims.json` and `report.html`. Whatever has finished stays, so that a run may be made in
pieces: some worlds or experiments at a time.
"""

from memworld.studies.better import BETTER
from memworld.studies.paper import PAPER
from memworld.studies.run import StudyRun, run_study, write_digest
from memworld.studies.study import Experiment, Study

STUDIES = {study.name: study for study in (PAPER, BETTER)}
"""By name, which is also that of their command."""

__all__ = ["BETTER", "PAPER", "STUDIES", "Experiment", "Study", "StudyRun", "run_study", "write_digest"]
