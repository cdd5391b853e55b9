"""Sending on a UDP socket without losing packets to a full buffer."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque
from typing import Final

from jamid.core import limits

_log = logging.getLogger(__name__)
_UNREACHABLE: Final = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.EAFNOSUPPORT,
    errno.EPIPE,
    errno.EPERM,
    errno.EADDRNOTAVAIL,
    errno.EINVAL,
}


class Outbox:
    """What waits until a socket takes more; a value of 64 KiB for eight nodes is more than its buffer holds."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._sock = sock
        self._loop = loop
        self._waiting: deque[tuple[bytes, tuple[str, int]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def send(self, packets: list[bytes], address: tuple[str, int]) -> bool:
        """Sends PACKETS now or soon; False when ADDRESS cannot be reached from here."""
        if self._waiting:
            self._wait(packets, address)
            return True
        for index, packet in enumerate(packets):
            try:
                self._sock.sendto(packet, address)
            except (BlockingIOError, InterruptedError):
                self._wait(packets[index:], address)
                return True
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    self._wait(packets[index:], address)
                    return True
                return error.errno not in _UNREACHABLE
        return True

    def close(self) -> None:
        """Drops what is left."""
        if self._waiting:
            self._waiting.clear()
            self._loop.remove_writer(self._sock.fileno())

    def _wait(self, packets: list[bytes], address: tuple[str, int]) -> None:
        if not self._waiting:
            self._loop.add_writer(self._sock.fileno(), self._writable)
        room = limits.DHT_WAITING_PACKETS - len(self._waiting)
        self._waiting.extend((packet, address) for packet in packets[: max(room, 0)])

    def _writable(self) -> None:
        while self._waiting:
            packet, address = self._waiting[0]
            try:
                self._sock.sendto(packet, address)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                _log.debug("a packet for %s was not sent: %s", address, error)
            self._waiting.popleft()
        self._loop.remove_writer(self._sock.fileno())
