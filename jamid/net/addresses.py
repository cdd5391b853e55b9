"""The addresses of this machine that a peer may be told, and its router; asked from the kernel, without waiting."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_NETLINK_ROUTE: Final = 0
_NEW_ADDRESS: Final = 20
_GET_ADDRESS: Final = 22
_DONE: Final = (2, 3)
"""an error, or the end of the list"""
_REQUEST_DUMP: Final = 0x301
_ATTRIBUTE_ADDRESS: Final = 1
_ATTRIBUTE_LOCAL: Final = 2
_ATTRIBUTE_FLAGS: Final = 8
_NOT_USABLE: Final = 0x08 | 0x20 | 0x40
"""duplicate, deprecated or tentative"""


def local_addresses() -> list[str]:
    """IPv4 and IPv6 addresses, those of the default routes first, without link-local ones; 127.0.0.1 when there is nothing else."""
    found = []
    for address in _assigned_addresses():
        if not (address.is_loopback or address.is_link_local or address.is_unspecified) and str(address) not in found:
            found.append(str(address))
    for family, probe in ((socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "192.0.2.1")):
        default = _source_address(family, probe)
        if default in found:
            found.remove(default)
            found.insert(0, default)
    return found or ["127.0.0.1"]


def default_router(table: Path = Path("/proc/net/route")) -> str | None:
    """The IPv4 address of the default route's router, None when there is none; reads a file."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000" and fields[2] != "00000000":
            return socket.inet_ntoa(struct.pack("=I", int(fields[2], 16)))
    return None


def _assigned_addresses() -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Every usable address of every interface, by netlink; the kernel has the answer ready when the question was sent."""
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_ROUTE) as netlink:
            netlink.send(struct.pack("=IHHIIBBBBI", 24, _GET_ADDRESS, _REQUEST_DUMP, 1, 0, socket.AF_UNSPEC, 0, 0, 0, 0))
            while True:
                for kind, body in _messages(netlink.recv(65536)):
                    if kind in _DONE:
                        return found
                    if kind == _NEW_ADDRESS and (address := _usable_address(body)) is not None:
                        found.append(address)
    except OSError:
        return found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, position)
        if length < 16:
            return
        yield kind, data[position + 16 : position + length]
        position += length + (-length & 3)


def _usable_address(body: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    flags = body[2]
    attributes: dict[int, bytes] = {}
    position = 8
    while position + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, position)
        if length < 4:
            break
        attributes[kind] = body[position + 4 : position + length]
        position += length + (-length & 3)
    if _ATTRIBUTE_FLAGS in attributes:
        (flags,) = struct.unpack("=I", attributes[_ATTRIBUTE_FLAGS])
    packed = attributes.get(_ATTRIBUTE_LOCAL) or attributes.get(_ATTRIBUTE_ADDRESS, b"")
    return None if flags & _NOT_USABLE or len(packed) not in (4, 16) else ipaddress.ip_address(packed)


def _source_address(family: socket.AddressFamily, probe: str) -> str:
    """The address that a packet to PROBE would have; nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
            udp.connect((probe, 9))
            return str(udp.getsockname()[0])
    except OSError:
        return ""
