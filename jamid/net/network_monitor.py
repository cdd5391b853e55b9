"""Notices by itself that the machine's network changed: addresses and routes by netlink, and a resume from sleep by the clocks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from typing import Final

from jamid.core.tasks import Tasks, in_thread
from jamid.net.addresses import default_router, local_addresses

_log = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 1.0
"""Changes come in bursts: the network is looked at when it has been quiet for so long."""
SLEEP_CHECK_SECONDS: Final = 30.0
_SLEPT_SECONDS: Final = 5.0
_NETLINK_ROUTE: Final = 0
_ADDRESS_AND_ROUTE_GROUPS: Final = 0x10 | 0x40 | 0x100 | 0x400

Snapshot = tuple[frozenset[str], str | None]


class NetworkMonitor:
    """Calls `changed` when addresses or the default router are others than before, or the machine has slept."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._tasks = Tasks("network monitor")
        self._socket: socket.socket | None = None
        self._event = asyncio.Event()

    async def start(self) -> None:
        """Begins to watch; without netlink only sleep is noticed."""
        with contextlib.suppress(OSError):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
            self._socket.bind((0, _ADDRESS_AND_ROUTE_GROUPS))
            asyncio.get_running_loop().add_reader(self._socket, self._readable)
        self._tasks.spawn(self._watch(), "watch")
        self._tasks.spawn(self._watch_sleep(), "sleep")

    async def close(self) -> None:
        """Stops watching."""
        await self._tasks.close()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):  # ENOBUFS: some were lost, which says as much
            while self._socket.recv(65536):
                pass
        self._event.set()

    async def _watch(self) -> None:
        before = await in_thread(_snapshot)
        while True:
            await self._event.wait()
            while self._event.is_set():
                self._event.clear()
                await asyncio.sleep(SETTLE_SECONDS)
            now = await in_thread(_snapshot)
            if now != before:
                before = now
                _log.info("the network changed: %s by %s", ", ".join(sorted(now[0])), now[1] or "no router")
                self._changed()

    async def _watch_sleep(self) -> None:
        before = _slept()
        while True:
            await asyncio.sleep(SLEEP_CHECK_SECONDS)
            now = _slept()
            if now - before > _SLEPT_SECONDS:
                _log.info("the machine slept for %.0f s", now - before)
                self._changed()
            before = now


def _snapshot() -> Snapshot:
    return frozenset(local_addresses()), default_router()


def _slept() -> float:
    """Seconds this machine has slept since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
