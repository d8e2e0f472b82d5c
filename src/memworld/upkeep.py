"""A dynamics that keeps up with its memory: built when it is first asked for, and again when memory has changed."""

from memworld.encoders import Encoder
from memworld.engine import Engine, ResolvedSettings
from memworld.imagine import Dynamics
from memworld.learned import Shelf
from memworld.memory import Memory, Rows
from memworld.pictures import Painter
from memworld.search.growing import has_grown


class Upkeep:
    """What is built of a memory, as it is whenever it is asked for.

    Where memory has only grown, what is new is indexed, and what was learned is kept for as long as it holds
    (`learned`); otherwise all is built anew.
    """

    def __init__(
        self, encoder: Encoder, memory: Memory, settings: ResolvedSettings, engine: Engine, shelf: Shelf
    ) -> None:
        """Nothing is built yet.

        Args:
            encoder: the memory's.
            memory: what it is built of.
            settings: of the dynamics.
            engine: by which it is built.
            shelf: where what is learned is kept.

        Raises:
            MemworldError: settings that the engine cannot build.
        """
        engine.check(settings)
        self.settings, self.engine, self.shelf = settings, engine, shelf
        self._encoder, self._memory = encoder, memory
        self._rows: Rows | None = None  # of which the two below were made
        self._dynamics: Dynamics | None = None
        self._painter: Painter | None = None

    def dynamics(self, progress: bool = False) -> Dynamics:
        """The dynamics of what memory holds now.

        Args:
            progress: whether to show bars while it is built.

        Raises:
            MemworldError: an empty memory, or one that the settings do not suit.
        """
        rows = self._memory.rows
        if self._dynamics is None or rows is not self._rows:
            grown = self._rows is not None and has_grown(self._rows, rows)
            before = self._dynamics if grown else None
            known = self.shelf.find(self.settings, self._memory, before)
            self._dynamics = self.engine.build(
                self.settings,
                rows,
                self._memory.latent_shape,
                progress,
                known=known,
                before=before,
                memory=self._memory,
            )
            if known is None:
                self.shelf.keep(self.settings, self._memory, self._dynamics)
            self._painter = Painter(self._encoder, self._memory, self._dynamics, self._painter)
            self._rows = rows
        return self._dynamics

    @property
    def painter(self) -> Painter:
        """What draws by that dynamics."""
        self.dynamics()
        assert self._painter is not None
        return self._painter
