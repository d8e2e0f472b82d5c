"""The paper's own study: what it claims, the experiments that decide, and the worlds and sizes they are run at."""

from memworld.evaluate.experiments import (
    budget,
    conditioning,
    coverage,
    decomposition,
    failures,
    horizon,
    planning,
    similarity,
)
from memworld.evaluate.experiments.claims import Claim
from memworld.evaluate.experiments.config import StudyConfig
from memworld.studies.study import Experiment, Study

_CLAIMS = (
    Claim(
        "one_step_comparable",
        "One step ahead, search predicts about as well as a trained PlaNet.",
        "moving-pixel L1 of replay_kl (requery) / rssm_latents at t = 1; comparable: below 1.1",
        bound=1.1,
    ),
    Claim(
        "long_horizon_better",
        "Over long horizons, search predicts better than a trained PlaNet.",
        "moving-pixel L1 of replay_kl (requery) / rssm_latents at t = 20",
    ),
    Claim(
        "long_horizon_better_than_pixels",
        "Over long horizons, search predicts better than PlaNet as published, from pixels.",
        "moving-pixel L1 of replay_kl (requery) / rssm_pixels at t = 20",
    ),
    Claim(
        "long_horizon_latents",
        "Over long horizons, search stays closer in latent space than a trained PlaNet.",
        "KL of replay_kl (requery) / rssm_latents at t = 20",
    ),
    Claim(
        "kl_sharper_than_l2",
        "Retrieval by KL gives better pictures than retrieval by L2.",
        "moving-pixel L1 of replay_kl / replay_l2, both requery, mean over t = 1, 5, 10, 20",
    ),
    Claim(
        "kl_closer_than_l2",
        "Retrieval by KL keeps a lower KL divergence than retrieval by L2.",
        "KL of replay_kl / replay_l2, both requery, mean over t = 1, 5, 10, 20",
    ),
    Claim(
        "rollout_steadier",
        "The rollout buffer reduces the variance of the estimate.",
        "spread of the retrieved successors (root mean variance over latents) of rollout / replay_l2 at t = 1",
    ),
    Claim(
        "coverage_beats_volume",
        "Coverage counts, not volume: 5 well-chosen episodes do better than 30 badly chosen ones.",
        "moving-pixel L1 of replay_kl (requery), mean over t = 1, 5, 10, 20: 5 episodes chosen for coverage / the "
        "most episodes chosen for the lack of it",
    ),
    Claim(
        "vast_worlds_fail",
        "In a vast state space search falls behind PlaNet.",
        "moving-pixel L1 of rssm_latents / replay_kl (requery) at t = 10, in vast worlds only",
    ),
    Claim(
        "hard_conditioning_starves_rollout",
        "Conditioning on actions costs the rollout buffer more than the replay buffer.",
        "moving-pixel L1 at t = 1: (replay_l2 hard / replay_l2 none) / (rollout hard / rollout none)",
    ),
    Claim(
        "l2_hallucinates",
        "Replay-L2 mixes scenes: its retrieved successors disagree more than the world moves in a step.",
        "persistence's distance in latents to the truth / spread of replay_l2's successors at t = 1",
    ),
    Claim(
        "coherent_but_drifting",
        "Long predictions stay coherent and drift from the truth: the pictures stay like remembered ones.",
        "distance to the nearest remembered latent at t = 20 (small by construction: it predicts remembered latents) / "
        "distance to the truth at t = 20, replay_kl (requery)",
    ),
    Claim(
        "errors_compound",
        "Errors accumulate faster than in proportion to the steps.",
        "20 times the latent error of replay_kl (requery) at t = 1 / its latent error at t = 20",
    ),
    Claim(
        "kl_slower",
        "Replay-KL takes longer per step than Rollout (twice, in the paper).",
        "milliseconds per imagined step of rollout / replay_kl, both requery",
    ),
    Claim(
        "planning_acts",
        "Acting by the retrieved moments' own futures does better than chance.",
        "return of random play - return of voting over the futures of replay_kl's rows, as shares of the "
        "demonstrator's lead over random play",
        compare="difference",
        bound=0.0,
    ),
    Claim(
        "zero_shot_time",
        "Search is ahead of a PlaNet that has trained for little time in the same latents.",
        "moving-pixel L1 at t = 10 of replay_kl (requery) / rssm_latents at its smallest training budget, whose "
        "seconds stand beside the memory's",
    ),
)

_EXPERIMENTS: dict[str, Experiment] = {
    "horizon": Experiment(
        "One step, and long horizons",
        "How far from the truth is every strategy, mode and baseline, one step ahead and many?",
        lambda laboratory, folder: horizon.run(laboratory),
    ),
    "coverage": Experiment(
        "Coverage against volume",
        "Does it count how many episodes are remembered, or how much of the world they cover?",
        lambda laboratory, folder: coverage.run(laboratory),
    ),
    "conditioning": Experiment(
        "Conditioning on actions",
        "What does it cost, and what does it gain, to retrieve only what was done alike?",
        lambda laboratory, folder: conditioning.run(laboratory),
    ),
    "decomposition": Experiment(
        "Where errors come from",
        "How much of an error is drift in the latents, how much is lost in decoding, and how do they add up?",
        lambda laboratory, folder: decomposition.run(laboratory),
    ),
    "failures": Experiment(
        "Signatures of failure",
        "How often do retrieved moments disagree, miss, or drift away?",
        lambda laboratory, folder: failures.run(laboratory),
    ),
    "budget": Experiment(
        "Quality against time",
        "What quality is reached how many seconds after the episodes arrived, and what does a step cost?",
        lambda laboratory, folder: budget.run(laboratory),
    ),
    "similarity": Experiment(
        "How alike the episodes are",
        "How near do recorded episodes come to each other, and does that tell how well they predict?",
        lambda laboratory, folder: similarity.run(laboratory),
    ),
    "planning": Experiment(
        "Acting by recorded futures",
        "What return does a vote over what was done next in the retrieved moments reach in the real world?",
        planning.run,
    ),
}

_WORLDS = (
    "supertuxkart/lighthouse",
    "supertuxkart/fortmagma",
    "supertuxkart/snowmountain",
    "seaquest",
    "space_invaders",
    "vizdoom/my_way_home",
)
"""The worlds: three of the paper's tracks, its two Atari games, and one that is vast for the episodes at hand."""

_QUICK = StudyConfig(
    training=4,
    validation=1,
    held_out=2,
    further=3,
    max_steps=120,
    latent_shape=(16,),
    encoder_steps=100,
    baseline_steps={"latent_gru": 60, "rssm_latents": 40, "rssm_pixels": 6},
    budgets=(1 / 2,),
    horizon=20,
    starts=4,
    timing_batch=8,
    sizes=(1, 2, 5, 7),
    draws=1,
    play_episodes=2,
    play_steps=60,
)
"""Only shows that everything works: its verdicts mean nothing."""

PAPER = Study(
    name="paper",
    title="World models by search in memory: the paper's claims, measured",
    experiments=_EXPERIMENTS,
    claims=_CLAIMS,
    worlds=_WORLDS,
    sizes={"full": StudyConfig(), "quick": _QUICK},
    figures={
        "horizon": ("horizon", "moving_pixel_l1"),
        "coverage": ("coverage", "moving_pixel_l1"),
        "budget": ("budget", "moving_pixel_l1"),
    },
)
"""Every claim and every experiment of the paper, beside a trained PlaNet."""
