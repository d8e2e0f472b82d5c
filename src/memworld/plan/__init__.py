"""Acting by imagination: what is wanted, what might be done, and the planners that choose.

`planning_policy` joins a world model and a planner to a policy for the real world. The parts: `objective.py` says
how good a future is, `value.py` what its end is worth, `behaviour.py` what good agents do, and one file each holds a
planner: `vote.py` (the paper's), `random_shooting.py`, `cem.py`, `mppi.py`. `cloning.py` acts without imagination.
`costs.py` lets the solvers of stable-worldmodel plan.
"""

from collections.abc import Callable, Mapping

import numpy as np

from memworld.analogues import AnalogueConfig
from memworld.dynamics import DynamicsConfig
from memworld.errors import MemworldError, lookup
from memworld.gaussian import seeded
from memworld.memory import Rows
from memworld.plan.behaviour import Behaviour
from memworld.plan.cem import CEM
from memworld.plan.cloning import BehaviourPolicy, NearestNeighbours
from memworld.plan.config import PlanConfig
from memworld.plan.costs import SolverCost
from memworld.plan.mppi import MPPI
from memworld.plan.objective import Goal, Objective, Return
from memworld.plan.policy import Mind, PlanningPolicy, Policy, PolicyMaker
from memworld.plan.problem import Decision, Planner, Problem, Proposals
from memworld.plan.random_shooting import RandomShooting
from memworld.plan.value import EpisodicValue
from memworld.plan.vote import Voter
from memworld.search.exact import ExactIndex
from memworld.world_model import WorldModel

DYNAMICS = AnalogueConfig.steering()
"""The dynamics to plan with unless another is asked for."""

VOTERS = 10
"""Rows of which the paper's vote is taken."""

Make = Callable[[WorldModel, PlanConfig, np.ndarray | None], PolicyMaker]


def _imagining(make: Callable[[PlanConfig], Planner]) -> Make:
    def policies(world: WorldModel, config: PlanConfig, goal: np.ndarray | None) -> PolicyMaker:
        planner, mind = make(config), Mind(world, config, goal)
        return lambda rng: PlanningPolicy(mind, planner, rng)

    return policies


def _vote(world: WorldModel, config: PlanConfig, goal: np.ndarray | None) -> PolicyMaker:
    settings = DynamicsConfig("replay_kl", k=min(VOTERS, world.memory.steps), conditioning="none")
    voting = WorldModel(world.encoder, world.memory, settings)
    return lambda rng: Voter(voting, seeded(int(rng.integers(2**32))))


def _behaviour(world: WorldModel, config: PlanConfig, goal: np.ndarray | None) -> PolicyMaker:
    behaviour = Behaviour(world.memory.rows, world.memory.info.action_space, config.best)
    return lambda rng: BehaviourPolicy(world, behaviour, rng)


def _nearest(world: WorldModel, config: PlanConfig, goal: np.ndarray | None) -> PolicyMaker:
    index = ExactIndex.of(world.memory.rows, "l2")
    return lambda rng: NearestNeighbours(world, index)


PLANNERS: Mapping[str, Make] = {
    "vote": _vote,
    "vinn": _nearest,
    "behaviour": _behaviour,
    "random_shooting": _imagining(lambda c: RandomShooting(c.candidates)),
    "cem": _imagining(lambda c: CEM(c.candidates, c.iterations or CEM.iterations)),
    "mppi": _imagining(lambda c: MPPI(c.candidates, c.iterations or MPPI.iterations, c.temperature)),
}
"""The ways to act by name. `vote`, `vinn` and `behaviour` do not imagine: they do what was done, whatever is wanted."""


def planning_policy(world: WorldModel, config: PlanConfig, goal: np.ndarray | None = None) -> PolicyMaker:
    """What makes the policies of episodes.

    Args:
        world: to plan in; `DYNAMICS` serves planning best.
        config: how.
        goal: uint8 (H, W, C), the picture to come to look like, of the objective `goal`.

    Returns:
        From a generator to `policy(observation, info) -> action` in the stored form, for one episode. It has
        `decision_seconds`, a list with an entry for every decision, and `support` likewise, empty where it is not
        known. An episode is begun with what memory holds by then.

    Raises:
        MemworldError: an unknown planner, a memory that is empty or has no rewards, or a goal that does not go with
            the objective.
    """
    make = lookup(PLANNERS, config.planner, "planner")

    def learn() -> tuple[Rows, PolicyMaker]:
        if world.memory.steps == 0:
            raise MemworldError("the memory is empty: remember episodes before planning with it")
        return world.memory.rows, make(world, config, goal)

    learned, policies = learn()

    def begin(rng: np.random.Generator) -> Policy:
        nonlocal learned, policies
        if world.memory.rows is not learned:
            learned, policies = learn()
        return policies(rng)

    return begin


__all__ = [
    "CEM",
    "DYNAMICS",
    "MPPI",
    "PLANNERS",
    "Behaviour",
    "Decision",
    "EpisodicValue",
    "Goal",
    "Objective",
    "PlanConfig",
    "Planner",
    "PlanningPolicy",
    "Problem",
    "Proposals",
    "RandomShooting",
    "Return",
    "SolverCost",
    "planning_policy",
]
