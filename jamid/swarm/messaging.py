"""Messages and files of all accounts' conversations, as the D-Bus API uses them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Final

from jamid.core.clock import Clock, SystemClock
from jamid.core.errors import JamidError, LocalError
from jamid.core.events import Events
from jamid.core.identifiers import bare_uri
from jamid.core.signals import MessagesFound, OnConversationError
from jamid.core.tasks import Tasks
from jamid.swarm import generations, instant, message_maps
from jamid.swarm.account import AccountConversations
from jamid.swarm.commits import Commit
from jamid.swarm.conversation import Built, Conversation
from jamid.swarm.loading import Loader
from jamid.swarm.repository import Repository

_log = logging.getLogger(__name__)

TEXT: Final = 0
EDIT: Final = 1
REACTION: Final = 2
_DISPLAYED: Final = 3
_UNKNOWN_CONVERSATION: Final = 0
_NO_CONVERSATION_ERROR: Final = 1


class Messaging:
    """What is written into conversations and read from them."""

    def __init__(self, events: Events, clock: Clock | None = None) -> None:
        self._events = events
        self._clock = clock or SystemClock()
        self._accounts: dict[str, AccountConversations] = {}
        self._tasks = Tasks("conversations")

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
            self._events.publish(OnConversationError(account_id, conversation_id, _NO_CONVERSATION_ERROR, "Conversation not found"))
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

    async def _displayed(self, account: AccountConversations, conversation: Conversation, message: str) -> None:
        if not await conversation.statuses.read_here(message):
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
