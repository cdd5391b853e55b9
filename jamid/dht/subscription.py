"""A local subscription to a key: which storers hold which value, and what that means to the listener (protocol: opendht, section 14)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Final

from jamid.core import limits
from jamid.core.identifiers import InfoHash
from jamid.dht.query import Query
from jamid.dht.timers import Timer, Timers
from jamid.dht.types import ValueTypes
from jamid.dht.values import WireValue

LINGER: Final = 60.0
"""How long the storers' news still arrive after the last local listener left."""

Source = object
"""Who holds a value: a remote node, or OURSELVES."""
OURSELVES: Source = object()

OnNews = Callable[[list[WireValue], bool], None]
"""Gets values, and whether they expired."""


class _Entry:
    __slots__ = ("sources", "value")

    def __init__(self, value: WireValue) -> None:
        self.value = value
        self.sources: dict[Source, float] = {}
        """until when each holds it"""


class Subscription:
    """The view of one (key, query) that all its local listeners share: a value is added with its first holder, expired with the last."""

    def __init__(self, key: InfoHash, query: Query | None, timers: Timers, types: ValueTypes) -> None:
        self.key = key
        self.query = query
        self._timers = timers
        self._types = types
        self._listeners: dict[int, OnNews] = {}
        self._entries: dict[int, _Entry] = {}
        self._timer: Timer | None = None
        self._timer_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def add_listener(self, number: int, on_news: OnNews) -> None:
        """A new listener first gets what is known."""
        self._listeners[number] = on_news
        values = self.values()
        if values:
            on_news(values, False)

    def remove_listener(self, number: int) -> None:
        self._listeners.pop(number, None)

    def values(self) -> list[WireValue]:
        """What is there now."""
        return [entry.value for entry in self._entries.values()]

    def seen(self, source: Source, values: Iterable[WireValue]) -> None:
        """SOURCE has these values."""
        now = self._timers.now()
        news = []
        for value in values:
            if self.query is not None and not self.query.matches(value):
                continue
            entry = self._entries.get(value.id)
            if entry is None:
                if len(self._entries) >= limits.DHT_CACHED_VALUES:
                    self._forget_soonest()
                entry = self._entries[value.id] = _Entry(value)
                news.append(value)
            elif not entry.value.same_content(value) and (value.seq > entry.value.seq or (value.cipher and source in entry.sources)):
                entry.value = value
                news.append(value)
            # Our own storage says itself when a value is gone.
            entry.sources[source] = until = math.inf if source is OURSELVES else now + self._types.lifetime(value)
            if until != math.inf:
                self._arm(until)
        if news:
            self._tell(news, False)

    def refreshed(self, source: Source, ids: Iterable[int]) -> None:
        """SOURCE prolonged these values."""
        now = self._timers.now()
        for value_id in ids:
            entry = self._entries.get(value_id)
            if entry is not None and source in entry.sources:
                entry.sources[source] = now + self._types.lifetime(entry.value)

    def gone(self, source: Source, ids: Iterable[int]) -> None:
        """SOURCE dropped these values."""
        self._remove([(value_id, source) for value_id in ids])

    def drop_source(self, source: Source) -> None:
        """SOURCE itself is gone."""
        self._remove([(value_id, source) for value_id, entry in self._entries.items() if source in entry.sources])

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _remove(self, pairs: list[tuple[int, Source]]) -> None:
        expired = []
        for value_id, source in pairs:
            entry = self._entries.get(value_id)
            if entry is not None and entry.sources.pop(source, None) is not None and not entry.sources:
                del self._entries[value_id]
                expired.append(entry.value)
        if expired:
            self._tell(expired, True)

    def _forget_soonest(self) -> None:
        soonest = min(self._entries, key=lambda value_id: max(self._entries[value_id].sources.values(), default=0.0))
        del self._entries[soonest]

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._timers.call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._timers.now()
        late = [(value_id, one) for value_id, entry in self._entries.items() for one, until in entry.sources.items() if until <= now]
        self._remove(late)
        following = min((until for entry in self._entries.values() for until in entry.sources.values()), default=None)
        if following is not None and following != math.inf:
            self._arm(following)

    def _tell(self, values: list[WireValue], expired: bool) -> None:
        for on_news in tuple(self._listeners.values()):
            on_news(values, expired)


Name = tuple[InfoHash, Query | None]


class Subscriptions:
    """All local subscriptions; one that lost its last listener lingers, in case another one comes."""

    def __init__(
        self, timers: Timers, types: ValueTypes, begin: Callable[[Subscription], None], end: Callable[[Subscription], None]
    ) -> None:
        self._timers = timers
        self._types = types
        self._begin = begin
        self._end = end
        self._all: dict[Name, Subscription] = {}
        self._by_key: dict[InfoHash, list[Subscription]] = {}
        self._lingering: dict[Name, Timer] = {}
        self._numbers = itertools.count(1)

    def find(self, key: InfoHash, query: Query | None) -> Subscription | None:
        """The subscription if anybody listens to it."""
        subscription = self._all.get((key, query))
        return subscription if subscription else None

    def listen(self, key: InfoHash, query: Query | None, on_news: OnNews, stored: list[WireValue]) -> int:
        """Adds a listener, who first hears what is known and STORED here; returns its number."""
        name, number = (key, query), next(self._numbers)
        lingering = self._lingering.pop(name, None)
        if lingering is not None:
            lingering.cancel()
        subscription = self._all.get(name)
        if subscription is None:
            subscription = self._all[name] = Subscription(key, query, self._timers, self._types)
            self._by_key.setdefault(key, []).append(subscription)
            self._begin(subscription)
        subscription.add_listener(number, on_news)
        if stored:
            subscription.seen(OURSELVES, stored)
        return number

    def cancel(self, key: InfoHash, query: Query | None, number: int) -> None:
        """Removes a listener."""
        name = (key, query)
        subscription = self._all.get(name)
        if subscription is None:
            return
        subscription.remove_listener(number)
        if not subscription and name not in self._lingering:
            self._lingering[name] = self._timers.call_at(self._timers.now() + LINGER, self._forget, name)

    def is_current(self, subscription: Subscription) -> bool:
        """Whether SUBSCRIPTION has not ended meanwhile."""
        return self._all.get((subscription.key, subscription.query)) is subscription

    def stored(self, key: InfoHash, values: list[WireValue]) -> None:
        """Our own storage has new values."""
        for subscription in tuple(self._by_key.get(key, ())):
            subscription.seen(OURSELVES, values)

    def dropped(self, key: InfoHash, values: list[WireValue]) -> None:
        """Our own storage has dropped values."""
        for subscription in tuple(self._by_key.get(key, ())):
            subscription.gone(OURSELVES, [value.id for value in values])

    def close(self) -> None:
        """Stops all timers."""
        for timer in self._lingering.values():
            timer.cancel()
        for subscription in self._all.values():
            subscription.close()

    def _forget(self, name: Name) -> None:
        self._lingering.pop(name, None)
        subscription = self._all.pop(name, None)
        if subscription is None:
            return
        subscription.close()
        others = self._by_key[name[0]]
        others.remove(subscription)
        if not others:
            del self._by_key[name[0]]
        self._end(subscription)
