"""SDP: text <-> frozen dataclasses that keep every line, known or not, in its place (RFC 8866; protocol: calls, section 5)."""

from __future__ import annotations

import base64
import binascii
import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from jamid.core.errors import LimitError, RemoteError
from jamid.core.limits import SDP_LINES

SUITE_80: Final = "AES_CM_128_HMAC_SHA1_80"
SUITE_32: Final = "AES_CM_128_HMAC_SHA1_32"
SUITES: Final = (SUITE_80, SUITE_32)
KEY_BYTES: Final = 30

_LINE = re.compile(r"([a-z])=(.*)", re.DOTALL)
_MEDIA = re.compile(r"(\S+) ([0-9]{1,5})(?:/[0-9]{1,5})? (\S+)((?: \S+)*) *")
_RTPMAP = re.compile(r"([0-9]{1,3}) ([^/\s]+)/([0-9]{1,6})(?:/([0-9]{1,2}))?\s*")
_CRYPTO = re.compile(r"([0-9]{1,9}) (\S+) inline:([A-Za-z0-9+/=]+)((?:\|\S*)?)(?: .*)?")


class Direction(enum.Enum):
    """Which way a stream flows, as its author sees it."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> Direction:
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE

    def answered(self, offered: Direction) -> Direction:
        """What we may answer to OFFERED when we wish `self` (RFC 3264 section 6.1)."""
        return Direction.of(sends=self.sends and offered.receives, receives=self.receives and offered.sends)


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type of a media line."""

    payload_type: int
    encoding: str
    """encoding name, `opus`"""
    clock_rate: int
    channels: int = 1
    parameters: str = ""
    """of fmtp, `profile-level-id=428029`"""

    @property
    def rtpmap(self) -> str:
        return f"{self.payload_type} {self.encoding}/{self.clock_rate}{f'/{self.channels}' if self.channels > 1 else ''}"

    def matches(self, other: Format) -> bool:
        """Whether both mean the same codec: name without case, and clock rate."""
        return self.encoding.lower() == other.encoding.lower() and self.clock_rate == other.clock_rate


STATIC_FORMATS: Final = {
    0: Format(0, "PCMU", 8000), 2: Format(2, "G726-32", 8000), 3: Format(3, "GSM", 8000), 8: Format(8, "PCMA", 8000),
    9: Format(9, "G722", 8000), 31: Format(31, "H261", 90000), 34: Format(34, "H263", 90000),
}  # fmt: skip
"""Payload types that need no rtpmap (RFC 3551)."""


@dataclass(frozen=True, slots=True)
class Crypto:
    """One SDES line (RFC 4568): key and salt in one, 30 bytes."""

    tag: int
    suite: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Section:
    """The lines of a session or of one media: (type, value) in order."""

    lines: tuple[tuple[str, str], ...] = ()

    def values(self, kind: str) -> Iterator[str]:
        return (value for each, value in self.lines if each == kind)

    def attributes(self, name: str) -> list[str]:
        """The values of every `a=NAME:value`; "" for a flag."""
        found = (value.partition(":") for value in self.values("a"))
        return [value for key, _, value in found if key == name]

    def attribute(self, name: str) -> str:
        """The first value of `a=NAME`, "" when there is none."""
        return next(iter(self.attributes(name)), "")

    @property
    def direction(self) -> Direction | None:
        """The direction written here, None when none is."""
        names = {each.value for each in Direction}
        return next((Direction(value) for value in self.values("a") if value in names), None)

    @property
    def ice(self) -> tuple[str, str]:
        """(ufrag, pwd) written here, empty when there are none."""
        return (self.attribute("ice-ufrag").strip(), self.attribute("ice-pwd").strip())

    @property
    def address(self) -> str:
        """The address of `c=`, "" when there is none."""
        parts = next(self.values("c"), "").split()
        return parts[2].partition("/")[0] if len(parts) == 3 else ""


@dataclass(frozen=True, slots=True)
class Media(Section):
    """One media section."""

    kind: str = ""
    """`audio`, `video`, or what the peer invented"""
    port: int = 0
    profile: str = "RTP/SAVP"
    payload_types: tuple[str, ...] = ()

    @property
    def enabled(self) -> bool:
        return self.port != 0

    @property
    def formats(self) -> list[Format]:
        """The known payload types in order of preference, without telephone-event."""
        return [each for each in self._all_formats() if each.encoding.lower() != "telephone-event"]

    @property
    def telephone_event(self) -> int | None:
        """The payload type of telephone-event/8000."""
        events = (each for each in self._all_formats() if each.encoding.lower() == "telephone-event" and each.clock_rate == 8000)
        return next((each.payload_type for each in events), None)

    @property
    def cryptos(self) -> list[Crypto]:
        """The usable SDES lines in order."""
        result = []
        for value in self.attributes("crypto"):
            match = _CRYPTO.fullmatch(value.strip())
            if match is None or match[2] not in SUITES:
                continue
            try:
                key = base64.b64decode(match[3], validate=True)
            except (binascii.Error, ValueError):
                continue
            if len(key) == KEY_BYTES:
                result.append(Crypto(int(match[1]), match[2], key))
        return result

    @property
    def candidates(self) -> list[str]:
        """The values of `a=candidate`."""
        return self.attributes("candidate")

    @property
    def rtcp_port(self) -> int:
        """Where RTCP goes without ICE: `a=rtcp`, else the next port."""
        first = self.attribute("rtcp").split(" ")[0]
        return int(first) if first.isascii() and first.isdigit() and len(first) <= 5 and int(first) < 65536 else self.port + 1

    def _all_formats(self) -> list[Format]:
        maps: dict[int, Format] = {}
        for value in self.attributes("rtpmap"):
            match = _RTPMAP.fullmatch(value)
            if match is not None and int(match[1]) < 128 and int(match[3]) > 0:
                maps.setdefault(int(match[1]), Format(int(match[1]), match[2], int(match[3]), int(match[4] or 1)))
        for value in self.attributes("fmtp"):
            number, _, parameters = value.partition(" ")
            if number.isascii() and number.isdigit() and len(number) <= 3 and int(number) in maps:
                maps[int(number)] = replace(maps[int(number)], parameters=parameters.strip())
        numbers = [int(each) for each in self.payload_types if each.isascii() and each.isdigit() and len(each) <= 3]
        known = (maps.get(number) or STATIC_FORMATS.get(number) for number in numbers)
        return [each for each in known if each is not None]


@dataclass(frozen=True, slots=True)
class SessionDescription(Section):
    """A whole SDP."""

    media: tuple[Media, ...] = ()

    @property
    def version(self) -> int:
        """The version in `o=`."""
        parts = next(self.values("o"), "").split()
        return int(parts[2]) if len(parts) == 6 and parts[2].isascii() and parts[2].isdigit() and len(parts[2]) < 20 else 0

    @property
    def ice_credentials(self) -> tuple[str, str]:
        """(ufrag, pwd) of the session, or of the first media that has them."""
        return next((section.ice for section in (self, *self.media) if all(section.ice)), ("", ""))

    def direction_of(self, media: Media) -> Direction:
        """The direction of MEDIA: its own, else the session's, else both ways."""
        return media.direction or self.direction or Direction.SENDRECV

    def address_of(self, media: Media) -> str:
        """Where MEDIA is received without ICE."""
        return media.address or self.address

    def __bytes__(self) -> bytes:
        lines = [f"{kind}={value}" for kind, value in self.lines]
        for media in self.media:
            lines.append(f"m={media.kind} {media.port} {media.profile}{''.join(f' {each}' for each in media.payload_types)}")
            lines += [f"{kind}={value}" for kind, value in media.lines]
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def parse_sdp(data: bytes) -> SessionDescription:
    """Parses a session description; raises RemoteError."""
    lines = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while lines and not lines[-1].strip(" \0"):
        lines.pop()
    if not lines or not lines[0].startswith("v=0"):
        raise RemoteError("a session description starts with v=0")
    if len(lines) > SDP_LINES:
        raise LimitError(f"a session description of {len(lines)} lines is more than {SDP_LINES}")
    session: list[tuple[str, str]] = []
    current = session
    media: list[tuple[re.Match[str], list[tuple[str, str]]]] = []
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise RemoteError(f"not a line of a session description: {line[:80]!r}")
        if match[1] == "m":
            description = _MEDIA.fullmatch(match[2])
            if description is None or int(description[2]) > 65535:
                raise RemoteError(f"not a media line: {line[:80]!r}")
            current = []
            media.append((description, current))
        else:
            current.append((match[1], match[2]))
    return SessionDescription(
        tuple(session),
        tuple(Media(tuple(own), match[1], int(match[2]), match[3], tuple(match[4].split())) for match, own in media),
    )
