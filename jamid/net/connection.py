"""One authenticated connection with a device: the selected ICE link, TLS over it and the channels inside."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from OpenSSL import SSL

from jamid.core import limits
from jamid.core.clock import Clock
from jamid.core.errors import JamidError, RemoteError
from jamid.crypto.certificates import Certificate, verify_chain
from jamid.net.channels import Channel, Peer
from jamid.net.generations import generation_of_software
from jamid.net.ice_tcp import IceTcpSession
from jamid.net.links import TcpLink
from jamid.net.mux import Multiplexer
from jamid.net.tls import TlsEngine

_log = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 40.0
BEACON_SECONDS: Final = 3.0
_CLOSE_SECONDS: Final = 0.5
_BATCH: Final = 32 * 1024
"""Bytes encrypted at a time: few enough that a short message behind them is not late."""
_BATCHES_PER_TURN: Final = 8


class ConnectionOwner(Protocol):
    """Who holds the connections of an account."""

    def channel_requested(self, connection: Connection, name: str) -> Callable[[Channel], None] | None:
        """Whether the peer may open the channel NAME: who takes it, None to decline."""
        ...

    def admits(self, connection: Connection, certificate: Certificate) -> bool:
        """Whether the peer, who has just proven that CERTIFICATE is its own, may stay."""
        ...

    def connection_closed(self, connection: Connection, reason: str) -> None:
        """CONNECTION is gone; called once, and only after `start` had succeeded."""
        ...


class Connection:
    """A connection; its channels live and end with it."""

    def __init__(
        self,
        session: IceTcpSession,
        context: SSL.Context,
        owner: ConnectionOwner,
        clock: Clock,
        *,
        identifier: int,
        expected: Certificate,
        server: bool,
    ) -> None:
        self.identifier = identifier
        """the id of the request that led to it"""
        self.outgoing = server
        self.created = clock.time()
        self.peer = Peer(expected.long_id.hex(), expected.account_uri, expected)
        self.closed = False
        self.mux = Multiplexer(self, self, server=server)
        self._expected = expected
        self._session = session
        self._owner = owner
        self._clock = clock
        self._engine = TlsEngine(context, server=server)
        self._link: TcpLink | None = None
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._pumping: asyncio.Handle | None = None
        self._bulk_waits: asyncio.TimerHandle | None = None
        self._beacon: asyncio.TimerHandle | None = None
        self._pongs = 0
        self._ask_again = False
        self._stall: asyncio.TimerHandle | None = None
        self._leaving = False

    async def start(self, link: TcpLink) -> None:
        """Makes the TLS handshake and proves who the peer is; raises RemoteError or ConnectionError when it fails."""
        self._link = link
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                if not self.outgoing:
                    self._engine.start()
                    self._flush()
                self._session.hand_over(self)
                await self._ready
        except TimeoutError:
            await self._drop()
            raise ConnectionError(f"no TLS handshake within {HANDSHAKE_SECONDS:.0f} s") from None
        except BaseException:
            await self._drop()
            raise
        self._session.close_spares()

    @property
    def ready(self) -> bool:
        """Whether channels can be opened."""
        return self._ready.done() and not self.closed

    @property
    def remote_address(self) -> str:
        """The address of the peer without port, "" while there is none."""
        return self._link.remote[0] if self._link is not None else ""

    @property
    def remote_endpoint(self) -> str:
        """The address of the peer with port, for people; "" while there is none."""
        if self._link is None:
            return ""
        host, port = self._link.remote[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def addresses(self) -> tuple[tuple[str, int], tuple[str, int]] | None:
        """Our end of the link and the peer's, None while there is none."""
        return (self._link.local, self._link.remote) if self._link is not None else None

    @property
    def bytes_received(self) -> int:
        return self._link.received if self._link is not None else 0

    @property
    def bytes_sent(self) -> int:
        return self._link.sent if self._link is not None else 0

    @property
    def relayed(self) -> bool:
        """Whether it runs over our own relay."""
        return self._link is not None and self._link.relayed

    def ask_for_life(self) -> None:
        """Sends a beacon, if the peer knows them; without answer the connection is closed after 3 s."""
        if self.closed or not self.mux.peer_version:
            return
        if self._beacon is not None:
            if self.mux.pongs == self._pongs:
                self._ask_again = True  # the peer still has time, but an answer on its way says nothing about what comes now
                return
            self._beacon.cancel()
        self._pongs = self.mux.pongs
        self.mux.beacon(ask=True)
        self._beacon = self._loop.call_later(BEACON_SECONDS, self._check_life)

    async def close(self) -> None:
        """Tells the peer and ends the connection."""
        link, engine = self._link, self._engine
        if not self.closed:
            self._leaving = True
            self._pump()
            if link is not None and engine.established:
                link.send_records(engine.shutdown())
            self._finish("the connection was closed here")
            if link is not None:
                link.resume_reading()
        if self._leaving and link is not None and not link.closed:
            # A FIN before the peer has read our last bytes could become a RST that takes them away.
            # The owner, told of the end, closes us once more meanwhile and must not cut this short.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await asyncio.shield(self._gone)
        await self._drop()

    # -- the link's side ------------------------------------------------------------------------------------------------------

    def stun_received(self, link: TcpLink, message: bytes) -> None:
        """Never called: the session keeps answering checks."""

    def data_received(self, link: TcpLink, piece: bytes | memoryview) -> None:
        engine = self._engine
        try:
            plain = engine.feed(piece)
            if not self._ready.done() or not plain:
                self._flush()
            if engine.established and not self._ready.done():
                self._authenticate()
            if not self.closed:
                for part in plain:
                    self.mux.feed(part)
                if self.mux.control_waiting > limits.MUX_CONTROL_WAITING:
                    raise RemoteError("the device makes us answer and does not read")
        except RemoteError as error:
            self._flush()
            self._fail(error)
            return
        if engine.closed_by_peer:
            link.send_records(engine.shutdown())
            self._finish("the device closed the connection")
            link.close()

    def link_closed(self, link: TcpLink, error: Exception | None) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
        self._fail(ConnectionResetError(f"the connection was lost: {error}" if error else "the connection was lost"))

    def writable_changed(self, link: TcpLink) -> None:
        if link.writable:
            self._pump()

    # -- the multiplexer's side -----------------------------------------------------------------------------------------------

    def frames_waiting(self) -> None:
        if self._pumping is None and self.ready and self._link is not None and self._link.writable:
            self._pumping = self._loop.call_soon(self._pump)

    def channel_requested(self, name: str) -> Callable[[Channel], None] | None:
        return self._owner.channel_requested(self, name)

    def stalled(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self._link is None or self.closed:
            return
        if not self.mux.backlog.stalled:
            self._link.resume_reading()
            return
        self._link.pause_reading()
        self._stall = self._loop.call_later(limits.CHANNEL_STALL_SECONDS, self._end_stalled)

    def now(self) -> float:
        return self._clock.time()

    # -- details --------------------------------------------------------------------------------------------------------------

    def _authenticate(self) -> None:
        """Checks that the peer is the device we meant; raises RemoteError."""
        certificate = self._engine.peer_certificate()
        if certificate.long_id != self._expected.long_id:
            raise RemoteError(f"another device answered: {certificate.long_id}, not {self._expected.long_id}")
        if certificate.issuer is None or certificate == self._expected:
            certificate = self._expected  # a chain of one says less than what we know, and a second copy only costs memory
        verify_chain(certificate, now=datetime.fromtimestamp(self._clock.time(), UTC))
        if not self._owner.admits(self, certificate):
            raise RemoteError(f"the device is not allowed to connect for account {certificate.account_uri}")
        self.peer.certificate = certificate
        self.peer.account_uri = certificate.account_uri
        self.peer.generation = generation_of_software(self._session.peer_software)
        self.created = self._clock.time()
        self._ready.set_result(None)
        self.mux.start()

    def _flush(self) -> None:
        """Sends what TLS itself has to say."""
        output = self._engine.take_output()
        if output and self._link is not None:
            self._link.send_records(output)

    def _pump(self) -> None:
        """Sends what waits while there is room."""
        for timer in (self._pumping, self._bulk_waits):
            if timer is not None:
                timer.cancel()
        self._pumping = self._bulk_waits = None
        link, mux = self._link, self.mux
        if link is None or not self.ready:
            return
        for _ in range(_BATCHES_PER_TURN):
            if not link.writable or not mux.has_frames:
                break
            wait, piece = link.pace()
            frames = mux.next_frames(min(piece, _BATCH), 0 if wait else piece)
            if not frames:
                self._bulk_waits = self._loop.call_later(wait, self._pump)
                break
            link.send_records(self._engine.encrypt(frames[0] if len(frames) == 1 else b"".join(frames)))
        mux.release_writers()
        if link.writable and mux.has_frames and self._pumping is None and self._bulk_waits is None:
            self._pumping = self._loop.call_soon(self._pump)

    def _check_life(self) -> None:
        self._beacon = None
        if self.mux.pongs == self._pongs:
            self._fail(ConnectionResetError("the device gives no sign of life"))
        elif self._ask_again:
            self._ask_again = False
            self.ask_for_life()

    def _end_stalled(self) -> None:
        """Ends channels that hold up the others because nobody reads them."""
        self._stall = self._loop.call_later(limits.CHANNEL_STALL_SECONDS, self._end_stalled)
        for channel in self.mux.backlog.overdue():
            _log.warning("channel %s with %s is not read; it is closed", channel.name, self.peer.device_id)
            channel.discard()

    def _fail(self, error: JamidError | OSError) -> None:
        if self.closed:
            return
        link = self._link
        if not self._ready.done():
            self.closed = True
            self._ready.set_exception(error)
            return
        if link is not None:
            link.send_records(self._engine.shutdown())
        self._finish(str(error))
        if link is not None:
            link.close()

    def _finish(self, reason: str) -> None:
        """Ends the channels and tells the owner, once."""
        if self.closed:
            return
        was_ready = self.ready
        self.closed = True
        for timer in (self._pumping, self._bulk_waits, self._beacon, self._stall):
            if timer is not None:
                timer.cancel()
        if not self._ready.done():
            self._ready.set_exception(ConnectionError(reason))
        self.mux.close(reason)
        if was_ready:
            self._owner.connection_closed(self, reason)

    async def _drop(self) -> None:
        self.closed = True
        if not self._ready.done():
            self._ready.cancel()
        self.mux.close("the connection was given up")  # a `start` that is cancelled as it stands leaves channels of the peer
        await self._session.close()
