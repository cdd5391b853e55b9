"""Device receipt and device announcement: the account's signed word that a device is its own (protocol: identity, section 4)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

import msgpack

from jamid.accounts.json_reader import read_json
from jamid.accounts.keccak import keccak_256
from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PrivateKey, PublicKey

_HEX40 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Announcement:
    """What an account publishes of each of its devices, at its own id on the DHT."""

    account: PublicKey
    """who signed it"""
    device_id: InfoHash
    """the short device id"""
    device_key: PublicKey | None
    """missing from very old devices only"""

    @classmethod
    def from_data(cls, owner: PublicKey, data: bytes) -> Announcement:
        """The announcement in a DHT value's DATA, whose signature by OWNER was checked already; raises RemoteError."""
        fields = unpack_map(data, limits.ANNOUNCEMENT_BYTES)
        device = fields.get("dev")
        key = fields.get("pk")
        if not isinstance(device, bytes):
            raise RemoteError("the announcement names no device")
        device_id = InfoHash(device)
        device_key = PublicKey.from_der(key) if isinstance(key, bytes) else None
        if device_key is not None and device_key.id != device_id:
            raise RemoteError(f"the announced key is not the one of device {device_id}")
        return cls(owner, device_id, device_key)

    @classmethod
    def from_packed(cls, data: bytes) -> Announcement:
        """The announcement in a packed and signed DHT value, its signature checked; raises RemoteError."""
        value = unpack_map(data, limits.ANNOUNCEMENT_BYTES)
        content = value.get("dat")
        body = content.get("body") if isinstance(content, dict) else None
        signature = content.get("sig") if isinstance(content, dict) else None
        if not isinstance(body, dict) or not isinstance(signature, bytes):
            raise RemoteError("the announcement is not signed")
        owner, inner, seq, value_type = body.get("owner"), body.get("data"), body.get("seq"), body.get("type")
        if not isinstance(owner, bytes) or not isinstance(inner, bytes) or not isinstance(seq, int) or not isinstance(value_type, int):
            raise RemoteError("the announcement's body is incomplete")
        key = PublicKey.from_der(owner)
        if not key.verify(_packed_body(key, inner, seq, value_type), signature):
            raise RemoteError("the announcement's signature is wrong")
        return cls.from_data(key, inner)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt text as it was signed, and what it says."""

    text: str
    signature: bytes
    account_uri: str
    short_device_id: str
    eth_address: str
    announcement: bytes
    """the packed DHT value, put as it is at every start"""

    @classmethod
    def create(cls, account_key: PrivateKey, device_key: PublicKey, eth_key: bytes) -> Receipt:
        """The receipt for a device; two RSA signatures: call it off the event loop."""
        announcement = sign_announcement(account_key, device_key)
        uri, device, eth = account_key.public.id.hex(), device_key.id.hex(), eth_address(eth_key)
        encoded = base64.b64encode(announcement).decode()
        text = f'{{"id":"{uri}","dev":"{device}","eth":"{eth}","announce":"{encoded}"}}'
        return cls(text, account_key.sign(text.encode()), uri, device, eth, announcement)

    @classmethod
    def parse(cls, text: str, signature: bytes) -> Receipt:
        """Reads a receipt without judging it; raises RemoteError."""
        if len(text) > limits.RECEIPT_BYTES:
            raise RemoteError("the receipt is too large")
        try:
            fields = read_json(text)
            announcement = base64.b64decode(fields["announce"])
            uri, device, eth = (fields[name] for name in ("id", "dev", "eth"))
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise RemoteError(f"the receipt cannot be read: {error}") from None
        if not all(isinstance(field, str) for field in (uri, device, eth)) or not _HEX40.fullmatch(uri) or not _HEX40.fullmatch(device):
            raise RemoteError("the receipt names no account and device")
        return cls(text, signature, uri, device, eth, announcement)

    def verify(self, certificate: Certificate) -> None:
        """Checks that it is about the device of CERTIFICATE, by the account that issued that; raises RemoteError with the reason."""
        account = certificate.issuer
        if account is None or not certificate.is_signed_by(account):
            raise RemoteError("the device certificate is not signed by its account")
        if not account.public_key.verify(self.text.encode(), self.signature):
            raise RemoteError("the receipt is not signed by the account")
        if self.account_uri != account.id.hex() or self.short_device_id != certificate.id.hex():
            raise RemoteError("the receipt is of another account or device")
        announced = Announcement.from_packed(self.announcement)
        if announced.account != account.public_key or announced.device_id != certificate.id:
            raise RemoteError("the announcement in the receipt is of another account or device")


def sign_announcement(account_key: PrivateKey, device_key: PublicKey) -> bytes:
    """The packed, signed DHT value of a device's announcement, with the low push priority that newer versions set."""
    data = msgpack.packb({"dev": bytes(device_key.id), "pk": device_key.der}, use_bin_type=True)
    body = _packed_body(account_key.public, data, 0, 0)
    signature: bytes = msgpack.packb(account_key.sign(body), use_bin_type=True)
    return b"\x83\xa2id\x00\xa3dat\x82\xa4body" + body + b"\xa3sig" + signature + b"\xa1p\x01"


def eth_address(secret: bytes) -> str:
    """The Ethereum address of a 32-byte secret, 40 hex digits; "" for no or an impossible secret."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256K1()).public_key()
    except ValueError:
        return ""
    point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return keccak_256(point[1:])[-20:].hex()


def unpack_map(data: bytes, size_limit: int) -> dict[Any, Any]:
    """A msgpack map from foreign bytes, with str and bin told apart; raises RemoteError for anything else."""
    if len(data) > size_limit:
        raise RemoteError(f"a message of {len(data)} bytes is too large")
    try:
        fields = msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="replace", max_ext_len=64)
    except Exception as error:
        raise RemoteError(f"not msgpack: {type(error).__name__}: {str(error)[:100]}") from None
    if not isinstance(fields, dict):
        raise RemoteError(f"a msgpack map was expected, not {type(fields).__name__}")
    return fields


def _packed_body(owner: PublicKey, data: bytes, seq: int, value_type: int) -> bytes:
    """What the signature covers: the map seq, owner, type, data, in this order (protocol: opendht, section 18)."""
    packed: bytes = msgpack.packb({"seq": seq, "owner": owner.der, "type": value_type, "data": data}, use_bin_type=True)
    return packed
