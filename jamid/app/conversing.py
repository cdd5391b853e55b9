"""Joins conversations to the accounts: what an account is to its conversations, and what each of the two tells the other."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jamid.accounts.events import (
    AccountLoaded,
    AccountOffline,
    AccountOnline,
    AccountRemoved,
    ContactConfirmed,
    DeviceAnnounced,
    InstantMessage,
    ProfileChanged,
    TrustRequestReceived,
)
from jamid.accounts.jami import JamiAccount
from jamid.accounts.seams import SyncParts
from jamid.accounts.service import Accounts
from jamid.app.account_view import AccountView
from jamid.core.errors import JamidError
from jamid.core.events import Events
from jamid.core.generations import Generation
from jamid.core.signals import ConversationMemberEvent, ConversationReady, ConversationRemoved
from jamid.core.tasks import Tasks
from jamid.crypto.certificates import Certificate
from jamid.crypto.identity import Identity
from jamid.net.channels import Peer
from jamid.swarm import message_maps
from jamid.swarm.rules import ONE_TO_ONE
from jamid.swarm.seams import Links
from jamid.swarm.service import Conversations

_log = logging.getLogger(__name__)


class ConversingAccount(AccountView):
    """A Jami account as its conversations see it."""

    @property
    def identity(self) -> Identity:
        assert self._account.identity is not None
        return self._account.identity

    @property
    def display_name(self) -> str:
        return self._account.display_name

    @property
    def data_path(self) -> Path:
        return self._account.data_path

    @property
    def cache_path(self) -> Path:
        return self._account.cache_path

    @property
    def links(self) -> Links | None:
        connections: Any = self._account.connections
        links: Links | None = connections
        return links

    def flag(self, detail: str) -> bool:
        return self._account.details.flag(detail)

    @property
    def generations(self) -> frozenset[Generation]:
        return self._account.generations

    def now_ms(self) -> int:
        return self._account.now_ms()

    def profile_path(self, uri: str) -> Path:
        return self._account.profile.path_of(uri)

    async def own_profile_received(self, vcard: bytes, modified: int) -> None:
        await self._account.profile.receive(vcard, modified)

    # -- peers --

    async def devices_of(self, uri: str) -> list[Certificate]:
        return await self._account.devices_of(uri)

    async def certificate_of(self, device_id: str) -> Certificate | None:
        return await self._account.certificate_of(device_id)

    def is_contact(self, uri: str) -> bool:
        return self._account.contacts.contacts.is_active(uri)

    def is_banned(self, uri: str) -> bool:
        return self._account.contacts.contacts.is_banned(uri)

    def contact_conversation(self, uri: str) -> str:
        return self._account.contacts.conversation_with(uri)

    async def set_contact_conversation(self, uri: str, conversation: str) -> None:
        await self._account.contacts.set_conversation(uri, conversation)

    async def contact_accepted(self, uri: str, conversation: str) -> None:
        await self._account.contacts.accepted(uri, conversation)

    async def contact_declined(self, uri: str, conversation: str) -> None:
        await self._account.contacts.declined_by_user(uri, conversation)

    async def contact_declined_elsewhere(self, uri: str, conversation: str, declined: int) -> None:
        await self._account.contacts.declined_elsewhere(uri, conversation, declined)

    # -- messages outside git --

    async def send(self, uri: str, mime: str, text: str, *, only_connected: bool = False) -> int:
        return await self._account.messages.send(uri, {mime: text}, only_connected=only_connected)

    async def send_to_device(self, device: Certificate, mime: str, text: str, *, only_connected: bool = False) -> bool:
        return await self._account.messages.send_to_device(device, mime, text, only_connected=only_connected)

    async def leave_on_dht(self, device: Certificate, mime: str, text: str) -> None:
        await self._account.messages.put_on_dht(device, mime, text)

    # -- own devices --

    async def sync(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        await self._account.sync.send_parts(_sync_parts(parts))


class Conversing:
    """The conversations of all accounts, told of what happens to the accounts; their side of the accounts' seam."""

    def __init__(self, accounts: Accounts, conversations: Conversations, events: Events) -> None:
        self._accounts = accounts
        self._conversations = conversations
        self._tasks = Tasks("conversing")
        events.subscribe(AccountLoaded, self._loaded)
        events.subscribe(AccountOnline, self._online)
        events.subscribe(AccountOffline, lambda event: conversations.went_offline(event.account_id))
        events.subscribe(AccountRemoved, lambda event: self._later(conversations.remove_account(event.account_id), "remove"))
        events.subscribe(DeviceAnnounced, self._announced)
        events.subscribe(ContactConfirmed, self._confirmed)
        events.subscribe(ConversationReady, lambda event: self._track_members(event.account_id))
        events.subscribe(ConversationMemberEvent, lambda event: self._track_members(event.account_id))
        events.subscribe(ConversationRemoved, lambda event: self._track_members(event.account_id))
        events.subscribe(ProfileChanged, lambda event: conversations.profile_changed(event.account_id))
        events.subscribe(InstantMessage, self._instant)
        events.subscribe(TrustRequestReceived, self._trust_request)

    async def load(self) -> None:
        """Loads the conversations of every account that is ready, so that the first client already finds them."""
        for account in self._accounts:
            if isinstance(account, JamiAccount) and account.identity is not None:
                await self._add(account)

    async def close(self) -> None:
        await self._tasks.close()
        await self._conversations.close()

    # -- what calls write down --

    def call_ended(self, account_id: str, peer_uri: str, duration_ms: int, reason: str) -> None:
        """A call of ours ended: its history goes into the conversation with the peer."""
        conversation = self._conversations.conversation_with(account_id, peer_uri)
        if conversation:
            content = message_maps.call_ended(peer_uri, duration_ms, reason)
            self._later(self._conversations.commit_call_history(account_id, conversation, content), "call history")

    # -- the accounts' seam --

    async def one_to_one(self, account_id: str, uri: str) -> str:
        account = self._accounts.jami(account_id)
        if account is not None and account.identity is not None:
            await self._add(account)
        return await self._conversations.one_to_one(account_id, uri)

    async def contact_gone(self, account_id: str, uri: str, conversation_id: str, banned: bool) -> None:
        await self._conversations.contact_gone(account_id, uri, conversation_id, banned)

    async def crossed(self, account_id: str, uri: str, conversation_id: str, *, dated: bool) -> str:
        return await self._conversations.crossed(account_id, uri, conversation_id, dated=dated)

    def request_accepted(self, account_id: str, uri: str, conversation_id: str) -> None:
        self._conversations.request_accepted(account_id, uri, conversation_id)

    def request_declined(self, account_id: str, uri: str, conversation_id: str) -> None:
        self._conversations.request_declined(account_id, uri, conversation_id)

    def is_member(self, account_id: str, uri: str) -> bool:
        return self._conversations.is_member(account_id, uri)

    async def send_to_members(self, account_id: str, conversation_id: str, payloads: Mapping[str, str]) -> None:
        await self._conversations.send_to_members(account_id, conversation_id, payloads)

    def archived(self, account_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._conversations.archived(account_id)

    def adopt_archive(self, account_id: str, conversations: Mapping[str, Any], requests: Mapping[str, Any]) -> None:
        self._conversations.adopt_archive(account_id, conversations, requests)

    def sync_parts(self, account_id: str, device_id: str) -> Sequence[SyncParts]:
        return [_sync_parts(parts) for parts in self._conversations.sync_parts(account_id, device_id)]

    def sync_received(self, account_id: str, device_id: str, parts: SyncParts) -> None:
        given = {
            "conversations": parts.conversations,
            "requests": parts.requests,
            "preferences": parts.preferences,
            "status": parts.status,
        }
        self._conversations.sync_received(account_id, device_id, given)

    # -- what happens --

    def _loaded(self, event: AccountLoaded) -> None:
        if isinstance(event.account, JamiAccount):
            self._later(self._add(event.account), "load")

    def _online(self, event: AccountOnline) -> None:
        connections = event.account.connections
        if connections is None:
            return
        account_id = event.account_id

        def connected(peer: Peer) -> None:
            self._conversations.peer_connected(account_id, peer)

        def disconnected(peer: Peer) -> None:
            self._conversations.peer_disconnected(account_id, peer)

        connections.on_connected.append(connected)
        connections.on_disconnected.append(disconnected)
        # At once when the conversations are loaded: a peer may open channels with its first connection.
        if not self._conversations.went_online(account_id):
            self._later(self._add_online(event.account), "online")

    def _announced(self, event: DeviceAnnounced) -> None:
        self._conversations.peer_announced(event.account_id, event.uri, event.certificate.long_id.hex())

    def _confirmed(self, event: ContactConfirmed) -> None:
        self._conversations.contact_confirmed(event.account_id, event.uri, event.conversation_id)

    def _instant(self, event: InstantMessage) -> None:
        self._conversations.instant_message(event.account_id, event.uri, event.device_id, event.payloads)

    def _trust_request(self, event: TrustRequestReceived) -> None:
        self._conversations.trust_request(event.account_id, event.uri, event.conversation_id, event.payload, event.received)

    async def _add(self, account: JamiAccount) -> None:
        await self._conversations.add_account(ConversingAccount(account))
        self._track_members(account.id)

    def _track_members(self, account_id: str) -> None:
        """Members of groups are listened for, contacts or not: what waits for them goes out when they come."""
        account, conversations = self._accounts.jami(account_id), self._conversations.account(account_id)
        if account is None or conversations is None:
            return
        groups = (info for info in conversations.infos.values() if not info.is_removed and info.mode != ONE_TO_ONE)
        account.presence.set_members(sorted({uri for info in groups for uri in info.members}))

    async def _add_online(self, account: JamiAccount) -> None:
        await self._add(account)
        self._conversations.went_online(account.id)

    def _later(self, work: Any, name: str) -> None:
        async def run() -> None:
            try:
                await work
            except JamidError as error:
                _log.error("%s: %s", name, error)

        self._tasks.spawn(run(), name)


def _sync_parts(parts: Mapping[str, Mapping[str, Any]]) -> SyncParts:
    return SyncParts(
        conversations=dict(parts.get("conversations", {})),
        requests=dict(parts.get("requests", {})),
        preferences=dict(parts.get("preferences", {})),
        status=dict(parts.get("status", {})),
    )
