"""The relayed addresses of one ICE session: one allocation for each family of addresses that this machine speaks (RFC 6156)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from jamid.core.errors import LocalError
from jamid.net.links import LinkReceiver, TcpLink
from jamid.net.relay import RelayMemory, TurnTcpRelay
from jamid.net.stun import Address
from jamid.net.turn import TurnServer

_log = logging.getLogger(__name__)


class Relays:
    """The allocations of a session at one TURN server; false while there is none."""

    def __init__(self, receiver: LinkReceiver, on_link: Callable[[TcpLink], None]) -> None:
        self._receiver = receiver
        self._on_link = on_link
        self._relays: list[TurnTcpRelay] = []

    def __bool__(self) -> bool:
        return bool(self._relays)

    @property
    def addresses(self) -> list[Address]:
        """Where peers reach us through the server."""
        return [relay.address for relay in self._relays if relay.address is not None]

    @property
    def mapped(self) -> list[str]:
        """The hosts that the server sees us as."""
        return list(dict.fromkeys(relay.mapped[0] for relay in self._relays if relay.mapped is not None))

    async def open(self, server: TurnServer, memory: RelayMemory, *, ipv6: bool) -> None:
        """Allocates what the server gives, unless it has proven dead: an IPv4 address, with IPV6 one of that kind as well."""
        now = asyncio.get_running_loop().time
        if not memory.worth_asking(now()):
            return
        families = (False, True) if ipv6 and memory.ipv6 else (False,)
        asked = [TurnTcpRelay(server, self._receiver, self._on_link, ipv6=family) for family in families]
        self._relays = list(asked)
        failures = await asyncio.gather(*(relay.open() for relay in asked), return_exceptions=True)
        for relay, failure in zip(asked, failures, strict=True):
            if failure is None:
                continue
            if not isinstance(failure, LocalError):
                raise failure
            self._relays.remove(relay)
            _log.info("no %s relay for this connection: %s", "IPv6" if relay.ipv6 else "IPv4", failure)
        if not self._relays:
            memory.failed(now())
            return
        memory.succeeded()
        memory.ipv6 = not ipv6 or any(relay.ipv6 for relay in self._relays)

    async def permit(self, hosts: Iterable[str]) -> None:
        """Lets peers at HOSTS reach the addresses of their family."""
        every = tuple(hosts)
        await asyncio.gather(*(relay.permit(every) for relay in self._relays))

    async def close(self, *, but: TcpLink | None = None) -> None:
        """Gives the allocations back, except for the one that the link BUT runs through."""
        for relay in [relay for relay in self._relays if but is None or not relay.carries(but)]:
            self._relays.remove(relay)
            await relay.close()
