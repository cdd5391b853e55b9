"""The listening sockets of a device's ICE sessions: all share them, told apart by the ufrag in the first check of a connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Final, Protocol

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.net import stun
from jamid.net.links import TcpLink
from jamid.net.stun import Attribute, Class, Method

_log = logging.getLogger(__name__)

FIRST_CHECK_SECONDS: Final = 10.0
"""A connection that says nothing for so long is closed; a relayed path plus a slow peer take two or three."""


class LinkAdopter(Protocol):
    """An ICE session that takes the connections meant for it."""

    def adopt(self, link: TcpLink, first: bytes) -> None:
        """Takes LINK over, whose first message is FIRST."""
        ...


class Listener:
    """Accepts TCP connections on one IPv4 and one IPv6 port."""

    def __init__(self) -> None:
        self.ports: dict[int, int] = {}
        """port by IP version"""
        self._servers: list[asyncio.Server] = []
        self._sessions: dict[str, LinkAdopter] = {}
        self._strangers: dict[TcpLink, asyncio.TimerHandle] = {}

    async def start(self) -> None:
        """Binds; raises LocalError when there is no network at all to bind to."""
        loop = asyncio.get_running_loop()
        for version, family, host in ((4, socket.AF_INET, "0.0.0.0"), (6, socket.AF_INET6, "::")):
            try:
                server = await loop.create_server(self._accepted, host, 0, family=family, backlog=256)
            except OSError as error:
                _log.debug("no IPv%d listener: %s", version, error)
                continue
            self._servers.append(server)
            self.ports[version] = server.sockets[0].getsockname()[1]
        if not self._servers:
            raise LocalError("cannot listen for connections of peers: neither IPv4 nor IPv6 sockets can be bound")

    def register(self, ufrag: str, session: LinkAdopter) -> None:
        """From now on connections that ask for UFRAG go to SESSION."""
        self._sessions[ufrag] = session

    def unregister(self, ufrag: str) -> None:
        """The session of UFRAG takes no more connections."""
        self._sessions.pop(ufrag, None)

    async def close(self) -> None:
        """Stops listening and drops connections that belong to nobody yet."""
        for server in self._servers:
            server.close()
        for link in list(self._strangers):
            link.abort()
        self._servers.clear()

    # -- connections whose session is not known yet ---------------------------------------------------------------------------

    def stun_received(self, link: TcpLink, message: bytes) -> None:
        session = None
        with contextlib.suppress(RemoteError):
            check = stun.parse(message)
            if check.method == Method.BINDING and check.cls is Class.REQUEST:
                session = self._sessions.get(check.text(Attribute.USERNAME).partition(":")[0])
        if session is None:
            link.abort()
            return
        self._forget(link)
        session.adopt(link, message)

    def data_received(self, link: TcpLink, piece: bytes | memoryview) -> None:
        link.abort()

    def link_closed(self, link: TcpLink, error: Exception | None) -> None:
        self._forget(link)

    def writable_changed(self, link: TcpLink) -> None:
        pass

    def _accepted(self) -> TcpLink:
        link = TcpLink(self)
        if len(self._strangers) >= limits.ICE_STRANGERS:
            # Forgotten now, not when its end is reported: many are accepted in one turn of the loop.
            oldest = next(iter(self._strangers))
            self._forget(oldest)
            oldest.abort()
        self._strangers[link] = asyncio.get_running_loop().call_later(FIRST_CHECK_SECONDS, link.abort)
        return link

    def _forget(self, link: TcpLink) -> None:
        timer = self._strangers.pop(link, None)
        if timer is not None:
            timer.cancel()
