"""From a packet's bytes to its message: the message or a RemoteError, nothing else (protocol: opendht, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import WIRE_FAMILIES, Family, unpack_nodes
from jamid.dht.packing import as_bytes, as_text, as_uint, unpack
from jamid.dht.query import read_fields, read_query
from jamid.dht.values import WireValue, read_value
from jamid.dht.wire import (
    AnyMessage,
    ErrorReply,
    Find,
    Get,
    LegacyUpdate,
    Listen,
    Ping,
    Put,
    Refresh,
    Reply,
    Request,
    Update,
    ValueData,
)

Envelope = dict[str, Any]
_VALUE_BYTES_ON_WIRE = limits.DHT_VALUE_BYTES + 32


def decode(data: bytes) -> AnyMessage:
    """The message in one UDP payload; raises RemoteError."""
    packet = unpack(data)
    if not isinstance(packet, dict):
        raise RemoteError("a packet is a map")
    tid = _tid(packet.get("t"))
    network, agent = packet.get("n", 0), packet.get("v", "")
    if type(network) is not int or network < 0 or network >> 32:
        raise RemoteError("a network id is an unsigned integer of 32 bits")
    if type(agent) is not str:
        agent = ""
    common: Envelope = {"tid": tid, "agent": agent[:32], "network": network, "client": packet.get("s") is True}
    if "e" in packet:
        return _error(packet, common)
    if "r" in packet:
        return _reply(_map(packet["r"]), common)
    if "p" in packet:
        return _value_data(packet["p"], common)
    if "u" in packet:
        body = _map(packet["u"])
        return LegacyUpdate(
            sender=_hash(body, "id"), token=_token(body), refreshed=_ids(body.get("re")), expired=_ids(body.get("exp")), **common
        )
    if packet.get("y", "q") != "q":
        raise RemoteError("neither request nor reply")
    name = packet.get("q")
    reader = _REQUESTS.get(name) if isinstance(name, str) else None
    if reader is None:
        raise RemoteError("an unknown request")
    return reader(_map(packet.get("a")), common)


def _ping(body: Envelope, common: Envelope) -> Request:
    return Ping(sender=_hash(body, "id"), **common)


def _find(body: Envelope, common: Envelope) -> Request:
    return Find(sender=_hash(body, "id"), target=_hash(body, "target"), want=_want(body.get("w")), **common)


def _get(body: Envelope, common: Envelope) -> Request:
    query = read_query(body["q"]) if "q" in body else None
    return Get(sender=_hash(body, "id"), key=_key(body), query=query, want=_want(body.get("w")), **common)


def _put(body: Envelope, common: Envelope) -> Request:
    values, sizes = _values(body.get("values"))
    created = _time(body.get("c"))
    return Put(sender=_hash(body, "id"), key=_key(body), values=values, sizes=sizes, created=created, token=_token(body), **common)


def _refresh(body: Envelope, common: Envelope) -> Request:
    value_id = as_uint(body.get("vid"), 64, "a value id")
    return Refresh(sender=_hash(body, "id"), key=_key(body), value_id=value_id, token=_token(body), **common)


def _listen(body: Envelope, common: Envelope) -> Request:
    query = read_query(body["q"]) if "q" in body else None
    version = body.get("ve", 0)
    return Listen(
        sender=_hash(body, "id"),
        key=_key(body),
        token=_token(body),
        socket=as_uint(body.get("sid", common["tid"]), 32, "a socket id"),
        query=query,
        version=version if type(version) is int and 0 <= version < 128 else 0,
        **common,
    )


def _update(body: Envelope, common: Envelope) -> Request:
    values, sizes = _values(body.get("values"))
    return Update(
        sender=_hash(body, "id"),
        socket=as_uint(body.get("sid"), 32, "a socket id"),
        key=_hash(body, "h") if "h" in body else None,
        values=values,
        sizes=sizes,
        created=_time(body.get("c")),
        token=_token(body),
        refreshed=_ids(body.get("re")),
        expired=_ids(body.get("exp")),
        **common,
    )


_REQUESTS: dict[str, Callable[[Envelope, Envelope], Request]] = {
    "ping": _ping,
    "find": _find,
    "get": _get,
    "put": _put,
    "refresh": _refresh,
    "listen": _listen,
    "update": _update,
}


def _reply(body: Envelope, common: Envelope) -> Reply:
    values, sizes = _values(body.get("values"))
    n4, n6 = body.get("n4"), body.get("n6")
    return Reply(
        sender=_hash(body, "id"),
        seen=_seen(body.get("sa")),
        nodes4=() if n4 is None else unpack_nodes(as_bytes(n4, "n4"), Family.V4, limits.DHT_NODES_PER_REPLY),
        nodes6=() if n6 is None else unpack_nodes(as_bytes(n6, "n6"), Family.V6, limits.DHT_NODES_PER_REPLY),
        token=_token(body) if "token" in body else None,
        values=values,
        sizes=sizes,
        fields=read_fields(body["fileds"]) if "fileds" in body else None,
        value_id=as_uint(body["vid"], 64, "a value id") if "vid" in body else None,
        **common,
    )


def _error(packet: Envelope, common: Envelope) -> ErrorReply:
    error, body = packet["e"], packet.get("r")
    if not isinstance(error, list) or not error:
        raise RemoteError("an error is an array of code and text")
    text = as_text(error[1], limits.DHT_TEXT_BYTES, "an error text") if len(error) > 1 else ""
    return ErrorReply(sender=_hash(_map(body), "id"), code=as_uint(error[0], 16, "an error code"), text=text, **common)


def _value_data(raw: object, common: Envelope) -> ValueData:
    chunks: list[tuple[int, int, bytes]] = []
    if not isinstance(raw, dict):
        raise RemoteError("value data is a map")
    for index, chunk in raw.items():
        piece = _map(chunk)
        if type(index) is not int or not 0 <= index < limits.DHT_VALUES_PER_MESSAGE:
            raise RemoteError("value data for an impossible index")
        offset = as_uint(piece.get("o"), 32, "an offset")
        data = as_bytes(piece.get("d"), "value data")
        if offset + len(data) > _VALUE_BYTES_ON_WIRE:
            raise RemoteError("value data beyond the largest value")
        chunks.append((index, offset, data))
    return ValueData(chunks=tuple(chunks), **common)


def _map(raw: object) -> Envelope:
    if not isinstance(raw, dict):
        raise RemoteError("a map is missing")
    return raw


def _tid(raw: object) -> int:
    if type(raw) is int and 0 <= raw <= 0xFFFFFFFF:
        return raw
    packed = as_bytes(raw, "a transaction id")
    if len(packed) != 4:
        raise RemoteError("a transaction id has 4 bytes")
    return int.from_bytes(packed, "big")


def _hash(body: Envelope, name: str) -> InfoHash:
    raw = body.get(name)
    if type(raw) is not bytes:
        raise RemoteError(f"{name} is not bin")
    return InfoHash(raw)


def _key(body: Envelope) -> InfoHash:
    """A missing key counts as the zero key, which is answered with an error."""
    return _hash(body, "h") if "h" in body else InfoHash(bytes(20))


def _token(body: Envelope) -> bytes:
    token = as_bytes(body.get("token", b""), "a token")
    if len(token) > limits.DHT_TOKEN_BYTES:
        raise RemoteError("a token that is too long")
    return token


def _seen(raw: object) -> bytes:
    return raw if type(raw) is bytes and len(raw) in (4, 16) else b""


def _time(raw: object) -> int | None:
    return raw if type(raw) is int and 0 <= raw < 1 << 63 else None


def _want(raw: object) -> tuple[Family, ...] | None:
    if raw is None:
        return None
    if not isinstance(raw, list) or len(raw) > 16:
        raise RemoteError("wanted families are a short array")
    return tuple(WIRE_FAMILIES[number] for number in raw if type(number) is int and number in WIRE_FAMILIES)


def _ids(raw: object) -> tuple[int, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list) or len(raw) > limits.DHT_VALUES_PER_MESSAGE:
        raise RemoteError("value ids are an array")
    return tuple(as_uint(number, 64, "a value id") for number in raw)


def _values(raw: object) -> tuple[tuple[WireValue, ...], tuple[int, ...]]:
    """Inline values (bad ones are left out: one of them must not hide the others) or the sizes of those to come."""
    if raw is None:
        return (), ()
    if not isinstance(raw, list) or len(raw) > limits.DHT_VALUES_PER_MESSAGE:
        raise RemoteError("values are an array")
    if raw and type(raw[0]) is int:
        sizes = tuple(as_uint(size, 32, "a value's size") for size in raw)
        if sum(sizes) > limits.DHT_MESSAGE_BYTES:
            raise RemoteError("values that are too large together")
        return (), sizes
    values = []
    for one in raw:
        try:
            value = read_value(one)
        except RemoteError:
            continue
        if value.size <= _VALUE_BYTES_ON_WIRE:
            values.append(value)
    return tuple(values), ()
