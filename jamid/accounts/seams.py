"""What accounts need of the rooms beside them; `jamid.app.wiring` gives the real ones, the `No…` classes stand in without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jamid.crypto.certificates import Certificate


@dataclass(slots=True)
class SyncParts:
    """The parts of a sync message that belong to conversations, as msgpack maps by conversation id (protocol: swarm, section 11)."""

    conversations: dict[Any, Any] = field(default_factory=dict)
    requests: dict[Any, Any] = field(default_factory=dict)
    preferences: dict[Any, Any] = field(default_factory=dict)
    displayed: dict[Any, Any] = field(default_factory=dict)
    status: dict[Any, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any((self.conversations, self.requests, self.preferences, self.displayed, self.status))


class ContactConversations(Protocol):
    """The one-to-one conversations that come with contacts, kept by the conversations' room."""

    async def one_to_one(self, account_id: str, uri: str) -> str:
        """The id of the conversation with a contact; a new one is created and conversationReady published when there is none."""
        ...

    def request_accepted(self, account_id: str, uri: str, conversation_id: str) -> None:
        """The user accepted a contact: its conversation is cloned from it."""
        ...

    async def crossed(self, account_id: str, uri: str, conversation_id: str, *, dated: bool) -> str:
        """A contact that we asked asks us as well, with CONVERSATION_ID; which one we both take. Real daemons do not date what they ask."""
        ...

    def request_declined(self, account_id: str, uri: str, conversation_id: str) -> None:
        """The user discarded a request: conversationRequestDeclined is published."""
        ...

    async def contact_gone(self, account_id: str, uri: str, conversation_id: str, banned: bool) -> None:
        """A contact was removed or banned: unless banned, its conversation goes, and conversationRemoved is published before this ends."""
        ...

    def is_member(self, account_id: str, uri: str) -> bool:
        """Whether URI takes part in a conversation of the account, and may therefore connect without being a contact."""
        ...

    async def send_to_members(self, account_id: str, conversation_id: str, payloads: Mapping[str, str]) -> None:
        """Sends an instant message to every member of a conversation."""
        ...

    def archived(self, account_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The members `conversations` and `conversationsRequests` of an archive."""
        ...

    def adopt_archive(self, account_id: str, conversations: Mapping[str, Any], requests: Mapping[str, Any]) -> None:
        """Takes over what an imported archive says; comes before the account is loaded."""
        ...

    def sync_parts(self, account_id: str, device_id: str) -> Sequence[SyncParts]:
        """Everything another device of the account should know, in messages small enough for one frame."""
        ...

    def sync_received(self, account_id: str, device_id: str, parts: SyncParts) -> None:
        """What another device of the account told, or ("") the server that manages it."""
        ...


class MessageCarrier(Protocol):
    """A way to bring an instant message to one device over an existing or new channel (SIP MESSAGE, by the calls' room)."""

    async def carry(self, account_id: str, device: Certificate, token: int, mime: str, text: str, *, only_connected: bool) -> bool:
        """Whether the device acknowledged it."""
        ...


class SipRegistrar(Protocol):
    """Registers SIP accounts at their servers (the calls' room)."""

    async def register(self, account_id: str) -> None: ...

    async def unregister(self, account_id: str) -> None: ...

    async def send_message(self, account_id: str, to: str, payloads: Mapping[str, str]) -> int:
        """Sends a MESSAGE outside any call; its token, 0 when that is not possible."""
        ...


class NoConversations:
    """Contacts without conversations."""

    async def one_to_one(self, account_id: str, uri: str) -> str:
        return ""

    def request_accepted(self, account_id: str, uri: str, conversation_id: str) -> None:
        return None

    async def crossed(self, account_id: str, uri: str, conversation_id: str, *, dated: bool) -> str:
        return conversation_id

    def request_declined(self, account_id: str, uri: str, conversation_id: str) -> None:
        return None

    async def contact_gone(self, account_id: str, uri: str, conversation_id: str, banned: bool) -> None:
        return None

    def is_member(self, account_id: str, uri: str) -> bool:
        return False

    async def send_to_members(self, account_id: str, conversation_id: str, payloads: Mapping[str, str]) -> None:
        return None

    def archived(self, account_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}

    def adopt_archive(self, account_id: str, conversations: Mapping[str, Any], requests: Mapping[str, Any]) -> None:
        return None

    def sync_parts(self, account_id: str, device_id: str) -> Sequence[SyncParts]:
        return ()

    def sync_received(self, account_id: str, device_id: str, parts: SyncParts) -> None:
        return None


@dataclass(slots=True)
class Seams:
    """The neighbours, set once by the wiring before accounts are loaded."""

    conversations: ContactConversations = field(default_factory=NoConversations)
    carriers: list[MessageCarrier] = field(default_factory=list)
    """ways to send messages besides the `msg:` channel and the DHT, tried in order"""
    sip: SipRegistrar | None = None
