"""PlaNet's recurrent state-space model (Hafner et al. 2019, arXiv 1811.04551), from pixels and in an encoder's latents.

`config.py` says how large it is and what it descends, `cell.py` holds its dynamics, `objective.py`
the terms of its loss, `model.py` what both forms share, and `pixels.py` and `latents.py` the forms.
"""

from memworld.baselines.rssm.cell import RSSM, Beliefs, State
from memworld.baselines.rssm.config import RSSMConfig
from memworld.baselines.rssm.latents import LatentRSSM
from memworld.baselines.rssm.pixels import CHANNELS, PixelRSSM

__all__ = ["CHANNELS", "RSSM", "Beliefs", "LatentRSSM", "PixelRSSM", "RSSMConfig", "State"]
