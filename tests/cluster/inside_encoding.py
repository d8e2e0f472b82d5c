"""What holds of encoding on a real cluster of two machines; `test_on_cluster.py` runs this in namespaces."""

import os
import re
import shutil
import signal
import threading
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from memworld.cli import app
from memworld.cluster import Cluster, remember_on_cluster
from memworld.formats import find_writer
from memworld.memory import Memory
from memworld.remember import remember as remember_here
from memworld.store import open_memory
from tests.cluster.machines import ADDRESS, Machines
from tests.helpers import assert_same_memory, moving_square_dataset, one_clear_error, untrained_vae

ROOT = Path(__file__).parent.parent.parent
SHAPE = (32, 32, 3)
ENCODER = untrained_vae(SHAPE, (6,))


@pytest.fixture(scope="session")
def recorded(machines: Machines) -> Path:
    """A data set, its encoder beside it, and a memory of it that was made in this process."""
    dataset = moving_square_dataset(9, 150, SHAPE)
    with find_writer("npz")(machines.folder / "recorded", dataset.info, "error") as writer:
        for episode in dataset:
            writer.append(episode)
    ENCODER.save(machines.folder / "encoder")
    remember_here(dataset, ENCODER, machines.folder / "here", seed=4)
    return machines.folder


def test_a_memory_encoded_on_a_cluster_is_the_one_encoded_here(cluster: Cluster, recorded: Path) -> None:
    made = remember_on_cluster(cluster, recorded / "recorded", recorded / "encoder", recorded / "spread", seed=4)
    assert_same_memory(made, open_memory(recorded / "here"))
    assert_same_memory(open_memory(recorded / "spread"), open_memory(recorded / "here"))


def test_episodes_of_a_killed_worker_are_encoded_again(machines: Machines, cluster: Cluster, recorded: Path) -> None:
    made: list[Memory] = []
    arguments = (cluster, recorded / "recorded", recorded / "encoder", recorded / "killed")
    remembering = threading.Thread(target=lambda: made.append(remember_on_cluster(*arguments, seed=4)))
    ready = machines.processes("ray::IDLE")
    for pid in ready:
        os.kill(pid, signal.SIGSTOP)  # so that they take an episode and cannot have encoded it before they die
    remembering.start()
    remembering.join(0.5)
    assert remembering.is_alive()
    victims = {*ready, *machines.processes("ray::encode_one")}  # new processes take seconds to load PyTorch
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    remembering.join()
    assert_same_memory(made[0], open_memory(recorded / "here"))


def test_encoding_resumes_and_takes_part_of_a_data_set(cluster: Cluster, recorded: Path) -> None:
    whole = open_memory(recorded / "here")
    arguments = (cluster, recorded / "recorded", recorded / "encoder", recorded / "resumed")
    part = remember_on_cluster(*arguments, ids=["e0", "e1", "e5"], seed=4)
    assert part.ids == ("e0", "e1", "e5")
    with one_clear_error("exists and is not empty"):
        remember_on_cluster(*arguments, seed=4)
    rest = remember_on_cluster(*arguments, seed=4, on_existing="resume")
    assert rest.ids == ("e0", "e1", "e5", "e2", "e3", "e4", "e6", "e7", "e8")
    for name in ("mu", "sigma", "z"):
        for episode in rest.episodes:
            other = whole.episodes[whole.ids.index(episode.entry.id)]
            assert torch.equal(getattr(episode.latents, name), getattr(other.latents, name))


def test_the_program_encodes_on_a_cluster(cluster: Cluster, recorded: Path) -> None:
    data, encoder, output = recorded / "recorded", recorded / "encoder", recorded / "program"
    options = ["--encoder", encoder, "-o", output, "--held-out", 2, "--seed", 4, "--quiet", "--cluster", ADDRESS]
    done = CliRunner().invoke(app, [str(a) for a in ("remember", data, *options)])
    assert done.exit_code == 0, done.output
    assert len(open_memory(output).ids) == 7
    whole = open_memory(recorded / "here")
    for episode in open_memory(output).episodes:
        assert torch.equal(episode.latents.z, whole.episodes[whole.ids.index(episode.entry.id)].latents.z)
    refused = CliRunner().invoke(app, [str(a) for a in ("remember", data, *options[:-1], "127.0.0.9:1", "--resume")])
    assert (refused.exit_code, "memworld: error: this process is connected to" in refused.output) == (2, True)


def test_data_that_a_machine_does_not_see(machines: Machines, cluster: Cluster, recorded: Path) -> None:
    ENCODER.save(machines.hidden / "encoder")
    with one_clear_error("worker on .*hidden/encoder is not to be seen there: put data and encoder where every"):
        remember_on_cluster(cluster, recorded / "recorded", machines.hidden / "encoder", recorded / "unseen", seed=4)
    kept = open_memory(recorded / "unseen")  # what came before it is stored
    assert kept.ids == open_memory(recorded / "here").ids[: len(kept.ids)]


def test_the_code_in_the_documentation_runs(
    machines: Machines, cluster: Cluster, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = machines.folder / "docs"
    for name, folder in (("episodes", "recorded"), ("encoder", "encoder"), ("memory", "here")):
        shutil.copytree(recorded / folder, place / "runs/demo" / name)
    monkeypatch.chdir(place)
    blocks = re.findall(r"^```py\n(.*?)^```", (ROOT / "docs/scale.md").read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "scale.md", "exec"), names)
    assert len(blocks) == 3
    assert open_memory("runs/spread").ids == open_memory("runs/demo/memory").ids
