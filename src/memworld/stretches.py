"""One moment of a stretch: moments of an episode that follow each other look alike, and many of them say it once."""

from collections.abc import Iterable


def one_a_stretch(moments: Iterable[tuple[int, int]], reach: int, most: int) -> list[int]:
    """The places, in order, of the first moments that no earlier one kept from their episode is near.

    Args:
        moments: the number of the episode, and of the step in it, of each.
        reach: moments of an episode that are no more steps apart are near.
        most: how many to keep, at most.
    """
    kept: list[int] = []
    taken: dict[int, list[int]] = {}
    for place, (episode, step) in enumerate(moments):
        if len(kept) == most:
            break
        others = taken.setdefault(episode, [])
        if all(abs(step - other) > reach for other in others):
            others.append(step)
            kept.append(place)
    return kept
