"""Approximate indexes kept beside a memory, so that each is built once.

<folder>/<metric>-<fingerprint>/approximate.safetensors     see `files`; the fingerprint is that of the rows it is of
"""

import logging
from pathlib import Path

from memworld.errors import MemworldError
from memworld.search import Candidates
from memworld.search.approximate.files import fingerprint
from memworld.search.approximate.index import ApproximateIndex
from memworld.storage import delete

KEPT = 32
"""Indexes in a folder; of more, those that were written first are deleted."""

_log = logging.getLogger(__name__)


class IndexShelf:
    """Where the approximate indexes of one memory are kept for the next time."""

    def __init__(self, folder: Path | None) -> None:
        """Keep them in `folder`, which may not be there yet; None keeps nothing."""
        self._folder = folder

    def index(self, metric: str, candidates: Candidates) -> ApproximateIndex:
        """The index of these candidates: the one that is kept, or one built now and kept.

        Raises:
            MemworldError: see `ApproximateIndex`.
        """
        if self._folder is None:
            return ApproximateIndex(metric, candidates)
        place = self._folder / f"{metric}-{fingerprint(metric, candidates)[:32]}"
        if place.is_dir():
            try:
                return ApproximateIndex.open(place, candidates)
            except MemworldError as error:  # it can be built anew
                _log.warning("%s", error)
        built = ApproximateIndex(metric, candidates)
        if built.codes == "exact":  # which takes no time to build
            return built
        try:
            built.save(place)
            self._drop_old()
        except (MemworldError, OSError) as error:  # it is there to be used all the same
            _log.info("%s", error)
        return built

    def _drop_old(self) -> None:
        assert self._folder is not None
        kept = sorted(self._folder.iterdir(), key=lambda child: child.lstat().st_mtime, reverse=True)
        for old in kept[KEPT:]:
            delete(old)
