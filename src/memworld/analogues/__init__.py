"""The library's own dynamics: analogues of the present, their threads, and what differs carried on.

Start in `forecast.py`.
"""

from memworld.analogues.blocks import Scale, usual_scales
from memworld.analogues.config import AnalogueConfig
from memworld.analogues.dynamics import AnalogueDynamics
from memworld.analogues.forecast import Analogues
from memworld.analogues.panel import Panel

__all__ = ["AnalogueConfig", "AnalogueDynamics", "Analogues", "Panel", "Scale", "usual_scales"]
