"""What accounts tell the other rooms; what they tell frontends are the signals of `jamid.core.signals`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jamid.crypto.certificates import Certificate

if TYPE_CHECKING:
    from jamid.accounts.account import Account
    from jamid.accounts.jami import JamiAccount


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """Something about one account."""

    account_id: str


@dataclass(frozen=True, slots=True)
class AccountLoaded(AccountEvent):
    """An account has its identity (Jami) or configuration (SIP): what belongs to it can be loaded. Comes before AccountOnline."""

    account: Account


@dataclass(frozen=True, slots=True)
class AccountOnline(AccountEvent):
    """A Jami account starts to register: its `dht` and `connections` are new objects, channel handlers must be given to them now."""

    account: JamiAccount


@dataclass(frozen=True, slots=True)
class AccountOffline(AccountEvent):
    """The account unregistered; its `dht` and `connections` are closed."""


@dataclass(frozen=True, slots=True)
class AccountRemoved(AccountEvent):
    """The account was removed; its directories are deleted after this."""


@dataclass(frozen=True, slots=True)
class DeviceAnnounced(AccountEvent):
    """A device of a tracked peer announced itself anew: retry what waits for it."""

    uri: str
    """Jami id of the peer"""
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class OwnDeviceFound(AccountEvent):
    """Another device of the own account was announced or confirmed; conversations may want to sync with it."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class TrustRequestReceived(AccountEvent):
    """A peer asks to become a contact, or an own device tells of such a request."""

    uri: str
    conversation_id: str
    payload: bytes
    """the peer's vCard"""
    received: int
    """milliseconds since 1970"""


@dataclass(frozen=True, slots=True)
class ContactConfirmed(AccountEvent):
    """A contact accepted our request, or asked for us as well, naming its conversation with us ("" from very old peers)."""

    uri: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class ProfileChanged(AccountEvent):
    """The own vCard changed: peers must get it again."""


@dataclass(frozen=True, slots=True)
class InstantMessage(AccountEvent):
    """A message that a peer's device sent to the account outside git: notifications, invitations, receipts, old text messages."""

    uri: str
    """Jami id of the sender, proven by its device certificate"""
    device_id: str
    """64 hex digits"""
    token: int
    """the sender's id of the message, 0 when it has none"""
    payloads: Mapping[str, str]
    """MIME type -> text"""
