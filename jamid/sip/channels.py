"""The `sip` channels of one account: one exchange per peer device, opened when needed, reused both ways (protocol: calls, section 2.1)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from jamid.core.identifiers import LongId
from jamid.sip.dialogs import LocalParty, Path
from jamid.sip.exchange import CallHandler, IncomingMessage, MessageHandler, SipExchange
from jamid.sip.sessions import InviteSession

_log = logging.getLogger(__name__)

CHANNEL_NAME = "sip"
READ_BYTES = 65536
FAREWELL_SECONDS = 0.7
"""How long BYEs get when the daemon stops; 13.7 reads its channel up to half a second late."""


class JamiChannel(Protocol):
    """What this room needs of a channel (`jamid.net.channels.Channel`)."""

    @property
    def peer(self) -> Any: ...
    @property
    def closed(self) -> bool: ...
    async def read(self, limit: int = READ_BYTES) -> bytes: ...
    def write_nowait(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class ChannelOpener(Protocol):
    """What this room needs of an account's connections (`jamid.net.connections.Connections`)."""

    async def open(self, device: Any, name: str, *, kind: str = "", timeout: float = 30, only_existing: bool = False) -> Any: ...
    def handle(self, scheme: str, handler: Any) -> None: ...


class ChannelTransport:
    """SIP over a Jami channel: reliable, looks like TLS, one message per write."""

    reliable = True

    def __init__(self, channel: JamiChannel) -> None:
        self._channel = channel
        local, remote = _addresses(channel)
        self.path = Path("TLS", local, remote, secure=True)

    def send(self, data: bytes) -> None:
        if self._channel.closed:
            raise ConnectionError("the SIP channel is closed")
        self._channel.write_nowait(data)

    def probe(self) -> None:
        """Has the connection find out soon whether the peer is still there."""
        ask = getattr(getattr(self._channel, "connection", None), "ask_for_life", None)
        if ask is not None:
            ask()

    async def read(self) -> bytes:
        return await self._channel.read(READ_BYTES)

    def close(self) -> None:
        self._channel.close()


class SipChannels:
    """Every SIP exchange of one account device; registers itself for channels named `sip`."""

    def __init__(self, connections: ChannelOpener, party: Callable[[], LocalParty]) -> None:
        self._connections = connections
        self._party = party
        self._exchanges: dict[str, list[SipExchange]] = {}
        self._opening: dict[str, asyncio.Task[SipExchange]] = {}
        self._message_handlers: list[MessageHandler] = []
        self._call_handlers: list[CallHandler] = []
        self._open_handlers: list[Callable[[SipExchange], None]] = []
        self._closed = False
        connections.handle(CHANNEL_NAME, self)

    def on_message(self, handler: MessageHandler) -> None:
        """Hands every out-of-dialog MESSAGE to HANDLER."""
        self._message_handlers.append(handler)

    def on_call(self, handler: CallHandler) -> None:
        """Hands every new INVITE to HANDLER."""
        self._call_handlers.append(handler)

    def on_open(self, handler: Callable[[SipExchange], None]) -> None:
        """Tells HANDLER of every exchange that opens, whoever opened it."""
        self._open_handlers.append(handler)

    async def get(self, device: Any, *, kind: str = "", timeout: float = 30, only_existing: bool = False) -> SipExchange:
        """The exchange with DEVICE (64 hex, LongId or certificate), opened when there is none.

        Raises ConnectionError when the device cannot be reached. KIND is the connection type of the request (`audioCall`, `videoCall`).
        """
        device_id = _device_id(device)
        exchange = self.existing(device_id)
        if exchange is not None:
            return exchange
        opening = self._opening.get(device_id)
        if opening is None:
            opening = asyncio.get_running_loop().create_task(self._open(device, kind, timeout, only_existing), name=f"sip/{device_id[:8]}")
            self._opening[device_id] = opening
            opening.add_done_callback(lambda task: self._opened_or_failed(device_id, task))
        return await asyncio.shield(opening)

    def existing(self, device_id: str) -> SipExchange | None:
        """The open exchange with DEVICE_ID, the newest when both ends opened one."""
        return next((each for each in reversed(self._exchanges.get(device_id, [])) if not each.closed), None)

    def open_to(self, account_uri: str) -> list[SipExchange]:
        """One open exchange for each connected device of ACCOUNT_URI."""
        found = (self.existing(device_id) for device_id in tuple(self._exchanges))
        return [each for each in found if each is not None and each.peer.account_uri == account_uri]

    async def close(self) -> None:
        """Closes every exchange; calls on them end as lost."""
        self._closed = True
        for task in tuple(self._opening.values()):
            task.cancel()
        exchanges = [each for several in self._exchanges.values() for each in several]
        await asyncio.gather(*(exchange.drain(FAREWELL_SECONDS) for exchange in exchanges))
        for exchange in exchanges:
            await exchange.wait_closed()

    # -- ChannelHandler of net ---------------------------------------------------------------------------------------
    def accepts(self, peer: Any, name: str) -> bool:
        """Whether PEER may open a channel NAME."""
        return name == CHANNEL_NAME and not self._closed

    def opened(self, channel: Any) -> None:
        """Takes a channel that a peer opened."""
        self._take(channel)

    # -- details -----------------------------------------------------------------------------------------------------
    def _take(self, channel: Any) -> SipExchange:
        exchange = SipExchange(
            ChannelTransport(channel), channel.peer, self._party, on_message=self._message, on_call=self._call, on_end=self._ended
        )
        self._exchanges.setdefault(exchange.peer.device_id, []).append(exchange)
        exchange.start()
        for handler in self._open_handlers:
            handler(exchange)
        return exchange

    async def _open(self, device: Any, kind: str, timeout: float, only_existing: bool) -> SipExchange:
        target = LongId.from_hex(device) if isinstance(device, str) else device
        channel = await self._connections.open(target, CHANNEL_NAME, kind=kind, timeout=timeout, only_existing=only_existing)
        return self._take(channel)

    def _opened_or_failed(self, device_id: str, task: asyncio.Task[SipExchange]) -> None:
        self._opening.pop(device_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.debug("no sip channel to device %s: %s", device_id[:16], error)

    def _message(self, exchange: SipExchange, message: IncomingMessage) -> None:
        for handler in self._message_handlers:
            handler(exchange, message)

    def _call(self, exchange: SipExchange, session: InviteSession) -> None:
        if not self._call_handlers:
            session.reject(480)
        for handler in self._call_handlers:
            handler(exchange, session)

    def _ended(self, exchange: SipExchange) -> None:
        exchanges = self._exchanges.get(exchange.peer.device_id, [])
        if exchange in exchanges:
            exchanges.remove(exchange)
        if not exchanges:
            self._exchanges.pop(exchange.peer.device_id, None)


def _device_id(device: Any) -> str:
    text = str(getattr(device, "long_id", device))
    return text.lower()


def _addresses(channel: JamiChannel) -> tuple[tuple[str, int], tuple[str, int]]:
    """Our end and the peer's of the channel's connection: decoration in Via, Contact and SDP, so unknown ones do no harm."""
    local, remote = getattr(getattr(channel, "connection", None), "addresses", None) or (("", 0), ("", 0))
    return (local[0] or "127.0.0.1", local[1] or 5061), (remote[0] or "127.0.0.1", remote[1] or 5061)
