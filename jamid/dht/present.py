"""How values and nodes are shown to people and scripts."""

from __future__ import annotations

import base64
import json
from typing import Any

from jamid.core.errors import LocalError, RemoteError
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Family
from jamid.dht.core import Status
from jamid.dht.node import DhtNode
from jamid.dht.values import Value


def parse_key(text: str) -> InfoHash:
    """40 hex digits as they are, any other text hashed; raises LocalError for nothing at all."""
    if len(text) == 40:
        try:
            return InfoHash.from_hex(text)
        except RemoteError:
            pass
    if not text:
        raise LocalError("a key is 40 hex digits or any text, not nothing")
    return InfoHash.of(text)


def text_of(data: bytes) -> str | None:
    """DATA as text if a terminal can show it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\t\n" for character in text) else None


def value_line(value: Value) -> str:
    """A value on one line: its text, or its bytes in hex."""
    text = text_of(value.data)
    return data_hex(value) if text is None or "\n" in text else text


def data_hex(value: Value) -> str:
    return value.data.hex()


def value_description(value: Value) -> str:
    """A value with all that is known of it, on one line."""
    parts = [f"id {value.id:x}"]
    if value.type:
        parts.append(f"type {value.type}")
    if value.user_type:
        parts.append(value.user_type)
    if value.owner is not None:
        parts.append(f"signed by {value.owner.id} (v{value.seq})")
    if value.recipient is not None:
        parts.append("encrypted to us")
    return f"[{', '.join(parts)}] {value_line(value)}"


def value_json(key: InfoHash, value: Value, expired: bool = False) -> str:
    """A value as one line of JSON."""
    fields: dict[str, Any] = {"key": str(key), "id": str(value.id), "type": value.type, "data": base64.b64encode(value.data).decode()}
    text = text_of(value.data)
    if text is not None:
        fields["text"] = text
    if value.user_type:
        fields["user_type"] = value.user_type.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if value.owner is not None:
        fields |= {"owner": str(value.owner.id), "owner_long_id": str(value.owner.long_id), "seq": value.seq}
    if value.recipient is not None:
        fields["recipient"] = str(value.recipient)
    if expired:
        fields["expired"] = True
    return json.dumps(fields, ensure_ascii=False)


def node_info(node: DhtNode) -> dict[str, Any]:
    """What there is to know about a running node."""
    core = node.core
    now = core.timers.now()
    info: dict[str, Any] = {"node_id": str(node.id), "network": node.settings.network, "status": node.status.name.lower()}
    for family, name in ((Family.V4, "ipv4"), (Family.V6, "ipv6")):
        if family not in core.status_of:
            continue
        known = core.tables[family].nodes()
        good = sum(one.is_good(now) for one in known)
        info[name] = {
            "port": node.port_of(family),
            "status": Status(core.status_of[family]).name.lower(),
            "good": good,
            "dubious": sum(not one.expired for one in known) - good,
            "searches": len(core.searches[family]),
        }
    info["addresses"] = node.own_addresses()
    info["storage"] = {
        "keys": len(core.storage.keys()),
        "values": core.storage.values,
        "bytes": core.storage.bytes,
        "listeners": core.storage.listeners,
    }
    statistics = core.engine.statistics
    info["packets"] = {
        "received": statistics.received,
        "sent": statistics.sent,
        "malformed": statistics.malformed,
        "refused": statistics.refused,
    }
    info["requests"] = dict(statistics.requests)
    return info


def info_text(info: dict[str, Any]) -> str:
    """`node_info` for people."""
    lines = [f"node {info['node_id']}, network {info['network']}, {info['status']}"]
    for name in ("ipv4", "ipv6"):
        if name in info:
            one = info[name]
            nodes = f"{one['good']} good and {one['dubious']} dubious nodes"
            lines.append(f"{name}: port {one['port']}, {one['status']}, {nodes}, {one['searches']} searches")
    if info["addresses"]:
        lines.append(f"seen as {', '.join(info['addresses'])}")
    storage = info["storage"]
    held = f"{storage['values']} values ({storage['bytes']} bytes) under {storage['keys']} keys"
    lines.append(f"stores {held} for {storage['listeners']} listeners")
    packets = info["packets"]
    bad = f"{packets['malformed']} malformed, {packets['refused']} refused"
    lines.append(f"{packets['received']} packets received ({bad}), {packets['sent']} sent")
    return "\n".join(lines)
