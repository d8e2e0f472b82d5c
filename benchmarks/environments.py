"""Steps per second of imagined environments, in frames and in latents.

python benchmarks/environments.py runs/demo/memory
"""

import argparse
import time

import memworld


def steps_per_second(envs: memworld.ImaginedVectorEnv, seconds: float) -> float:
    """Environment steps under random actions, those that end beginning anew, after a warm-up of 20 steps."""
    envs.reset(seed=0)
    envs.action_space.seed(0)
    steps, started = -20, time.perf_counter()
    while steps <= 0 or time.perf_counter() - started < seconds:
        envs.step(envs.action_space.sample())
        steps += 1
        if steps == 0:
            started = time.perf_counter()
    return steps * envs.num_envs / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("memory", help="a memory's folder")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    arguments = parser.parse_args()
    world = memworld.WorldModel.open(arguments.memory)
    world.prepare()
    print(world.memory)
    for num_envs in arguments.num_envs:
        for observations in ("frames", "latents"):
            envs = memworld.ImaginedVectorEnv(world, num_envs, observations=observations)
            speed = steps_per_second(envs, arguments.seconds)
            print(f"{num_envs} environments, {observations}: {speed:.0f} steps/s", flush=True)


if __name__ == "__main__":
    main()
