"""A subscription of the secure layer: values opened in the order in which they came."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from jamid.core import limits
from jamid.core.tasks import Tasks
from jamid.dht.values import Value, WireValue

_log = logging.getLogger(__name__)

OnValue = Callable[[Value, bool], None]
"""Gets a value, and whether it expired."""


class Opener(Protocol):
    """Who checks and decrypts values."""

    @property
    def tasks(self) -> Tasks: ...

    def is_opened(self, value: WireValue) -> bool: ...

    def opened(self, value: WireValue) -> Value | None: ...

    async def open(self, value: WireValue) -> Value | None: ...

    def ended(self, listening: Listening) -> None: ...


class Listening:
    """A subscription; `cancel` ends it."""

    def __init__(self, opener: Opener, on_value: OnValue, type_number: int | None) -> None:
        self._opener = opener
        self._on_value = on_value
        self._type = type_number
        self._waiting: deque[tuple[WireValue, bool]] = deque()
        self._opening = False
        self._known: OrderedDict[int, Value] = OrderedDict()
        self._stop: Callable[[], None] | None = None
        self._cancelled = False

    @property
    def active(self) -> bool:
        return self._stop is not None

    def cancel(self) -> None:
        """No more calls."""
        stop, self._stop = self._stop, None
        self._cancelled = True
        self._waiting.clear()
        if stop is not None:
            stop()
            self._opener.ended(self)

    def start(self, stop: Callable[[], None]) -> None:
        """What is known already is delivered soon, not before the caller has this object."""
        self._stop = stop
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._drain)

    def news(self, values: list[WireValue], expired: bool) -> None:
        """Values from the network, to be opened in order."""
        self._waiting.extend((value, expired) for value in values)
        if self._stop is not None and not self._opening:
            self._drain()

    def _drain(self) -> None:
        """Delivers what can be delivered at once; the first value that needs the private key hands over to a task."""
        while self._waiting and not self._opening:
            value, expired = self._waiting[0]
            if value.cipher and not expired and not self._opener.is_opened(value):
                self._opening = True
                self._opener.tasks.spawn(self._open_all(), "open")
                return
            self._waiting.popleft()
            self._deliver(value, self._known.get(value.id) if expired else self._opener.opened(value), expired)

    async def _open_all(self) -> None:
        try:
            while self._waiting:
                value, expired = self._waiting.popleft()
                opened = self._known.get(value.id) if expired else await self._opener.open(value)
                self._deliver(value, opened, expired)
        finally:
            self._opening = False

    def _deliver(self, wire: WireValue, value: Value | None, expired: bool) -> None:
        if value is None or self._cancelled or (self._type is not None and value.type != self._type):
            return
        if expired:
            self._known.pop(wire.id, None)
        else:
            self._known[wire.id] = value
            if len(self._known) > limits.DHT_CACHED_VALUES:
                self._known.popitem(last=False)
        try:
            self._on_value(value, expired)
        except Exception:
            _log.exception("a listener failed")
