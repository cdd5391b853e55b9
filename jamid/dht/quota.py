"""Whose values fill the storage, and which of them goes first when it is full."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

from jamid.core.identifiers import InfoHash

Expiration = tuple[float, InfoHash, int]
"""when a value expires, its key and its id"""


class Charged(Protocol):
    """A stored value as far as it matters here."""

    expires: float
    group: bytes
    """whom its bytes are charged to"""


Found = Callable[[InfoHash, int], Charged | None]


class _Sender:
    __slots__ = ("size", "soonest", "values")

    def __init__(self) -> None:
        self.size = 0
        self.values = 0
        self.soonest: list[Expiration] = []
        """a heap; an entry may be too early, or of a value that is gone"""


class Quota:
    """Bytes by sender: whoever uses the most makes room, with what expires soonest. Every step costs O(log n), spread over many."""

    def __init__(self, find: Found) -> None:
        self._find = find
        self._senders: dict[bytes, _Sender] = {}
        self._heaviest: list[tuple[int, bytes]] = []
        """a heap of negative sizes; an entry may tell more than its sender uses now, never less"""
        self.used = 0

    def charge(self, group: bytes, size: int) -> None:
        """GROUP sent another value of SIZE bytes."""
        sender = self._senders.get(group)
        if sender is None:
            sender = self._senders[group] = _Sender()
        sender.size += size
        sender.values += 1
        self.used += size
        heapq.heappush(self._heaviest, (-sender.size, group))
        if len(self._heaviest) > 2 * len(self._senders) + 1024:
            self._heaviest = [(-one.size, name) for name, one in self._senders.items()]
            heapq.heapify(self._heaviest)

    def refund(self, group: bytes, size: int) -> None:
        """A value of SIZE bytes by GROUP is gone."""
        sender = self._senders[group]
        sender.size -= size
        sender.values -= 1
        self.used -= size
        if not sender.values:
            del self._senders[group]

    def expect(self, group: bytes, expiration: Expiration) -> None:
        """A value charged to GROUP will expire."""
        sender = self._senders[group]
        heapq.heappush(sender.soonest, expiration)
        if len(sender.soonest) > 2 * sender.values + 64:
            sender.soonest = list({entry for entry in sender.soonest if self._is_current(group, entry)})
            heapq.heapify(sender.soonest)

    def next_to_go(self) -> tuple[InfoHash, int] | None:
        """Key and id of the value that makes room; None when nothing may go."""
        while self._heaviest:
            size, group = self._heaviest[0]
            sender = self._senders.get(group)
            if sender is None:
                heapq.heappop(self._heaviest)
            elif sender.size != -size:
                heapq.heapreplace(self._heaviest, (-sender.size, group))
            elif (value := self._soonest(group, sender)) is not None:
                return value
            else:
                heapq.heappop(self._heaviest)
        return None

    def _soonest(self, group: bytes, sender: _Sender) -> tuple[InfoHash, int] | None:
        while sender.soonest:
            expires, key, value_id = sender.soonest[0]
            value = self._find(key, value_id)
            if value is None or value.group != group or value.expires == float("inf"):
                heapq.heappop(sender.soonest)
            elif value.expires != expires:
                heapq.heapreplace(sender.soonest, (value.expires, key, value_id))
            else:
                return key, value_id
        return None

    def _is_current(self, group: bytes, expiration: Expiration) -> bool:
        _, key, value_id = expiration
        value = self._find(key, value_id)
        return value is not None and value.group == group
