"""Accounts on the local network: found and told of by multicast (protocol: identity, section 11; opendht, section 24)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.core.signals import NearbyPeerNotification
from jamid.dht.addresses import Family
from jamid.dht.discovery import Discovery

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount

_log = logging.getLogger(__name__)
_SERVICE: Final = "jami"
_FOUND: Final = 0
_GONE: Final = 1
_EXPIRY: Final = 90.0
"""seconds without a sign of life; everybody is asked once a minute"""


class NearbyPeers:
    """What an account publishes to its local network and whom it found there; both are off unless the account wants them."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self._discovery: Discovery | None = None
        self._peers: dict[str, tuple[str, asyncio.TimerHandle]] = {}

    @property
    def found(self) -> dict[str, str]:
        """Jami id -> display name of the accounts nearby."""
        return {uri: name for uri, (name, _) in self._peers.items()}

    def start(self) -> None:
        """Begins to publish and to look, as the account's details say."""
        details = self._account.details
        publish, look = details.flag("Account.accountPublish"), details.flag("Account.accountDiscovery")
        if not publish and not look:
            return
        discovery = Discovery()
        if not discovery.start():
            _log.info("[account=%s] there is no multicast here; nobody nearby is found", self._account.id)
            return
        self._discovery = discovery
        if look:
            discovery.find(_SERVICE, self._heard)
        if publish:
            payload = [bytes(InfoHash.from_hex(self._account.uri)), self._account.display_name]
            for family in Family:
                discovery.publish(_SERVICE, payload, family)
        discovery.repeat()

    def stop(self) -> None:
        """Ends it; whoever was nearby is told to be gone."""
        if self._discovery is not None:
            self._discovery.stop()
            self._discovery = None
        for uri in tuple(self._peers):
            self._forget(uri)

    def _heard(self, payload: Any, host: str) -> None:
        uri, name = read_peer(payload)
        if uri == self._account.uri:
            return
        known = self._peers.pop(uri, None)
        if known is not None:
            known[1].cancel()
        elif len(self._peers) >= limits.NEARBY_PEERS:
            return
        self._peers[uri] = (name, asyncio.get_running_loop().call_later(_EXPIRY, self._forget, uri))
        if known is None or known[0] != name:
            self._account.events.publish(NearbyPeerNotification(self._account.id, uri, _FOUND, name))

    def _forget(self, uri: str) -> None:
        name, timer = self._peers.pop(uri)
        timer.cancel()
        self._account.events.publish(NearbyPeerNotification(self._account.id, uri, _GONE, name))


def read_peer(payload: Any) -> tuple[str, str]:
    """Jami id and display name of what a machine nearby publishes; raises RemoteError."""
    if not isinstance(payload, list) or len(payload) < 2 or not isinstance(payload[0], bytes) or not isinstance(payload[1], str):
        raise RemoteError("an account nearby is an array of id and name")
    return InfoHash(payload[0]).hex(), payload[1][: limits.NEARBY_NAME_LENGTH].replace("\0", "")
