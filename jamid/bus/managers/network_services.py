"""Services of the local network that an account exposes to its contacts, as a daemon answers that cannot tunnel any."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)


class NetworkServicesPart:
    """The interface of exposed services without services: nothing is exposed, nobody is asked, no tunnel opens."""

    def __init__(self, knows_account: Callable[[str], bool]) -> None:
        self._knows_account = knows_account

    def addExposedService(self, account_id: str, service: Mapping[str, str]) -> str:
        """Refuses with the empty id of a service that could not be added."""
        if self._knows_account(account_id) and service.get("name"):
            _log.warning("[account=%s] a service is not exposed: this daemon cannot expose any", account_id)
        return ""

    def updateExposedService(self, account_id: str, service: Mapping[str, str]) -> bool:
        return False

    def removeExposedService(self, account_id: str, service_id: str) -> bool:
        return False

    def getExposedServices(self, account_id: str) -> list[dict[str, str]]:
        return []

    def queryPeerServices(self, account_id: str, peer: str) -> int:
        return 0

    def openServiceTunnel(self, account_id: str, peer: str, device: str, service_id: str, name: str, port: int) -> str:
        return ""

    def closeServiceTunnel(self, account_id: str, tunnel: str) -> bool:
        return False

    def getActiveTunnels(self, account_id: str) -> list[dict[str, str]]:
        return []
