"""Our connection to the bus: authentication, a reader that hands messages on, and a writer that loses nothing.

Everything sent in one turn of the loop leaves in one write, or in a few when it is much. When the bus reads slowly, more than
`BUS_OUTGOING_HIGH` bytes stop the reading of further calls until it has caught up, so replies cannot grow without bounds; signals still
queue behind, pages of messages as what they are made of. A bus that leaves more than `BUS_OUTGOING_BYTES` unread is as good as gone: the
connection is closed, which ends the daemon (all state is on disk, the service manager starts it again). A slow *listener* costs us
nothing: the bus daemon holds what it has not read, under its own limits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Protocol, Self, cast
from urllib.parse import unquote

from jamid.bus import library, wire
from jamid.bus.wire import Kind, Message
from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError

_log = logging.getLogger(__name__)

_BUS = "org.freedesktop.DBus"
_BUS_PATH = "/org/freedesktop/DBus"
_DO_NOT_QUEUE = 0x4
_PRIMARY_OWNER, _ALREADY_OWNER = 1, 4


class BusError(LocalError):
    """The bus answered a call of ours with an error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text} ({name})")
        self.name = name


class NameTakenError(LocalError):
    """Another daemon owns the name already."""


def address_of(bus: str) -> str:
    """The address of `session`, `system` or an address itself; raises LocalError when the environment names none."""
    if bus == "system":
        return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or "unix:path=/run/dbus/system_bus_socket"
    if bus not in ("", "session"):
        return bus
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    if address:
        return address
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.exists(f"{runtime}/bus"):
        return f"unix:path={runtime}/bus"
    raise LocalError("no session bus: DBUS_SESSION_BUS_ADDRESS is not set; start one with dbus-run-session or name one with --bus")


class Pieces(Protocol):
    """A body that is made as it leaves."""

    def __len__(self) -> int:
        """All its bytes."""
        ...

    def __iter__(self) -> Iterator[bytes]: ...


class Connection(asyncio.Protocol):
    """One connection to a bus."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.unique_name = ""
        self.on_call: Callable[[Message], bool] = lambda message: False
        """takes each call as it starts; returns whether a turn of the loop must pass before the next one"""
        self.on_signal: Callable[[Message], None] = lambda message: None
        self.library = library.load()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._framer = wire.Framer(self.library)
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._calls: deque[Message] = deque()
        self._pump_scheduled = False
        self._outgoing: deque[Iterator[bytes]] = deque()
        """the pieces of each message"""
        self._outgoing_bytes = 0
        self._flush_scheduled = False
        self._congested = False
        self._closing = False

    @classmethod
    async def open(cls, address: str) -> Self:
        """Connects to the bus at ADDRESS (`session`, `system` or a D-Bus address) and says hello; raises LocalError."""
        sock = await _connect(address_of(address))
        try:
            await asyncio.wait_for(_authenticate(sock), limits.BUS_REPLY_SECONDS)
            connection = cls()
            await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
        except (OSError, TimeoutError) as error:
            sock.close()
            raise LocalError(f"the bus at {address} does not let us in: {error}") from error
        try:
            (connection.unique_name,) = await connection.call(_BUS, _BUS_PATH, _BUS, "Hello")
        except LocalError:
            await connection.close()
            raise
        return connection

    async def request_name(self, name: str) -> None:
        """Becomes the owner of NAME without waiting in a queue; raises NameTakenError when somebody else is."""
        (result,) = await self.call(_BUS, _BUS_PATH, _BUS, "RequestName", "su", [name, _DO_NOT_QUEUE])
        if result not in (_PRIMARY_OWNER, _ALREADY_OWNER):
            raise NameTakenError(f"{name} is owned already: another daemon runs on this bus; stop it first or use another bus (--bus)")

    async def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", body: list[Any] | None = None
    ) -> list[Any]:
        """Calls somebody else's method and returns the body of its reply; raises BusError or LocalError."""
        head = wire.header(Kind.CALL, flags=0, path=path, interface=interface, member=member, destination=destination, signature=signature)
        future: asyncio.Future[Message] = self._loop.create_future()
        serial = self.send(head, wire.encode_body(self.library, signature, body or []))
        self._waiting[serial] = future
        try:
            reply = await asyncio.wait_for(future, limits.BUS_REPLY_SECONDS)
        except TimeoutError:
            raise LocalError(f"the bus did not answer {member} within {limits.BUS_REPLY_SECONDS} s") from None
        finally:
            self._waiting.pop(serial, None)
        if reply.kind is Kind.ERROR:
            raise BusError(reply.error_name, str(reply.body[0]) if reply.body else reply.error_name)
        return reply.body

    def send(self, head: wire.Header, body: bytes | Pieces = b"") -> int:
        """Queues a message behind all earlier ones and returns its serial; it leaves in this turn of the loop if the bus reads."""
        self._serial = self._serial % 0xFFFFFFFF + 1
        unread = self._outgoing_bytes + (self._transport.get_write_buffer_size() if self._transport is not None else 0)
        if unread > limits.BUS_OUTGOING_BYTES:
            self._fail(f"the bus has left {unread} bytes unread; it is taken for gone")
            return self._serial
        start = head.start(self._serial, len(body))
        self._outgoing.append(iter((start + body,)) if isinstance(body, bytes) else chain((start,), body))
        self._outgoing_bytes += len(start) + len(body)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self.flush)
        if self._outgoing_bytes > limits.BUS_OUTGOING_HIGH:
            self.flush()
        return self._serial

    def flush(self, *, everything: bool = False) -> None:
        """Gives what is queued to the socket until that has enough for now, or EVERYTHING."""
        self._flush_scheduled = False
        while self._outgoing and self._transport is not None and (everything or not self._congested):
            self._transport.write(self._take())

    def _take(self) -> bytes:
        """What leaves in one write."""
        pieces: list[bytes] = []
        size = 0
        while self._outgoing and size < limits.BUS_OUTGOING_HIGH:
            piece = next(self._outgoing[0], None)
            if piece is None:
                self._outgoing.popleft()
            else:
                pieces.append(piece)
                size += len(piece)
        self._outgoing_bytes -= size
        return b"".join(pieces)

    async def close(self) -> None:
        """Sends what is queued (for up to a second) and disconnects."""
        self._closing = True
        self.flush(everything=True)
        if self._transport is not None:
            self._transport.close()
            try:
                await asyncio.wait_for(asyncio.shield(self.closed), 1)
            except TimeoutError:
                self._transport.abort()

    # -- what asyncio calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one without being a subclass
        transport.set_write_buffer_limits(high=limits.BUS_OUTGOING_HIGH)
        self._transport = transport
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._framer.feed(data)
        except RemoteError as error:
            self._fail(str(error))
            return
        for message in messages:
            if message.kind is Kind.CALL:
                self._calls.append(message)
            elif message.kind is Kind.SIGNAL:
                self._guarded(self.on_signal, message)
            else:
                future = self._waiting.get(message.reply_serial)
                if future is not None and not future.done():
                    future.set_result(message)
        if self._calls and not self._pump_scheduled:
            self._pump()

    def pause_writing(self) -> None:
        _log.debug("the bus reads slowly: %d bytes wait, no further calls are taken until it has read them", limits.BUS_OUTGOING_HIGH)
        self._congested = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._congested = False
        self.flush()
        if self._congested:
            return
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        if self._calls and not self._pump_scheduled:
            self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LocalError("the connection to the bus was lost"))
        if not self._closing:
            _log.error("the connection to the bus was lost: %s", exc or "closed by the bus")
        if not self.closed.done():
            self.closed.set_result(None)

    def _pump(self) -> None:
        # Calls start strictly in order of arrival: one that went into a task gets its first step before the next one starts.
        self._pump_scheduled = False
        while self._calls and not self._congested:
            if self._guarded(self.on_call, self._calls.popleft()) and self._calls:
                self._pump_scheduled = True
                self._loop.call_soon(self._pump)
                break
        self.flush()

    def _guarded(self, function: Callable[[Message], Any], message: Message) -> Any:
        try:
            return function(message)
        except Exception:
            _log.exception("a D-Bus message (%s %s) could not be handled", message.kind.name, message.member)
            return False

    def _fail(self, reason: str) -> None:
        _log.critical("closing the connection to the bus: %s", reason)
        self._outgoing.clear()
        self._outgoing_bytes = 0
        if self._transport is not None:
            self._transport.abort()


async def _connect(address: str) -> socket.socket:
    loop = asyncio.get_running_loop()
    reason = "none of its parts is a unix or tcp address"
    for family, where in endpoints(address):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.wait_for(loop.sock_connect(sock, where), limits.BUS_REPLY_SECONDS)
        except (OSError, TimeoutError) as error:
            sock.close()
            reason = str(error)
            continue
        return sock
    raise LocalError(f"no bus at {address!r}: {reason}; is a D-Bus daemon running there?")


def endpoints(address: str) -> list[tuple[socket.AddressFamily, Any]]:
    """The sockets that a D-Bus ADDRESS names, in order; kinds we do not know are left out."""
    found: list[tuple[socket.AddressFamily, Any]] = []
    for part in address.split(";"):
        transport, _, rest = part.partition(":")
        options = {key: unquote(value) for key, _, value in (pair.partition("=") for pair in rest.split(","))}
        if transport == "unix" and "path" in options:
            found.append((socket.AF_UNIX, options["path"]))
        elif transport == "unix" and "abstract" in options:
            found.append((socket.AF_UNIX, "\0" + options["abstract"]))
        elif transport == "tcp" and options.get("port", "").isdecimal():
            family = socket.AF_INET6 if options.get("family") == "ipv6" else socket.AF_INET
            found.append((family, (options.get("host", "localhost"), int(options["port"]))))
    return found


async def _authenticate(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    identity = str(os.getuid()).encode().hex().encode()
    await loop.sock_sendall(sock, b"\0AUTH EXTERNAL " + identity + b"\r\n")
    line = b""
    while not line.endswith(b"\r\n"):
        # One byte too many would belong to the first message: the server sends nothing after its line until BEGIN.
        data = await loop.sock_recv(sock, 512)
        if not data or len(line) > 4096:
            raise OSError("it closed the connection during authentication")
        line += data
    if not line.startswith(b"OK "):
        raise OSError(f"it refuses our user id: {line.decode(errors='replace').strip()}")
    await loop.sock_sendall(sock, b"BEGIN\r\n")
