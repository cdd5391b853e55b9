"""The socket on which the media thread alone sends and receives the packets of one component, so that none of them wakes the main loop."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from jamid.core import limits

_TIMESTAMPS: Final = getattr(socket, "SO_TIMESTAMPNS", 35)
"""asks Linux for the moment at which a packet came; Python does not name it"""
_TIMESPEC: Final = struct.Struct("@qq")
_BYTES: Final = limits.RTP_PACKET_BYTES + 1
_FRESH: Final = 0.015
"""Seconds: less than the 20 ms from one look to the next, so that what has to wait for the next one is read together with it."""
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size)
EXPEDITED: Final = 0xB8
"""the type of service that the reference marks audio with"""


class MediaPath:
    """One component's way to the peer. Used by one thread at a time; what it has no use for (checks of the path) goes to OTHERS there."""

    thread_safe = True

    def __init__(self, own: socket.socket, others: Callable[[bytes], None]) -> None:
        self._socket = own
        self._others = others
        # A socket closed while another thread uses it could be somebody else's by the time the packet leaves.
        self._lock = threading.Lock()
        self._stopped = False

    def __call__(self, data: bytes) -> None:
        """Sends one packet; one that finds no room is lost, as on any router."""
        with self._lock:
            if not self._stopped:
                try:  # not contextlib.suppress: it costs as much as sending
                    self._socket.send(data)
                except OSError:
                    pass

    def arrived(self) -> list[tuple[float, bytes]]:
        """The media packets that have come: the moment of `time.monotonic` and the bytes of each."""
        packets: list[tuple[float, bytes]] = []
        with self._lock:
            if self._stopped:
                return packets
            try:
                for _ in range(limits.RTP_INBOX_PACKETS):
                    data, ancillary, _, _ = self._socket.recvmsg(_BYTES, _ANCILLARY_BYTES)
                    age = _age(ancillary)
                    if data and data[0] >> 6 == 2:
                        packets.append((time.monotonic() - age, data))
                    else:
                        self._others(data)
                        continue
                    if age < _FRESH:
                        # It came since the last time we were asked: another look would find nothing, mostly, and costs as much.
                        break
            except OSError:  # nothing more for now, or a router's word that the peer is not there
                pass
        return packets

    def stop(self) -> None:
        """Sends and receives nothing any more; what still comes is the agent's own socket's."""
        with self._lock:
            self._stopped = True
            self._socket.close()


def branch_off(descriptor: int, remote: tuple[str, int]) -> socket.socket | None:
    """A socket with the local address of DESCRIPTOR's that gets what REMOTE sends there; None where the system does not let us."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as shared:
        own = socket.socket(shared.family, socket.SOCK_DGRAM)
        try:
            own.setblocking(False)
            for each in (own, shared):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            own.bind(shared.getsockname())
            own.connect(remote)
            own.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
            if own.family == socket.AF_INET:
                own.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED)
            return own
        except OSError:
            own.close()
        finally:
            # Nobody else gets the address.
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return None


def _age(ancillary: list[Any]) -> float:
    """Seconds since a packet came; without the system's word it counts as old."""
    if not ancillary or len(ancillary[0][2]) != _TIMESPEC.size:
        return _FRESH
    seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
    return float(max(0.0, time.time() - seconds - nanoseconds / 1e9))
