"""The fetching end of a git:// channel, without any I/O (protocol: swarm, section 8.2)."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Final

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.swarm.pktline import FLUSH, SIDE_BAND_DATA, SIDE_BAND_ERROR, SIDE_BAND_PROGRESS, PktReader, pkt_line

_REFERENCE = re.compile(rb"([0-9a-f]{40}) ([^\0\n]+)(?:\0[^\n]*)?\n?")
HAVES: Final = 19
"""Known commits named at once: with 20 and more the reference client waits for an answer in between, one round trip more."""


class Step(enum.Enum):
    """Where a fetch stands."""

    ADVERTISING = enum.auto()
    CHOOSING = enum.auto()
    """the head is known: call `up_to_date` or `request`"""
    RECEIVING = enum.auto()
    DONE = enum.auto()


class FetchPack:
    """One fetch of the branch `main`; feed it what arrives until `step` is DONE."""

    def __init__(self) -> None:
        self._reader = PktReader()
        self._references: dict[bytes, str] = {}
        self._count = 0
        self._received = 0
        self._pieces: list[bytes] = []
        self.step = Step.ADVERTISING
        self.head: str | None = None

    @staticmethod
    def begin(conversation: str, device: str) -> bytes:
        """What opens a fetch from DEVICE; to be written whole."""
        return pkt_line(f"git-upload-pack /{conversation}\0host={device}\0".encode())

    def feed(self, data: bytes) -> None:
        """Takes what arrived; raises RemoteError when the peer speaks something else."""
        for line in self._reader.feed(data):
            if self.step is Step.ADVERTISING:
                self._reference(line)
            elif self.step is Step.RECEIVING:
                self._band(line)
            else:
                raise RemoteError("the peer sends more than was asked for")

    def up_to_date(self) -> bytes:
        """Ends the fetch: nothing is new."""
        self.step = Step.DONE
        return FLUSH

    def request(self, haves: Sequence[str]) -> bytes:
        """Asks for the head, naming commits we have; to be written whole."""
        assert self.head is not None
        self.step = Step.RECEIVING
        lines = [pkt_line(f"want {self.head} side-band-64k include-tag \n".encode()), FLUSH]
        lines.extend(pkt_line(f"have {oid}\n".encode()) for oid in haves[:HAVES])
        return b"".join(lines) + pkt_line(b"done\n")

    @property
    def received(self) -> int:
        """Bytes of the pack so far."""
        return self._received

    @property
    def objects(self) -> int:
        """How many objects the pack is to have, 0 as long as that is not known."""
        return int.from_bytes(self._pieces[0][8:12]) if self._pieces else 0

    def pack(self) -> bytes:
        """The pack, once DONE."""
        return b"".join(self._pieces)

    def _reference(self, line: bytes | None) -> None:
        if line is None:
            self.head = self._references.get(b"refs/heads/main") or self._references.get(b"HEAD")
            if self.head is None:
                raise RemoteError("the peer has no branch main")
            self.step = Step.CHOOSING
            return
        if line.startswith(b"version "):
            return
        match = _REFERENCE.fullmatch(line)
        if match is None:
            raise RemoteError(f"malformed reference {line[:60]!r}")
        self._count += 1
        if self._count > limits.ADVERTISED_REFERENCES:
            raise LimitError(f"the peer advertises more than {limits.ADVERTISED_REFERENCES} references")
        if match[2] in (b"HEAD", b"refs/heads/main"):
            self._references[match[2]] = match[1].decode()

    def _band(self, line: bytes | None) -> None:
        if line is None:
            # The server answers every known commit with lines of its own; the flush that ends the pack is the one after data.
            if self._pieces:
                self.step = Step.DONE
            return
        if line.startswith((b"ACK ", b"NAK")):
            return
        band, payload = line[:1], line[1:]
        if band == bytes((SIDE_BAND_DATA,)):
            self._received += len(payload)
            if self._received > limits.PACK_BYTES:
                raise LimitError(f"the peer sends more than {limits.PACK_BYTES} bytes")
            self._pieces.append(payload)
        elif band == bytes((SIDE_BAND_ERROR,)):
            raise RemoteError(f"the peer cannot serve it: {payload[:200].decode(errors='replace')}")
        elif band != bytes((SIDE_BAND_PROGRESS,)):
            raise RemoteError(f"unexpected {line[:40]!r} in a pack")
