"""Keep what counts: a smaller memory that covers what a larger one does.

pieces      episodes cut into pieces, and kept ones joined again
covering    which pieces to keep: a moment is as well covered as its nearest kept moment is near
curve       how far off predictions are with fewer and fewer rows
distill     a memory in one folder becomes a smaller one in another
"""

from memworld.distill.covering import Choice, DistillConfig, choose
from memworld.distill.curve import Curve, latent_curve, picture_curve, write_curve
from memworld.distill.distill import Distilled, distill
from memworld.distill.pieces import Piece

__all__ = [
    "Choice",
    "Curve",
    "DistillConfig",
    "Distilled",
    "Piece",
    "choose",
    "distill",
    "latent_curve",
    "picture_curve",
    "write_curve",
]
