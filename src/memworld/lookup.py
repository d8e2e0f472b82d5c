"""The paper's dynamics: look up rows like the present one, and read the next state off their successors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memworld.aggregate import RULES, Successors, as_changes
from memworld.contexts import end_to_end, recent_moments, rows_back
from memworld.dynamics import ResolvedDynamics
from memworld.gaussian import Latents, concatenate
from memworld.imagine import Mode
from memworld.memory import Rows
from memworld.retrieve import STRATEGIES
from memworld.rollout import History, Prediction
from memworld.search import Candidates, Index, Matches, Query
from memworld.support import Support, calibrate


def keys(rows: Rows, chosen: Tensor, context: int) -> Latents:
    """What rows (Q,) are found by: (Q, context * D), the latest moment first."""
    return rows.latents[chosen] if context == 1 else end_to_end(rows.latents[rows_back(rows, chosen, context)])


def candidates(rows: Rows, context: int) -> Candidates:
    """The rows that have a successor, with their keys. A context of one moment copies nothing."""
    plain = Candidates.of(rows)
    every = torch.arange(len(rows.steps))
    return plain if context == 1 else replace(plain, latents=keys(rows, every, context))


def weights(context: Sequence[float], dim: int) -> Tensor | None:
    """What each number of a key counts, (context * D,), by what each of its moments does; None if each counts once."""
    if set(context) == {1.0}:
        return None
    return torch.tensor(context, dtype=torch.float64).repeat_interleave(dim)


class Lookup:
    """Retrieve and aggregate, one step at a time; a `Dynamics`."""

    usual_mode: Mode = "requery"
    """The paper's text."""

    def __init__(
        self,
        rows: Rows,
        settings: ResolvedDynamics,
        make: Callable[[Rows, Index | None], Index],
        before: "Lookup | None" = None,
    ) -> None:
        """Index rows by their `keys`, and measure how far they are from each other.

        Args:
            rows: the memory's.
            settings: what to look up, and how.
            make: the index of rows by their keys, in the metric of the settings, and of rows that have grown
                with the one that it made of them before.
            before: the same for rows that these have grown from (`search.growing.has_grown`): what it has
                indexed stays so, and what it has measured, as long as that still tells (`Support.still_tells`).
        """
        context = len(settings.context)
        self.rows, self.settings = rows, settings
        self.index: Index = make(rows, before.index if before else None)
        self.support: Support = (
            before.support
            if before and before.support.still_tells(rows)
            else calibrate(self.index, rows, keys=lambda chosen: keys(rows, chosen, context))
        )

    @property
    def context(self) -> int:
        """Moments of a history that it looks at, the present among them."""
        return len(self.settings.context)

    def begin(self, history: History, mode: Mode) -> "LookupDream":
        """Imagine from the present on; see `Dynamics.begin`."""
        return LookupDream(self, recent_moments(history, self.context), mode)

    def retrieve(self, state: Latents, actions: Tensor) -> Matches:
        """Search memory for rows like `state`, under action features (B, A).

        Args:
            state: (B, D), or with a context of c moments (B, c * D), the present first.
            actions: (B, A).
        """
        settings = self.settings
        unit = self.support.typical if settings.conditioning in ("soft", "mixed") else 0.0
        query = Query(state, actions, settings.conditioning, settings.action_weight * unit)
        return STRATEGIES[settings.strategy].search(self.index, query, settings.k)

    def follow(self, matches: Matches, actions: Tensor, agreeing: bool = False) -> Matches:
        """The rows one step later in their own episodes, under action features (B, A).

        -1 where that row has no successor or another action than conditioning admits.

        Args:
            matches: (B, K) the rows now.
            actions: (B, A) what is asked.
            agreeing: whether to leave rows whose action differs from it by as much as another choice, or
                half the range of one number, whatever conditioning admits.
        """
        rows = self.rows
        later = matches.rows.clamp(min=0) + 1
        walks_on = matches.found & rows.has_successor[later]
        if self.settings.conditioning in ("hard", "mixed"):
            same = rows.actions[later] == actions[:, None]
            if self.settings.conditioning == "mixed":
                same |= ~rows.discrete
            walks_on &= same.all(2)
        if agreeing:
            # Two different choices are 1 apart (`actions.action_features`), but for rounding.
            walks_on &= (rows.actions[later] - actions[:, None]).square().sum(2) < 0.99
        return Matches(
            torch.where(walks_on, later, -1),
            torch.where(walks_on, matches.distances, torch.inf),
            torch.where(walks_on, matches.penalties, 0.0),
        )

    def estimate(self, recent: Latents, actions: Tensor, matches: Matches, generator: torch.Generator) -> Prediction:
        """The prediction that rows make: state, reward and termination, with the same weights.

        Where a query found no row at all, the state stays as it is and support is the worst, 1.

        Args:
            recent: (B, c, D) the moments up to the present, the latest first.
            actions: (B, A) what is asked.
            matches: (B, K) rows.
            generator: of sampling rules.
        """
        rows, state = self.rows, recent[:, 0]
        here = matches.rows.clamp(min=0)
        # Rows are ignored where none was found; a query without any borrows row 0 and is undone below.
        nothing = ~matches.found.any(1, keepdim=True)
        successors = Successors(rows.latents[here + 1], matches.costs, matches.found | nothing)
        if self.settings.delta:
            successors = as_changes(successors, rows.latents[here], state)
        if self.settings.rule == "local_linear":
            successors = replace(successors, differences=self._differences(recent, actions, here))
        estimate = RULES[self.settings.rule](successors, generator)
        latents = Latents(
            *(torch.where(nothing, getattr(state, n), getattr(estimate.latents, n)) for n in ("mu", "sigma", "z"))
        )
        weights = estimate.weights.masked_fill(nothing, 0)
        support = self.support.quantile(matches.distances.amin(1))
        return Prediction(
            latents=latents,
            reward=(weights * rows.rewards[here]).sum(1),
            termination=(weights * rows.terminations[here].float()).sum(1),
            matches=matches,
            weights=weights,
            support=torch.where(nothing[:, 0], 1.0, support),
        )

    def _differences(self, recent: Latents, actions: Tensor, here: Tensor) -> Tensor:
        """(B, K, F) how rows (B, K) differ from what is asked: where things are, how they move, vector actions."""
        rows = self.rows
        context = rows_back(rows, here.flatten(), recent.mu.shape[1]).reshape(*here.shape, -1)
        apart = rows.latents.mu[context] - recent.mu[:, None]
        moves = (apart[:, :, :-1] - apart[:, :, 1:]).flatten(2)
        acts = (rows.actions[here] - actions[:, None])[..., ~rows.discrete].float()
        return torch.cat([apart[:, :, 0], moves, acts], 2)


@dataclass(eq=False)
class LookupDream:
    """B futures under way; a `Dream`.

    Attributes:
        dynamics: what is asked.
        recent: (B, c, D) the moments that a search compares, the latest first.
        mode: of `imagine.MODES`.
        matches: the rows that are followed.
    """

    dynamics: Lookup
    recent: Latents
    mode: Mode
    matches: Matches | None = None

    @property
    def phase(self) -> int:
        """Each future searches for itself."""
        return 0

    def step(self, actions: Tensor, generator: torch.Generator) -> tuple[Prediction, Tensor]:
        """Predict the next step; see `Dream.step`."""
        if self.matches is None or self.mode == "requery":
            matches = self.dynamics.retrieve(end_to_end(self.recent), actions)
            searched = torch.ones(len(actions), dtype=torch.bool)
        else:
            matches, searched = self._follow(self.matches, actions)
        prediction = self.dynamics.estimate(self.recent, actions, matches, generator)
        self.recent, self.matches = _moved_on(self.recent, prediction.latents), matches
        return prediction, searched

    def keep(self, some: Tensor) -> None:
        """Go on with some of the futures only; see `Dream.keep`."""
        self.recent = self.recent[some]
        if self.matches is not None:
            self.matches = Matches(*(column[some] for column in self.matches.columns))

    def join(self, other: "LookupDream") -> None:
        """Go on with the futures of another dream too; see `Dream.join`."""
        like = self.matches or other.matches
        if like is not None:
            both = [dream.matches or _nothing(len(dream.recent), like) for dream in (self, other)]
            self.matches = Matches(*map(torch.cat, zip(*(matches.columns for matches in both), strict=True)))
        self.recent = concatenate([self.recent, other.recent])

    def _follow(self, matches: Matches, actions: Tensor) -> tuple[Matches, Tensor]:
        """Walk threads on; where too many of a query's are left, search again. Returns which (B,) were searched."""
        walked = self.dynamics.follow(matches, actions, agreeing=self.mode == "reanchor")
        ended = ~walked.found.any(1)
        if self.mode == "reanchor":
            ended = 2 * walked.found.sum(1) < matches.rows.shape[1]
        if bool(ended.any()):
            fresh = self.dynamics.retrieve(end_to_end(self.recent[ended]), actions[ended])
            for name in ("rows", "distances", "penalties"):
                getattr(walked, name)[ended] = getattr(fresh, name)
        return walked, ended


def _nothing(count: int, like: Matches) -> Matches:
    """The matches of so many futures that follow no row yet, of the size of others'."""
    rows, distances, penalties = (column.new_empty(count, column.shape[1]) for column in like.columns)
    return Matches(rows.fill_(-1), distances.fill_(torch.inf), penalties.zero_())


def _moved_on(recent: Latents, following: Latents) -> Latents:
    """Moments (B, c, D), the latest first, with one more (B, D) and the oldest dropped."""
    return Latents(
        *(
            torch.cat([getattr(following, name)[:, None], getattr(recent, name)[:, :-1]], 1)
            for name in ("mu", "sigma", "z")
        )
    )
