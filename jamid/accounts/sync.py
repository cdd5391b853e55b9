"""Telling the own devices of contacts, requests and conversations, and hearing it from them (protocol: identity, section 12)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from jamid.accounts.generations import inbox_key, sends_sync_on_dht
from jamid.accounts.seams import SyncParts
from jamid.accounts.sync_wire import DeviceSync, SyncMessage, SyncReader
from jamid.core.errors import LocalError, RemoteError
from jamid.core.identifiers import LongId
from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PublicKey
from jamid.dht.values import Value

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount
    from jamid.net.channels import Channel, Peer

_log = logging.getLogger(__name__)
SCHEME = "sync"


class DeviceSynchroniser:
    """The `sync://` channels to the own devices, and the messages that 13 leaves on the DHT."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self._channels: dict[str, list[Channel]] = {}
        self._opening: set[str] = set()

    # -- channel handler, given to the connections --

    def accepts(self, peer: Peer, name: str) -> bool:
        """Only own devices may sync."""
        return peer.account_uri == self._account.uri and peer.device_id != self._account.device_id

    def opened(self, channel: Channel) -> None:
        """An own device opened a channel to us."""
        self._account.tasks.spawn(self._serve(channel), "sync-channel")

    # -- sending --

    async def connect(self, certificate: Certificate) -> None:
        """Opens a channel to another own device, unless we have one; everything is told on it."""
        device_id = certificate.long_id.hex()
        connections = self._account.connections
        if connections is None or device_id == self._account.device_id or device_id in self._opening or self._own_channels(device_id):
            return
        self._opening.add(device_id)
        try:
            channel = await connections.open(certificate, f"{SCHEME}://{device_id}", kind=SCHEME)
        except (LocalError, RemoteError, OSError) as error:
            _log.info("[account=%s] own device %s cannot be reached for sync: %s", self._account.id, device_id[:16], error)
            return
        finally:
            self._opening.discard(device_id)
        self._account.tasks.spawn(self._serve(channel), "sync-channel")

    async def send_all(self) -> None:
        """Tells every other device the contacts, requests and devices as they are now."""
        for device_id in self._account.devices.others():
            channels = self._open_channels(device_id)
            if channels:
                for message in self._device_messages():
                    await self._write(channels[-1], message)
                continue
            certificate = await self._account.certificate_of(device_id)
            if certificate is None:
                continue
            await self._put_on_dht(certificate.public_key)
            self._account.tasks.spawn(self.connect(certificate), "sync-open")

    async def send_parts(self, parts: SyncParts) -> None:
        """Tells connected own devices a change of conversations, on one channel each."""
        for device_id in self._account.devices.others():
            if channels := self._open_channels(device_id):
                await self._write(channels[-1], SyncMessage(parts=parts))

    def close(self) -> None:
        for channels in self._channels.values():
            for channel in channels:
                channel.close()
        self._channels.clear()

    # -- receiving --

    async def received_on_dht(self, owner: PublicKey, data: bytes) -> None:
        """A sync message in the inbox, signed by OWNER; only own devices are heard, and only newer news."""
        message = DeviceSync.from_bytes(data)
        certificate = await self._account.peers.certificate_of(owner)
        if certificate is None or certificate.account_uri != self._account.uri:
            return
        device_id = certificate.long_id.hex()
        if device_id == self._account.device_id:
            return
        await self._account.devices.found(certificate, message.device_name)
        if self._account.devices.known.synced(device_id, message.date // 1_000_000):
            await self._account.devices.save()
            await self._apply(message)

    async def _apply(self, message: DeviceSync) -> None:
        for device_id, (name, short_id) in message.devices.items():
            if device_id == self._account.device_id:
                continue
            certificate = await self._account.peers.certificate(LongId.from_hex(device_id))
            if certificate is None and short_id is not None:
                certificate = await self._account.peers.certificate(short_id)
            if certificate is not None and certificate.long_id.hex() == device_id:
                await self._account.devices.found(certificate, name)
        await self._account.contacts.merge(message.contacts, message.requests)

    # -- details --

    def _open_channels(self, device_id: str) -> list[Channel]:
        return [channel for channel in self._channels.get(device_id, ()) if not channel.closed]

    def _own_channels(self, device_id: str) -> list[Channel]:
        return [channel for channel in self._open_channels(device_id) if channel.outgoing]

    async def _serve(self, channel: Channel) -> None:
        device_id = channel.peer.device_id
        self._channels.setdefault(device_id, []).append(channel)
        reader = SyncReader()
        try:
            await self._account.devices.found(channel.peer.certificate)
            await self._send_everything(channel, device_id)
            while data := await channel.read():
                for message in reader.feed(data):
                    await self._apply(message.device)
                    if message.parts:
                        self._account.seams.conversations.sync_received(self._account.id, device_id, message.parts)
        except RemoteError as error:
            _log.warning("[account=%s] sync with own device %s ends: %s", self._account.id, device_id[:16], error)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            channel.close()
            remaining = [other for other in self._channels.get(device_id, ()) if other is not channel]
            if remaining:
                self._channels[device_id] = remaining
            else:
                self._channels.pop(device_id, None)

    async def _send_everything(self, channel: Channel, device_id: str) -> None:
        for message in self._device_messages():
            await self._write(channel, message)
        for parts in self._account.seams.conversations.sync_parts(self._account.id, device_id):
            await self._write(channel, SyncMessage(DeviceSync(date=self._now_ns()), parts))

    def _device_messages(self) -> list[SyncMessage]:
        book, devices = self._account.contacts, {}
        for known in self._account.devices.known:
            certificate = self._account.certificates.get(known)
            name = self._account.devices.known.get(known)
            devices[known] = (name.name if name is not None else "", None if certificate is None else certificate.id)
        sync = DeviceSync(
            self._now_ns(), self._account.device_name, devices, dict(book.contacts.items()), dict(book.pending.items())
        )  # fmt: skip
        return [SyncMessage(part) for part in sync.split()]

    async def _put_on_dht(self, device: PublicKey) -> None:
        dht = self._account.dht
        if dht is None or not sends_sync_on_dht(self._account.generations):
            return
        for message in self._device_messages():
            await dht.put_encrypted(inbox_key(device), device, Value(data=message.device.to_bytes()))

    async def _write(self, channel: Channel, message: SyncMessage) -> None:
        try:
            await channel.write(message.to_bytes())
        except ConnectionError as error:
            _log.debug("[account=%s] a sync message was not sent: %s", self._account.id, error)

    def _now_ns(self) -> int:
        return self._account.now_ms() * 1_000_000
