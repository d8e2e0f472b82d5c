"""An index of parts, so that a memory that grows is not indexed anew.

What is new becomes a part of its own, joined with the parts before it that are not several times as large.
So there are few parts, about the logarithm of the number of rows, and a row is indexed about as many times
at most, however the memory came to be. Parts are cut between episodes, so that no thread, key or
exclusion is in two of them, and of exact parts the answers are exactly those of one index of everything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from memworld.gaussian import Latents
from memworld.memory import Rows
from memworld.search import Candidates, Index, Matches, Query, check_k
from memworld.search.merging import merge

_RATIO = 2
"""A part with at most so many times the rows of all that comes after it is joined with that."""


def has_grown(before: Rows, now: Rows) -> bool:
    """Whether the first of the rows now are the rows before: rows know it of each other, or all are compared."""
    if now.grew_from(before):
        return True
    count = len(before)
    pairs = [(before.episodes, now.episodes), (before.actions, now.actions)]
    pairs += [(getattr(before.latents, name), getattr(now.latents, name)) for name in ("mu", "sigma", "z")]
    return count <= len(now) and all(torch.equal(old, new[:count]) for old, new in pairs)


def kept_apart(starts: Sequence[int], before: int, now: int) -> tuple[int, int]:
    """Which parts of a memory stay as they are when it grows.

    Args:
        starts: the row at which each part begins, ascending.
        before: how many rows the memory had.
        now: how many it has.

    Returns:
        How many of the parts stay, and the row from which a new one is made.
    """
    kept, first = len(starts), before
    while kept and first - starts[kept - 1] <= _RATIO * (now - first):
        kept -= 1
        first = starts[kept]
    return kept, first


@dataclass(frozen=True, eq=False)
class Run:
    """Whole episodes of a memory that follow each other.

    Attributes:
        first: the row of memory at which they begin.
        rows: theirs, in which rows and episodes are numbered from 0. The latents are the memory's own.
    """

    first: int
    rows: Rows

    @classmethod
    def of(cls, rows: Rows, first: int, end: int) -> "Run":
        """The rows of a memory from `first`, where an episode begins, up to `end`, where one has ended."""
        own = slice(first, end)
        return cls(
            first,
            Rows(
                latents=rows.latents[own],
                actions=rows.actions[own],
                discrete=rows.discrete,
                rewards=rows.rewards[own],
                terminations=rows.terminations[own],
                episodes=rows.episodes[own] - rows.episodes[first],
                steps=rows.steps[own],
                has_successor=rows.has_successor[own],
            ),
        )

    @property
    def own(self) -> slice:
        """Its place among the rows of memory."""
        return slice(self.first, self.first + len(self.rows))


@dataclass(frozen=True, eq=False)
class Part:
    """An index of a run.

    Attributes:
        index: it answers in rows and episodes of the run.
        candidates: how many rows may answer.
        own: the run's place among the rows of memory.
        episodes: range of the episodes of memory that may answer.
        borrowed: the memory's latents in which the index looks rows up; None where it has keys of its own.
    """

    index: Index
    candidates: int
    own: slice
    episodes: range
    borrowed: Latents | None

    def look_in(self, latents: Latents) -> None:
        """Look rows up in latents (N, D) of a memory that has grown, which hold the same rows at the same places.

        Nothing changes but that the smaller memory's tensors are let go.
        """
        if self.borrowed is not None:
            vars(self.borrowed).update(vars(latents[self.own]))

    def asked(self, query: Query) -> Query:
        """A query of the memory as one of the run."""
        if query.exclude_episode is None:
            return query
        mine = query.exclude_episode - self.episodes.start
        return replace(query, exclude_episode=torch.where(mine >= 0, mine, -1))

    def answered(self, matches: Matches) -> Matches:
        """An answer of the run as one of the memory."""
        return replace(matches, rows=torch.where(matches.found, matches.rows + self.own.start, -1))


class GrownIndex:
    """The index of a memory, in parts; see `Index`."""

    def __init__(self, parts: Sequence[Part], rows: int) -> None:
        """Join parts, in the order of their rows, to the index of a memory of so many rows."""
        self.parts, self.rows = tuple(parts), rows

    @classmethod
    def of(
        cls,
        rows: Rows,
        candidates: Callable[[Run], Candidates | None],
        make: Callable[[Candidates], Index],
        before: "GrownIndex | None" = None,
    ) -> "GrownIndex":
        """Index the rows of a memory, or of one that has grown those that are new.

        Args:
            rows: the memory's.
            candidates: those rows of a run that may answer, numbered as in the run, with their keys; None if
                there are none.
            make: the index of candidates.
            before: made in the same way of rows that these have grown from (`has_grown`); its parts go into this.
        """
        parts, known = ([], 0) if before is None else (list(before.parts), before.rows)
        kept, first = kept_apart([part.own.start for part in parts], known, len(rows))
        del parts[kept:]
        for part in parts:
            part.look_in(rows.latents)
        if first < len(rows):
            run = Run.of(rows, first, len(rows))
            found = candidates(run)
            if found is not None:
                episode = int(rows.episodes[first])
                episodes = range(episode, episode + int(found.episodes[-1]) + 1)
                borrowed = run.rows.latents if found.latents is run.rows.latents else None
                parts.append(Part(make(found), len(found), run.own, episodes, borrowed))
        return cls(parts, len(rows))

    def __len__(self) -> int:
        """How many rows may answer."""
        return sum(part.candidates for part in self.parts)

    def nearest(self, query: Query, k: int) -> Matches:
        """The k nearest rows of all memory; see `Index`.

        Raises:
            MemworldError: as the parts' own.
        """
        check_k(k, self)
        answers = [p.answered(p.index.nearest(p.asked(query), min(k, p.candidates))) for p in self.parts]
        return answers[0] if len(answers) == 1 else merge(answers, k)

    def nearest_per_episode(self, query: Query) -> Matches:
        """The nearest row of each episode; see `Index`.

        Raises:
            MemworldError: as the parts' own.
        """
        answers = [part.answered(part.index.nearest_per_episode(part.asked(query))) for part in self.parts]
        return answers[0] if len(answers) == 1 else merge(answers, self.parts[-1].episodes.stop)
