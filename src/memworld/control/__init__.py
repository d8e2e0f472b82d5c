"""The closed loop: acting in the real world by what memory knows, and what comes of it.

`play.py` plays real episodes by several ways to act and keeps them; `compare.py` sets their returns against each
other and against `demonstrations.py`, what memory's own episodes gained; `videos.py` shows them; `returns.py` and
`page.py` write `returns.json` and `report.html`; `run.py` does all of it in one folder, for any ways to act;
`planned.py` does it for the planners of `plan`. `living.py` plays by a memory that remembers what is played, and
`growth.py` and `living_page.py` tell whether that helped.
"""

from memworld.control.growth import Growth, LivedEpisode
from memworld.control.living import LivingResult, live
from memworld.control.planned import control_by_planning
from memworld.control.returns import Returns, read_returns
from memworld.control.run import ControlResult, control
from memworld.evaluate.playing import MakePolicy, Outcome, PlayConfig

__all__ = [
    "ControlResult",
    "Growth",
    "LivedEpisode",
    "LivingResult",
    "MakePolicy",
    "Outcome",
    "PlayConfig",
    "Returns",
    "control",
    "control_by_planning",
    "live",
    "read_returns",
]
