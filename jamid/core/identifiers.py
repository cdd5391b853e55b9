"""Identifiers of the Jami world and how they are written (protocol: identity, section 1; opendht, section 2)."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Self

from jamid.core.errors import RemoteError

_HEX40 = re.compile(r"[0-9a-f]{40}")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_ACCOUNT_ID = re.compile(r"[0-9a-f]{16}")


class _Hash(bytes):
    """Raw bytes of one fixed length, written as lower-case hex."""

    LENGTH = 0

    def __new__(cls, raw: bytes) -> Self:
        if len(raw) != cls.LENGTH:
            raise RemoteError(f"{cls.__name__} takes {cls.LENGTH} bytes, not {len(raw)}")
        return super().__new__(cls, raw)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Parses hex text; raises RemoteError unless it is exactly as long as the hash."""
        if len(text) != 2 * cls.LENGTH:
            raise RemoteError(f"{cls.__name__} takes {2 * cls.LENGTH} hex digits, not {text[:80]!r}")
        try:
            return cls(bytes.fromhex(text))
        except ValueError:
            raise RemoteError(f"{cls.__name__} takes hex digits, not {text[:80]!r}") from None

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()})"


class InfoHash(_Hash):
    """A DHT key, node id or short key id: 20 bytes."""

    LENGTH = 20

    @classmethod
    def of(cls, data: bytes | str) -> InfoHash:
        """The SHA-1 of bytes or of UTF-8 text, which is how every named DHT key is made."""
        return cls(hashlib.sha1(data.encode() if isinstance(data, str) else data, usedforsecurity=False).digest())

    @classmethod
    def random(cls) -> InfoHash:
        return cls(secrets.token_bytes(20))


class LongId(_Hash):
    """A long key id: the SHA-256 of a public key's SubjectPublicKeyInfo, 32 bytes. A device id is one of these."""

    LENGTH = 32

    @classmethod
    def of(cls, data: bytes) -> LongId:
        """The SHA-256 of DATA."""
        return cls(hashlib.sha256(data).digest())


def is_account_uri(text: str) -> bool:
    """Whether TEXT is a bare Jami id: 40 lower-case hex digits."""
    return _HEX40.fullmatch(text) is not None


def is_conversation_id(text: str) -> bool:
    """Whether TEXT is a conversation or commit id: 40 lower-case hex digits."""
    return _HEX40.fullmatch(text) is not None


def is_device_id(text: str) -> bool:
    """Whether TEXT is a device id: 64 lower-case hex digits."""
    return _HEX64.fullmatch(text) is not None


def is_local_account_id(text: str) -> bool:
    """Whether TEXT can be the local name of an account: 16 lower-case hex digits."""
    return _ACCOUNT_ID.fullmatch(text) is not None


def bare_uri(uri: str) -> str:
    """URI without its `jami:`, `ring:` or `swarm:` scheme and without a `@host` part; lower-cased when it is a Jami id."""
    text = uri.strip()
    for scheme in ("jami:", "ring:", "swarm:"):
        text = text.removeprefix(scheme)
    name = text.partition("@")[0]
    return name.lower() if is_account_uri(name.lower()) else text


def new_account_id() -> str:
    """A local account id: 16 random hex digits."""
    return secrets.token_hex(8)


def new_53_bit_id() -> int:
    """A random id from 1 to 2**53, the range in which ids survive JSON readers."""
    return secrets.randbelow(2**53) + 1
