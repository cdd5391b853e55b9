"""NAT-PMP (RFC 6886) and its successor PCP (RFC 6887) as bytes: one request, one response, on UDP port 5351 of the router."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from jamid.core.errors import RemoteError

PORT: Final = 5351
UDP: Final = 17
TCP: Final = 6
_PCP_VERSION: Final = 2
_PCP_MAP: Final = 1
_RESPONSE: Final = 0x80
_NATPMP_OPCODE: Final = {UDP: 1, TCP: 2}
_NATPMP_PROTOCOL: Final = {code: protocol for protocol, code in _NATPMP_OPCODE.items()}
NONCE_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class ExternalAddress:
    """What a NAT-PMP router calls its public address."""

    host: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """The router forwards EXTERNAL_PORT to our port."""

    protocol: int
    internal_port: int
    external_port: int
    lifetime: int
    """seconds, 0 when the mapping was removed"""
    host: str = ""
    """the public address, which only PCP tells here"""
    nonce: bytes = b""


@dataclass(frozen=True, slots=True)
class Declined:
    """The router will not; `unsupported` when it does not speak this version."""

    code: int
    unsupported: bool


Response = ExternalAddress | Mapped | Declined


def ask_address() -> bytes:
    """NAT-PMP: what is the public address?"""
    return bytes(2)


def ask_mapping(protocol: int, internal_port: int, external_port: int, lifetime: int) -> bytes:
    """NAT-PMP: forward a port, EXTERNAL_PORT if it is free; a LIFETIME of 0 removes the mapping."""
    return struct.pack("!BBHHHI", 0, _NATPMP_OPCODE[protocol], 0, internal_port, external_port, lifetime)


def ask_pcp_mapping(protocol: int, internal_port: int, external_port: int, lifetime: int, *, client: str, nonce: bytes) -> bytes:
    """PCP: the same for the host CLIENT, as which we speak to the router; NONCE ties renewals to the first request."""
    address = ipaddress.ip_address(client)
    if isinstance(address, ipaddress.IPv4Address):
        address = ipaddress.IPv6Address(f"::ffff:{address}")
    any_address = ipaddress.IPv6Address("::ffff:0.0.0.0").packed
    header = struct.pack("!BBHI", _PCP_VERSION, _PCP_MAP, 0, lifetime) + address.packed
    return header + nonce + struct.pack("!B3xHH", protocol, internal_port, external_port) + any_address


def parse(data: bytes) -> Response:
    """Decodes a router's response of either version; raises RemoteError."""
    if len(data) < 4 or not data[1] & _RESPONSE:
        raise RemoteError("not a NAT-PMP response")
    return _parse_pcp(data) if data[0] == _PCP_VERSION else _parse_natpmp(data)


def _parse_natpmp(data: bytes) -> Response:
    if data[0] != 0:
        raise RemoteError(f"NAT-PMP version {data[0]}")
    opcode, (code,) = data[1] & 0x7F, struct.unpack_from("!H", data, 2)
    if code:
        return Declined(code, unsupported=code == 1)
    if opcode == 0 and len(data) >= 12:
        return ExternalAddress(str(ipaddress.IPv4Address(data[8:12])))
    if opcode in _NATPMP_PROTOCOL and len(data) >= 16:
        internal, external, lifetime = struct.unpack_from("!HHI", data, 8)
        return Mapped(_NATPMP_PROTOCOL[opcode], internal, external, lifetime)
    raise RemoteError(f"a NAT-PMP response {opcode} of {len(data)} bytes")


def _parse_pcp(data: bytes) -> Response:
    code = data[3]
    if code:
        return Declined(code, unsupported=code == 1)
    if data[1] & 0x7F != _PCP_MAP or len(data) < 60:
        raise RemoteError(f"a PCP response {data[1] & 0x7F} of {len(data)} bytes")
    (lifetime,) = struct.unpack_from("!I", data, 4)
    protocol, internal, external = struct.unpack_from("!B3xHH", data, 24 + NONCE_LENGTH)
    host = ipaddress.IPv6Address(data[44:60])
    return Mapped(protocol, internal, external, lifetime, str(host.ipv4_mapped or host), data[24 : 24 + NONCE_LENGTH])
