"""Signals of `cx.ring.Ring.NetworkServiceManager`: what the daemon tells of network services that peers expose."""

from __future__ import annotations

from jamid.core.signals.base import Signal, event


@event
class PeerServicesReceived(Signal):
    """The services somebody exposes, as a JSON array."""

    request_id: int
    account_id: str
    peer_id: str
    status: int
    services_json: str


@event
class ServiceTunnelClosed(Signal):
    """A tunnel is closed."""

    account_id: str
    tunnel_id: str
    reason: str


@event
class ServiceTunnelOpened(Signal):
    """A tunnel can be used now."""

    account_id: str
    tunnel_id: str
    local_port: int
