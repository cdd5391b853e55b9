"""What a DHT proxy remembers between two runs, in the real proxy's format (protocol: opendht, section 25)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack

from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.dht.packing import as_bytes, as_text, as_uint, unpack
from jamid.dht.proxy_push import Push, PushTarget
from jamid.dht.values import WireValue, pack_value, read_value

_TEXT = 4096


@dataclass(frozen=True, slots=True)
class PermanentPut:
    """A put that the proxy keeps alive for a client."""

    key: InfoHash
    value: WireValue
    expires: float
    """Unix seconds"""
    target: PushTarget | None = None
    """who is reminded to renew it"""


@dataclass(frozen=True, slots=True)
class ProxyState:
    puts: list[PermanentPut] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)


def pack_proxy_state(state: ProxyState) -> bytes:
    """The file's content."""
    puts: dict[bytes, list[dict[int, Any]]] = {}
    for put in state.puts:
        entry: dict[str, Any] = {"value": msgpack.unpackb(pack_value(put.value), strict_map_key=False, unicode_errors="surrogateescape")}
        entry["exp"] = int(put.expires)
        if put.target is not None:
            entry |= {"sid": put.target.session_id, "cid": put.target.client_id, "t": _type(put.target), "token": put.target.token}
            entry["top"] = put.target.topic
        puts.setdefault(bytes(put.key), []).append({put.value.id: entry})
    pushes: dict[str, list[dict[bytes, list[dict[str, Any]]]]] = {}
    for push in state.pushes:
        listener = {"cid": push.target.client_id, "exp": int(push.expires), "t": _type(push.target), "sid": push.target.session_id}
        listener["top"] = push.target.topic
        pushes.setdefault(push.target.token, []).append({bytes(push.key): [listener]})
    packed: bytes = msgpack.packb({"puts": puts, "pushListeners": pushes}, unicode_errors="surrogateescape")
    return packed


def unpack_proxy_state(data: bytes) -> ProxyState:
    """Reads a state file of ours or of the real proxy; raises RemoteError."""
    packed = _map(unpack(data))
    state = ProxyState()
    for raw_key, values in _map(packed.get("puts", {})).items():
        key = InfoHash(as_bytes(raw_key, "a key"))
        for by_id in _list(values):
            for entry in _map(by_id).values():
                fields = _map(entry)
                target = _target(_text(fields.get("token", "")), fields) if fields.get("token") else None
                state.puts.append(
                    PermanentPut(key, read_value(fields.get("value")), as_uint(fields.get("exp"), 63, "an expiration"), target)
                )
    for token, keys in _map(packed.get("pushListeners", {})).items():
        for by_key in _list(keys):
            for raw_key, listeners in _map(by_key).items():
                key = InfoHash(as_bytes(raw_key, "a key"))
                for listener in _list(listeners):
                    fields = _map(listener)
                    expires = as_uint(fields.get("exp"), 63, "an expiration")
                    state.pushes.append(Push(key, _target(_text(token), fields), expires))
    return state


_TYPES = ("", "android", "ios", "unifiedpush")


def _type(target: PushTarget) -> int:
    return _TYPES.index(target.platform) if target.platform in _TYPES else 1


def _target(token: str, fields: dict[str, Any]) -> PushTarget:
    number = fields.get("t", 1)
    platform = _TYPES[number] if type(number) is int and 0 < number < len(_TYPES) else "android"
    return PushTarget(token, _text(fields.get("cid", "")), _text(fields.get("sid", "")), _text(fields.get("top", "")), platform)


def _text(raw: object) -> str:
    return as_text(raw, _TEXT, "a text")


def _map(raw: object) -> dict[Any, Any]:
    if not isinstance(raw, dict):
        raise RemoteError("not a map")
    return raw


def _list(raw: object) -> list[Any]:
    if not isinstance(raw, list):
        raise RemoteError("not an array")
    return raw
