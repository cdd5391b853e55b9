"""Signals of `cx.ring.Ring.PresenceManager`: what the daemon tells of presence."""

from __future__ import annotations

from jamid.core.signals.base import Signal, event


@event
class NearbyPeerNotification(Signal):
    """Somebody on the local network has been found (0) or lost (1)."""

    account_id: str
    buddy_uri: str
    status: int
    displayname: str


@event
class NewBuddyNotification(Signal):
    """Somebody has gone offline (0), was seen on the network (1) or is connected with this device (2)."""

    account_id: str
    uri: str
    status: int
    line_status: str


@event
class NewServerSubscriptionRequest(Signal):
    """Declared by the real daemons, never sent."""

    buddy_uri: str


@event
class ServerError(Signal):
    """A SIP server has a problem with presence."""

    account_id: str
    error: str
    msg: str


@event
class SubscriptionStateChanged(Signal):
    """A SIP server follows somebody's presence for this user, or no longer."""

    account_id: str
    buddy_uri: str
    state: bool
