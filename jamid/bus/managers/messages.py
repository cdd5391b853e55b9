"""The messages of conversations on D-Bus: sent, loaded, counted, searched, read (protocol: dbus, section 5.6)."""

from __future__ import annotations

from jamid.swarm.service import Conversations


class MessagesPart:
    """The methods about messages of conversations."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    def sendMessage(self, account_id: str, conversation_id: str, message: str, commit_id: str, flag: int) -> None:
        self._conversations.send_message(account_id, conversation_id, message, commit_id, flag)

    # -- 13.7 --

    def loadConversationMessages(self, account_id: str, conversation_id: str, first: str, count: int) -> int:
        return self._conversations.load_flat(account_id, conversation_id, first, count)

    def loadConversationUntil(self, account_id: str, conversation_id: str, first: str, until: str) -> int:
        return self._conversations.load_flat(account_id, conversation_id, first, 0, until)

    # -- 17 --

    def loadConversation(self, account_id: str, conversation_id: str, first: str, count: int) -> int:
        return self._conversations.load(account_id, conversation_id, first, count)

    def loadSwarmUntil(self, account_id: str, conversation_id: str, first: str, until: str) -> int:
        return self._conversations.load(account_id, conversation_id, first, 0, until)

    def clearCache(self, account_id: str, conversation_id: str) -> None:
        self._conversations.clear_cache(account_id, conversation_id)

    # -- both --

    async def countInteractions(self, account_id: str, conversation_id: str, until: str, first: str, author: str) -> int:
        return await self._conversations.count_interactions(account_id, conversation_id, until, first, author)

    def searchConversation(
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
        flag: int,
    ) -> int:
        return self._conversations.search(account_id, conversation_id, author, last, pattern, kind, after, before, limit, flag != 0)

    def setIsComposing(self, account_id: str, uri: str, is_writing: bool) -> None:
        self._conversations.set_is_composing(account_id, uri, is_writing)

    async def setMessageDisplayed(self, account_id: str, uri: str, message_id: str, status: int) -> bool:
        return await self._conversations.set_message_displayed(account_id, uri, message_id, status)
