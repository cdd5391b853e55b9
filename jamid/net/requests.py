"""Connection requests as two devices exchange them over the DHT, and the memory of those handled (protocol: connection, section 2)."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack

from jamid.core import limits
from jamid.core.errors import JamidError, RemoteError
from jamid.core.files import read_if_present, write_atomically

_log = logging.getLogger(__name__)

USER_TYPE: Final = "peer_request"
_FILE: Final = "treatedMessages"
_HEX_LINE: Final = re.compile(rb"[0-9a-f]{1,16}")


@dataclass(frozen=True, slots=True)
class PeerRequest:
    """An offer, or the answer with the same id."""

    id: int
    ice_message: str
    is_answer: bool = False
    kind: str = ""
    """why: "", `audioCall`, `videoCall`, `sync` or a MIME type; for push servers"""

    def encode(self) -> bytes:
        """The data of the DHT value."""
        content = {"id": self.id, "ice_msg": self.ice_message, "isAnswer": self.is_answer, "connType": self.kind}
        packed: bytes = msgpack.packb(content)
        return packed


def parse_request(data: bytes) -> PeerRequest:
    """Decodes the data of a DHT value; raises RemoteError."""
    if len(data) > limits.PEER_REQUEST_BYTES:
        raise RemoteError(f"a connection request of {len(data)} bytes")
    try:
        content: Any = msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="replace")
    except Exception as error:  # msgpack raises several kinds, ValueError and RecursionError among them
        raise RemoteError(f"a connection request of broken msgpack: {type(error).__name__}") from None
    if not isinstance(content, dict):
        raise RemoteError("a connection request is a map")
    identifier, blob = content.get("id"), content.get("ice_msg")
    if type(identifier) is not int or not 0 <= identifier < 2**64 or not isinstance(blob, str):
        raise RemoteError("a connection request has an id and an ICE message")
    kind = content.get("connType", "")
    return PeerRequest(identifier, blob, content.get("isAnswer") is True, kind[:256] if isinstance(kind, str) else "")


class TreatedIds:
    """Ids of requests handled in this and former runs; kept in the reference's file, since values outlive us on the DHT."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        self._ids: dict[int, None] = {}
        self._load()

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._ids

    def add(self, identifier: int) -> None:
        """Remembers IDENTIFIER."""
        if identifier in self._ids:
            return
        self._ids[identifier] = None
        if len(self._ids) > limits.TREATED_IDS:
            for old in list(self._ids)[: limits.TREATED_IDS // 2]:
                del self._ids[old]
            self._rewrite()
            return
        try:
            with self._path.open("ab") as file:
                file.write(b"%016x\n" % identifier)
        except OSError as error:
            _log.warning("cannot write %s: %s; old requests will be answered again after a restart", self._path, error.strerror)

    def _load(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            data = read_if_present(self._path, limits.STATE_FILE_BYTES) or b""
        except (JamidError, OSError) as error:
            _log.warning("%s", error)
            return
        newer = data[:2] == b"\x92\xcf"
        for identifier in _newer_ids(data) if newer else _older_ids(data):
            self._ids[identifier] = None
        while len(self._ids) > limits.TREATED_IDS:
            del self._ids[next(iter(self._ids))]
        if newer:
            self._rewrite()

    def _rewrite(self) -> None:
        try:
            write_atomically(self._path, b"".join(b"%016x\n" % identifier for identifier in self._ids))
        except JamidError as error:
            _log.warning("%s", error)


def _older_ids(data: bytes) -> Iterator[int]:
    """The ids of a file of 13.7.0: hex digits, one id a line; lines that are none are skipped."""
    for line in data.split(b"\n"):
        if _HEX_LINE.fullmatch(line):
            yield int(line, 16)


def _newer_ids(data: bytes) -> Iterator[int]:
    """The ids of a file of 17: pairs of id and time in msgpack, 20 bytes each."""
    for position in range(0, len(data) - 19, 20):
        if data[position : position + 2] == b"\x92\xcf":
            yield struct.unpack_from("!Q", data, position + 2)[0]
