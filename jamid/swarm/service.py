"""The conversations of all accounts, as the D-Bus API and the other rooms use them.

Unknown accounts and conversations are no errors: the answers are then empty, as the real daemon's are (protocol: dbus, section 5.6).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from jamid.core.clock import Clock, SystemClock
from jamid.core.errors import JamidError, LocalError
from jamid.core.events import Events
from jamid.core.identifiers import bare_uri
from jamid.core.signals import ConversationPreferencesUpdated, MessagesFound, OnConversationError
from jamid.core.tasks import Tasks, in_thread
from jamid.swarm import generations, instant, message_maps
from jamid.swarm.account import AccountConversations
from jamid.swarm.commits import Commit
from jamid.swarm.conversation import Built, Conversation
from jamid.swarm.loading import Loader
from jamid.swarm.members import LEFT
from jamid.swarm.profile import parse_profile
from jamid.swarm.repository import Repository
from jamid.swarm.rules import ONE_TO_ONE
from jamid.swarm.seams import Home, PeerDevice

_log = logging.getLogger(__name__)

TEXT: Final = 0
EDIT: Final = 1
REACTION: Final = 2
_DISPLAYED: Final = 3
_UNKNOWN_CONVERSATION: Final = 0


class Conversations:
    """Conversations by account."""

    def __init__(self, events: Events, clock: Clock | None = None) -> None:
        self._events = events
        self._clock = clock or SystemClock()
        self._accounts: dict[str, AccountConversations] = {}
        self._archives: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        """account -> conversations and requests of an archive, until the account is loaded"""
        self._tasks = Tasks("conversations")

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
            account.connected(peer)

    def peer_disconnected(self, account_id: str, peer: PeerDevice) -> None:
        if account := self._accounts.get(account_id):
            account.disconnected(peer)

    def peer_announced(self, account_id: str, uri: str, device_id: str) -> None:
        """A device of URI came online."""
        if account := self._accounts.get(account_id):
            account.announced(uri, device_id)

    def instant_message(self, account_id: str, uri: str, device_id: str, payloads: Mapping[str, str]) -> None:
        """A device of URI sent something outside git."""
        if account := self._accounts.get(account_id):
            self._spawn(account.received(uri, device_id, payloads), "instant")

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

    # -- messages --

    def send_message(self, account_id: str, conversation_id: str, body: str, commit_id: str, flag: int) -> None:
        """Queues a text or reply, an edit or deletion, a reaction; what may not be made is dropped silently."""
        conversation = self._find(account_id, conversation_id)
        if conversation is None:
            return
        body = message_maps.clean_text(body)
        if flag == EDIT:
            self._edit(conversation, body, commit_id)
        elif flag == REACTION:
            conversation.post(_needing(commit_id, message_maps.reaction(body, commit_id)))
        elif commit_id:
            conversation.post(_needing(commit_id, message_maps.text(body, commit_id)))
        else:
            conversation.post_content(message_maps.text(body))

    def load_flat(self, account_id: str, conversation_id: str, first: str, count: int, until: str | None = None) -> int:
        """Answers with conversationLoaded; the request's id, 0 for an unknown conversation."""
        conversation = self._find(account_id, conversation_id)
        if conversation is None:
            return _UNKNOWN_CONVERSATION
        request = _request_id()
        self._spawn(self._guarded(conversation, Loader(conversation).load_flat(request, first, count, until)), "load")
        return request

    def load(self, account_id: str, conversation_id: str, first: str, count: int, until: str | None = None) -> int:
        """Answers with swarmLoaded; the request's id, 0 for an unknown conversation."""
        conversation = self._find(account_id, conversation_id)
        if conversation is None:
            return _UNKNOWN_CONVERSATION
        request = _request_id()
        self._spawn(self._load(conversation, request, first, count, until), "load")
        return request

    def clear_cache(self, account_id: str, conversation_id: str) -> None:
        if conversation := self._find(account_id, conversation_id):
            conversation.history.clear()

    async def count_interactions(self, account_id: str, conversation_id: str, until: str, first: str, author: str) -> int:
        conversation = self._find(account_id, conversation_id)
        if conversation is None or not conversation.is_here:
            return 0
        try:
            return await Loader(conversation).count(until, first, bare_uri(author))
        except JamidError as error:
            _log.warning("%r cannot be counted: %s", conversation, error)
            return 0

    def search(
        self,
        account_id: str,
        conversation_id: str,
        author: str,
        last: str,
        pattern: str,
        kind: str,
        after: int,
        before: int,
        limit: int,
        case_sensitive: bool,
    ) -> int:
        """Answers with messagesFound, the last time with an empty conversation; 0 for an unknown account."""
        if account_id and account_id not in self._accounts:
            return 0
        accounts = [self._accounts[account_id]] if account_id else list(self._accounts.values())
        if not accounts:
            return 0
        request = _request_id()
        found = [each for account in accounts for each in account.all() if not conversation_id or each.id == conversation_id]

        async def search() -> None:
            for conversation in found:
                if conversation.is_here:
                    loader = Loader(conversation)
                    await self._guarded(
                        conversation,
                        loader.search(request, bare_uri(author), last, pattern, kind, after, before, limit, case_sensitive),
                    )
            self._events.publish(MessagesFound(request, account_id, "", []))

        self._spawn(search(), "search")
        return request

    def set_is_composing(self, account_id: str, uri: str, active: bool) -> None:
        conversation = self._find(account_id, bare_uri(uri))
        account = self._accounts.get(account_id)
        if conversation is not None:
            if conversation.home.flag("Account.sendComposing"):
                self._spawn(
                    self._to_members(conversation, instant.COMPOSING, instant.write_composing(conversation.id, active)), "composing"
                )
        elif account is not None:
            text = instant.write_composing("", active).replace("<conversation></conversation>", "")
            self._spawn(account.home.send(bare_uri(uri), instant.COMPOSING, text, only_connected=True), "composing")

    async def set_message_displayed(self, account_id: str, uri: str, message_id: str, status: int) -> bool:
        """Marks a message as read; whether the account is known."""
        account = self._accounts.get(account_id)
        if account is None:
            return False
        conversation = account.find(bare_uri(uri))
        if conversation is not None and status == _DISPLAYED and conversation.is_here and await self._loaded(conversation):
            self._spawn(self._displayed(account, conversation, message_id), "displayed")
        return True

    async def send_to_members(self, account_id: str, conversation_id: str, payloads: Mapping[str, str]) -> bool:
        """Sends instant messages to all members; False for an unknown conversation."""
        conversation = self._find(account_id, conversation_id)
        if conversation is None:
            return False
        for mime, text in payloads.items():
            await self._to_members(conversation, mime, text, only_connected=False)
        return True

    # -- files --

    def send_file(self, account_id: str, conversation_id: str, path: str, name: str, reply_to: str) -> None:
        account = self._accounts.get(account_id)
        conversation = self._find(account_id, conversation_id)
        if account is None:
            return
        if conversation is None:
            self._events.publish(OnConversationError(account_id, conversation_id, 1, "Conversation not found"))
            return

        async def offer() -> None:
            try:
                await account.transfers.offer(conversation, Path(path), name, reply_to)
            except LocalError as error:
                _log.error("%r %s", conversation, error)

        self._spawn(offer(), "send file")

    async def download_file(self, account_id: str, conversation_id: str, interaction: str, file_id: str, path: str) -> bool:
        conversation = self._find(account_id, conversation_id)
        if conversation is None:
            return False
        return await self._accounts[account_id].transfers.download(conversation, interaction, file_id, path)

    async def cancel_data_transfer(self, account_id: str, conversation_id: str, file_id: str) -> int:
        conversation = self._find(account_id, conversation_id)
        return 3 if conversation is None else await self._accounts[account_id].transfers.cancel(conversation, file_id)

    async def file_transfer_info(self, account_id: str, conversation_id: str, file_id: str) -> tuple[int, str, int, int]:
        conversation = self._find(account_id, conversation_id)
        return (3, "", 0, 0) if conversation is None else await self._accounts[account_id].transfers.info(conversation, file_id)

    # -- details --

    def _find(self, account_id: str, conversation_id: str) -> Conversation | None:
        account = self._accounts.get(account_id)
        return account.find(conversation_id) if account is not None and conversation_id else None

    def _spawn(self, coroutine: Awaitable[Any], name: str) -> None:
        async def run() -> None:
            try:
                await coroutine
            except JamidError as error:
                _log.warning("%s: %s", name, error)

        self._tasks.spawn(run(), name)

    async def _loaded(self, conversation: Conversation) -> bool:
        try:
            await conversation.load()
        except JamidError as error:
            _log.warning("%r cannot be read: %s", conversation, error)
            return False
        return True

    async def _guarded(self, conversation: Conversation, work: Awaitable[None]) -> None:
        try:
            await work
        except JamidError as error:
            _log.info("%r cannot be read: %s", conversation, error)

    async def _load(self, conversation: Conversation, request: int, first: str, count: int, until: str | None) -> None:
        if conversation.is_here and await self._loaded(conversation):
            conversation.statuses.tell_history()
            await self._guarded(conversation, Loader(conversation).load(request, first, count, until))

    async def _accept_of_contact(self, account: AccountConversations, uri: str, conversation_id: str) -> None:
        request = await account.requests.take(conversation_id)
        if account.find(conversation_id) is None:
            await account.join(conversation_id, [uri], mode=ONE_TO_ONE, metadatas=request.metadatas if request is not None else None)

    async def _displayed(self, account: AccountConversations, conversation: Conversation, message: str) -> None:
        if not await conversation.statuses.displayed(account.home.uri, message):
            return
        if account.home.flag("Account.sendReadReceipt"):
            await self._to_members(conversation, instant.RECEIPT, instant.write_receipt(conversation.id, message))
        await account.syncing.tell_status(conversation)

    async def _to_members(self, conversation: Conversation, mime: str, text: str, *, only_connected: bool = True) -> None:
        await conversation.load()
        for uri in conversation.everybody():
            await conversation.home.send(uri, mime, text, only_connected=only_connected)

    def _edit(self, conversation: Conversation, body: str, target: str) -> None:
        account = self._accounts[conversation.home.id]

        def build(repository: Repository) -> Built | None:
            edited = conversation.body_of(repository, repository.commit(target), "") if target in repository else None
            if edited is None or edited["author"] != conversation.home.uri or not repository.contains_in_history(target):
                return None
            if edited["type"] == message_maps.FILE and edited.get("tid"):
                return (message_maps.file_deletion(target), {}) if not body else None
            return (generations.edition(body, target), {}) if edited["type"] == message_maps.TEXT else None

        def remove_file(commit: Commit) -> None:
            if commit.json().get("type") == message_maps.FILE:
                self._spawn(self._remove_file(account, conversation, target), "remove file")

        conversation.post(build, before=remove_file)

    async def _remove_file(self, account: AccountConversations, conversation: Conversation, target: str) -> None:
        def read(repository: Repository) -> dict[str, str] | None:
            return conversation.body_of(repository, repository.commit(target), "")

        body = await conversation.run(read)
        if body is not None and body.get("fileId"):
            await account.transfers.remove(conversation, body["fileId"])


def _needing(target: str, content: dict[str, object]) -> Any:
    """A commit that is made only when the message TARGET is in the history."""

    def build(repository: Repository) -> Built | None:
        return (content, {}) if target in repository and repository.contains_in_history(target) else None

    return build


def _request_id() -> int:
    return secrets.randbelow(0xFFFFFFFF) + 1
