"""UDP addresses: families, packed forms, and which ones nobody can have (protocol: opendht, section 7)."""

from __future__ import annotations

import enum
import ipaddress
import socket
from functools import lru_cache
from typing import NamedTuple

from jamid.core.errors import LocalError, RemoteError
from jamid.core.identifiers import InfoHash

DEFAULT_PORT = 4222


class Family(enum.IntEnum):
    """Address families, numbered as on the wire."""

    V4 = socket.AF_INET
    V6 = socket.AF_INET6


WIRE_FAMILIES = {2: Family.V4, 10: Family.V6}
"""Linux numbers, whatever this machine's are."""
WIRE_NUMBER = {Family.V4: 2, Family.V6: 10}


class Address(NamedTuple):
    """Where a node is; equal to the plain (host, port) that sockets give. Link-local hosts end in `%` and their scope."""

    host: str
    """numeric"""
    port: int

    @property
    def family(self) -> Family:
        return Family.V6 if ":" in self.host else Family.V4

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class CompactNode(NamedTuple):
    """A node as replies name it."""

    id: InfoHash
    address: Address


@lru_cache(maxsize=4096)
def packed_host(host: str) -> bytes:
    """The 4 or 16 bytes of a numeric HOST."""
    if ":" in host:
        return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return socket.inet_aton(host)


@lru_cache(maxsize=4096)
def unpacked_host(packed: bytes) -> str:
    """The numeric host of 4 or 16 bytes."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


@lru_cache(maxsize=4096)
def rate_group(host: str) -> bytes:
    """Whom a host's traffic and storage is charged to: the IPv4 address or the IPv6 /64."""
    return packed_host(host)[:8]


@lru_cache(maxsize=4096)
def is_martian_host(host: str) -> bool:
    """Whether no packet can come from HOST."""
    packed = packed_host(host)
    if len(packed) == 4:
        return packed[0] == 0 or packed[0] >= 224
    return packed[0] == 0xFF or not any(packed) or packed[:12] == bytes(10) + b"\xff\xff"


@lru_cache(maxsize=4096)
def is_loopback_host(host: str) -> bool:
    """Whether HOST means "this machine"."""
    packed = packed_host(host)
    return packed[0] == 127 if len(packed) == 4 else packed == bytes(15) + b"\x01"


def is_martian(address: Address) -> bool:
    """Whether no honest packet can come from ADDRESS."""
    return address.port == 0 or is_martian_host(address.host)


def pack_node(node_id: InfoHash, address: Address) -> bytes:
    """The compact form: id, address, port."""
    return bytes(node_id) + packed_host(address.host) + address.port.to_bytes(2, "big")


def unpack_nodes(packed: bytes, family: Family, limit: int) -> tuple[CompactNode, ...]:
    """The first LIMIT nodes of a compact list; raises RemoteError when its length does not fit."""
    host_length = 4 if family is Family.V4 else 16
    step = 20 + host_length + 2
    if len(packed) % step:
        raise RemoteError(f"a node list of {len(packed)} bytes")
    nodes = []
    for start in range(0, min(len(packed), limit * step), step):
        port_at = start + 20 + host_length
        host = unpacked_host(packed[start + 20 : port_at])
        nodes.append(CompactNode(InfoHash(packed[start : start + 20]), Address(host, int.from_bytes(packed[port_at : port_at + 2], "big"))))
    return tuple(nodes)


def pack_sockaddr(address: Address) -> bytes:
    """The C structure of Linux, as state files hold it."""
    if address.family is Family.V4:
        return b"\x02\x00" + address.port.to_bytes(2, "big") + packed_host(address.host) + bytes(8)
    scope = address.host.partition("%")[2]
    number = int(scope) if scope.isdigit() else 0
    return b"\x0a\x00" + address.port.to_bytes(2, "big") + bytes(4) + packed_host(address.host) + number.to_bytes(4, "little")


def unpack_sockaddr(data: bytes) -> Address:
    """Reads what `pack_sockaddr` writes; raises RemoteError."""
    if len(data) >= 8 and data[:2] == b"\x02\x00":
        return Address(unpacked_host(bytes(data[4:8])), int.from_bytes(data[2:4], "big"))
    if len(data) >= 24 and data[:2] == b"\x0a\x00":
        host = unpacked_host(bytes(data[8:24]))
        scope = int.from_bytes(data[24:28], "little")
        return Address(f"{host}%{scope}" if scope and host.startswith("fe80") else host, int.from_bytes(data[2:4], "big"))
    raise RemoteError("not a socket address")


def split_host_port(text: str, default_port: int = DEFAULT_PORT) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address as host and port; raises LocalError."""
    text = text.strip()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        if not bracket or (rest and not rest.startswith(":")):
            raise LocalError(f"not a host and port: {text!r}; write [v6]:port")
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    if not host or (port and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise LocalError(f"not a host and port: {text!r}; write host, host:port or [v6]:port")
    return host, int(port) if port else default_port


def is_numeric(host: str) -> bool:
    """Whether HOST is an IP address, so that no name server is needed."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
