"""A relayed TCP address at a TURN server: the control connection, and a data connection for each peer that connects to it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable
from typing import Final

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.tasks import Tasks
from jamid.net import turn
from jamid.net.links import LinkReceiver, TcpLink
from jamid.net.stun import Address, Method
from jamid.net.turn import TurnClient, TurnServer

_log = logging.getLogger(__name__)

OPEN_SECONDS: Final = 2.5
"""for connection and allocation; a session goes on without relay afterwards"""
_BIND_SECONDS: Final = 15.0
_FIRST_PAUSE: Final = 10.0
_LONGEST_PAUSE: Final = 1800.0
_PERMIT_SECONDS: Final = 2.0


class RelayMemory:
    """Whether a TURN server is worth asking: after a failure not again for a while, so that a dead one does not delay everything."""

    def __init__(self) -> None:
        self.ipv6 = True
        """whether it may also have IPv6 addresses to give"""
        self._pause = 0.0
        self._next = 0.0

    def worth_asking(self, now: float) -> bool:
        """Whether the server may be asked at NOW."""
        return now >= self._next

    def succeeded(self) -> None:
        """The server allocated."""
        self._pause = self._next = 0.0

    def failed(self, now: float) -> None:
        """The server was silent or declined at NOW."""
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._next = now + self._pause

    def forget(self) -> None:
        """The network changed: everything may work again."""
        self.succeeded()
        self.ipv6 = True


class TurnTcpRelay:
    """One allocation. `on_link` is called with each bound data connection; its receiver is the one given."""

    def __init__(self, server: TurnServer, receiver: LinkReceiver, on_link: Callable[[TcpLink], None], *, ipv6: bool = False) -> None:
        self.ipv6 = ipv6
        self.address: Address | None = None
        self.mapped: Address | None = None
        self._server = server
        self._client = TurnClient(server)
        self._receiver = receiver
        self._on_link = on_link
        self._tasks = Tasks("turn")
        self._control: asyncio.Transport | None = None
        self._peername: Address = ("", 0)
        self._allocated: asyncio.Future[None] | None = None
        self._permitted: asyncio.Future[None] | None = None
        self._hosts: set[str] = set()
        self._bound = 0

    async def open(self) -> None:
        """Allocates; raises LocalError when the server cannot be reached or declines."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                transport, _ = await loop.create_connection(lambda: _Control(self), self._server.host, self._server.port)
                self._control = transport
                self._peername = transport.get_extra_info("peername")[:2]
                self._allocated = loop.create_future()
                transport.write(self._client.allocate(ipv6=self.ipv6))
                await self._allocated
        except TimeoutError:
            await self.close()
            raise LocalError(f"the TURN server {self._server.host}:{self._server.port} does not answer") from None
        except OSError as error:
            await self.close()
            raise LocalError(f"the TURN server {self._server.host}:{self._server.port} cannot be reached: {error}") from None
        except BaseException:
            await self.close()
            raise

    async def permit(self, hosts: Iterable[str]) -> None:
        """Lets HOSTS of the relay's family connect, now and until the relay is closed; returns when the server has agreed."""
        if self.address is None:
            return
        new = {host for host in hosts if (":" in host) == self.ipv6 and not ipaddress.ip_address(host).is_loopback} - self._hosts
        if new and not await self._permit(new):
            # Servers that forbid one address, such as private ones, refuse all that come with it.
            for host in new:
                await self._permit({host})

    async def _permit(self, hosts: set[str]) -> bool:
        if self._control is None:
            return False
        self._permitted = asyncio.get_running_loop().create_future()
        self._control.write(self._client.permit(sorted(hosts)))
        try:
            async with asyncio.timeout(_PERMIT_SECONDS):
                await self._permitted
        except LocalError:
            return False
        except TimeoutError:
            pass
        self._hosts |= hosts
        return True

    def carries(self, link: TcpLink) -> bool:
        """Whether LINK runs through this allocation."""
        return isinstance(link, _DataLink) and link.relay is self

    async def close(self) -> None:
        """Gives the allocation back, also when this is cancelled."""
        if self._control is not None:
            if self.address is not None:
                self._control.write(self._client.refresh(0))
            self._control.close()
            self._control = None
        self.address = None
        await self._tasks.close()

    # -- the control connection -----------------------------------------------------------------------------------------------

    def message_received(self, data: bytes) -> None:
        """One message of the server."""
        event = self._client.receive(data)
        match event:
            case turn.Output() if self._control is not None:
                self._control.write(event.data)
            case turn.Allocated():
                self.address, self.mapped = event.relayed, event.mapped
                self._tasks.spawn(self._keep(event.lifetime), "refresh")
                _finish(self._allocated, None)
            case turn.Permitted():
                _finish(self._permitted, None)
            case turn.Attempted():
                if self._bound < limits.TURN_DATA_CONNECTIONS:
                    self._bound += 1
                    self._tasks.spawn(self._bind(event), "bind")
            case turn.Refused():
                _log.debug("TURN server %s declined method %d: %d %s", self._server.host, event.method, event.code, event.reason)
                refusal = LocalError(f"the TURN server {self._server.host} declined: {event.code} {event.reason}")
                _finish(self._permitted if event.method == Method.CREATE_PERMISSION else self._allocated, refusal)

    def control_lost(self) -> None:
        """The control connection ended, and with it the allocation."""
        self._control = None
        self.address = None
        _finish(self._permitted, None)
        _finish(self._allocated, LocalError(f"the TURN server {self._server.host} closed the connection"))

    async def _keep(self, lifetime: int) -> None:
        """Renews allocation and permissions in time."""
        loop = asyncio.get_running_loop()
        refresh = loop.time() + max(lifetime - turn.REFRESH_BEFORE, lifetime / 2)
        renewal = loop.time() + turn.PERMISSION_RENEWAL
        while True:
            await asyncio.sleep(max(1.0, min(refresh, renewal) - loop.time()))
            if self._control is None:
                return
            if loop.time() >= refresh:
                self._control.write(self._client.refresh())
                refresh = loop.time() + max(lifetime - turn.REFRESH_BEFORE, lifetime / 2)
            if loop.time() >= renewal:
                if self._hosts:
                    self._control.write(self._client.permit(sorted(self._hosts)))
                renewal = loop.time() + turn.PERMISSION_RENEWAL

    # -- data connections -----------------------------------------------------------------------------------------------------

    async def _bind(self, attempt: turn.Attempted) -> None:
        loop = asyncio.get_running_loop()
        link = _DataLink(self._receiver, self, attempt)
        try:
            async with asyncio.timeout(_BIND_SECONDS):
                # The same server that the control connection reached, not another address of the same name.
                await loop.create_connection(lambda: link, *self._peername)
                link.bind(self._client.bind(attempt.connection))
                await link.bound
        except (TimeoutError, OSError, LocalError) as error:
            _log.debug("relayed connection from %s not bound: %s", attempt.peer, error)
            link.abort()
            self._bound -= 1
        except BaseException:
            link.abort()  # nobody else knows it yet
            raise

    def bound_message(self, link: _DataLink, data: bytes) -> bool:
        """The response to a ConnectionBind; true when the pipe stands."""
        event = self._client.receive(data)
        if isinstance(event, turn.Bound):
            self._on_link(link)
            return True
        if isinstance(event, turn.Output):
            link.write_raw(event.data)
            return False
        raise RemoteError(f"ConnectionBind declined: {event}")


class _Control(asyncio.Protocol):
    def __init__(self, relay: TurnTcpRelay) -> None:
        self._relay = relay
        self._buffer = bytearray()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            while (message := turn.take_message(self._buffer)) is not None:
                self._relay.message_received(message)
        except RemoteError as error:
            _log.warning("TURN server: %s", error)
            if self._transport is not None:
                self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._relay.control_lost()


class _DataLink(TcpLink):
    """A link that first has to be bound to a peer's connection."""

    def __init__(self, receiver: LinkReceiver, relay: TurnTcpRelay, attempt: turn.Attempted) -> None:
        super().__init__(receiver, relay_peer=attempt.peer)
        self.bound: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.relay = relay
        self._unbound: bytearray | None = bytearray()

    def bind(self, request: bytes) -> None:
        """Sends the ConnectionBind."""
        self.write_raw(request)

    def write_raw(self, data: bytes) -> None:
        """Sends bytes to the server without a frame."""
        if self._transport is not None and not self.closed:
            self._transport.write(data)

    def feed(self, data: memoryview) -> None:
        if self._unbound is None:
            super().feed(data)
            return
        self._unbound += data
        try:
            while self._unbound is not None and (message := turn.take_message(self._unbound)) is not None:
                if self.relay.bound_message(self, message):
                    rest, self._unbound = bytes(self._unbound), None
                    _finish(self.bound, None)
                    super().feed(memoryview(rest))
        except RemoteError as error:
            _finish(self.bound, LocalError(str(error)))
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if self._unbound is None:
            super().connection_lost(error)
        else:
            self.closed = True
            _finish(self.bound, LocalError("the TURN server closed the data connection"))


def _finish(future: asyncio.Future[None] | None, error: Exception | None) -> None:
    if future is None or future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
