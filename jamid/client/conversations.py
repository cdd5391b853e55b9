"""Conversations: list, members, messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from jamid.client.connection import Connection
from jamid.client.events import EventStream, MessageReceived, MessagesFound, MessagesLoaded
from jamid.client.messages import Message
from jamid.core.errors import NotFoundError

__all__ = ["Conversation", "Conversations", "Message"]

_INTERFACE = "ConfigurationManager"
_MODES = {"0": "private", "1": "group", "2": "group", "3": "public"}
TEXT, EDIT, REACTION = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation of an account."""

    id: str
    kind: str
    """`private` (with one contact), `group` or `public`"""
    title: str
    members: Mapping[str, str]
    """Jami id to role: admin, member, invited, banned, left"""
    syncing: bool


class Conversations:
    """The conversations of each account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ids(self, account: str) -> list[str]:
        return [str(one) for one in await self._connection.call(_INTERFACE, "getConversations", "s", account)]

    async def get(self, account: str, conversation: str) -> Conversation:
        """One conversation; raises NotFoundError."""
        infos = await self._connection.call(_INTERFACE, "conversationInfos", "ss", account, conversation)
        if not infos:
            raise NotFoundError(f"there is no conversation {conversation}")
        members = await self._connection.call(_INTERFACE, "getConversationMembers", "ss", account, conversation)
        roles = {one.get("uri", ""): one.get("role", "") for one in members}
        kind = _MODES.get(infos.get("mode", ""), "group")
        return Conversation(conversation, kind, infos.get("title", ""), roles, infos.get("syncing") == "true")

    async def all(self, account: str) -> list[Conversation]:
        return [await self.get(account, conversation) for conversation in await self.ids(account)]

    async def create(self, account: str, title: str = "") -> str:
        """Makes a group; its id."""
        conversation = str(await self._connection.call(_INTERFACE, "startConversation", "s", account))
        if not conversation:
            raise NotFoundError(f"account {account} cannot make a conversation")
        if title:
            await self._connection.call(_INTERFACE, "updateConversationInfos", "ssa{ss}", account, conversation, {"title": title})
        return conversation

    async def invite(self, account: str, conversation: str, uri: str) -> None:
        await self._connection.call(_INTERFACE, "addConversationMember", "sss", account, conversation, uri)

    async def remove_member(self, account: str, conversation: str, uri: str) -> None:
        await self._connection.call(_INTERFACE, "removeConversationMember", "sss", account, conversation, uri)

    async def remove(self, account: str, conversation: str) -> bool:
        """Leaves a conversation and forgets it; whether it was known."""
        return bool(await self._connection.call(_INTERFACE, "removeConversation", "ss", account, conversation))

    async def send(self, account: str, conversation: str, text: str, *, reply_to: str = "") -> None:
        """Writes a message; the daemon delivers it when it can."""
        await self._connection.call(_INTERFACE, "sendMessage", "ssssi", account, conversation, text, reply_to, TEXT)

    async def send_confirmed(self, account: str, conversation: str, text: str, *, reply_to: str = "", seconds: float = 10) -> Message:
        """Writes a message and waits until the daemon has stored it; raises TimeoutError."""
        own = (await self._connection.call(_INTERFACE, "getAccountDetails", "s", account)).get("Account.username", "")
        async with EventStream[MessageReceived](self._connection, [MessageReceived]) as events:
            await self.send(account, conversation, text, reply_to=reply_to)
            event = await events.wait(
                lambda event: (event.account, event.conversation, event.message.author, event.message.body)
                == (account, conversation, own, text),
                seconds,
            )
        return event.message

    async def edit(self, account: str, conversation: str, message: str, text: str) -> None:
        """Replaces the text of an own message; "" deletes it."""
        await self._connection.call(_INTERFACE, "sendMessage", "ssssi", account, conversation, text, message, EDIT)

    async def react(self, account: str, conversation: str, message: str, emoji: str) -> None:
        await self._connection.call(_INTERFACE, "sendMessage", "ssssi", account, conversation, emoji, message, REACTION)

    async def displayed(self, account: str, conversation: str, message: str) -> None:
        """Tells the others that MESSAGE and all before it were read."""
        await self._connection.call(_INTERFACE, "setMessageDisplayed", "sssi", account, f"swarm:{conversation}", message, 3)

    async def load(self, account: str, conversation: str, count: int = 20, before: str = "", seconds: float = 60) -> list[Message]:
        """COUNT messages (0: all), newest first, from BEFORE on (inclusive; "": the newest); raises TimeoutError."""
        method = "loadConversationMessages"
        if not await self._connection.declares(_INTERFACE, method):
            method = "loadConversation"
            await self._connection.call(_INTERFACE, "clearCache", "ss", account, conversation)
        async with EventStream[MessagesLoaded](self._connection, [MessagesLoaded]) as events:
            request = await self._connection.call(_INTERFACE, method, "sssu", account, conversation, before, count)
            if not request:
                raise NotFoundError(f"there is no conversation {conversation}")
            return list((await events.wait(lambda event: event.request == request, seconds)).messages)

    async def has(self, account: str, conversation: str, message: str) -> bool:
        """Whether MESSAGE is there; True as well where only `load` could tell, which lets 17 forget what it tells its clients of."""
        if not await self._connection.declares(_INTERFACE, "loadConversationMessages"):
            return True
        return message in [one.id for one in await self.load(account, conversation, 1, message)]

    async def history(self, account: str, conversation: str, page: int = 200) -> AsyncIterator[Message]:
        """Every message, newest first, page by page."""
        before = ""
        while True:
            messages = await self.load(account, conversation, page + 1 if before else page, before)
            fresh = messages[1:] if before and messages and messages[0].id == before else messages
            if not fresh:
                return
            for message in fresh:
                yield message
            before = fresh[-1].id
            if not fresh[-1].parent:
                return

    async def search(self, account: str, conversation: str, text: str, seconds: float = 60) -> list[Message]:
        """Messages that contain TEXT; of all conversations when CONVERSATION is ""."""
        found: list[Message] = []
        async with EventStream[MessagesFound](self._connection, [MessagesFound]) as events:
            arguments = (account, conversation, "", "", text, "", 0, 0, 0, 0)
            request = await self._connection.call(_INTERFACE, "searchConversation", "ssssssxxui", *arguments)
            while True:
                event = await events.wait(lambda event: event.request == request, seconds)
                if not event.conversation:
                    return found
                found += event.messages
