"""Groups within groups: which groups are above another. Pure."""

from collections.abc import Mapping


def ancestors(parents: Mapping[str, str | None], group: str) -> tuple[str, ...]:
    """Return the groups above a group, the nearest first, each once, also in a circle, which circle() finds.

    parents: the parent of each group, None at the top. A parent that is no group of the mapping is the last one.
    """
    found: list[str] = []
    above = parents.get(group)
    while above is not None and above != group and above not in found:
        found.append(above)
        above = parents.get(above)
    return tuple(found)


def circle(parents: Mapping[str, str | None], group: str) -> tuple[str, ...]:
    """Return the circle that a group is part of, from the group back to itself; empty where it is in none."""
    above = ancestors(parents, group)
    last = above[-1] if above else group
    return (group, *above, group) if parents.get(last) == group else ()
