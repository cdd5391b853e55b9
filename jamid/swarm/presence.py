"""Devices that come and go: what either side missed meanwhile is made up for (protocol: swarm, section 8.3)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jamid.core.errors import JamidError
from jamid.swarm.members import ADMIN, MEMBER

if TYPE_CHECKING:
    from jamid.swarm.account import AccountConversations
    from jamid.swarm.seams import PeerDevice

_log = logging.getLogger(__name__)


class Presence:
    """What the conversations of one account do when devices come and go."""

    def __init__(self, account: AccountConversations) -> None:
        self._account = account

    def connected(self, peer: PeerDevice) -> None:
        """A connection with a device stands: whatever either side missed is made up for."""
        account = self._account
        account.crossings.met(peer)
        account.cloner.peer_seen(peer.account_uri)
        if peer.account_uri == account.home.uri:
            account.profiles.own_device_connected(peer)
        account.tasks.spawn(self._catch_up(peer), "catch up")

    def disconnected(self, peer: PeerDevice) -> None:
        self._account.notifier.disconnected(peer.device_id)
        self._account.routing.disconnected(peer.device_id)

    def announced(self, uri: str, device: str) -> None:
        """A device of URI came online."""
        account = self._account
        account.cloner.peer_seen(uri)
        account.notifier.announced(uri, account.shared_with(uri))
        links = account.home.links
        if links is not None and not links.connected(device) and device != account.home.device_id:
            account.tasks.spawn(self._approach(uri, device), "approach")

    async def _approach(self, uri: str, device: str) -> None:
        """Looking for news at a device that came online connects us, and then either side tells the other everything."""
        for conversation in self._account.shared_with(uri):
            if conversation.is_here:
                await conversation.load()
                if conversation.role(uri) in (ADMIN, MEMBER) and not conversation.shuns(uri, device):
                    self._account.puller.pull(conversation, device)
                    return

    async def _catch_up(self, peer: PeerDevice) -> None:
        account = self._account
        uri = peer.account_uri
        own = uri == account.home.uri
        for conversation in account.all() if own else account.shared_with(uri):
            if not conversation.is_here:
                continue
            try:
                await conversation.load()
            except JamidError as error:
                _log.warning("%r cannot be read: %s", conversation, error)
                continue
            if own or (conversation.role(uri) in (ADMIN, MEMBER) and not conversation.shuns(uri, peer.device_id)):
                account.notifier.connected(conversation, peer)
                account.puller.pull(conversation, peer.device_id)
                account.routing.peer_connected(conversation, peer)
        account.transfers.peer_connected(peer)
