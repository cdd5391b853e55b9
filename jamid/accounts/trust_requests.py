"""Trust requests: the message on the DHT and the store of those that wait for an answer (protocol: identity, section 9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgpack

from jamid.accounts.receipt import unpack_map
from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import is_account_uri, is_conversation_id

VALUE_TYPE: Final = 4
_SERVICE: Final = "cx.ring"


@dataclass(frozen=True, slots=True)
class TrustRequest:
    """A request to become a contact, or (confirm) the word that one was accepted."""

    conversation_id: str = ""
    payload: bytes = b""
    """the sender's vCard"""
    confirm: bool = False
    invited: int = 0
    """when the user asked, milliseconds since 1970; 0 in confirmations and from older versions"""

    def to_bytes(self) -> bytes:
        """The message with the fifth key of newer versions, which older ones ignore."""
        packed: bytes = msgpack.packb(
            {
                "service": _SERVICE,
                "conversationId": self.conversation_id,
                "payload": self.payload,
                "confirm": self.confirm,
                "invitedMs": self.invited,
            }
        )
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> TrustRequest:
        """Parses the message of any version; raises RemoteError, also for another service."""
        fields = unpack_map(data, limits.INBOX_VALUE_BYTES)
        if fields.get("service") != _SERVICE:
            raise RemoteError("the trust request is for another service")
        conversation, payload = fields.get("conversationId", ""), fields.get("payload", b"")
        if not isinstance(conversation, str) or not isinstance(payload, bytes | str):
            raise RemoteError("the trust request has fields of the wrong type")
        invited = fields.get("invitedMs", 0)
        return cls(
            conversation if is_conversation_id(conversation) else "",
            payload.encode("utf-8", "replace") if isinstance(payload, str) else payload,
            fields.get("confirm") is True,
            invited if isinstance(invited, int) and 0 <= invited < 2**53 else 0,
        )


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request that waits for the user."""

    device_key: bytes
    """SubjectPublicKeyInfo of the device that asked, empty when it came from an own device"""
    conversation_id: str
    received: int
    """milliseconds since 1970"""
    payload: bytes
    invited: int = 0

    def to_map(self) -> dict[str, Any]:
        """The msgpack map of the file and of device sync."""
        return {
            "device": self.device_key,
            "conversationId": self.conversation_id,
            "received": self.received // 1000,
            "payload": self.payload,
            "receivedMs": self.received,
            "invitedMs": self.invited,
        }

    @classmethod
    def from_map(cls, fields: Mapping[Any, Any]) -> PendingRequest:
        """Reads the map of any version; raises RemoteError."""
        device, payload = fields.get("device", b""), fields.get("payload", b"")
        conversation = fields.get("conversationId", "")
        if not isinstance(device, bytes) or not isinstance(payload, bytes) or not isinstance(conversation, str):
            raise RemoteError("a stored request has fields of the wrong type")
        received = _number(fields, "receivedMs") or _number(fields, "received") * 1000
        conversation = conversation if is_conversation_id(conversation) else ""
        return cls(device, conversation, received, payload, _number(fields, "invitedMs"))

    def details(self, uri: str) -> dict[str, str]:
        """The map that getTrustRequests answers."""
        return {
            "from": uri,
            "received": str(self.received // 1000),
            "conversationId": self.conversation_id,
            "payload": self.payload.decode("utf-8", "replace").replace("\0", ""),
        }


class PendingRequests:
    """Jami id of the asker -> its request, bounded: strangers fill this."""

    def __init__(self, requests: Mapping[str, PendingRequest] | None = None) -> None:
        self._requests = dict(requests or {})

    def get(self, uri: str) -> PendingRequest | None:
        return self._requests.get(uri)

    def items(self) -> Iterator[tuple[str, PendingRequest]]:
        return iter(tuple(self._requests.items()))

    def __len__(self) -> int:
        return len(self._requests)

    def store(self, uri: str, request: PendingRequest) -> bool:
        """Keeps a request; of two by the same account the newer stays. False when nothing changed, or the store is full."""
        old = self._requests.get(uri)
        if old is not None:
            newer = request.invited > old.invited if request.invited or old.invited else request.received > old.received
            known = request.conversation_id == old.conversation_id and request.payload == old.payload
            if known and newer:  # asked again: no news, but it is the later one that is answered
                self._requests[uri] = replace(old, invited=request.invited)
            if known or not newer:
                return False
        elif len(self._requests) >= limits.PENDING_TRUST_REQUESTS:
            return False
        self._requests[uri] = request
        return True

    def remove(self, uri: str) -> PendingRequest | None:
        """Forgets the request of URI and returns it."""
        return self._requests.pop(uri, None)

    def to_bytes(self) -> bytes:
        """The file `incomingTrustRequests`."""
        packed: bytes = msgpack.packb({bytes.fromhex(uri): request.to_map() for uri, request in self._requests.items()})
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> PendingRequests:
        """Parses the file of any version; raises RemoteError when it is no such map."""
        return cls(parse_requests(unpack_map(data, limits.STATE_FILE_BYTES)))


def parse_requests(fields: Mapping[Any, Any]) -> dict[str, PendingRequest]:
    """Requests by binary Jami id; entries that are none, and those beyond the cap, are left out."""
    requests: dict[str, PendingRequest] = {}
    for key, value in fields.items():
        uri = key.hex() if isinstance(key, bytes) else ""
        if is_account_uri(uri) and isinstance(value, Mapping) and len(requests) < limits.PENDING_TRUST_REQUESTS:
            try:
                requests[uri] = PendingRequest.from_map(value)
            except RemoteError:
                continue
    return requests


def _number(fields: Mapping[Any, Any], name: str) -> int:
    value = fields.get(name, 0)
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0
