"""The serving end of a fetch: what a git:// channel asks and the answers, without any I/O (protocol: swarm, section 8.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.swarm.pktline import FLUSH, SIDE_BAND_DATA, SIDE_BAND_PAYLOAD, PktReader, pkt_line

_CAPABILITIES: Final = b"side-band side-band-64k shallow no-progress include-tag"
_WANT = re.compile(rb"want ([0-9a-f]{40})(?: .*)?\n?", re.DOTALL)
_HAVE = re.compile(rb"have ([0-9a-f]{40})\n?")


@dataclass(frozen=True, slots=True)
class Advertise:
    """The peer begins a fetch: answer with `advertisement`."""


@dataclass(frozen=True, slots=True)
class Negotiate:
    """The peer listed commits and waits: answer with `acknowledge` of the first that is known."""

    haves: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendPack:
    """The peer is done listing: answer with `final_acknowledge`, the pack in side bands, and a flush."""

    want: str
    haves: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpToDate:
    """The peer has what was advertised, or has received its pack; nothing to answer."""


Request = Advertise | Negotiate | SendPack | UpToDate


class UploadPack:
    """Reads the requests on one channel; many fetches may follow each other."""

    def __init__(self) -> None:
        self._reader = PktReader()
        self._want: str | None = None
        self._haves: list[str] = []
        self._advertised = False

    def feed(self, data: bytes) -> Iterator[Request]:
        """The requests that DATA completes; raises RemoteError when the peer speaks something else."""
        for line in self._reader.feed(data):
            request = self._flush() if line is None else self._line(line)
            if request is not None:
                yield request

    def _flush(self) -> Request | None:
        if self._want is None:
            begun, self._advertised = self._advertised, False
            return UpToDate() if begun else None
        return Negotiate(tuple(self._haves)) if self._haves else None

    def _line(self, line: bytes) -> Request | None:
        if line.startswith(b"git-upload-pack "):
            self._reset()
            self._advertised = True
            return Advertise()
        if not self._advertised:
            raise RemoteError(f"unexpected {line[:40]!r} before a fetch")
        if match := _WANT.fullmatch(line):
            # Only the last want counts, as in the real server.
            self._want = match[1].decode()
        elif match := _HAVE.fullmatch(line):
            self._haves.append(match[1].decode())
            if len(self._haves) > limits.FETCH_HAVES:
                raise LimitError(f"a fetch lists more than {limits.FETCH_HAVES} commits")
        elif line.rstrip(b"\n") == b"done":
            if self._want is None:
                raise RemoteError("a fetch that wants nothing")
            request = SendPack(self._want, tuple(self._haves))
            self._reset()
            return request
        elif not line.startswith((b"deepen ", b"shallow ")):
            raise RemoteError(f"unexpected {line[:40]!r} in a fetch")
        return None

    def _reset(self) -> None:
        self._want = None
        self._haves = []
        self._advertised = False


def advertisement(head: str) -> bytes:
    """The one branch that there is to fetch."""
    oid = head.encode()
    return pkt_line(oid + b" HEAD\0" + _CAPABILITIES + b"\n") + pkt_line(oid + b" refs/heads/main\n") + FLUSH


def acknowledge(common: str | None) -> bytes:
    """The answer to a list of commits: which one is known."""
    return (pkt_line(f"ACK {common} continue\n".encode()) if common is not None else b"") + pkt_line(b"NAK\n")


def final_acknowledge(common: str | None) -> bytes:
    """What precedes the pack."""
    return pkt_line(f"ACK {common}\n".encode()) if common is not None else pkt_line(b"NAK\n")


def side_band(piece: bytes) -> Iterator[bytes]:
    """A piece of the pack as side-band lines, each to be written whole."""
    for start in range(0, len(piece), SIDE_BAND_PAYLOAD - 5):
        yield pkt_line(bytes((SIDE_BAND_DATA,)) + piece[start : start + SIDE_BAND_PAYLOAD - 5])
