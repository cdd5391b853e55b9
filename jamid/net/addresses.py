"""The addresses of this machine that a peer may be told, and its router."""

from __future__ import annotations

import ipaddress
import socket
import struct
from pathlib import Path

import ifaddr


def local_addresses() -> list[str]:
    """IPv4 and IPv6 addresses, those of the default routes first, without link-local ones; 127.0.0.1 when there is nothing else."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            host = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            address = ipaddress.ip_address(host)
            if not (address.is_loopback or address.is_link_local or address.is_unspecified):
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


def _source_address(family: socket.AddressFamily, probe: str) -> str:
    """The address that a packet to PROBE would have; nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        try:
            udp.connect((probe, 9))
        except OSError:
            return ""
        return str(udp.getsockname()[0])
