"""Contacts and requests to become one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jamid.client.connection import Connection
from jamid.client.model import flag, moment, number

_INTERFACE = "ConfigurationManager"


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody an account knows."""

    uri: str
    added: datetime | None
    confirmed: bool
    """whether they accepted"""
    banned: bool
    conversation: str
    """the conversation with them alone, "" for none"""


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody who wants to be a contact, or an invitation to a group."""

    conversation: str
    sender: str
    received: datetime | None
    title: str
    mode: str


class Contacts:
    """The contacts of each account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def all(self, account: str) -> list[Contact]:
        contacts = await self._connection.call(_INTERFACE, "getContacts", "s", account)
        return [
            Contact(
                one.get("id", ""), moment(number(one, "added")), flag(one, "confirmed"), flag(one, "banned"),
                one.get("conversationId", ""),
            )
            for one in contacts
            if number(one, "removed") == 0 or flag(one, "banned")
        ]

    async def request(self, account: str, uri: str, profile: bytes = b"") -> None:
        """Adds URI as a contact and asks them to accept; PROFILE is a vCard."""
        await self._connection.call(_INTERFACE, "sendTrustRequest", "ssay", account, uri, profile)

    async def remove(self, account: str, uri: str, *, block: bool = False) -> None:
        """Forgets a contact and the conversation with them; BLOCK keeps them from coming back."""
        await self._connection.call(_INTERFACE, "removeContact", "ssb", account, uri, block)

    async def requests(self, account: str) -> list[Request]:
        """Who waits for an answer."""
        requests = await self._connection.call(_INTERFACE, "getConversationRequests", "s", account)
        return [
            Request(
                one.get("id", ""), one.get("from", ""), moment(number(one, "received")), one.get("title", ""), one.get("mode", "")
            )
            for one in requests
            if not one.get("declined")
        ]

    async def accept(self, account: str, conversation: str) -> None:
        await self._connection.call(_INTERFACE, "acceptConversationRequest", "ss", account, conversation)

    async def decline(self, account: str, conversation: str) -> None:
        await self._connection.call(_INTERFACE, "declineConversationRequest", "ss", account, conversation)
