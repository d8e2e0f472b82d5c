"""A scripted policy that plays Crafter well, from the map and the inventory in `info`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from memworld.worlds.crafter.cells import DIRECTIONS, ENEMIES, FREE, Cell
from memworld.worlds.crafter.env import ACTION_NAMES
from memworld.worlds.crafter.planner import Planner, standing
from memworld.worlds.crafter.tasks import FIT, WEARY, Task, View, achievements, needs, shelter, sleep
from memworld.worlds.policies import PolicyFactory, skilled

# After so many steps without any change of place or goods, and for how many, it acts at random.
_STUCK = 25
_SHAKE = 6
# At night the grass is full of zombies: as how many steps one on it counts then, and how long a way is too long.
_NIGHT_GRASS = 5
_NIGHT_WALK = 6
# It leaves its shelter in any case when food or drink is below this.
_STARVING = 2
# How far it walks at a time when nothing is left to do, and for how many steps it tries.
_STROLL = 12
_PATIENCE = 40


class Player:
    """Fights what attacks it, then looks after itself, then goes for whatever can be achieved next and is nearest."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Start an episode.

        Args:
            rng: chooses where to stroll.
        """
        self._rng = rng
        self._script: list[tuple[tuple[int, int], str]] = []
        self._last: object = None
        self._unchanged = 0
        self._shake = 0
        self._stroll: tuple[int, tuple[int, int]] | None = None

    def __call__(self, observation: np.ndarray, info: Mapping[str, Any]) -> int:
        """Choose an action."""
        return ACTION_NAMES.index(self._act(View(info)))

    def _act(self, view: View) -> str:
        if view.sleeping:
            self._script = []
            return "noop"
        if self._is_stuck(view):
            return self._any_move(view)
        for choose in (
            self._fight,
            self._follow_script,
            self._recover,
            self._look_after_itself,
            self._achieve,
            self._hide,
        ):
            if action := choose(view):
                return action
        return self._walk_about(view)

    def _fight(self, view: View) -> str:
        """Strike the creature in front, or turn to one at the side."""
        for direction, (dx, dy) in enumerate(DIRECTIONS):
            if view.at(dx, dy) in (Cell.ZOMBIE, Cell.SKELETON):
                self._script = []
                return "do" if view.facing == (dx, dy) else ACTION_NAMES[1 + direction]
        return "place_stone" if self._may_bar_the_way(view) else ""

    def _may_bar_the_way(self, view: View) -> bool:
        """Whether a stone in front would hold off what comes from there, in a moment when it had better not fight."""
        dx, dy = view.facing
        ahead = [view.at(i * dx, i * dy) for i in (1, 2, 3)]
        comes = any(cell in ENEMIES for cell in ahead[1:])
        return comes and ahead[0] in FREE and bool(view.inventory["stone"]) and view.inventory["health"] < FIT

    def _follow_script(self, view: View) -> str:
        """Go on with what was begun, unless something came in between."""
        if not self._script:
            return ""
        place, action = self._script.pop(0)
        if place != view.position:
            self._script = []
            return ""
        return action

    def _recover(self, view: View) -> str:
        """Stay in a shelter until it is fit and the day has come, or hunger or thirst drives it out."""
        has = view.inventory
        recovered = has["health"] >= FIT and has["energy"] >= WEARY and view.bright
        if recovered or min(has["food"], has["drink"]) < _STARVING or not view.sheltered():
            return ""
        return "sleep" if has["energy"] < 9 else "noop"

    def _look_after_itself(self, view: View) -> str:
        return self._pursue(view, needs(view))

    def _achieve(self, view: View) -> str:
        return self._pursue(view, achievements(view), _NIGHT_WALK if view.dark else np.inf)

    def _hide(self, view: View) -> str:
        """At night, when there is nothing to do that is not far across the grass."""
        return self._pursue(view, sleep(view)) if view.dark else ""

    def _pursue(self, view: View, tasks: list[Task], limit: float = np.inf) -> str:
        """Work on the nearest of some tasks; "" if none can be reached within `limit` steps."""
        goals = np.zeros((*view.land.shape, 4), np.uint8)
        for number, task in reversed(list(enumerate(tasks, start=1))):
            goals[task.poses] = number
        grass_steps = _NIGHT_GRASS if view.dark else 1
        way = Planner(view.land, view.position, view.facing, view.inventory, grass_steps).way(goals)
        if way is None or way.steps > limit:
            return ""
        if way.action:
            return way.action
        task = tasks[way.goal - 1]
        if task.action == "shelter":
            self._script = shelter(view)
            return self._follow_script(view)
        return task.action

    def _is_stuck(self, view: View) -> bool:
        now = (view.position, view.facing, tuple(view.inventory.items()))
        self._unchanged = self._unchanged + 1 if now == self._last else 0
        self._last = now
        if self._unchanged >= _STUCK:
            self._unchanged, self._shake = 0, _SHAKE
        self._shake = max(0, self._shake - 1)
        return self._shake > 0

    def _any_move(self, view: View) -> str:
        safe = [1 + i for i, (dx, dy) in enumerate(DIRECTIONS) if view.at(dx, dy) != Cell.LAVA]
        return ACTION_NAMES[self._rng.choice(safe)] if safe else "noop"

    def _walk_about(self, view: View) -> str:
        """Stroll, near the plant if there is one, as it grows only there."""
        patience, target = self._stroll or (0, view.position)
        if patience == 0 or target == view.position:
            centres = np.argwhere(view.land == Cell.PLANT)
            centre = centres[0] if len(centres) else np.array(view.position)
            places = np.argwhere(np.isin(view.land, FREE))
            places = places[abs(places - centre).sum(1) <= _STROLL]
            if not len(places):
                return "noop"
            x, y = self._rng.choice(places)
            patience, target = _PATIENCE, (int(x), int(y))
        self._stroll = (patience - 1, target)
        poses = np.zeros(view.land.shape, bool)
        poses[target] = True
        return self._pursue(view, [Task(standing(poses), "noop")]) or "noop"


DEMONSTRATOR: PolicyFactory = skilled(lambda action_space, rng: Player(rng))
