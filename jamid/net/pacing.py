"""How much bulk goes to the kernel at once: so little that a short message, which can only queue behind it, is soon on its way."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

TCP_INFO_BYTES: Final = 148
"""the kernel's account of a TCP connection, as far as it is read here (linux/tcp.h, struct tcp_info)"""
_AHEAD_SECONDS: Final = 0.005
"""of bulk in the kernel, and as much again in one piece that was begun"""
_LEAST: Final = 4096
"""below 3 Mbit/s the overhead of smaller pieces costs more than it helps"""
_SHORTEST_WAIT: Final = 0.001
_LONGEST_WAIT: Final = 0.02


@dataclass(frozen=True, slots=True)
class TcpState:
    """What the kernel knows of a connection."""

    unsent: int
    """bytes that the network has not taken yet"""
    rate: float
    """bytes a second that congestion control lets out"""


def parse_tcp_info(info: bytes) -> TcpState | None:
    """The state of a connection; None of a kernel that tells less."""
    if len(info) < TCP_INFO_BYTES:
        return None
    (segment,) = struct.unpack_from("=I", info, 16)
    round_trip, _, _, window = struct.unpack_from("=IIII", info, 68)
    (unsent,) = struct.unpack_from("=I", info, 144)
    return TcpState(unsent, window * segment / max(round_trip, 1) * 1e6)


def pace(state: TcpState) -> tuple[float, int]:
    """(seconds that bulk waits, bytes of its next piece)."""
    ahead = max(state.rate * _AHEAD_SECONDS, _LEAST)
    if state.unsent < ahead:
        return 0.0, int(ahead)
    return min(max((state.unsent - ahead / 2) / max(state.rate, 1.0), _SHORTEST_WAIT), _LONGEST_WAIT), int(ahead)
