"""Scripted policies that play well, by the name of their game."""

from memworld.worlds.atari.freeway import FreewayDemonstrator
from memworld.worlds.atari.pong import PongDemonstrator
from memworld.worlds.atari.seaquest import SeaquestDemonstrator
from memworld.worlds.atari.space_invaders import SpaceInvadersDemonstrator
from memworld.worlds.policies import PolicyFactory, skilled

DEMONSTRATORS: dict[str, PolicyFactory] = {
    "pong": skilled(lambda action_space, rng: PongDemonstrator(rng)),
    "freeway": skilled(lambda action_space, rng: FreewayDemonstrator()),
    "seaquest": skilled(lambda action_space, rng: SeaquestDemonstrator(rng)),
    "space_invaders": skilled(lambda action_space, rng: SpaceInvadersDemonstrator(rng)),
}
