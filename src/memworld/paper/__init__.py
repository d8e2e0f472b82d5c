"""The paper's experiments as one run: a laboratory per world, every experiment in it, one report.

The folder of a run holds `config.json`, `worlds/<world>/` (episodes, encoder, memory, baselines),
`results/<experiment>/<world>/`, `metrics.parquet`, `timing.json`, `claims.json` and `report.html`.
Whatever has finished stays, so that a run may be made in pieces: some worlds or experiments at a time.
"""

from memworld.paper.run import PaperRun, run_paper, write_digest

__all__ = ["PaperRun", "run_paper", "write_digest"]
