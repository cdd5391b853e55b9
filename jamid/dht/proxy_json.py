"""Values in the JSON of DHT proxies (protocol: opendht, section 25)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.crypto.keys import PublicKey
from jamid.dht.packing import as_text, as_uint
from jamid.dht.values import WireValue


def value_to_json(value: WireValue) -> dict[str, Any]:
    """VALUE as an object; ids are decimal text, because they exceed what JSON readers hold."""
    fields: dict[str, Any] = {"id": str(value.id)}
    if value.cipher:
        fields["cypher"] = base64.b64encode(value.cipher).decode()
    else:
        if value.owner:
            fields |= {"seq": value.seq, "owner": _pem(value.owner), "sig": base64.b64encode(value.signature).decode()}
            if value.recipient is not None:
                fields["to"] = str(value.recipient)
        fields |= {"type": value.type, "data": base64.b64encode(value.data).decode()}
        if value.user_type:
            fields["utype"] = value.user_type.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if value.priority:
        fields["prio"] = value.priority
    if value.push_type:
        fields["pt"] = value.push_type
    return fields


def value_from_json(raw: object) -> WireValue:
    """Reads what `value_to_json` writes; a missing id is 0; raises RemoteError."""
    if not isinstance(raw, dict):
        raise RemoteError("a value is an object")
    value_id = _number(raw.get("id", 0), 64, "id")
    priority = _number(raw.get("prio", 0), 32, "prio")
    push_type = _text(raw.get("pt", ""), "pt")
    if "cypher" in raw:
        return WireValue(value_id, cipher=_bytes(raw["cypher"], "cypher"), priority=priority, push_type=push_type)
    owner, signature, recipient = b"", b"", None
    if "owner" in raw:
        owner = PublicKey.from_der(_text(raw["owner"], "owner").rstrip("\0").encode()).der
        signature = _bytes(raw.get("sig", ""), "sig")
        if "to" in raw:
            recipient = InfoHash.from_hex(_text(raw["to"], "to"))
    return WireValue(
        id=value_id,
        type=_number(raw.get("type", 0), 16, "type"),
        data=_bytes(raw.get("data", ""), "data"),
        user_type=_text(raw.get("utype", ""), "utype"),
        owner=owner,
        seq=_number(raw.get("seq", 0), 16, "seq"),
        recipient=recipient,
        signature=signature,
        priority=priority,
        push_type=push_type,
    )


def _pem(der: bytes) -> str:
    """A public key as text."""
    if der.startswith(b"-----"):
        return der.decode("ascii", "replace")
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"


def _number(raw: object, bits: int, what: str) -> int:
    if isinstance(raw, str) and raw.isascii() and raw.isdigit() and len(raw) <= 20:
        raw = int(raw)
    return as_uint(raw, bits, what)


def _text(raw: object, what: str) -> str:
    if not isinstance(raw, str):
        raise RemoteError(f"{what} is not a text")
    text = as_text(raw, limits.DHT_TEXT_BYTES, what)
    try:
        text.encode()
    except UnicodeError:
        raise RemoteError(f"{what} is not Unicode") from None
    return text


def _bytes(raw: object, what: str) -> bytes:
    if not isinstance(raw, str):
        raise RemoteError(f"{what} is not base64")
    try:
        return base64.b64decode(raw, validate=False)
    except (binascii.Error, ValueError):
        raise RemoteError(f"{what} is not base64") from None
