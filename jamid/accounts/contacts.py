"""The contact list of an account: its rules and its file, without any I/O (protocol: identity, section 10)."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from jamid.accounts.receipt import unpack_map
from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.core.identifiers import is_account_uri, is_conversation_id


@dataclass(frozen=True, slots=True)
class Contact:
    """One entry of the list; removed ones stay as tombstones for the other devices. Times are milliseconds since 1970, 0 is never."""

    added: int = 0
    removed: int = 0
    confirmed: bool = False
    banned: bool = False
    conversation_id: str = ""

    @property
    def is_active(self) -> bool:
        return self.added > self.removed

    @property
    def is_banned(self) -> bool:
        """A ban counts only while the contact is not active again."""
        return self.banned and not self.is_active

    def details(self, uri: str) -> dict[str, str]:
        """The map that getContacts answers, the keys of both generations."""
        told = {"id": uri, "added": str(self.added // 1000), "removed": str(self.removed // 1000)}
        told["conversationId"] = self.conversation_id
        if self.is_active:
            told["confirmed"] = "true" if self.confirmed else "false"
        elif self.banned:
            told["banned"] = "true"
        return told

    def to_map(self) -> dict[str, Any]:
        """The msgpack map of files and device sync: 13's five keys and the two that newer versions add."""
        return {
            "added": self.added // 1000,
            "removed": self.removed // 1000,
            "confirmed": self.confirmed,
            "banned": self.banned,
            "conversationId": self.conversation_id,
            "addedMs": self.added,
            "removedMs": self.removed,
        }

    def to_json(self) -> dict[str, Any]:
        """The object in archives and for management servers; false and zero are left out."""
        told: dict[str, Any] = {"added": self.added // 1000, "addedMs": self.added, "conversationId": self.conversation_id}
        if self.removed:
            told |= {"removed": self.removed // 1000, "removedMs": self.removed}
        if self.confirmed:
            told["confirmed"] = True
        if self.banned:
            told["banned"] = True
        return told

    @classmethod
    def from_map(cls, fields: Mapping[Any, Any]) -> Contact:
        """Reads a contact map of any version; raises RemoteError when a field has the wrong type."""
        conversation = fields.get("conversationId", "")
        if not isinstance(conversation, str):
            raise RemoteError("a contact's conversation is no text")
        return cls(
            added=_moment(fields, "added"),
            removed=_moment(fields, "removed"),
            confirmed=fields.get("confirmed") is True,
            banned=fields.get("banned") is True,
            conversation_id=conversation if is_conversation_id(conversation) else "",
        )


class Change(enum.Flag):
    """What an operation did to a contact, from which the signals follow."""

    NONE = 0
    STORED = enum.auto()
    """the entry differs and must be saved"""
    BECAME_ACTIVE = enum.auto()
    BECAME_CONFIRMED = enum.auto()
    REMOVED = enum.auto()
    BANNED = enum.auto()


class ContactList:
    """Jami id -> contact."""

    def __init__(self, contacts: Mapping[str, Contact] | None = None) -> None:
        self._contacts = dict(contacts or {})

    def get(self, uri: str) -> Contact | None:
        return self._contacts.get(uri)

    def items(self) -> Iterator[tuple[str, Contact]]:
        return iter(tuple(self._contacts.items()))

    def active(self) -> Iterator[tuple[str, Contact]]:
        """Every contact that is one now."""
        return ((uri, contact) for uri, contact in self.items() if contact.is_active)

    def is_active(self, uri: str) -> bool:
        return uri in self._contacts and self._contacts[uri].is_active

    def is_banned(self, uri: str) -> bool:
        return uri in self._contacts and self._contacts[uri].is_banned

    def add(self, uri: str, now: int, *, confirmed: bool = False, conversation_id: str = "") -> Change:
        """Adds or confirms a contact; an active one keeps its date and, unless another is given, its conversation."""
        old = self._contacts.get(uri, Contact())
        if old.is_active:
            new = replace(old, confirmed=old.confirmed or confirmed, conversation_id=conversation_id or old.conversation_id)
        else:
            added = max(now, old.removed + 1)
            new = Contact(added, 0, confirmed, banned=False, conversation_id=conversation_id or old.conversation_id)
        return self._store(uri, old, new)

    def remove(self, uri: str, now: int, *, ban: bool) -> Change:
        """Removes or bans; the entry stays as a tombstone. Removing twice changes nothing."""
        old = self._contacts.get(uri, Contact())
        if not old.is_active and (old.is_banned == ban) and uri in self._contacts:
            return Change.NONE
        conversation = old.conversation_id if ban else ""
        new = Contact(old.added, max(now, old.added), confirmed=False, banned=ban, conversation_id=conversation)
        return self._store(uri, old, new)

    def set_conversation(self, uri: str, conversation_id: str) -> Change:
        """Names the one-to-one conversation with a contact."""
        old = self._contacts.get(uri)
        return Change.NONE if old is None else self._store(uri, old, replace(old, conversation_id=conversation_id))

    def merge(self, uri: str, other: Contact) -> Change:
        """Takes over what another device knows: the entry with the latest date wins, equal ones share their confirmation."""
        old = self._contacts.get(uri, Contact())
        latest, theirs = max(old.added, old.removed), max(other.added, other.removed)
        if latest // 1000 == theirs // 1000:  # older versions tell seconds only
            new = _same_second(old, other)
        elif theirs > latest:
            new = replace(other, confirmed=other.confirmed and other.is_active)
        else:
            return Change.NONE
        return self._store(uri, old, new)

    def to_bytes(self) -> bytes:
        """The file `contacts`."""
        packed: bytes = msgpack.packb({bytes.fromhex(uri): contact.to_map() for uri, contact in self._contacts.items()})
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> ContactList:
        """Parses the file `contacts` of any version; raises RemoteError when it is no such map."""
        return cls(parse_contacts(unpack_map(data, limits.STATE_FILE_BYTES)))

    def to_json(self) -> dict[str, Any]:
        """The member `ringAccountContacts` of an archive."""
        return {uri: contact.to_json() for uri, contact in self._contacts.items()}

    def _store(self, uri: str, old: Contact, new: Contact) -> Change:
        if new == old:
            return Change.NONE
        if uri not in self._contacts and len(self._contacts) >= limits.CONTACTS:
            raise LimitError(f"an account holds at most {limits.CONTACTS} contacts")
        self._contacts[uri] = new
        change = Change.STORED
        if new.is_active and not old.is_active:
            change |= Change.BECAME_ACTIVE
        if new.is_active and new.confirmed and not (old.is_active and old.confirmed):
            change |= Change.BECAME_CONFIRMED
        if not new.is_active and (old.is_active or new.is_banned != old.is_banned):
            change |= Change.REMOVED
            if new.is_banned:
                change |= Change.BANNED
        return change


def _same_second(ours: Contact, theirs: Contact) -> Contact:
    """One of two entries whose latest dates fall into one second, so that both devices come to the same: a removal or ban counts."""
    if ours.is_active is not theirs.is_active:
        inactive, active = (theirs, ours) if ours.is_active else (ours, theirs)
        return replace(inactive, confirmed=False) if inactive.removed or inactive.banned else active
    newest = ours if max(ours.added, ours.removed) >= max(theirs.added, theirs.removed) else theirs
    return replace(
        newest,
        confirmed=newest.is_active and (ours.confirmed or theirs.confirmed),
        banned=ours.banned or theirs.banned,
        conversation_id=ours.conversation_id or theirs.conversation_id,
    )


def parse_contacts(fields: Mapping[Any, Any]) -> dict[str, Contact]:
    """Contacts by binary (msgpack) or hex (JSON) Jami id; entries that are none are left out, too many raise LimitError."""
    if len(fields) > limits.CONTACTS:
        raise LimitError(f"{len(fields)} contacts are more than {limits.CONTACTS}")
    contacts: dict[str, Contact] = {}
    for key, value in fields.items():
        uri = key.hex() if isinstance(key, bytes) else key
        if isinstance(uri, str) and is_account_uri(uri) and isinstance(value, Mapping):
            try:
                contacts[uri] = Contact.from_map(value)
            except RemoteError:
                continue
    return contacts


def _moment(fields: Mapping[Any, Any], name: str) -> int:
    """Milliseconds from the newer key, else from the seconds of the older one."""
    for key, factor in ((f"{name}Ms", 1), (name, 1000)):
        value = fields.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53:
            return min(value * factor, 2**53)
    return 0
