"""Password boxes: Argon2i, SHA-256 and AES-256-GCM, as OpenDHT makes them for archives and PINs (protocol: opendht, section 22)."""

from __future__ import annotations

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jamid.core.errors import RemoteError

SALT_LENGTH = 16
KEY_LENGTH = 32
_IV_LENGTH = 12
_TAG_LENGTH = 16


def stretch_key(password: str | bytes, salt: bytes, length: int = KEY_LENGTH) -> bytes:
    """The key of a password; takes 64 MiB and up to 1.5 s: call it off the event loop.

    LENGTH up to 32 gives SHA-256 of the Argon2i output, 64 its SHA-512 (protocol: identity, section 13.2).
    """
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2i

    secret = password.encode() if isinstance(password, str) else password
    raw = Argon2i(salt=salt, length=32, iterations=16, lanes=1, memory_cost=65536).derive(secret)
    return hash_to_length(raw, length)


def hash_to_length(data: bytes, length: int) -> bytes:
    """OpenDHT's `hash`: SHA-1, SHA-256 or SHA-512 by the length asked for, cut to it."""
    if length > 32:
        return hashlib.sha512(data).digest()[:length]
    if length > 20:
        return hashlib.sha256(data).digest()[:length]
    return hashlib.sha1(data, usedforsecurity=False).digest()[:length]


def aes_encrypt(data: bytes, key: bytes) -> bytes:
    """`iv(12) ‖ AES-GCM ciphertext ‖ tag(16)` under a key of 16, 24 or 32 bytes."""
    iv = os.urandom(_IV_LENGTH)
    return iv + AESGCM(key).encrypt(iv, data, None)


def aes_decrypt(blob: bytes, key: bytes) -> bytes:
    """Opens what `aes_encrypt` made; raises RemoteError when the key is wrong or the data damaged."""
    if len(blob) < _IV_LENGTH + _TAG_LENGTH:
        raise RemoteError(f"encrypted data of {len(blob)} bytes is too short")
    try:
        return AESGCM(key).decrypt(blob[:_IV_LENGTH], blob[_IV_LENGTH:], None)
    except (InvalidTag, ValueError):
        raise RemoteError("the password or key is wrong, or the data is damaged") from None


def encrypt_with_password(data: bytes, password: str | bytes, salt: bytes | None = None) -> bytes:
    """`salt(16) ‖ iv(12) ‖ ciphertext ‖ tag(16)`; slow, see `stretch_key`."""
    salt = os.urandom(SALT_LENGTH) if salt is None else salt
    return salt + aes_encrypt(data, stretch_key(password, salt))


def decrypt_with_password(blob: bytes, password: str | bytes) -> bytes:
    """Opens what `encrypt_with_password` made; raises RemoteError on a wrong password or damaged data; slow."""
    if len(blob) < SALT_LENGTH + _IV_LENGTH + _TAG_LENGTH:
        raise RemoteError(f"encrypted data of {len(blob)} bytes is too short")
    return aes_decrypt(blob[SALT_LENGTH:], stretch_key(password, blob[:SALT_LENGTH]))
