"""A local subscription to a key: which storers hold which value, and what that means to the listener (protocol: opendht, section 14)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from jamid.core import limits
from jamid.core.identifiers import InfoHash
from jamid.dht.query import Query
from jamid.dht.timers import Timer, Timers
from jamid.dht.types import ValueTypes
from jamid.dht.values import WireValue

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
