"""Conversations on D-Bus: which there are, who is in them, what they are called (protocol: dbus, section 5.6)."""

from __future__ import annotations

from collections.abc import Mapping

from jamid.swarm.service import Conversations


class ConversationsPart:
    """The methods about conversations as a whole."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    async def startConversation(self, account_id: str) -> str:
        return await self._conversations.start_conversation(account_id)

    async def acceptConversationRequest(self, account_id: str, conversation_id: str) -> None:
        await self._conversations.accept_conversation_request(account_id, conversation_id)

    async def declineConversationRequest(self, account_id: str, conversation_id: str) -> None:
        await self._conversations.decline_conversation_request(account_id, conversation_id)

    async def removeConversation(self, account_id: str, conversation_id: str) -> bool:
        return await self._conversations.remove_conversation(account_id, conversation_id)

    def getConversations(self, account_id: str) -> list[str]:
        return self._conversations.get_conversations(account_id)

    def getConversationRequests(self, account_id: str) -> list[dict[str, str]]:
        return self._conversations.get_conversation_requests(account_id)

    def getActiveCalls(self, account_id: str, conversation_id: str) -> list[dict[str, str]]:
        return self._conversations.active_calls(account_id, conversation_id)

    def updateConversationInfos(self, account_id: str, conversation_id: str, infos: Mapping[str, str]) -> None:
        self._conversations.update_conversation_infos(account_id, conversation_id, infos)

    async def conversationInfos(self, account_id: str, conversation_id: str) -> dict[str, str]:
        return await self._conversations.conversation_infos(account_id, conversation_id)

    async def setConversationPreferences(self, account_id: str, conversation_id: str, preferences: Mapping[str, str]) -> None:
        await self._conversations.set_conversation_preferences(account_id, conversation_id, preferences)

    async def getConversationPreferences(self, account_id: str, conversation_id: str) -> dict[str, str]:
        return await self._conversations.conversation_preferences(account_id, conversation_id)

    def addConversationMember(self, account_id: str, conversation_id: str, uri: str) -> None:
        self._conversations.add_conversation_member(account_id, conversation_id, uri)

    def removeConversationMember(self, account_id: str, conversation_id: str, uri: str) -> None:
        self._conversations.remove_conversation_member(account_id, conversation_id, uri)

    async def getConversationMembers(self, account_id: str, conversation_id: str) -> list[dict[str, str]]:
        return await self._conversations.conversation_members(account_id, conversation_id)
