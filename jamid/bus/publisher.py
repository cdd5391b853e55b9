"""Events become D-Bus signals, in the order of publication and after the reply of the call that caused them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from jamid.bus import generations, wire
from jamid.bus.contract import InterfaceContract, Member
from jamid.bus.pages import Page, PageBody
from jamid.bus.signature import Adapter, adapter, split
from jamid.core import limits
from jamid.core.errors import JamidError, LocalError
from jamid.core.events import Events
from jamid.core.signals import Signal, SwarmLoaded

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Call:
    """A call that is being handled."""

    sender: str
    """the caller's unique bus name"""
    replied: bool = field(default=False)


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)
"""the call that this code, or the task it runs in, was started by"""


@dataclass(frozen=True, slots=True)
class _Route:
    """One way an event leaves: its encoded header, and how its fields become a body."""

    header: wire.Header
    signature: str
    arguments: Callable[[Any], list[Any]]
    adapters: tuple[Adapter | None, ...]

    def body(self, event: Signal) -> list[Any]:
        return [value if adapt is None else adapt(value) for adapt, value in zip(self.adapters, self.arguments(event), strict=True)]


class Publisher:
    """Sends every `Signal` event as the D-Bus signals of the given API level.

    Signals published while a call is handled, by the handler or by what it started, leave after its reply; later ones queue behind
    them, since the order of publication is the order on the wire. A slow handler holds them no longer than `BUS_HOLD_SECONDS`.
    """

    def __init__(self, contracts: Mapping[str, InterfaceContract], level: frozenset[str]) -> None:
        self._routes = {event_type: _routes(event_type, contracts, level) for event_type in generations.event_types()}
        self._connection: Any = None
        self._held: deque[tuple[Call | None, Signal]] = deque()
        self._release_timer: asyncio.TimerHandle | None = None
        self._thread = threading.get_ident()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self, connection: Any, events: Events) -> None:
        """Sends every event that EVENTS publishes from now on over CONNECTION."""
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._unsubscribe = events.subscribe(Signal, self.publish)

    def stop(self) -> None:
        """Sends what is held and takes no more events."""
        self._unsubscribe()
        self.release(everything=True)
        self._connection = None

    def publish(self, event: Signal) -> None:
        """Sends EVENT, or keeps it until the call that caused it has its reply."""
        if threading.get_ident() != self._thread and self._loop is not None:
            self._loop.call_soon_threadsafe(self.publish, event)
            return
        call = current_call.get()
        waits = call is not None and not call.replied
        if not waits and not self._held:
            self._send(event)
            return
        self._held.append((call if waits else None, event))
        if self._release_timer is None and self._loop is not None:
            self._release_timer = self._loop.call_later(limits.BUS_HOLD_SECONDS, self.release, True)

    def release(self, everything: bool = False) -> None:
        """Sends what waited for replies that have been written since (or simply everything)."""
        held = self._held
        if not held:
            return
        while held and (everything or held[0][0] is None or held[0][0].replied):
            self._send(held.popleft()[1])
        if self._release_timer is not None and (everything or not held):
            self._release_timer.cancel()
            self._release_timer = None

    def _send(self, event: Signal) -> None:
        connection, routes = self._connection, self._routes.get(type(event), ())
        if connection is None or not routes:
            return
        page: Page | None = None
        for route in routes:
            body: bytes | PageBody
            try:
                if isinstance(event, SwarmLoaded):
                    page = page or Page(connection.library, event)
                    body = page.body(route.signature)
                else:
                    body = wire.encode_body(connection.library, route.signature, route.body(event))
            except (JamidError, TypeError, ValueError, AttributeError) as error:
                _log.error("the signal %s cannot be sent: %s", type(event).__name__, error)
                continue
            connection.send(route.header, body)


def _routes(event_type: type[Signal], contracts: Mapping[str, InterfaceContract], level: frozenset[str]) -> tuple[_Route, ...]:
    forms = generations.special_forms(event_type)
    if not forms:
        name = generations.member_name(event_type)
        declared = [form for contract in contracts.values() for form in contract.signals.get(name, ())]
        if len(declared) != 1:
            raise LocalError(f"the contract declares {len(declared)} forms of the signal {name} where one is expected")
        forms = (generations.Form(name, declared[0].in_signature, event_type.values),)
    routes = []
    for form in forms:
        contract, member = _declared(form, contracts)
        if not member.generations & level:
            continue
        head = wire.header(
            wire.Kind.SIGNAL,
            path=contract.path,
            interface=contract.full_name,
            member=form.member,
            signature=form.signature,
        )
        routes.append(_Route(head, form.signature, form.arguments, tuple(adapter(one) for one in split(form.signature))))
    return tuple(routes)


def _declared(form: generations.Form, contracts: Mapping[str, InterfaceContract]) -> tuple[InterfaceContract, Member]:
    for contract in contracts.values():
        for member in contract.signals.get(form.member, ()):
            if member.in_signature == form.signature:
                return contract, member
    raise LocalError(f"the contract declares no signal {form.member} with the signature {form.signature!r}")
