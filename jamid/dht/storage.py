"""Values kept for the network, and who wants to hear of their changes (protocol: opendht, section 15)."""

from __future__ import annotations

import enum
import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from jamid.core import limits
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, rate_group
from jamid.dht.nodes import RemoteNode
from jamid.dht.query import Query
from jamid.dht.quota import Quota
from jamid.dht.timers import Timer, Timers
from jamid.dht.types import ValueTypes
from jamid.dht.values import WireValue

LISTENER_LIFETIME: Final = 10 * 60.0


class Change(enum.Enum):
    """What happened to stored values."""

    ADDED = enum.auto()
    REFRESHED = enum.auto()
    EXPIRED = enum.auto()


class Stored:
    """A value with its times; `group` is whom its bytes are charged to, b"" for our own."""

    __slots__ = ("created", "expires", "group", "value")

    def __init__(self, value: WireValue, created: float, expires: float, group: bytes) -> None:
        self.value = value
        self.created = created
        self.expires = expires
        self.group = group


@dataclass(slots=True)
class RemoteListener:
    """A subscription of another node."""

    node: RemoteNode
    socket: int
    query: Query | None
    refreshed: float
    legacy: bool = False
    """wants its news in the form of before 2.0"""
    host: bytes = b""
    """whom it is counted for"""


class Shelf:
    """What is stored under one key."""

    __slots__ = ("listeners", "values")

    def __init__(self) -> None:
        self.values: dict[int, Stored] = {}
        self.listeners: dict[tuple[InfoHash, int], RemoteListener] | None = None


OnChange = Callable[[InfoHash, Shelf | None, Change, list[WireValue]], None]


class Storage:
    """All shelves, with quotas. Times are of the monotonic clock; `expires` inf = our own, kept until removed."""

    def __init__(self, timers: Timers, types: ValueTypes, on_change: OnChange, limit: int = limits.DHT_STORED_BYTES) -> None:
        self._timers = timers
        self._types = types
        self._on_change = on_change
        self._limit = limit
        self._shelves: dict[InfoHash, Shelf] = {}
        self._expirations: list[tuple[float, InfoHash, int]] = []
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._quota = Quota(self.find)
        self._listeners_of: dict[RemoteNode, set[tuple[InfoHash, int]]] = {}
        self._listeners = 0
        self._listeners_at: Counter[bytes] = Counter()
        self.bytes = 0
        """payload of others' values"""
        self.values = 0
        """number of values, others' and ours"""

    # -- reading

    def __len__(self) -> int:
        return len(self._shelves)

    def __contains__(self, key: InfoHash) -> bool:
        shelf = self._shelves.get(key)
        return shelf is not None and bool(shelf.values)

    def get(self, key: InfoHash, query: Query | None = None) -> list[WireValue]:
        """The values under KEY that QUERY lets through."""
        shelf = self._shelves.get(key)
        if shelf is None:
            return []
        if query is None or not query.where:
            return [stored.value for stored in shelf.values.values()]
        return [stored.value for stored in shelf.values.values() if query.matches(stored.value)]

    def find(self, key: InfoHash, value_id: int) -> Stored | None:
        shelf = self._shelves.get(key)
        return None if shelf is None else shelf.values.get(value_id)

    def items(self) -> Iterator[tuple[InfoHash, Stored]]:
        """Every stored value with its key."""
        for key, shelf in self._shelves.items():
            for stored in shelf.values.values():
                yield key, stored

    def keys(self) -> list[InfoHash]:
        return [key for key, shelf in self._shelves.items() if shelf.values]

    @property
    def listeners(self) -> int:
        """Remote subscriptions in all."""
        return self._listeners

    # -- writing

    def store(self, key: InfoHash, value: WireValue, created: float, source: Address | None, *, permanent: bool = False) -> bool:
        """Stores VALUE as its type allows; SOURCE None = our own. True when it is there afterwards."""
        now = self._timers.now()
        shelf = self._shelves.get(key)
        old = shelf.values.get(value.id) if shelf is not None else None
        lifetime = self._types.lifetime(value)
        if shelf is not None and old is not None:
            if old.value.same_content(value):
                self._prolong(key, shelf, old, created, permanent=permanent and source is None)
                return True
            if source is not None and not self._types.may_edit(key, old.value, value):
                return False
        elif (accepted := self._types.accept(key, value, source)) is None:
            return False
        else:
            value = accepted
        expires = float("inf") if permanent and source is None else created + lifetime
        if expires <= now:
            return False
        if old is not None and old.expires == float("inf") and source is not None:
            expires = old.expires
        if shelf is None:
            shelf = self._shelves[key] = Shelf()
        elif old is None and len(shelf.values) >= limits.DHT_VALUES_PER_KEY:
            return False
        group = b"" if source is None else rate_group(source.host)
        if old is not None:
            self._refund(old)
            self.values -= 1
        stored = shelf.values[value.id] = Stored(value, created, expires, group)
        self._charge(stored)
        self.values += 1
        self._expect(key, stored)
        if self._quota.used > self._limit:
            self._make_room()
        self._on_change(key, shelf, Change.ADDED, [value])
        return shelf.values.get(value.id) is stored

    def restore(self, key: InfoHash, value: WireValue, created: float, expires: float) -> None:
        """Takes in a value that an earlier run had stored, with its times."""
        expires = min(expires, self._timers.now() + self._types.lifetime(value))
        if expires <= self._timers.now() or self.find(key, value.id) is not None:
            return
        if self._quota.used + value.size + limits.DHT_VALUE_OVERHEAD_BYTES > self._limit:
            return
        stored = Stored(value, created, expires, b"state")
        self._shelves.setdefault(key, Shelf()).values[value.id] = stored
        self._charge(stored)
        self.values += 1
        self._expect(key, stored)

    def refresh(self, key: InfoHash, value_id: int) -> bool:
        """Prolongs a value; False when there is nothing under KEY at all."""
        shelf = self._shelves.get(key)
        if shelf is None or not shelf.values:
            return False
        stored = shelf.values.get(value_id)
        if stored is not None:
            self._prolong(key, shelf, stored, self._timers.now())
        return True

    def remove(self, key: InfoHash, value_id: int) -> None:
        """Drops a value; listeners are told that it expired."""
        shelf = self._shelves.get(key)
        stored = shelf.values.get(value_id) if shelf is not None else None
        if stored is not None:
            self._drop(key, [stored])

    def drop_key(self, key: InfoHash) -> None:
        """Drops all values of others under KEY."""
        shelf = self._shelves.get(key)
        if shelf is not None:
            self._drop(key, [stored for stored in shelf.values.values() if stored.group])

    # -- listeners

    def listen(self, key: InfoHash, node: RemoteNode, socket: int, query: Query | None, *, legacy: bool = False) -> list[WireValue] | None:
        """Adds or refreshes a subscription; a new one gets the values to send it, a known one None."""
        now = self._timers.now()
        shelf = self._shelves.get(key)
        if shelf is not None and shelf.listeners and (known := shelf.listeners.get((node.id, socket))) is not None:
            known.refreshed = now
            if known.node is not node:  # it was forgotten and came back: its old self must not take the subscription along when it goes
                self._unlink(known.node, key, socket)
                self._listeners_of.setdefault(node, set()).add((key, socket))
                known.node = node
            return None
        own = self._listeners_of.get(node)
        host = rate_group(node.address.host)
        if self._listeners >= limits.DHT_LISTENERS or self._listeners_at[host] >= limits.DHT_LISTENERS_PER_HOST:
            return None
        if own is not None and len(own) >= limits.DHT_LISTENERS_PER_NODE:
            return None
        if shelf is None:
            shelf = self._shelves[key] = Shelf()
        if shelf.listeners is None:
            shelf.listeners = {}
        elif len(shelf.listeners) >= limits.DHT_LISTENERS_PER_KEY:
            return None
        shelf.listeners[node.id, socket] = RemoteListener(node, socket, query, now, legacy, host)
        self._listeners += 1
        self._listeners_at[host] += 1
        self._listeners_of.setdefault(node, set()).add((key, socket))
        return [stored.value for stored in shelf.values.values() if query is None or query.matches(stored.value)]

    def listeners_at(self, key: InfoHash) -> list[RemoteListener]:
        """The subscriptions to KEY."""
        shelf = self._shelves.get(key)
        return list(shelf.listeners.values()) if shelf is not None and shelf.listeners else []

    def forget_listener(self, node: RemoteNode) -> None:
        """NODE is gone, and its subscriptions with it."""
        for key, socket in self._listeners_of.pop(node, ()):
            shelf = self._shelves.get(key)
            if shelf is not None and shelf.listeners and (listener := shelf.listeners.pop((node.id, socket), None)) is not None:
                self._uncount(listener)
                self._forget_if_empty(key, shelf)

    # -- time

    def expire(self) -> None:
        """Drops values and subscriptions whose time has passed."""
        now = self._timers.now()
        self._expire_values(now)
        oldest = now - LISTENER_LIFETIME
        for key, shelf in list(self._shelves.items()):
            if shelf.listeners:
                for name, listener in [item for item in shelf.listeners.items() if item[1].refreshed < oldest]:
                    del shelf.listeners[name]
                    self._uncount(listener)
                    self._unlink(listener.node, key, listener.socket)
                self._forget_if_empty(key, shelf)

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _unlink(self, node: RemoteNode, key: InfoHash, socket: int) -> None:
        own = self._listeners_of.get(node)
        if own is not None:
            own.discard((key, socket))
            if not own:
                del self._listeners_of[node]

    def _uncount(self, listener: RemoteListener) -> None:
        self._listeners -= 1
        self._listeners_at[listener.host] -= 1
        if not self._listeners_at[listener.host]:
            del self._listeners_at[listener.host]

    def _expire_values(self, now: float) -> None:
        gone: dict[InfoHash, list[Stored]] = {}
        heap = self._expirations
        while heap and heap[0][0] <= now:
            _, key, value_id = heapq.heappop(heap)
            shelf = self._shelves.get(key)
            stored = shelf.values.get(value_id) if shelf is not None else None
            if stored is None:
                continue
            if stored.expires <= now:
                gone.setdefault(key, []).append(stored)
            elif stored.expires != float("inf"):
                heapq.heappush(heap, (stored.expires, key, value_id))
        for key, values in gone.items():
            self._drop(key, list({stored.value.id: stored for stored in values}.values()))
        self._arm()

    def _prolong(self, key: InfoHash, shelf: Shelf, stored: Stored, created: float, *, permanent: bool = False) -> None:
        """A value was put again: it lives from then on, which for a copy handed on by others is when its owner last put it."""
        stored.created = max(stored.created, created)
        if permanent:
            stored.expires = float("inf")
        else:
            stored.expires = max(stored.expires, created + self._types.lifetime(stored.value))
        self._on_change(key, shelf, Change.REFRESHED, [stored.value])

    def _expect(self, key: InfoHash, stored: Stored) -> None:
        if stored.expires != float("inf"):
            expiration = stored.expires, key, stored.value.id
            heapq.heappush(self._expirations, expiration)
            if stored.group:
                self._quota.expect(stored.group, expiration)
            if len(self._expirations) > 2 * self.values + 1024:
                self._expirations = [(one.expires, at, one.value.id) for at, one in self.items() if one.expires != float("inf")]
                heapq.heapify(self._expirations)
            self._arm()

    def _arm(self) -> None:
        """The timer is set for the next expiration; an earlier one than needed only looks again."""
        if not self._expirations:
            return
        when = self._expirations[0][0]
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._timers.call_at(when, self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        self._expire_values(self._timers.now())

    def _drop(self, key: InfoHash, values: list[Stored]) -> None:
        shelf = self._shelves[key]
        for stored in values:
            if shelf.values.get(stored.value.id) is stored:
                del shelf.values[stored.value.id]
                self._refund(stored)
                self.values -= 1
        if values:
            self._on_change(key, shelf, Change.EXPIRED, [stored.value for stored in values])
        self._forget_if_empty(key, shelf)

    def _forget_if_empty(self, key: InfoHash, shelf: Shelf) -> None:
        if not shelf.values and not shelf.listeners and self._shelves.get(key) is shelf:
            del self._shelves[key]

    def _charge(self, stored: Stored) -> None:
        if stored.group:
            self.bytes += stored.value.size
            self._quota.charge(stored.group, stored.value.size + limits.DHT_VALUE_OVERHEAD_BYTES)

    def _refund(self, stored: Stored) -> None:
        if stored.group:
            self.bytes -= stored.value.size
            self._quota.refund(stored.group, stored.value.size + limits.DHT_VALUE_OVERHEAD_BYTES)

    def _make_room(self) -> None:
        """Drops the soonest-expiring values of whoever uses the most."""
        self._expire_values(self._timers.now())
        while self._quota.used > self._limit and (place := self._quota.next_to_go()) is not None:
            key, value_id = place
            self._drop(key, [self._shelves[key].values[value_id]])
