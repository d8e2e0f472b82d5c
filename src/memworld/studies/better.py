"""The library's own dynamics against everything else: what it must show, and the experiments that decide."""

from dataclasses import replace

from memworld.evaluate.experiments import ablation, comparison, hybrid, support
from memworld.evaluate.experiments.claims import Claim
from memworld.evaluate.experiments.comparison import GRU, RSSM
from memworld.evaluate.experiments.config import StudyConfig
from memworld.evaluate.experiments.measuring import MEAN_OVER
from memworld.studies.paper import PAPER
from memworld.studies.study import Experiment, Study

MORE_THAN_HALF, FOUR_OF_FIVE, ALL = 0.51, 0.8, 1.0
"""Shares of the worlds."""

_PIXELS = "moving-pixel L1"

_CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"better_than_paper_{h}",
            f"{words}, the default's error is at most {bound:g} of the paper's, in more than half of the worlds.",
            f"{_PIXELS} above the encoder's bound at t = {h}: default / the best of the paper's strategies and modes",
            bound=bound,
            share=MORE_THAN_HALF,
        )
        for h, words, bound in (
            (1, "One step ahead", 0.35),
            (5, "Five steps ahead", 0.6),
            (20, "Twenty steps ahead", 0.8),
        )
    ),
    Claim(
        "never_worse_than_paper",
        "In no world and at no horizon is the default more than 5% worse than the paper's best.",
        f"{_PIXELS}: default / the best of the paper's strategies and modes, at t = 1, 5, 10 or 20, whichever is worst",
        bound=1.05,
        share=ALL,
    ),
    Claim(
        "state_as_good_as_paper",
        "The default's error of the world's state is nowhere above the paper's best.",
        "state error: default / the best of the paper's, at t = 1, 5, 10 or 20, whichever is worst",
        share=ALL,
    ),
    *(
        Claim(
            f"better_than_persistence_{h}",
            f"At t = {h} the default is better than the last frame repeated, in every world.",
            f"{_PIXELS} at t = {h}: default / persistence",
            share=ALL,
        )
        for h in MEAN_OVER
    ),
    *(
        Claim(
            f"better_than_{GRU}_{h}",
            f"At t = {h} the default is better than a trained latent GRU.",
            f"{_PIXELS} at t = {h}: default / {GRU}",
        )
        for h in MEAN_OVER
    ),
    *(
        Claim(
            f"{what}better_than_{RSSM}_{h}",
            f"At t = {h} the default's {words} is below a trained PlaNet's in the same latents in four worlds of five.",
            f"{words} at t = {h}: default / {RSSM}",
            share=FOUR_OF_FIVE,
        )
        for what, words in (("", _PIXELS), ("state_", "state error"))
        for h in MEAN_OVER
    ),
    *(
        Claim(
            f"hybrid_better_than_{GRU}_{h}",
            f"At t = {h} the hybrid is better than a latent GRU that has trained for at least as long, in four worlds "
            "of five.",
            f"{_PIXELS} at t = {h}: hybrid / {GRU}",
            share=FOUR_OF_FIVE,
        )
        for h in (1, 5, 20)
    ),
    *(
        Claim(
            f"support_tells_{error}",
            f"Support tells the worst tenth of the predictions by {words}, with an AUROC of at least 0.8.",
            "one over the AUROC of support against the worst tenth of all held-out predictions at t = 5",
            bound=1.25,
        )
        for error, words in (("moving_pixel_l1", "what is seen to move"), ("latents", "distance in latents"))
    ),
    Claim(
        "fast_enough",
        "An imagined step of the default takes at most 3 times as long as Replay-L2's, in batch.",
        "milliseconds per imagined step: default / replay_l2 (requery)",
        bound=3.0,
        share=ALL,
    ),
)

_EXPERIMENTS: dict[str, Experiment] = {
    "comparison": Experiment(
        "The default beside everything else",
        "How far from the truth is the library's own dynamics, and how far are the paper's and the trained baselines?",
        lambda laboratory, folder: comparison.run(laboratory),
    ),
    "support": Experiment(
        "Knowing when it does not know",
        "Are the predictions that it doubts the bad ones, and are its intervals as wide as they should be?",
        lambda laboratory, folder: support.run(laboratory),
    ),
    "ablation": Experiment(
        "What each ingredient is worth",
        "By how much does the error grow where one ingredient is left out?",
        lambda laboratory, folder: ablation.run(laboratory),
    ),
    "hybrid": Experiment(
        "With a trained correction",
        "What does a small network on top of the retrieved answer add, beside one that trains for as long alone?",
        lambda laboratory, folder: hybrid.run(laboratory),
    ),
}

_QUICK = PAPER.sizes["quick"]

BETTER = Study(
    name="better",
    title="Better than the paper: the library's own dynamics, measured",
    experiments=_EXPERIMENTS,
    claims=_CLAIMS,
    worlds=PAPER.worlds,
    sizes={
        "full": StudyConfig(
            further=0,
            latent_shape=(4, 8, 8),
            baseline_steps={GRU: 3000, RSSM: 6000},
            budgets=(1 / 32, 1 / 16, 1 / 8, 1 / 4),
            horizon=20,
            shown=MEAN_OVER,
        ),
        "quick": replace(_QUICK, further=0, latent_shape=(2, 4, 4), baseline_steps={GRU: 60, RSSM: 40}),
    },
    figures={
        "comparison": ("comparison", "moving_pixel_l1"),
        "support": ("support", "distance in latents over support"),
    },
)
"""Whether the library's own dynamics is better than the paper's strategies, and than what is trained."""
