"""What the daemon keeps beside the repositories, in the real daemon's msgpack files (protocol: swarm, section 12).

Written in the form of 17, which 13.7 reads too; read in either form. A record that makes no sense is left out, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack

from jamid.core import limits
from jamid.core.identifiers import is_account_uri, is_conversation_id
from jamid.swarm.message_maps import clean_text


@dataclass(slots=True)
class ConversationInfo:
    """An entry of `convInfo`; times in milliseconds since 1970, 0 for never."""

    id: str
    created: int = 0
    removed: int = 0
    erased: int = 0
    members: list[str] = field(default_factory=list)
    last_displayed: str = ""
    mode: int = 2

    @property
    def is_removed(self) -> bool:
        return self.removed >= self.created and self.removed > 0

    def to_map(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created": self.created // 1000,
            "removed": self.removed // 1000,
            "erased": self.erased // 1000,
            "members": list(self.members),
            "lastDisplayed": self.last_displayed,
            "mode": self.mode,
            "createdMs": self.created,
            "removedMs": self.removed,
            "erasedMs": self.erased,
        }

    @classmethod
    def from_map(cls, data: Any) -> ConversationInfo | None:
        if not isinstance(data, Mapping) or not is_conversation_id(_str(data, "id")):
            return None
        members = data.get("members")
        return cls(
            id=_str(data, "id"),
            created=_milliseconds(data, "created"),
            removed=_milliseconds(data, "removed"),
            erased=_milliseconds(data, "erased"),
            members=[uri for uri in members if isinstance(uri, str) and is_account_uri(uri)] if isinstance(members, list | tuple) else [],
            last_displayed=_str(data, "lastDisplayed"),
            mode=_int(data, "mode", 2),
        )

    def copy(self) -> ConversationInfo:
        return replace(self, members=list(self.members))


@dataclass(slots=True)
class ConversationRequest:
    """An entry of `convRequests`: an invitation; times in milliseconds since 1970."""

    conversation_id: str
    sender: str
    metadatas: dict[str, str] = field(default_factory=dict)
    received: int = 0
    declined: int = 0

    def to_map(self) -> dict[str, Any]:
        return {
            "from": self.sender,
            "conversationId": self.conversation_id,
            "metadatas": dict(self.metadatas),
            "received": self.received // 1000,
            "declined": self.declined // 1000,
            "receivedMs": self.received,
            "declinedMs": self.declined,
        }

    def shown(self) -> dict[str, str]:
        """The map on D-Bus."""
        shown = dict(self.metadatas)
        shown.update({"id": self.conversation_id, "from": self.sender, "received": str(self.received // 1000)})
        if self.declined:
            shown["declined"] = str(self.declined // 1000)
        return shown

    @classmethod
    def from_map(cls, data: Any) -> ConversationRequest | None:
        if not isinstance(data, Mapping):
            return None
        conversation, sender = _str(data, "conversationId"), _str(data, "from")
        if not is_conversation_id(conversation) or not is_account_uri(sender):
            return None
        metadatas = string_map(data.get("metadatas"))
        return cls(conversation, sender, metadatas, _milliseconds(data, "received"), _milliseconds(data, "declined"))


@dataclass(slots=True)
class MemberStatus:
    """How far a member is, as in the file `status` of 17; times in seconds."""

    fetched: str = ""
    fetched_at: int = 0
    read: str = ""
    read_at: int = 0

    def to_map(self) -> dict[str, str]:
        written = {
            "fetched": self.fetched,
            "fetched_ts": str(self.fetched_at) if self.fetched_at else "",
            "read": self.read,
            "read_ts": str(self.read_at) if self.read_at else "",
        }
        return {key: value for key, value in written.items() if value}

    @classmethod
    def from_map(cls, data: Any) -> MemberStatus:
        if not isinstance(data, Mapping):
            return cls()
        return cls(_str(data, "fetched"), _decimal(data, "fetched_ts"), _str(data, "read"), _decimal(data, "read_ts"))


@dataclass(slots=True)
class WaitingFile:
    """A download that is not complete, as in the file `waiting`."""

    file_id: str
    interaction: str
    digest: str
    path: str
    total: int

    def to_map(self) -> dict[str, Any]:
        return {
            "fileId": self.file_id,
            "interactionId": self.interaction,
            "sha3sum": self.digest,
            "path": self.path,
            "totalSize": self.total,
        }

    @classmethod
    def from_map(cls, data: Any) -> WaitingFile | None:
        if not isinstance(data, Mapping) or not _str(data, "fileId"):
            return None
        return cls(_str(data, "fileId"), _str(data, "interactionId"), _str(data, "sha3sum"), _str(data, "path"), _int(data, "totalSize", 0))


def pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpack(data: bytes) -> Any:
    """The first object in DATA; None when there is none that can be read."""
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False, max_str_len=limits.STATE_FILE_BYTES)
    except msgpack.ExtraData as extra:
        return extra.unpacked
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return None


def read_infos(data: Any) -> dict[str, ConversationInfo]:
    """The conversations of a map conversation -> info."""
    return {info.id: info for info in map(ConversationInfo.from_map, _values(data)) if info is not None}


def read_requests(data: Any) -> dict[str, ConversationRequest]:
    """The requests of a map conversation -> request."""
    return {request.conversation_id: request for request in map(ConversationRequest.from_map, _values(data)) if request is not None}


def read_statuses(data: Any) -> dict[str, MemberStatus]:
    if not isinstance(data, Mapping):
        return {}
    return {uri: MemberStatus.from_map(value) for uri, value in data.items() if isinstance(uri, str) and is_account_uri(uri)}


def read_waiting(data: Any) -> dict[str, WaitingFile]:
    return {waiting.file_id: waiting for waiting in map(WaitingFile.from_map, _values(data)) if waiting is not None}


def string_map(data: Any) -> dict[str, str]:
    """The text entries of a map."""
    if not isinstance(data, Mapping):
        return {}
    return {clean_text(key): clean_text(value) for key, value in data.items() if isinstance(key, str) and isinstance(value, str)}


def by_id(records: Iterable[ConversationInfo | ConversationRequest]) -> dict[str, dict[str, Any]]:
    """Records as the map that is stored and sent."""
    return {(record.id if isinstance(record, ConversationInfo) else record.conversation_id): record.to_map() for record in records}


def _values(data: Any) -> list[Any]:
    return list(data.values()) if isinstance(data, Mapping) else []


def _str(data: Mapping[Any, Any], key: str) -> str:
    value = data.get(key, "")
    return value if isinstance(value, str) else ""


def _int(data: Mapping[Any, Any], key: str, default: int) -> int:
    value = data.get(key, default)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else default


def _decimal(data: Mapping[Any, Any], key: str) -> int:
    value = data.get(key, "")
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else 0
    return value if isinstance(value, int) else 0


def _milliseconds(data: Mapping[Any, Any], key: str) -> int:
    """The time KEY, from its millisecond form when there is one that is not 0, else from its seconds."""
    exact = _int(data, f"{key}Ms", 0)
    if exact > 0:
        return exact
    seconds = max(0, _int(data, key, 0))
    # Some versions of 2026 wrote milliseconds under the old name.
    return seconds if seconds > 100_000_000_000 else seconds * 1000
