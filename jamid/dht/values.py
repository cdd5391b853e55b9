"""Values: what is stored under a key, as the wire has it and as the rest of the daemon sees it (protocol: opendht, section 16)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.crypto.keys import PublicKey
from jamid.dht.packing import as_bytes, as_text, as_uint, map_header, pack_bin, pack_str, pack_uint, unpack


@dataclass(frozen=True, slots=True)
class Value:
    """A value as the rest of the daemon sees it: verified and, if it was for us, decrypted."""

    id: int = 0
    """64 bits; (key, id) is a value's identity. 0 = choose one"""
    type: int = 0
    """number of its `ValueType`, which sets lifetime and rules"""
    data: bytes = b""
    user_type: str = ""
    """free text, usually a MIME type or a purpose"""
    owner: PublicKey | None = None
    """who signed it"""
    seq: int = 0
    """16 bits; a higher one replaces a lower one of the same owner"""
    recipient: InfoHash | None = None
    """the short id of whom it was encrypted to"""
    signature: bytes = field(default=b"", repr=False)
    cipher: bytes = field(default=b"", repr=False)
    """the encrypted form, when it is for somebody else"""
    priority: int = 0
    """0 = normal, above = no hurry (push notifications only)"""
    push_type: str = ""
    """the purpose in clear, beside an encrypted value (17 only)"""


@dataclass(frozen=True, slots=True)
class WireValue:
    """A value as it travels and is stored: nothing in it was checked."""

    id: int
    type: int = 0
    data: bytes = b""
    user_type: str = ""
    owner: bytes = b""
    """DER SubjectPublicKeyInfo (PEM from some peers)"""
    seq: int = 0
    recipient: InfoHash | None = None
    signature: bytes = field(default=b"", repr=False)
    cipher: bytes = field(default=b"", repr=False)
    priority: int = 0
    push_type: str = ""

    @property
    def size(self) -> int:
        """Bytes that count against the limits."""
        return len(self.cipher) + len(self.data) + len(self.signature) + len(self.user_type) + len(self.push_type)

    def same_content(self, other: WireValue) -> bool:
        """Whether storers take OTHER as the same value again; sequence number and recipient do not count."""
        if self.cipher or other.cipher:
            return self.cipher == other.cipher
        return (
            self.data == other.data
            and self.type == other.type
            and self.owner == other.owner
            and self.user_type == other.user_type
            and self.signature == other.signature
        )

    def with_id(self, value_id: int) -> WireValue:
        return replace(self, id=value_id)


def pack_body(value: WireValue) -> bytes:
    """The bytes that a signature covers: the body in canonical order."""
    parts: list[bytes] = []
    count = 2
    if value.owner:
        count += 2
        parts += (b"\xa3seq", pack_uint(value.seq), b"\xa5owner", pack_bin(value.owner))
        if value.recipient is not None:
            count += 1
            parts += (b"\xa2to\xc4\x14", value.recipient)
    parts += (b"\xa4type", pack_uint(value.type), b"\xa4data", pack_bin(value.data))
    if value.user_type:
        count += 1
        parts += (b"\xa5utype", pack_str(value.user_type))
    return map_header(count) + b"".join(parts)


def pack_content(value: WireValue) -> bytes:
    """`dat`: the body with its signature, or the encrypted blob."""
    if value.cipher:
        return pack_bin(value.cipher)
    if value.signature:
        return b"\x82\xa4body" + pack_body(value) + b"\xa3sig" + pack_bin(value.signature)
    return b"\x81\xa4body" + pack_body(value)


def pack_value(value: WireValue) -> bytes:
    """One element of `values`."""
    count = 2
    tail = b""
    if value.priority:
        count += 1
        tail += b"\xa1p" + pack_uint(value.priority)
    if value.push_type:
        count += 1
        tail += b"\xa2pt" + pack_str(value.push_type)
    return map_header(count) + b"\xa2id" + pack_uint(value.id) + b"\xa3dat" + pack_content(value) + tail


def read_value(raw: object) -> WireValue:
    """A value from its unpacked map; raises RemoteError."""
    if not isinstance(raw, dict) or "id" not in raw or "dat" not in raw:
        raise RemoteError("a value is a map with id and dat")
    value_id = as_uint(raw["id"], 64, "a value id")
    priority = as_uint(raw.get("p", 0), 32, "a priority")
    push_type = as_text(raw.get("pt", ""), limits.DHT_TEXT_BYTES, "a push type")
    content = raw["dat"]
    if isinstance(content, dict):
        return read_content(content, value_id, priority, push_type)
    return WireValue(value_id, cipher=as_bytes(content, "encrypted content"), priority=priority, push_type=push_type)


def read_content(raw: dict[Any, Any], value_id: int, priority: int = 0, push_type: str = "") -> WireValue:
    """A value from its unpacked `dat` map; raises RemoteError."""
    body = raw.get("body")
    if not isinstance(body, dict) or "data" not in body or "type" not in body:
        raise RemoteError("a value's body is a map with type and data")
    owner, signature, seq, recipient = b"", b"", 0, None
    if "owner" in body:
        if "seq" not in body or "sig" not in raw:
            raise RemoteError("a value with owner needs seq and sig")
        owner = as_bytes(body["owner"], "an owner")
        seq = as_uint(body["seq"], 16, "a sequence number")
        signature = as_bytes(raw["sig"], "a signature")
        if "to" in body:
            to = body["to"]
            if type(to) is not bytes:
                raise RemoteError("a recipient is not bin")
            recipient = InfoHash(to)
    return WireValue(
        value_id,
        as_uint(body["type"], 16, "a value type"),
        as_bytes(body["data"], "data"),
        as_text(body.get("utype", ""), limits.DHT_TEXT_BYTES, "a user type"),
        owner,
        seq,
        recipient,
        signature,
        b"",
        priority,
        push_type,
    )


def unpack_value(data: bytes) -> WireValue:
    """A value from its packed form; raises RemoteError."""
    return read_value(unpack(data))
