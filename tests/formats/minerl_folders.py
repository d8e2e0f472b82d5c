"""MineRL's folders, made by hand from the description of the format."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from memworld.formats.video_frames import write_frames

BUTTONS = ("forward", "left", "back", "right", "jump", "sneak", "sprint", "attack")


def video_of(count: int, seed: int = 0, height: int = 8, width: int = 10) -> np.ndarray:
    """uint8 (count, height, width, 3); no two frames are alike."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def navigate_arrays(steps: int, version: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """`rendered.npz` of a recording of MineRLNavigate-v0."""
    rng = np.random.default_rng(seed)
    action, observation = ("action_", "observation_") if version < 3 else ("action$", "observation$")
    compass = "compass$angle" if version == 4 else "compassAngle"
    inventory = "inventory$dirt" if version >= 3 else "inventory_dirt"
    arrays: dict[str, np.ndarray] = {f"{action}{name}": rng.integers(0, 2, steps) for name in BUTTONS}
    arrays |= {
        "reward": rng.normal(size=steps).astype(np.float32),
        f"{action}camera": rng.uniform(-30, 30, (steps, 2)).astype(np.float32),
        f"{action}place": rng.choice(["none", "dirt"], steps),
        f"{observation}{compass}": rng.uniform(-180, 180, steps + 1),
        f"{observation}{inventory}": rng.integers(0, 64, steps + 1),
    }
    return arrays


def make_recording(
    folder: Path,
    arrays: dict[str, np.ndarray],
    video: np.ndarray | None = None,
    **metadata: Any,
) -> np.ndarray:
    """Write a recording, by default with three frames before its first; a metadata entry of None is left out.

    Returns:
        The frames of its video.
    """
    folder.mkdir(parents=True)
    steps = len(arrays["reward"])
    video = video_of(steps + 4, seed=steps) if video is None else video
    write_frames(folder / "recording.mp4", video, 20)
    np.savez_compressed(folder / "rendered.npz", **arrays)  # type: ignore[arg-type]
    values = {
        "success": True,
        "duration_ms": steps * 50,
        "duration_steps": steps,
        "total_reward": float(arrays["reward"].sum()),
        "stream_name": folder.name,
        "true_video_frame_count": len(video),
    } | metadata
    known = {name: value for name, value in values.items() if value is not None}
    (folder / "metadata.json").write_text(json.dumps(known))
    return video
