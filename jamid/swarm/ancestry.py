"""The graph of commits: what is new, where two heads parted, and the one linear order of a history (protocol: swarm, sections 4 to 6).

The order is that of libgit2's walk by topology and time, ties included: all clients of all daemons then show the same log.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from jamid.core import limits
from jamid.core.errors import LimitError


class Node(NamedTuple):
    """What the graph needs of a commit."""

    parents: tuple[str, ...]
    time: int


Lookup = Callable[[str], Node]

_OURS: Final = 1
_THEIRS: Final = 2
_STALE: Final = 4


def linear(head: str, lookup: Lookup) -> Iterator[str]:
    """The commits reachable from HEAD, newest first; reads no more of the history than what is asked for.

    Where one commit alone leads to all the rest, nothing before it can influence the order after it: the walk goes from one such
    commit to the next and sorts only what lies between, which is a merged branch.
    """
    current: str | None = head
    while current is not None:
        node = lookup(current)
        if len(node.parents) == 1:
            yield current
            current = node.parents[0]
        elif not node.parents:
            yield current
            return
        else:
            members, current = _branch(current, lookup)
            yield from topological(members, lookup)


def _branch(head: str, lookup: Lookup) -> tuple[list[str], str | None]:
    """The commits from the merge HEAD down to the single commit through which all the rest is reached (None: there is no rest)."""
    members: dict[str, None] = {}
    queue: list[tuple[int, int, str]] = []
    queued = {head}
    found_root = False

    def push(oid: str) -> None:
        if oid not in queued:
            queued.add(oid)
            heapq.heappush(queue, (-lookup(oid).time, len(queued), oid))

    heapq.heappush(queue, (0, 0, head))
    while queue:
        if len(queue) == 1 and members and not found_root:
            return list(members), queue[0][2]
        oid = heapq.heappop(queue)[2]
        members[oid] = None
        parents = lookup(oid).parents
        found_root = found_root or not parents
        for parent in parents:
            push(parent)
    return list(members), None


def topological(members: Iterable[str], lookup: Lookup) -> list[str]:
    """MEMBERS newest first: children before parents, else by time, ties as libgit2's binary heap breaks them.

    Members must be listed tips first; it is the order in which equal tips enter the heap.
    """
    nodes = {oid: lookup(oid) for oid in members}
    children = dict.fromkeys(nodes, 0)
    for node in nodes.values():
        for parent in node.parents:
            if parent in children:
                children[parent] += 1
    heap = _TieHeap()
    for oid, count in children.items():
        if count == 0:
            heap.push(nodes[oid].time, oid)
    ordered = []
    while heap:
        oid = heap.pop()
        ordered.append(oid)
        for parent in nodes[oid].parents:
            if parent in children:
                children[parent] -= 1
                if children[parent] == 0:
                    heap.push(nodes[parent].time, parent)
    return ordered


class _TieHeap:
    """A binary heap, newest on top, that moves equal times exactly as libgit2's does."""

    def __init__(self) -> None:
        self._items: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._items)

    def push(self, time: int, oid: str) -> None:
        items = self._items
        items.append((time, oid))
        kid = items[-1]
        position = len(items) - 1
        while position > 0:
            above = (position - 1) // 2
            if items[above][0] >= kid[0]:
                break
            items[position] = items[above]
            position = above
        items[position] = kid

    def pop(self) -> str:
        items = self._items
        top = items[0][1]
        last = items.pop()
        if items:
            position = 0
            while (kid := 2 * position + 1) < len(items):
                if kid + 1 < len(items) and items[kid][0] < items[kid + 1][0]:
                    kid += 1
                if last[0] >= items[kid][0]:
                    break
                items[position] = items[kid]
                position = kid
            items[position] = last
        return top


def new_commits(ours: str | None, theirs: str, lookup: Lookup, limit: int = limits.PACK_OBJECTS) -> list[str]:
    """What is reachable from THEIRS and not from OURS, oldest first; raises LimitError beyond LIMIT commits."""
    flags = _paint(ours, theirs, lookup, limit)
    return topological((oid for oid, flag in flags.items() if not flag & _OURS), lookup)[::-1]


def contains(head: str, oid: str, lookup: Lookup) -> bool:
    """Whether OID is HEAD or one of its ancestors."""
    return bool(_paint(head, oid, lookup)[oid] & _OURS)


def merge_bases(ours: str, theirs: str, lookup: Lookup) -> list[str]:
    """The best common ancestors, smallest id first; none for unrelated histories."""
    flags = _paint(ours, theirs, lookup)
    common = [oid for oid, flag in flags.items() if flag & _OURS and flag & _THEIRS and not flag & _STALE]
    best = [oid for oid in common if not any(other != oid and contains(other, oid, lookup) for other in common)]
    return sorted(best)


def _paint(ours: str | None, theirs: str, lookup: Lookup, limit: int = limits.PACK_OBJECTS) -> dict[str, int]:
    """Commit -> flags of the side(s) it is reachable from, as far as needed to part the sides."""
    flags: dict[str, int] = {}
    painted: dict[str, int] = {}
    queue: list[tuple[int, int, str]] = []
    oldest_of_one_side = 1 << 62

    def mark(oid: str, flag: int) -> None:
        known = flags.get(oid, 0)
        if known | flag != known:
            flags[oid] = known | flag
            if len(flags) > limit:
                raise LimitError(f"a history has more than {limit} commits")
            heapq.heappush(queue, (-lookup(oid).time, len(flags), oid))

    if ours is not None:
        mark(ours, _OURS)
    mark(theirs, _THEIRS)
    while queue:
        newest = -queue[0][0]
        # All that waits is common, and older than everything that belongs to one side: nothing can change any more.
        if newest < oldest_of_one_side and all(flags[item[2]] & _STALE for item in queue):
            break
        oid = heapq.heappop(queue)[2]
        flag = flags[oid]
        if painted.get(oid) == flag:
            continue
        painted[oid] = flag
        both = flag & _OURS and flag & _THEIRS
        if not both:
            oldest_of_one_side = min(oldest_of_one_side, newest)
        for parent in lookup(oid).parents:
            mark(parent, flag | _STALE if both else flag)
    return flags
