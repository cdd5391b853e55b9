"""The `swarm://` channels of an account's conversations: peers of 17 expect them, and name further devices on them (section 15)."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from jamid.core.errors import JamidError, RemoteError
from jamid.core.generations import Generation
from jamid.swarm import generations
from jamid.swarm.routing import Find, MessageReader, RoutingTable, write_find, write_found

if TYPE_CHECKING:
    from jamid.swarm.account import AccountConversations
    from jamid.swarm.conversation import Conversation
    from jamid.swarm.seams import ByteChannel, PeerDevice

_log = logging.getLogger(__name__)
_NAME = re.compile(r"swarm://([0-9a-f]{40})")


class Routing:
    """A routing table for each conversation that has channels."""

    def __init__(self, account: AccountConversations) -> None:
        self._account = account
        self._tables: dict[str, RoutingTable] = {}
        self._channels: dict[str, dict[str, ByteChannel]] = {}
        """conversation -> device -> channel"""
        self._opening: set[tuple[str, str]] = set()

    # -- handler of channels that peers open --

    def accepts(self, peer: PeerDevice, name: str) -> bool:
        """Members and invited ones may, as far as is known at once."""
        conversation = self._find(name)
        if conversation is None or not conversation.is_here:
            return False
        return conversation.facts is None or conversation.serves(peer.account_uri, peer.device_id)

    def opened(self, channel: ByteChannel) -> None:
        conversation = self._find(channel.name)
        if conversation is None:
            channel.close()
            return
        self._account.tasks.spawn(self._serve(conversation, channel), "routing")

    def knows(self, conversation: str, device: str) -> bool:
        """Whether the device speaks the routing protocol: one of the newer generation."""
        return device in self._channels.get(conversation, {})

    # -- what happens --

    def conversation_ready(self, conversation: Conversation, device: str) -> None:
        """A conversation was cloned from DEVICE: a channel to it begins the table."""
        if generations.routes(self._account.home.generations):
            self._open(conversation, device)

    def peer_connected(self, conversation: Conversation, peer: PeerDevice) -> None:
        """A connection with a member's device stands."""
        if peer.generation is not Generation.G13 and generations.routes(self._account.home.generations):
            self._open(conversation, peer.device_id)

    def disconnected(self, device: str) -> None:
        for conversation, channels in self._channels.items():
            if channels.pop(device, None) is not None:
                self._tables[conversation].connected.discard(bytes.fromhex(device))

    def drop_account(self, conversation: str, uri: str) -> None:
        """Closes the channels of somebody who was banned or left."""
        for channel in list(self._channels.get(conversation, {}).values()):
            if channel.peer.account_uri == uri:
                channel.close()

    def forget(self, conversation: str) -> None:
        for channel in self._channels.pop(conversation, {}).values():
            channel.close()
        self._tables.pop(conversation, None)

    def close(self) -> None:
        for conversation in tuple(self._channels):
            self.forget(conversation)

    # -- details --

    def _find(self, name: str) -> Conversation | None:
        match = _NAME.fullmatch(name)
        return self._account.find(match[1]) if match is not None else None

    def _open(self, conversation: Conversation, device: str) -> None:
        key = conversation.id, device
        known = self._channels.get(conversation.id, {}).get(device)
        if key in self._opening or (known is not None and not known.closed) or device == self._account.home.device_id:
            return
        self._opening.add(key)
        self._account.tasks.spawn(self._connect(conversation, device), "routing")

    async def _connect(self, conversation: Conversation, device: str) -> None:
        links = self._account.home.links
        try:
            certificate = await self._account.home.certificate_of(device)
            if links is None or certificate is None or not links.connected(device):
                return
            if conversation.shuns(certificate.account_uri, device):
                return
            channel = await links.open(certificate, f"swarm://{conversation.id}", only_existing=True)
        except (ConnectionError, TimeoutError, JamidError) as error:
            _log.debug("%r no routing with device %s: %s", conversation, device[:16], error)
            return
        finally:
            self._opening.discard((conversation.id, device))
        await self._serve(conversation, channel)

    async def _serve(self, conversation: Conversation, channel: ByteChannel) -> None:
        try:
            await conversation.load()
        except JamidError as error:
            _log.info("%r no routing: %s", conversation, error)
        own = bytes.fromhex(self._account.home.device_id)
        device = channel.peer.device_id
        if not conversation.serves(channel.peer.account_uri, device):
            channel.close()
            return
        node = bytes.fromhex(device)
        table = self._tables.setdefault(conversation.id, RoutingTable(own))
        channels = self._channels.setdefault(conversation.id, {})
        channels.setdefault(device, channel)
        table.learn(node)
        table.connected.add(node)
        reader = MessageReader()
        try:
            await channel.write(write_find(own))
            while data := await channel.read():
                for message in reader.feed(data):
                    if isinstance(message, Find):
                        await channel.write(write_found(table.nearest(message.node, message.count)))
                        continue
                    for named in (*message.nodes, *message.mobile):
                        table.learn(named)
                    for wanted in table.to_connect():
                        self._open(conversation, wanted.hex())
        except RemoteError as error:
            _log.warning("%r routing with device %s ends: %s", conversation, device[:16], error)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            channel.close()
            if channels.get(device) is channel:
                del channels[device]
                table.connected.discard(node)
