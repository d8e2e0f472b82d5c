"""Analogues with a small trained correction on top; the only dynamics here that takes gradients.

Start in `correction.py`.
"""

from memworld.hybrid.config import HybridConfig
from memworld.hybrid.dynamics import HybridDynamics

__all__ = ["HybridConfig", "HybridDynamics"]
