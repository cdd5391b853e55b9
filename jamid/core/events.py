"""Events inside the process: frozen dataclasses, published by whoever knows, delivered in order to whoever subscribed."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

_log = logging.getLogger(__name__)

E = TypeVar("E")


class Events:
    """Delivers each published event, synchronously and in order, to the subscribers of its class and of its base classes."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[type[Any], list[Callable[[Any], None]]] = defaultdict(list)

    def subscribe(self, event_type: type[E], callback: Callable[[E], None]) -> Callable[[], None]:
        """Calls CALLBACK for every event of EVENT_TYPE from now on; returns the function that ends it."""
        subscribers = self._subscribers[event_type]
        subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in subscribers:
                subscribers.remove(callback)

        return unsubscribe

    def publish(self, event: object) -> None:
        """Hands EVENT to its subscribers; one that fails is logged and does not keep it from the others."""
        for event_type in type(event).__mro__:
            for callback in tuple(self._subscribers.get(event_type, ())):
                try:
                    callback(event)
                except Exception:
                    _log.exception("a subscriber of %s failed", type(event).__name__)
