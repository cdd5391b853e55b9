"""The conversations of all accounts, as the D-Bus API and the other rooms use them.

Unknown accounts and conversations are no errors: the answers are then empty, as the real daemon's are (protocol: dbus, section 5.6).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from jamid.core.clock import Clock
from jamid.core.errors import JamidError
from jamid.core.events import Events
from jamid.core.identifiers import bare_uri
from jamid.core.signals import ConversationPreferencesUpdated
from jamid.core.tasks import in_thread
from jamid.swarm.account import AccountConversations
from jamid.swarm.members import LEFT
from jamid.swarm.messaging import Messaging
from jamid.swarm.profile import parse_profile
from jamid.swarm.rules import ONE_TO_ONE
from jamid.swarm.seams import Home, PeerDevice

_log = logging.getLogger(__name__)


class Conversations(Messaging):
    """Conversations by account."""

    def __init__(self, events: Events, clock: Clock | None = None) -> None:
        super().__init__(events, clock)
        self._archives: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        """account -> conversations and requests of an archive, until the account is loaded"""

    # -- accounts come and go --

    async def add_account(self, home: Home) -> AccountConversations:
        """Begins to keep the conversations of an account that was loaded."""
        known = self._accounts.get(home.id)
        if known is not None:
            return known
        account = AccountConversations(home, self._events.publish, self._clock)
        self._accounts[home.id] = account
        await account.load()
        if archive := self._archives.pop(home.id, None):
            await account.adopt(*archive)
        return account

    def account(self, account_id: str) -> AccountConversations | None:
        return self._accounts.get(account_id)

    def went_online(self, account_id: str) -> bool:
        """The account has connections from now on; False when its conversations are not loaded yet."""
        account = self._accounts.get(account_id)
        if account is not None:
            account.went_online()
        return account is not None

    def went_offline(self, account_id: str) -> None:
        if account := self._accounts.get(account_id):
            account.went_offline()

    async def remove_account(self, account_id: str) -> None:
        if account := self._accounts.pop(account_id, None):
            await account.close()

    async def close(self) -> None:
        """Ends everything; what was confirmed is written."""
        for account_id in tuple(self._accounts):
            await self.remove_account(account_id)
        await self._tasks.close()

    # -- what other rooms tell --

    def peer_connected(self, account_id: str, peer: PeerDevice) -> None:
        if account := self._accounts.get(account_id):
            account.presence.connected(peer)

    def peer_disconnected(self, account_id: str, peer: PeerDevice) -> None:
        if account := self._accounts.get(account_id):
            account.presence.disconnected(peer)

    def peer_announced(self, account_id: str, uri: str, device_id: str) -> None:
        """A device of URI came online."""
        if account := self._accounts.get(account_id):
            account.presence.announced(uri, device_id)

    def instant_message(self, account_id: str, uri: str, device_id: str, payloads: Mapping[str, str]) -> None:
        """A device of URI sent something outside git."""
        if account := self._accounts.get(account_id):
            self._spawn(account.inbox.received(uri, device_id, payloads), "instant")

    def trust_request(self, account_id: str, uri: str, conversation_id: str, payload: bytes, received: int) -> None:
        """URI asks to become a contact: its conversation is shown as an invitation."""
        account = self._accounts.get(account_id)
        if account is not None and conversation_id and account.find(conversation_id) is None:
            metadatas = {key: value for key, value in parse_profile(payload).items() if key in ("title", "avatar", "description")}
            self._spawn(account.requests.received(conversation_id, uri, metadatas, received), "trust request")

    def contact_confirmed(self, account_id: str, uri: str, conversation_id: str) -> None:
        """A contact accepted, naming its conversation with us."""
        if account := self._accounts.get(account_id):
            self._spawn(account.membership.contact_confirmed(uri, conversation_id), "confirmed")

    async def crossed(self, account_id: str, uri: str, conversation_id: str, *, dated: bool) -> str:
        """A contact whom we asked asks us as well; the conversation that both take."""
        account = self._accounts.get(account_id)
        return await account.membership.crossed(uri, conversation_id, dated=dated) if account is not None else conversation_id

    async def contact_gone(self, account_id: str, uri: str, conversation_id: str, banned: bool) -> None:
        """A contact was removed or banned."""
        if account := self._accounts.get(account_id):
            try:
                await (account.requests.forget_of(uri) if banned else account.forget_contact(uri, conversation_id))
            except JamidError as error:
                _log.warning("the conversation with %s stays: %s", uri, error)

    def profile_changed(self, account_id: str) -> None:
        if account := self._accounts.get(account_id):
            self._spawn(account.profiles.changed(), "profile")

    async def one_to_one(self, account_id: str, uri: str) -> str:
        """The id of the conversation with a contact, created when there is none; "" for an unknown account."""
        account = self._accounts.get(account_id)
        return await account.membership.one_to_one(uri) if account is not None else ""

    def request_accepted(self, account_id: str, uri: str, conversation_id: str) -> None:
        """The user accepted a contact: its conversation is cloned."""
        if account := self._accounts.get(account_id):
            self._spawn(self._accept_of_contact(account, uri, conversation_id), "accepted")

    def request_declined(self, account_id: str, uri: str, conversation_id: str) -> None:
        """The user discarded a contact's request."""
        if account := self._accounts.get(account_id):
            self._spawn(account.requests.decline(conversation_id), "declined")

    def archived(self, account_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Conversations and requests for an archive."""
        account = self._accounts.get(account_id)
        if account is None:
            return {}, {}
        return {key: info.to_map() for key, info in account.infos.items()}, account.requests.to_map()

    def adopt_archive(self, account_id: str, conversations: Mapping[str, Any], requests: Mapping[str, Any]) -> None:
        """Takes over what an imported archive lists, as soon as the account is loaded."""
        account = self._accounts.get(account_id)
        if account is None:
            self._archives[account_id] = conversations, requests
        else:
            self._spawn(account.adopt(conversations, requests), "archive")

    def is_member(self, account_id: str, uri: str) -> bool:
        """Whether URI takes part in a conversation of the account."""
        account = self._accounts.get(account_id)
        return account is not None and any(uri in info.members for info in account.infos.values() if not info.is_removed)

    def sync_parts(self, account_id: str, device_id: str) -> Iterable[Mapping[str, Mapping[str, Any]]]:
        """All that another device of the account should know, in small parts."""
        account = self._accounts.get(account_id)
        return list(account.syncing.everything(device_id)) if account is not None else []

    def sync_received(self, account_id: str, device_id: str, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """What another device of the account told."""
        if account := self._accounts.get(account_id):
            self._spawn(account.syncing.received(device_id, parts), "sync")

    async def commit_call_history(self, account_id: str, conversation_id: str, content: Mapping[str, str]) -> str:
        """Commits a call's history (`message_maps.call_ended`, `hosted_call`); the commit's id, "" when it could not be made."""
        conversation = self._find(account_id, conversation_id)
        commit = await conversation.post_content(dict(content)) if conversation is not None else None
        return commit.id if commit is not None else ""

    def conversation_with(self, account_id: str, uri: str) -> str:
        """The id of the conversation of two with URI, "" without one."""
        account = self._accounts.get(account_id)
        found = account.one_to_one_with(uri) if account is not None else None
        return found.id if found is not None else ""

    # -- conversations --

    async def start_conversation(self, account_id: str) -> str:
        account = self._accounts.get(account_id)
        return await account.start() if account is not None else ""

    def get_conversations(self, account_id: str) -> list[str]:
        account = self._accounts.get(account_id)
        return [info.id for info in account.infos.values() if not info.is_removed] if account is not None else []

    def get_conversation_requests(self, account_id: str) -> list[dict[str, str]]:
        account = self._accounts.get(account_id)
        return [request.shown() for request in account.requests.pending()] if account is not None else []

    async def accept_conversation_request(self, account_id: str, conversation_id: str) -> None:
        if account := self._accounts.get(account_id):
            await account.accept(conversation_id)

    async def decline_conversation_request(self, account_id: str, conversation_id: str) -> None:
        account = self._accounts.get(account_id)
        if account is None:
            return
        request = await account.requests.decline(conversation_id)
        if request is not None:
            await account.home.contact_declined(request.sender, conversation_id)

    async def remove_conversation(self, account_id: str, conversation_id: str) -> bool:
        account = self._accounts.get(account_id)
        return await account.remove(conversation_id) if account is not None else False

    async def conversation_infos(self, account_id: str, conversation_id: str) -> dict[str, str]:
        account = self._accounts.get(account_id)
        conversation = self._find(account_id, conversation_id)
        if account is None or conversation is None:
            return {}
        if not conversation.is_here:
            known = account.metadatas.get(conversation_id, {})
            mode = str(conversation.info.mode)
            return {**known, "mode": known.get("mode", mode), "syncing": "true", "created": str(conversation.info.created // 1000)}
        facts = await self._loaded(conversation)
        return dict(conversation.facts.infos) if facts and conversation.facts is not None else {}

    def update_conversation_infos(self, account_id: str, conversation_id: str, infos: Mapping[str, str]) -> None:
        if conversation := self._find(account_id, conversation_id):
            self._spawn(self._accounts[account_id].membership.update_infos(conversation, infos), "infos")

    async def conversation_preferences(self, account_id: str, conversation_id: str) -> dict[str, str]:
        conversation = self._find(account_id, conversation_id)
        return (await in_thread(conversation.store.read_preferences, conversation_id))[0] if conversation is not None else {}

    async def set_conversation_preferences(self, account_id: str, conversation_id: str, values: Mapping[str, str]) -> None:
        conversation = self._find(account_id, conversation_id)
        if conversation is None:
            return
        known, changed = await in_thread(conversation.store.read_preferences, conversation_id)
        merged = {**known, **values}
        # The time is the version: a second change within a second must still be the newer one.
        modified = max(int(self._clock.time()), changed + 1)
        await in_thread(conversation.store.write_preferences, conversation_id, merged, modified)
        self._events.publish(ConversationPreferencesUpdated(account_id, conversation_id, merged))
        await self._accounts[account_id].syncing.tell_preferences(conversation, merged, modified)

    def add_conversation_member(self, account_id: str, conversation_id: str, uri: str) -> None:
        if conversation := self._find(account_id, conversation_id):
            self._spawn(self._accounts[account_id].membership.add(conversation, bare_uri(uri)), "add member")

    def remove_conversation_member(self, account_id: str, conversation_id: str, uri: str) -> None:
        if conversation := self._find(account_id, conversation_id):
            self._spawn(self._accounts[account_id].membership.ban(conversation, bare_uri(uri)), "ban")

    async def conversation_members(self, account_id: str, conversation_id: str) -> list[dict[str, str]]:
        conversation = self._find(account_id, conversation_id)
        if conversation is None:
            return []
        if not conversation.is_here or not await self._loaded(conversation) or conversation.facts is None:
            return [{"uri": uri, "role": "member", "lastDisplayed": ""} for uri in conversation.info.members]
        return [
            {"uri": uri, "role": role, "lastDisplayed": conversation.statuses.last_displayed(uri)}
            for uri, role in conversation.facts.roles.items()
            if role != LEFT or conversation.facts.root.mode == ONE_TO_ONE
        ]

    def active_calls(self, account_id: str, conversation_id: str) -> list[dict[str, str]]:
        conversation = self._find(account_id, conversation_id)
        return [dict(call) for call in conversation.active_calls.calls] if conversation is not None else []

    # -- details --

    async def _accept_of_contact(self, account: AccountConversations, uri: str, conversation_id: str) -> None:
        request = await account.requests.take(conversation_id)
        if account.find(conversation_id) is None:
            await account.join(conversation_id, [uri], mode=ONE_TO_ONE, metadatas=request.metadatas if request is not None else None)
