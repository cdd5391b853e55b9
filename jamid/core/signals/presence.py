"""Signals of `cx.ring.Ring.PresenceManager`: what the daemon tells of presence."""

from __future__ import annotations

from dataclasses import dataclass

from jamid.core.signals.base import Signal


@dataclass(frozen=True, slots=True)
class NearbyPeerNotification(Signal):
    """account, uri, 0 found / 1 gone, display name."""

    account_id: str
    buddy_uri: str
    status: int
    displayname: str


@dataclass(frozen=True, slots=True)
class NewBuddyNotification(Signal):
    """account, uri, online (13.7.0 b; 17 i: 0 offline, 1 seen on the DHT, 2 connected), line status. 17 emits it without subscribeBuddy
    for every conversation member, the own account too (1 after startConversation)."""

    account_id: str
    uri: str
    status: int
    line_status: str


@dataclass(frozen=True, slots=True)
class NewServerSubscriptionRequest(Signal):
    """never."""

    buddy_uri: str


@dataclass(frozen=True, slots=True)
class ServerError(Signal):
    """SIP."""

    account_id: str
    error: str
    msg: str


@dataclass(frozen=True, slots=True)
class SubscriptionStateChanged(Signal):
    """SIP."""

    account_id: str
    buddy_uri: str
    state: bool
