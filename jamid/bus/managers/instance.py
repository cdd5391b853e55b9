"""`cx.ring.Ring.Instance`: clients come and go; the last one to leave ends a daemon that is not persistent."""

from __future__ import annotations

import logging
from collections.abc import Callable

_log = logging.getLogger(__name__)


class InstancePart:
    """Counts clients as the real daemon does: a plain counter that ignores who registers (protocol: dbus, section 2)."""

    def __init__(self, on_last_client: Callable[[], None], *, persistent: bool) -> None:
        self._on_last_client = on_last_client
        self._persistent = persistent
        self._clients = 0

    def Register(self, pid: int, name: str) -> None:
        self._clients += 1
        _log.debug("client %d (%s) registered, %d now", pid, name, self._clients)

    def Unregister(self, pid: int) -> None:
        self._clients -= 1
        _log.debug("client %d unregistered, %d left", pid, self._clients)
        if self._clients <= 0 and not self._persistent:
            _log.info("the last client has left; stopping (start with --persistent to stay)")
            self._on_last_client()
