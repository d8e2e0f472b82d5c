"""The command line: every command once on real data, and every bad input gets one line and exit code 2."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

import memworld
from memworld.cli.model import signed
from memworld.pipeline import RunResult
from tests.store.contents import files_with

Run = tuple[Path, RunResult]
Call = Callable[..., Result]


def refused(result: Result, *words: str) -> None:
    """Exit code 2, and on standard error one line that starts alike and holds `words`."""
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    # A progress bar may have begun before.
    bars = ("/s]", "s/it]", "it/s]")
    lines = [line for line in result.stderr.strip().splitlines() if not any(bar in line for bar in bars)]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("memworld: error: ")
    for word in words:
        assert word in lines[0], (word, lines[0])


def folder_of_npz(path: Path, **changes: object) -> Path:
    """A folder with one plain episode of three steps on 64 x 64 frames, some arrays replaced."""
    arrays: dict[str, object] = {
        "observations": np.zeros((4, 64, 64, 3), np.uint8),
        "actions": np.array([0, 1, 2]),
        "rewards": np.zeros(3),
        **changes,
    }
    path.mkdir(parents=True)
    np.savez(path / "e0.npz", **arrays)  # type: ignore[arg-type]
    return path


def test_version_and_help(call: Call) -> None:
    assert call("--version").output.strip() == memworld.__version__
    text = call("--help").output
    for command in ("demo", "record", "train", "remember", "forget", "inspect", "imagine", "evaluate", "worlds"):
        assert command in text
    assert "pong" in call("worlds").output.split()


def test_record_train_remember_inspect_imagine_forget(call: Call, tmp_path: Path) -> None:
    """What a newcomer types, one after the other."""
    data, encoder, memory = (tmp_path / name for name in ("data", "encoder", "memory"))
    done = call(
        "record", "pong", "-o", data, "--policy", "demonstrator", "-n", 3, "--max-steps", 60,
        "--skill", 1.0, "--skill", 0.5, "-q",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "3 episodes, 180 steps" in done.output
    assert [e.source["skill"] for e in memworld.open_dataset(data)] == [1.0, 0.5, 1.0]
    done = call("train", data, "-o", encoder, "--latent-shape", "4x8x8", "--steps", 150, "--batch-size", 16, "-q")
    assert done.exit_code == 0, done.output
    assert "latents [4, 8, 8]" in done.output
    done = call("remember", data, "--encoder", encoder, "-o", memory, "-q")
    assert done.exit_code == 0, done.output
    assert "2 episodes, 120 transitions" in done.output
    described = json.loads(call("inspect", memory, "--json").output)
    assert described["transitions"] == 120
    assert sum(described["actions"].values()) == 120
    assert "coverage" in call("inspect", memory).output
    assert "transitions" in call("inspect", data).output
    picture = tmp_path / "strip.png"
    done = call("imagine", memory, data, "--horizon", 5, "--strategy", "rollout", "-o", picture)
    assert done.exit_code == 0, done.output
    assert done.output.count("support") == 5
    assert picture.stat().st_size > 0
    kept, gone = described["episode_ids"]
    done = call("forget", memory, gone, "--erase")
    assert done.exit_code == 0, done.output
    assert json.loads(call("inspect", memory, "--json").output)["episode_ids"] == [kept]
    # But for the encoder, which says what it was trained on.
    assert {name.split("/")[0] for name in files_with(memory, gone.encode())} <= {"encoder"}
    assert call("check", memory).output == f"{memory}: sound: 1 episodes, 61 rows, 1 version\n"


def test_demo_prints_where_the_report_is_and_what_to_type_next(call: Call, quick_run: Path) -> None:
    output = quick_run
    done = call("demo", "--quick", "--output", output, "-q")
    assert done.exit_code == 0, done.output
    assert f"The report is {output / 'report.html'}" in done.output
    told, following = done.output.split("\nNext:\n")
    assert following.splitlines()[0].endswith(f"memworld play {output / 'memory'}")
    assert "--start 100 --output imagined.png\n" in following
    assert "python -c" not in following
    assert "its numbers mean nothing" in told
    assert "\nThe default dynamics, analogues, " in told
    rows = {line.split("  ")[0]: line for line in told.splitlines()}
    assert {"persistence", "rollout requery", "replay_kl follow", "default follow"} <= rows.keys()
    assert all(any(word in rows[name] for word in ("yes", "no", "not shown")) for name in rows if " requery" in name)
    assert "do not beat" not in told, "the table says it"


def test_rewards_are_signed_but_for_nothing() -> None:
    assert [signed(reward) for reward in (-0.001, -0.0, 0.004, -1.0, 0.25)] == [
        "+0.00",
        "+0.00",
        "+0.00",
        "-1.00",
        "+0.25",
    ]


def test_unknown_game_policy_and_world(call: Call, tmp_path: Path) -> None:
    refused(call("record", "ponng", "-o", tmp_path / "a"), "unknown world 'ponng'", "did you mean pong")
    refused(call("record", "pong", "-o", tmp_path / "a", "--policy", "expert"), "no policy 'expert'")
    refused(call("demo", "--world", "breakout", "-o", tmp_path / "a"), "no demonstrator")
    assert not (tmp_path / "a").exists()


def test_no_episodes(call: Call, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for command in (("train", tmp_path / "empty", "-o", tmp_path / "o"), ("inspect", tmp_path / "empty")):
        refused(call(*command), str(tmp_path / "empty"))
    refused(call("inspect", tmp_path / "nowhere"), "nowhere")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"actions": np.zeros(0, np.int64), "rewards": np.zeros(0)}, "no actions"),
        ({"observations": np.full((4, 64, 64, 3), np.nan)}, "float64 with NaN"),
        ({"observations": np.zeros((4, 64, 64, 3), np.int32)}, "type int32"),
        ({"observations": np.zeros((5, 64, 64, 3), np.uint8)}, "5 observations and 3 actions"),
        ({"rewards": np.array([0.0, np.nan, 0.0])}, "NaN or infinity in its rewards"),
        ({"actions": np.array([0, -1, 2])}, "-1"),
    ],
)
def test_bad_episodes(call: Call, tmp_path: Path, changes: dict[str, object], words: str) -> None:
    data = folder_of_npz(tmp_path / "data", **changes)
    refused(call("inspect", data), words)
    refused(call("train", data, "-o", tmp_path / "encoder", "--held-out", 1), "")


def test_actions_outside_the_space(call: Call, quick_run: Path, tmp_path: Path) -> None:
    """Episodes whose actions a memory's space does not hold."""
    output = quick_run
    data = folder_of_npz(tmp_path / "data", actions=np.array([0, 1, 77]))
    encoder = output / "encoder"
    memory = tmp_path / "memory"
    done = call("remember", data, "--encoder", encoder, "-o", memory, "--held-out", 0, "-q")
    assert done.exit_code == 0, done.output
    refused(call("imagine", output / "memory", data, "--horizon", 3), "action 77 is outside Discrete(6)")


def test_frames_of_another_size_than_the_encoder_s(call: Call, quick_run: Path, tmp_path: Path) -> None:
    output = quick_run
    data = folder_of_npz(tmp_path / "data", observations=np.zeros((4, 32, 32, 3), np.uint8))
    done = call("remember", data, "--encoder", output / "encoder", "-o", tmp_path / "memory", "--held-out", 0)
    refused(done, "(64, 64, 3)", "(32, 32, 3)", "resize")
    refused(call("imagine", output / "memory", data, "--horizon", 2), "(64, 64, 3)", "(32, 32, 3)")


def test_truncated_and_corrupt_files(call: Call, quick_run: Path, tmp_path: Path) -> None:
    import shutil

    output = quick_run
    for part, pattern, command in (
        ("episodes", "episodes/*.npz", "train"),
        ("episodes", "dataset.json", "inspect"),
        ("memory", "memory.json", "inspect"),
        ("memory", "versions/*.json", "inspect"),
        ("memory", "arrays/*/mu.bin", "inspect"),
        ("memory", "arrays/*/episodes.jsonl", "check"),
        ("memory", "rows.lance/data/*.lance", "check"),
        ("memory", "rows.lance/data/*.lance", "compact"),
        ("memory", "encoder/encoder.safetensors", "imagine"),
        ("memory", "encoder/encoder.json", "imagine"),
    ):
        copy = tmp_path / f"{part}-{pattern.replace('/', '-').replace('*', 'x')}-{command}"
        shutil.copytree(output / part, copy)
        file = sorted(copy.glob(pattern))[0]
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        more = {"imagine": (output / "episodes",), "train": ("--output", tmp_path / "encoder", "--held-out", 0)}
        refused(call(command, copy, *more.get(command, ())), file.name)


def test_a_memory_of_another_encoder(call: Call, quick_run: Path, tmp_path: Path) -> None:
    import shutil

    output = quick_run
    other, mixed = tmp_path / "other", tmp_path / "mixed"
    done = call("train", output / "episodes", "-o", other, "--steps", 150, "--batch-size", 16, "--seed", 1, "-q")
    assert done.exit_code == 0, done.output
    shutil.copytree(output / "memory", mixed)
    shutil.rmtree(mixed / "encoder")
    shutil.copytree(other, mixed / "encoder")
    refused(call("imagine", mixed, output / "episodes"), "was made by encoder", "this is encoder")
    done = call("remember", output / "episodes", "--encoder", other, "-o", output / "memory", "--resume")
    refused(done, "holds a memory with encoder")


def test_horizon_0_and_k_beyond_memory(call: Call, quick_run: Path, tmp_path: Path) -> None:
    output = quick_run
    imagine = ("imagine", output / "memory", output / "episodes")
    refused(call(*imagine, "--horizon", 0), "horizon is 0")
    refused(call(*imagine, "--strategy", "replay_l2", "--k", 100000), "k=100000 is outside 1 to 450")
    refused(call(*imagine, "--strategy", "replay"), "unknown strategy 'replay'")
    refused(call(*imagine, "--mode", "walk"), "unknown mode 'walk'")
    refused(call(*imagine, "--strategy", "analogues", "--k", 3), "leave out k and conditioning")
    refused(call(*imagine, "--strategy", "analogues", "--mode", "reanchor"), "use follow or requery")
    done = call(*imagine, "--strategy", "analogues", "--start", 20, "--horizon", 3)
    assert done.exit_code == 0
    assert done.output.count("from ") == 4  # the start, and a source for each step
    assert call(*imagine, "--seed", 2**64).exit_code == 2
    evaluate = ("evaluate", output / "memory", output / "episodes", "-o", tmp_path / "e")
    refused(call(*evaluate, "--horizon", 0), "horizon must be at least 1")
    refused(call(*evaluate, "--horizon", 5000), "no held-out episode has 5000 steps")


def test_output_that_exists_or_cannot_be_written(call: Call, quick_run: Path, tmp_path: Path) -> None:
    output = quick_run
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("do not touch")
    commands = (
        ("record", "pong"),
        ("train", output / "episodes"),
        ("remember", output / "episodes", "--encoder", output / "encoder"),
        ("evaluate", output / "memory", output / "episodes"),
    )
    for command in commands:
        refused(call(*command, "-o", foreign), "exists and is not empty")
        refused(call(*command, "-o", foreign, "--overwrite"), "not memworld's to overwrite")
        refused(call(*command, "-o", foreign / "thesis.txt"), "is a file")
        refused(call(*command, "-o", foreign / "thesis.txt" / "below"), "thesis.txt")
        refused(call(*command, "-o", "/proc/nowhere"), "/proc/nowhere")
    refused(call("demo", "-o", foreign), "holds no config.json of a memworld run")
    (foreign / "config.json").write_text("{}")
    refused(call("demo", "-o", foreign, "--overwrite"), "not memworld's to overwrite")
    (foreign / "config.json").unlink()
    refused(call("train", output / "episodes", "-o", tmp_path / "x", "--resume", "--overwrite"), "contradict")
    assert (foreign / "thesis.txt").read_text() == "do not touch"


def test_options_that_mean_nothing_are_refused(call: Call, quick_run: Path, tmp_path: Path) -> None:
    output = quick_run
    train = ("train", output / "episodes", "-o", tmp_path / "encoder")
    refused(call(*train, "--latent-shape", "big"), "neither a number nor CxHxW")
    refused(call(*train, "--latent-shape", "4x8"), "neither (d,) nor (c, h, w)")
    refused(call(*train, "--latent-shape", "4x7x7"), "grid")
    refused(call(*train, "--objective", "gamma"), "unknown objective 'gamma'")
    refused(call(*train, "--steps", 0), "steps must be at least 1")
    refused(call(*train, "--held-out", 4), "1 episode is left to train on, and one more is needed")
    refused(call(*train, "--held-out", 5), "cannot hold out 5 of 5")
    refused(call(*train, "--beta", 4), "belongs to the objective beta")
    refused(call(*train, "--batch-size", 10**11), "out of memory")
    refused(call("record", "pong", "-o", tmp_path / "r", "--skill", 2.0), "skill is 2.0")
    refused(call("record", "pong", "-o", tmp_path / "r", "--episodes", 0), "episodes is 0")
    refused(call("forget", output / "memory", "nobody"), "no episode 'nobody'")
    assert call("record", "pong").exit_code == 2  # --output is missing
    assert call("imagination").exit_code == 2


def test_a_picture_never_replaces_another_file(call: Call, quick_run: Path, tmp_path: Path) -> None:
    output = quick_run
    imagine = ("imagine", output / "memory", output / "episodes", "--horizon", 2, "-o")
    before = (output / "memory" / "memory.json").read_bytes()
    refused(call(*imagine, output / "memory" / "memory.json"), "no name of a picture")
    assert (output / "memory" / "memory.json").read_bytes() == before
    (tmp_path / "thesis.png").write_text("no picture")
    refused(call(*imagine, tmp_path / "thesis.png"), "exists and is no PNG")
    assert call(*imagine, tmp_path / "strip.png").exit_code == 0
    assert call(*imagine, tmp_path / "strip.png").exit_code == 0


def test_episodes_of_another_world(call: Call, quick_run: Path, tmp_path: Path) -> None:
    output = quick_run
    done = call("record", "freeway", "-o", tmp_path / "freeway", "-n", 2, "--max-steps", 20, "-q")
    assert done.exit_code == 0, done.output
    refused(call("imagine", output / "memory", tmp_path / "freeway"), "the memory has world pong")
    refused(
        call("evaluate", output / "memory", tmp_path / "freeway", "-o", tmp_path / "e"), "the memory has world pong"
    )
    done = call("record", "pong", "-o", tmp_path / "other", "-n", 5, "--max-steps", 150, "-q")
    assert done.exit_code == 0, done.output
    refused(
        call("imagine", output / "memory", tmp_path / "other", "--horizon", 2), "is not the one that the memory holds"
    )
    assert not (tmp_path / "e").exists()


def test_evaluate_resumes_and_says_how_to_make_the_report_again(call: Call, quick_run: Path, tmp_path: Path) -> None:
    output = quick_run
    target = tmp_path / "my evaluation"
    command = ("evaluate", output / "memory", output / "episodes", "--horizon", 3, "--starts", 2, "-q", "-o", target)
    done = call(*command)
    assert done.exit_code == 0, done.output
    refused(call(*command), "exists and is not empty")
    assert call(*command, "--resume").exit_code == 0
    refused(call(*command, "--resume", "--seed", 5), "begun with other settings")
    page = (target / "report.html").read_text()
    assert "--horizon 3 --starts 2 --conditioning none --seed 0" in page
    assert "my evaluation&#39;" in page


def test_worlds_say_what_they_need(call: Call) -> None:
    listed = {world["name"]: world for world in json.loads(call("worlds", "--json").output)}
    for name in ("pong", "seaquest", "atari/adventure", "supertuxkart/lighthouse", "vizdoom/my_way_home", "crafter"):
        world = listed[name]
        assert world["runs"] == (world["missing"] == [])
        assert all("install" in what for what in world["missing"])
    assert listed["pong"]["runs"]
    assert {"minetest/navigate", "minetest/treechop"} <= set(listed)
    brief, every = call("worlds").output, call("worlds", "--all").output
    assert "atari/adventure" not in brief
    assert "memworld worlds --all" in brief
    assert "atari/adventure" in every


@pytest.mark.parametrize("to", ["minari", "minerl", "video"])
def test_record_into_another_format_and_cut_it(call: Call, tmp_path: Path, to: str) -> None:
    data, short = tmp_path / "data", tmp_path / "short"
    play = ("record", "seaquest", "-o", data, "--policy", "demonstrator", "--max-steps", 7, "--to", to, "-q")
    assert call(*play, "-n", 1).exit_code == 0
    refused(call(*play, "-n", 2), "exists and is not empty")
    assert call(*play, "-n", 2, "--resume").exit_code == 0
    done = call("convert", data, "-o", short, "--cut", 3, "-q")
    assert done.exit_code == 0, done.output
    assert [len(episode) for episode in memworld.open_dataset(short)] == [3, 3, 1] * 2
    refused(call("convert", data, "-o", tmp_path / "no", "--cut", 0), "most_steps is 0")
    refused(call("convert", data, "-o", tmp_path / "no", "--frame-after-action"), "leave that option out")
    refused(call("record", "seaquest", "-o", tmp_path / "no", "--to", "lerobot"), "does not write it")
    assert not (tmp_path / "no").exists()
