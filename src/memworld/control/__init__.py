"""The closed loop: acting in the real world by what memory knows, and what comes of it.

`play.py` plays real episodes by several ways to act and keeps them; `compare.py` sets their returns against each
other and against `demonstrations.py`, what memory's own episodes gained; `videos.py` shows them; `returns.py` and
`page.py` write `returns.json` and `report.html`; `run.py` does all of it in one folder, for any ways to act;
`planned.py` does it for the planners of `plan`.
"""

from memworld.control.planned import control_by_planning
from memworld.control.returns import Returns, read_returns
from memworld.control.run import ControlResult, control
from memworld.evaluate.playing import MakePolicy, Outcome, PlayConfig

__all__ = [
    "ControlResult",
    "MakePolicy",
    "Outcome",
    "PlayConfig",
    "Returns",
    "control",
    "control_by_planning",
    "read_returns",
]
