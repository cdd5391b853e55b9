"""Instant messages outside git as they travel: on the DHT (13) and on `msg:` channels (17) (protocol: identity 8.4, swarm 9.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgpack

from jamid.accounts.receipt import unpack_map
from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError

TEXT: Final = "text/plain"


@dataclass(frozen=True, slots=True)
class ImMessage:
    """A message, or with no text the confirmation of one, in a device's inbox on the DHT."""

    token: int
    text: str = ""
    date: int = 0
    """seconds since 1970"""
    mime: str = ""
    """"" is text/plain"""

    def to_bytes(self) -> bytes:
        """The data of a DHT value of type 3."""
        packed: bytes = msgpack.packb(
            {"id": self.token, "msg": self.text, "date": self.date, "status": 0, "datatype": self.mime, "metadatas": {}}
        )
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> ImMessage:
        """Parses the data of a DHT value; raises RemoteError."""
        fields = unpack_map(data, limits.INBOX_VALUE_BYTES)
        token, text, date, mime = (fields.get(key) for key in ("id", "msg", "date", "datatype"))
        if not isinstance(token, int) or not 0 <= token < 2**64 or not isinstance(text, str):
            raise RemoteError("an instant message has no id or text")
        return cls(token, text, date if isinstance(date, int) else 0, mime if isinstance(mime, str) else "")


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """One message on a `msg:` channel."""

    token: int
    mime: str
    text: str

    def to_bytes(self) -> bytes:
        """One frame."""
        head = b"\x84\xa2id\xcf" + self.token.to_bytes(8, "big")
        packed: bytes = msgpack.packb(self.mime)
        body: bytes = msgpack.packb(self.text)
        return head + b"\xa1t" + packed + b"\xa1c" + body + b"\xa3req\xc0"

    @classmethod
    def from_unpacked(cls, fields: Any) -> ChannelMessage:
        """Reads an unpacked map; raises RemoteError."""
        if not isinstance(fields, dict):
            raise RemoteError("a channel message is a map")
        token, mime, text = fields.get("id", 0), fields.get("t"), fields.get("c")
        if not isinstance(mime, str) or not isinstance(text, str) or not isinstance(token, int) or not 0 <= token < 2**64:
            raise RemoteError("a channel message has fields of the wrong type")
        return cls(token, mime, text)


class ChannelMessageReader:
    """Cuts the bytes of a `msg:` channel into messages."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False, strict_map_key=False, unicode_errors="replace", max_buffer_size=limits.CHANNEL_MESSAGE_BYTES, max_ext_len=64
        )

    def feed(self, data: bytes) -> list[ChannelMessage]:
        """The messages that DATA completes; raises RemoteError, after which the channel is to be closed."""
        try:
            self._unpacker.feed(data)
            unpacked = list(self._unpacker)
        except msgpack.BufferFull:
            raise LimitError(f"a message of more than {limits.CHANNEL_MESSAGE_BYTES} bytes") from None
        except Exception as error:
            raise RemoteError(f"not msgpack: {type(error).__name__}") from None
        return [ChannelMessage.from_unpacked(fields) for fields in unpacked]
