"""The messages of linking a device peer to peer, and the address that the new device shows (protocol: identity, section 14)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final, Self

import msgpack

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.core.identifiers import LongId

SCHEME: Final = "auth"
_ADDRESS = re.compile(r"jami-auth://([0-9a-f]{64})/([0-9]{6})")


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """What the new device shows, as text or QR code."""

    device: LongId
    """its temporary device id"""
    code: str
    """six digits"""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `jami-auth://DEVICE/CODE`; raises RemoteError."""
        match = _ADDRESS.fullmatch(text.strip())
        if match is None:
            raise RemoteError("an address for linking looks like jami-auth://<64 hex digits>/<6 digits>")
        return cls(LongId.from_hex(match[1]), match[2])

    @classmethod
    def new(cls, device: LongId) -> Self:
        """An address of DEVICE with a random code."""
        return cls(device, str(100_000 + secrets.randbelow(900_000)))

    @property
    def channel(self) -> str:
        """The name of the only channel that the new device accepts."""
        return f"{SCHEME}:{self.code}"

    def __str__(self) -> str:
        return f"jami-auth://{self.device.hex()}/{self.code}"


def pack_message(payload: dict[str, str]) -> bytes:
    """One message."""
    packed: bytes = msgpack.packb({"schemeId": 0, "payload": payload})
    return packed


class LinkReader:
    """Cuts the bytes of a channel into messages."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False, strict_map_key=False, unicode_errors="replace", max_buffer_size=limits.LINK_MESSAGE_BYTES, max_ext_len=64
        )

    def feed(self, data: bytes) -> list[dict[str, str]]:
        """The payloads that DATA completes; raises RemoteError, after which the link is over."""
        try:
            self._unpacker.feed(data)
            unpacked = list(self._unpacker)
        except msgpack.BufferFull:
            raise LimitError(f"a message of more than {limits.LINK_MESSAGE_BYTES} bytes") from None
        except Exception as error:
            raise RemoteError(f"not msgpack: {type(error).__name__}") from None
        return [_payload(message) for message in unpacked]


def _payload(message: object) -> dict[str, str]:
    if not isinstance(message, dict) or message.get("schemeId") != 0:
        raise RemoteError("a message of an unknown kind")
    payload = message.get("payload")
    if not isinstance(payload, dict) or not all(isinstance(text, str) for pair in payload.items() for text in pair):
        raise RemoteError("a message without text payload")
    return payload
