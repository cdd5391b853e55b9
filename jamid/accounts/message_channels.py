"""The `msg:` channels of an account: one that we write on and any that peers open, per device (protocol: swarm, section 9.3)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from jamid.accounts.message_wire import ChannelMessage, ChannelMessageReader
from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.generations import Generation
from jamid.crypto.certificates import Certificate

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount
    from jamid.net.channels import Channel, Peer

_log = logging.getLogger(__name__)
_OPEN_SECONDS = 30.0


class MessageChannels:
    """Writes instant messages to devices that speak `msg:` and reads theirs."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self._outgoing: dict[str, Channel] = {}
        self._opening: dict[str, asyncio.Future[Channel | None]] = {}
        self._open = 0

    # -- channel handler, given to the connections --

    def accepts(self, peer: Peer, name: str) -> bool:
        """Any device with an account may send; what it sends is judged by who it is."""
        return bool(peer.account_uri) and self._open < limits.MESSAGE_CHANNELS

    def opened(self, channel: Channel) -> None:
        """A peer opened a channel to us; we open ours back, as it expects one from each side."""
        self._account.tasks.spawn(self._read(channel), "msg")
        self._account.tasks.spawn(self._answer(channel.peer.certificate), "msg back")

    # -- sending --

    def is_open(self, device_id: str) -> bool:
        """Whether a message to the device can be written now."""
        channel = self._outgoing.get(device_id)
        return channel is not None and not channel.closed

    async def send(self, device: Certificate, message: ChannelMessage, *, kind: str, only_connected: bool) -> bool:
        """Whether the message was written to DEVICE; the channel (and unless ONLY_CONNECTED the connection) is opened if need be."""
        channel = await self._channel(device, kind=kind, only_connected=only_connected)
        if channel is None:
            return False
        try:
            await channel.write(message.to_bytes())
        except ConnectionError:
            return False
        return True

    def close(self) -> None:
        for channel in self._outgoing.values():
            channel.close()
        self._outgoing.clear()

    # -- details --

    async def _channel(self, device: Certificate, *, kind: str, only_connected: bool) -> Channel | None:
        device_id = device.long_id.hex()
        channel = self._outgoing.get(device_id)
        if channel is not None and not channel.closed:
            return channel
        connections = self._account.connections
        if connections is None or Generation.G17 not in self._account.generations:
            return None
        newest = connections.newest(device_id)
        if newest is not None and newest.peer.generation is Generation.G13:
            return None
        if only_connected and newest is None:
            return None
        pending = self._opening.get(device_id)
        if pending is None:
            pending = asyncio.ensure_future(self._open_channel(device, kind, only_connected))
            self._opening[device_id] = pending
            pending.add_done_callback(lambda _: self._opening.pop(device_id, None))
        return await asyncio.shield(pending)

    async def _open_channel(self, device: Certificate, kind: str, only_connected: bool) -> Channel | None:
        device_id = device.long_id.hex()
        connections = self._account.connections
        assert connections is not None
        try:
            channel = await connections.open(
                device, f"msg:{device_id}", kind=kind, timeout=_OPEN_SECONDS, only_existing=only_connected
            )  # fmt: skip
        except (OSError, LocalError, RemoteError) as error:
            _log.debug("[account=%s] no msg channel to %s: %s", self._account.id, device_id[:16], error)
            return None
        self._outgoing[device_id] = channel
        self._account.tasks.spawn(self._read(channel), "msg")
        return channel

    async def _answer(self, device: Certificate) -> None:
        await self._channel(device, kind="", only_connected=True)

    async def _read(self, channel: Channel) -> None:
        reader = ChannelMessageReader()
        peer = channel.peer
        self._open += 1
        try:
            while data := await channel.read():
                for message in reader.feed(data):
                    self._account.messages.received(peer.account_uri, peer.device_id, message.token, {message.mime: message.text}, "")
        except RemoteError as error:
            _log.warning("[account=%s] messages of %s end: %s", self._account.id, peer.account_uri, error)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= 1
            channel.close()
            if self._outgoing.get(peer.device_id) is channel:
                del self._outgoing[peer.device_id]
