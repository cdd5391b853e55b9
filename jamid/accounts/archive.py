"""The account archive: everything a further device of the account needs, in one JSON object (protocol: identity, section 3)."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jamid.accounts.json_reader import read_json
from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.crypto.boxes import KEY_LENGTH, SALT_LENGTH, aes_decrypt, aes_encrypt, stretch_key
from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PrivateKey
from jamid.crypto.revocations import RevocationList

SCHEME_NONE: Final = ""
SCHEME_PASSWORD: Final = "password"
SCHEME_KEY: Final = "key"

_GZIP_MAGIC = b"\x1f\x8b\x08"
_NEVER_WRITTEN = frozenset({
    "Account.ringtonePath", "Account.archivePath", "Account.deviceID", "Account.deviceName", "DHT.port", "Account.dhtPort",
    "Account.dhtProxyListUrl", "Account.autoAnswer", "Account.proxyEnabled", "Account.proxyServer", "Account.proxyPushToken",
    "TLS.certificateListFile", "TLS.certificateFile", "TLS.privateKeyFile",
})  # fmt: skip
_NEVER_READ = frozenset({
    "TLS.certificateListFile", "TLS.certificateFile", "TLS.privateKeyFile", "Account.dhtProxyListUrl", "Account.autoAnswer",
    "Account.proxyEnabled", "Account.proxyServer", "Account.proxyPushToken",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArchiveKey:
    """The key of an encrypted archive, with the salt it was stretched with."""

    salt: bytes
    key: bytes

    @classmethod
    def from_password(cls, password: str) -> ArchiveKey:
        """A key with a new salt; slow (Argon2i): call it off the event loop."""
        salt = os.urandom(SALT_LENGTH)
        return cls(salt, stretch_key(password, salt))


@dataclass(slots=True)
class Archive:
    """The contents of an archive."""

    account_key: PrivateKey
    certificate: Certificate | None = None
    """the account certificate with its CA"""
    ca_key: PrivateKey | None = None
    """absent for accounts of a management server"""
    eth_key: bytes = b""
    """32 bytes, a secp256k1 secret that only the name server sees the address of"""
    revocations: RevocationList | None = None
    contacts: dict[str, Any] = field(default_factory=dict)
    """Jami id -> contact as JSON"""
    conversations: dict[str, Any] = field(default_factory=dict)
    """conversation id -> what the conversations room keeps of it"""
    conversation_requests: dict[str, Any] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    """account details to apply when it is imported"""

    @classmethod
    def from_json(cls, data: bytes) -> Archive:
        """Parses the JSON object; entries that are damaged are left out, without an account key it raises RemoteError."""
        root = read_json(data)
        if not isinstance(root, dict):
            raise RemoteError("the archive is no JSON object")
        encoded_key = root.pop("ringAccountKey", None)
        if encoded_key is None:
            raise RemoteError("the archive has no account key")
        archive = cls(PrivateKey.from_pem(_decoded(encoded_key)))
        for key, value in root.items():
            try:
                archive._take(key, value)
            except RemoteError:
                continue
        return archive

    def to_json(self) -> bytes:
        """The compact JSON object with sorted keys that every version reads."""
        root: dict[str, Any] = {key: value for key, value in self.details.items() if key not in _NEVER_WRITTEN}
        root["ringAccountKey"] = _encoded(self.account_key.to_pem())
        if self.certificate is not None:
            root["ringAccountCert"] = _encoded(self.certificate.to_pem())
        if self.ca_key is not None:
            root["ringCaKey"] = _encoded(self.ca_key.to_pem())
        if self.eth_key:
            root["ethKey"] = _encoded(self.eth_key)
        if self.revocations is not None:
            root["ringAccountCRL"] = _encoded(self.revocations.to_der())
        lists = {
            "ringAccountContacts": self.contacts,
            "conversations": self.conversations,
            "conversationsRequests": self.conversation_requests,
        }
        root |= {name: value for name, value in lists.items() if value}
        return json.dumps(root, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")

    def _take(self, key: str, value: Any) -> None:
        match key:
            case "ringCaKey":
                self.ca_key = PrivateKey.from_pem(_decoded(value))
            case "ringAccountCert":
                self.certificate = Certificate.from_pem(_decoded(value))
            case "ethKey":
                self.eth_key = _decoded(value)
            case "ringAccountCRL":
                self.revocations = RevocationList.from_der(_decoded(value))
            case "ringAccountContacts":
                self.contacts = _object(value)
            case "conversations":
                self.conversations = _object(value)
            case "conversationsRequests":
                self.conversation_requests = _object(value)
            case _ if isinstance(value, str) and key not in _NEVER_READ:
                self.details[key] = value


def open_archive(data: bytes, password: str = "", scheme: str = SCHEME_PASSWORD) -> tuple[Archive, ArchiveKey | None]:
    """Opens an archive file of any form; RemoteError when password or key are wrong or it is damaged. Slow with a password.

    The key that opened it is returned for writing it again, None for an archive without password.
    """
    if len(data) > limits.ARCHIVE_FILE_BYTES:
        raise LimitError(f"an archive of {len(data)} bytes is too large")
    if data.startswith(_GZIP_MAGIC):
        unwrapped = _inflate(data)
        if not password and not unwrapped.startswith(_GZIP_MAGIC):
            return Archive.from_json(unwrapped), None
        if not password:
            return Archive.from_json(_inflate(unwrapped)), None
        data = unwrapped  # a web server may have compressed an encrypted archive once more
    if not password:
        raise RemoteError("the archive needs a password")
    if len(data) < SALT_LENGTH:
        raise RemoteError("the archive is cut short")
    salt = data[:SALT_LENGTH]
    key = _given_key(password) if scheme == SCHEME_KEY else stretch_key(password, salt)
    return Archive.from_json(_inflate(aes_decrypt(data[SALT_LENGTH:], key))), ArchiveKey(salt, key)


def seal_archive(archive: Archive, key: ArchiveKey | None) -> bytes:
    """The file: gzip without a key, else salt, iv and AES-GCM of a zlib stream."""
    text = archive.to_json()
    if key is None:
        return gzip.compress(text, mtime=0)
    return key.salt + aes_encrypt(zlib.compress(text), key.key)


def seal_for_pin(archive: Archive, key: bytes) -> bytes:
    """The form of a PIN export: no salt in front (protocol: identity, section 13.2)."""
    return aes_encrypt(zlib.compress(archive.to_json()), key)


def open_from_pin(data: bytes, key: bytes) -> Archive:
    """Opens what `seal_for_pin` made; raises RemoteError."""
    return Archive.from_json(_inflate(aes_decrypt(data, key)))


def merged_details(details: Mapping[str, str]) -> dict[str, str]:
    """The details that belong into an archive."""
    return {key: value for key, value in details.items() if key not in _NEVER_WRITTEN}


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(47)
    try:
        text = inflater.decompress(data, limits.INFLATED_ARCHIVE_BYTES)
    except zlib.error as error:
        raise RemoteError(f"the archive is damaged: {error}") from None
    if inflater.unconsumed_tail:
        raise LimitError(f"the archive inflates to more than {limits.INFLATED_ARCHIVE_BYTES} bytes")
    if not inflater.eof:
        raise RemoteError("the archive is cut short")
    return text


def _given_key(text: str) -> bytes:
    key = _decoded(text)
    if len(key) != KEY_LENGTH:
        raise RemoteError(f"an archive key has {KEY_LENGTH} bytes, not {len(key)}")
    return key


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str):
        raise RemoteError("an entry of the archive is no text")
    try:
        return base64.b64decode(value)
    except (binascii.Error, ValueError) as error:
        raise RemoteError(f"an entry of the archive is no base64: {error}") from None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RemoteError("an entry of the archive is no object")
    return value
