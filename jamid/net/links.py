"""One TCP connection that carries RFC 4571 frames: of ICE checks first, of TLS when it is the selected one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from dataclasses import replace
from typing import Final, Protocol, cast

from jamid.core import limits
from jamid.net import pacing
from jamid.net.framing import MAX_FRAME, Deframer, frame, frame_records
from jamid.net.pacing import Pacer
from jamid.net.stun import Address

_log = logging.getLogger(__name__)

_WRITE_HIGH: Final = 8 * 1024
"""bytes waiting in the process at which writers have to wait"""
_NOT_SENT_LOW: Final = 32 * 1024
"""bytes waiting in the kernel, so that a small message is never behind more than these"""
_DEAD_AFTER_MS: Final = 60_000
"""unacknowledged bytes for so long mean that the peer is gone; a cut of 20 s is survived"""
_receive_buffer = bytearray(256 * 1024)
"""Shared by all links: what is read is handled before the next read, and an idle connection needs no buffer of its own."""


class LinkReceiver(Protocol):
    """Who is told what happens on a link."""

    def stun_received(self, link: TcpLink, message: bytes) -> None:
        """A STUN message came."""
        ...

    def data_received(self, link: TcpLink, piece: bytes | memoryview) -> None:
        """TLS bytes came, valid only during the call."""
        ...

    def link_closed(self, link: TcpLink, error: Exception | None) -> None:
        """The TCP connection ended."""
        ...

    def writable_changed(self, link: TcpLink) -> None:
        """`link.writable` changed."""
        ...


class TcpLink(asyncio.BufferedProtocol):
    """A framed TCP connection."""

    def __init__(self, receiver: LinkReceiver, *, relay_peer: Address | None = None) -> None:
        self.receiver = receiver
        self.remote: Address = relay_peer or ("", 0)
        """the peer as it appears to us; behind our relay this is the address the TURN server saw"""
        self.local: Address = ("", 0)
        self.relayed = relay_peer is not None
        self.writable = True
        self.closed = False
        self.received = 0
        self.sent = 0
        self._transport: asyncio.Transport | None = None
        self._pacer: Pacer | None = None
        self._deframer = Deframer()
        self._view = memoryview(_receive_buffer)

    # -- asyncio's side -------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.closed:  # aborted before it stood
            self._transport.abort()
            return
        local = transport.get_extra_info("sockname")[:2]
        self.local = (_plain(local[0]), local[1])
        if not self.relayed:
            peer = transport.get_extra_info("peername")
            if not peer:  # gone before it was accepted
                self._transport.abort()
                return
            self.remote = (_plain(peer[0]), peer[1])
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH)
        tcp: socket.socket = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
            tcp.setsockopt(socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", 25), _NOT_SENT_LOW)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self.received += nbytes
        self.feed(self._view[:nbytes])

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self.writable = False
        self.receiver.link_closed(self, error)

    def pause_writing(self) -> None:
        self.writable = False
        self.receiver.writable_changed(self)

    def resume_writing(self) -> None:
        self.writable = not self.closed
        self.receiver.writable_changed(self)

    # -- ours -----------------------------------------------------------------------------------------------------------------

    def feed(self, data: memoryview) -> None:
        """Takes bytes of the stream."""
        for is_stun, piece in self._deframer.feed(data):
            if is_stun:
                self.receiver.stun_received(self, bytes(piece))
            else:
                self.receiver.data_received(self, piece)
            if self.closed:
                return

    def send_stun(self, message: bytes) -> None:
        """Sends one STUN message, unless the peer has let too many wait: then the connection is aborted."""
        if self._transport is None or self.closed:
            return
        if self._transport.get_write_buffer_size() > limits.LINK_UNSENT_BYTES:
            _log.info("%s does not read what it asks for", self.remote[0])
            self._transport.abort()
            return
        self.sent += len(message) + 2
        self._transport.write(frame(message))

    def send_records(self, records: bytes) -> None:
        """Sends whole TLS records."""
        if self._transport is not None and not self.closed and records:
            self.sent += len(records)
            self._transport.writelines(frame_records(records))

    def pace(self) -> tuple[float, int]:
        """How long bulk should wait, in seconds, and the bytes of its next piece."""
        if self._transport is None or self.closed:
            return 0.0, MAX_FRAME
        tcp: socket.socket = self._transport.get_extra_info("socket")
        try:
            state = pacing.parse_tcp_info(tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, pacing.TCP_INFO_BYTES))
        except OSError:
            state = None
        if state is None:
            return 0.0, MAX_FRAME
        if self._pacer is None:
            self._pacer = Pacer()
        state = replace(state, unsent=state.unsent + self._transport.get_write_buffer_size())
        return self._pacer.pace(state, asyncio.get_running_loop().time())

    def pause_reading(self) -> None:
        """Stops taking bytes from the peer, which then has to wait."""
        if self._transport is not None and not self.closed and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Takes bytes again."""
        if self._transport is not None and not self.closed and not self._transport.is_reading():
            self._transport.resume_reading()

    def close(self) -> None:
        """Closes after what was written has been sent."""
        if self._transport is not None and not self.closed:
            self._transport.close()

    def abort(self) -> None:
        """Closes at once, with a RST; one that does not stand yet will not."""
        if self._transport is None:
            self.closed = True
        elif not self.closed:
            self._transport.abort()


class EarlyBytes:
    """TLS bytes that came on a link before anyone may read them."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, piece: bytes | memoryview) -> bool:
        """Keeps PIECE; false when it is more than is kept."""
        if len(self.data) + len(piece) > limits.ICE_EARLY_BYTES:
            return False
        self.data += piece
        return True


def _plain(host: str) -> str:
    """HOST without zone, and as IPv4 where it is IPv4 mapped into IPv6."""
    host = host.partition("%")[0]
    return host.removeprefix("::ffff:") if host.startswith("::ffff:") and "." in host else host
