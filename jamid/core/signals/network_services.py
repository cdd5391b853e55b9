"""Signals of `cx.ring.Ring.NetworkServiceManager`: what the daemon tells of network services that peers expose."""

from __future__ import annotations

from dataclasses import dataclass

from jamid.core.signals.base import Signal


@dataclass(frozen=True, slots=True)
class PeerServicesReceived(Signal):
    """request id, account, peer, status (0 ok), JSON array text. 17 emits `(0, account, peer, 0, "[]")` unasked each time a peer
    connects."""

    request_id: int
    account_id: str
    peer_id: str
    status: int
    services_json: str


@dataclass(frozen=True, slots=True)
class ServiceTunnelClosed(Signal):
    """account, tunnel, reason."""

    account_id: str
    tunnel_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ServiceTunnelOpened(Signal):
    """account, tunnel, port."""

    account_id: str
    tunnel_id: str
    local_port: int
