"""Candidates and the ICE blob of a connection request: lines of text, read by position (protocol: connection, section 4)."""

from __future__ import annotations

import enum
import ipaddress
import secrets
from dataclasses import dataclass, field
from typing import Final

from jamid.core import limits
from jamid.core.errors import RemoteError

_UFRAG_DIGITS: Final = 8
_PWD_DIGITS: Final = 24
_FOUNDATION_LENGTH: Final = 31
ACTIVE_PORT: Final = 9
"""What an active candidate shows as its port: it connects from another each time."""


class Kind(enum.StrEnum):
    """Where a candidate comes from."""

    HOST = "host"
    SRFLX = "srflx"
    PRFLX = "prflx"
    RELAY = "relay"


class TcpType(enum.StrEnum):
    """Who opens the TCP connection."""

    ACTIVE = "active"
    PASSIVE = "passive"
    SIMULTANEOUS = "so"


_PREFERENCE: Final = {Kind.HOST: 126, Kind.PRFLX: 110, Kind.SRFLX: 100, Kind.RELAY: 0}
_LETTER: Final = {Kind.HOST: "H", Kind.PRFLX: "P", Kind.SRFLX: "S", Kind.RELAY: "R"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to reach an agent."""

    kind: Kind
    host: str
    """IPv4 or IPv6 address without zone"""
    port: int
    priority: int
    foundation: str
    tcp_type: TcpType | None = None
    """None for UDP"""
    component: int = 1

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    @property
    def connectable(self) -> bool:
        """Whether a TCP agent can connect to it at all; link-local IPv6 comes without its zone and cannot be reached."""
        if self.tcp_type not in (TcpType.PASSIVE, TcpType.SIMULTANEOUS) or not 0 < self.port < 65536:
            return False
        address = ipaddress.ip_address(self.host)
        return not (address.is_unspecified or address.is_multicast or (address.version == 6 and address.is_link_local))

    def to_line(self) -> str:
        """The line of a blob, or of an SDP `candidate` attribute."""
        transport = "UDP" if self.tcp_type is None else "TCP"
        line = f"{self.foundation} {self.component} {transport} {self.priority} {self.host} {self.port} typ {self.kind}"
        return line if self.tcp_type is None else f"{line} tcptype {self.tcp_type}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The short-term credentials of one agent in one session."""

    ufrag: str
    pwd: str = field(repr=False)

    @classmethod
    def random(cls) -> Credentials:
        return cls(secrets.token_hex(_UFRAG_DIGITS // 2), secrets.token_hex(_PWD_DIGITS // 2))


@dataclass(frozen=True, slots=True)
class Blob:
    """What one side tells the other before the checks: credentials and candidates."""

    credentials: Credentials
    candidates: tuple[Candidate, ...]

    def encode(self) -> str:
        """The text of `ice_msg`."""
        lines = [self.credentials.ufrag, self.credentials.pwd, *(candidate.to_line() for candidate in self.candidates)]
        return "\n".join(lines) + "\n"


def make(
    kind: Kind, host: str, port: int, *, base: str = "", tcp_type: TcpType | None = None, rank: int = 0, component: int = 1
) -> Candidate:
    """A local candidate; RANK counts those of the same kind and family, the first has 0. BASE is the address it was found from."""
    priority = _PREFERENCE[kind] << 24 | (65535 - rank) << 8 | (256 - component)
    return Candidate(kind, host, port, priority, foundation(kind, base or host), tcp_type, component)


def foundation(kind: Kind, base: str) -> str:
    """Letter and hash of the base address as the reference makes them; only equality matters."""
    packed = ipaddress.ip_address(base).packed
    if len(packed) == 4:
        return f"{_LETTER[kind]}{int.from_bytes(packed, 'big'):x}"
    digest = 0
    for byte in packed:
        digest = (digest * 33 + byte) & 0xFFFFFFFF
    return f"{_LETTER[kind]}{digest:x}"


def parse_blob(text: str) -> Blob:
    """Reads a blob as the reference does: lines it cannot read are skipped; raises RemoteError when the credentials are missing."""
    if len(text) > limits.ICE_BLOB_CHARACTERS:
        raise RemoteError(f"an ICE blob of {len(text)} characters")
    lines = text.split("\n")
    if len(lines) < 2 or not lines[0] or not lines[1]:
        raise RemoteError("an ICE blob without credentials")
    if max(len(lines[0]), len(lines[1])) > 256:
        raise RemoteError("ICE credentials longer than 256 characters")
    candidates = [candidate for line in lines[2:] if (candidate := parse_line(line)) is not None]
    return Blob(Credentials(lines[0], lines[1]), tuple(_trimmed(candidates)))


def parse_line(line: str) -> Candidate | None:
    """One candidate line, None when it is not one."""
    words = line.split()
    if len(words) < 8 or words[6] != "typ" or len(words[0]) > _FOUNDATION_LENGTH:
        return None
    try:
        kind = Kind(words[7])
        tcp_type = _tcp_type(words)
        component, priority, port = int(words[1]), int(words[3]), int(words[5])
        host = str(ipaddress.ip_address(words[4]))
    except ValueError:
        return None
    if not (0 < component < 256 and 0 <= priority < 2**32 and 0 <= port < 65536) or "%" in host:
        return None
    return Candidate(kind, host, port, priority, words[0], tcp_type, component)


def _tcp_type(words: list[str]) -> TcpType | None:
    if words[2] != "TCP":
        if words[2].upper() != "UDP":
            raise ValueError("unknown transport")
        return None
    options = dict(zip(words[8::2], words[9::2], strict=False))
    return TcpType(options["tcptype"]) if "tcptype" in options else TcpType.PASSIVE


def _trimmed(candidates: list[Candidate]) -> list[Candidate]:
    """As many candidates as the reference looks at: of a longer list, 8 of hosts, 4 of relays and the rest."""
    if len(candidates) <= limits.ICE_CANDIDATES:
        return candidates
    kept: list[Candidate] = []
    left = {Kind.HOST: 8, Kind.RELAY: 4, Kind.SRFLX: 10, Kind.PRFLX: 9}
    for candidate in candidates:
        if left[candidate.kind] > 0:
            left[candidate.kind] -= 1
            kept.append(candidate)
    return kept[: limits.ICE_CANDIDATES]
