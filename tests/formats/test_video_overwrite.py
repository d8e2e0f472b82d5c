"""Videos and tables that are overwritten, and a kill while the old ones go."""

from pathlib import Path

import numpy as np
import pytest

from memworld.datasets import EpisodeDataset
from memworld.formats.video import VIDEO, VideoWriter, open_video
from memworld.storage import OnExisting
from tests.helpers import assert_same_dataset, folder_bytes, make_dataset, one_clear_error


def write(dataset: EpisodeDataset, path: Path, on_existing: OnExisting = "error") -> EpisodeDataset:
    with VideoWriter(path, dataset.info, on_existing) as writer:
        for episode in dataset:
            writer.append(episode)
    return open_video(path)


class Stop(BaseException):
    """What ends a write as a kill does."""


def overwrite_until(deletions: int, dataset: EpisodeDataset, folder: Path) -> bool:
    """Overwrite the set in `folder`, but stop before more than so many files are deleted; whether it stopped."""
    unlink, deleted = Path.unlink, 0

    def unlink_or_stop(path: Path, missing_ok: bool = False) -> None:
        nonlocal deleted
        if path.parent == folder and not path.name.startswith(".tmp-"):
            if deleted == deletions:
                raise Stop
            deleted += 1
        unlink(path, missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", unlink_or_stop)
        try:
            VideoWriter(folder, dataset.info, "overwrite").close()
        except Stop:
            return True
    return False


def test_a_killed_overwrite_can_go_on_and_mixes_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    old = make_dataset(rng, episodes=3)
    new = make_dataset(rng, episodes=3, shape=(4, 4, 3))  # of the same ids
    write(new, tmp_path / "new")
    stops = 0
    ways: tuple[OnExisting, ...] = ("resume", "overwrite")
    for on_existing in ways:
        for deletions in range(100):
            folder = tmp_path / f"{on_existing}-{deletions}"
            write(old, folder)
            stopped = overwrite_until(deletions, new, folder)
            if not stopped:
                break
            stops += 1
            if (folder / "memworld-video.json").is_file():
                assert VIDEO.found(folder)
                assert open_video(folder).ids == ()
                with one_clear_error("use --resume or --overwrite"):
                    VideoWriter(folder, new.info)
            # Stopped once more, it still goes on.
            overwrite_until(1, new, folder)
            assert_same_dataset(write(new, folder, on_existing=on_existing), new)
            assert folder_bytes(folder) == folder_bytes(tmp_path / "new")
    assert stops == 2 * (2 * 3 + 1)  # videos, tables and the marker
