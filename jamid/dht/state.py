"""What a node keeps between two runs, in the real node's format (protocol: opendht, section 23)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from jamid.core import limits
from jamid.core.errors import LocalError, RemoteError
from jamid.core.files import read_if_present, set_aside, write_atomically
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, Family, is_martian, pack_sockaddr, unpack_sockaddr
from jamid.dht.packing import array_header, as_bytes, pack_bin, unpack
from jamid.dht.values import WireValue, pack_value, read_value

_log = logging.getLogger(__name__)
_VERSION = 1
_FILE_BYTES = 128 * 1024 * 1024
"""All stored values with some overhead."""

StoredValue = tuple[InfoHash, WireValue, float, float]
"""key, value, created, expires; Unix seconds"""


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node's memory."""

    node_id: InfoHash | None = None
    nodes: list[tuple[InfoHash, Address]] = field(default_factory=list)
    values: list[StoredValue] = field(default_factory=list)


def pack_state(state: NodeState) -> bytes:
    """The file's content, in the form of OpenDHT since 3.7.4."""
    nodes = [{"id": bytes(node_id), "addr": pack_sockaddr(address)} for node_id, address in state.nodes]
    shelves: dict[bytes, list[bytes]] = {}
    for key, value, created, expires in state.values:
        times = [msgpack.packb(msgpack.Timestamp.from_unix(max(time, 0.0))) for time in (created, expires)]
        shelves.setdefault(bytes(key), []).append(b"\x94" + times[0] + pack_value(value) + pack_bin(b"") + times[1])
    values = [[key, array_header(len(entries)) + b"".join(entries)] for key, entries in shelves.items()]
    packed: bytes = msgpack.packb({"v": _VERSION, "id": bytes(state.node_id or bytes(20)), "nodes": nodes, "values": values})
    return packed


def unpack_state(data: bytes) -> NodeState:
    """Reads a state file of ours or of the real node, without values that have no usable times (before 3.7.4); raises RemoteError."""
    packed = unpack(data)
    if not isinstance(packed, dict) or packed.get("v") != _VERSION:
        raise RemoteError("not a state file of version 1")
    raw_id = packed.get("id")
    node_id = InfoHash(raw_id) if isinstance(raw_id, bytes) and any(raw_id) else None
    nodes, values = packed.get("nodes", []), packed.get("values", [])
    if not isinstance(nodes, list) or not isinstance(values, list):
        raise RemoteError("nodes and values are arrays")
    known = [_read_node(one) for one in nodes[: limits.DHT_STATE_NODES]]
    stored = [value for one in values for value in _read_shelf(one)]
    return NodeState(node_id, [one for one in known if not is_martian(one[1])], stored)


def read_state(path: Path) -> tuple[NodeState, dict[Family, int]]:
    """The state of the last run and its ports; a broken file is set aside."""
    state = NodeState()
    try:
        data = read_if_present(path, _FILE_BYTES)
        if data:
            state = unpack_state(data)
    except RemoteError as error:
        set_aside(path, str(error))
    except LocalError as error:
        _log.error("the DHT node starts without its state: %s", error)
    return state, _read_ports(path)


def write_state(path: Path, state: NodeState, ports: dict[Family, int]) -> None:
    """Replaces the state file and the file with the ports; raises LocalError."""
    write_atomically(path, pack_state(state))
    write_atomically(_ports_path(path), f"{ports.get(Family.V4, 0)}\n{ports.get(Family.V6, 0)}\n".encode())


def _read_node(raw: object) -> tuple[InfoHash, Address]:
    if not isinstance(raw, dict):
        raise RemoteError("a node is a map")
    return InfoHash(as_bytes(raw.get("id"), "a node id")), unpack_sockaddr(as_bytes(raw.get("addr"), "an address"))


def _read_shelf(raw: object) -> list[StoredValue]:
    if not isinstance(raw, list) or len(raw) != 2:
        raise RemoteError("a key and its values are a pair")
    key = InfoHash(as_bytes(raw[0], "a key"))
    entries: Any = unpack(as_bytes(raw[1], "stored values"))
    if not isinstance(entries, list):
        raise RemoteError("stored values are an array")
    stored = []
    for entry in entries:
        if not isinstance(entry, list) or len(entry) < 2:
            raise RemoteError("a stored value has a time and a value")
        if len(entry) >= 4 and isinstance(entry[0], msgpack.Timestamp) and isinstance(entry[3], msgpack.Timestamp):
            stored.append((key, read_value(entry[1]), entry[0].to_unix(), entry[3].to_unix()))
    return stored


def _ports_path(path: Path) -> Path:
    return path.with_name(f"{path.name}_port.txt")


def _read_ports(path: Path) -> dict[Family, int]:
    try:
        lines = (read_if_present(_ports_path(path), 4096) or b"").split()
    except LocalError:
        return {}
    return {
        family: int(line) for family, line in zip((Family.V4, Family.V6), lines, strict=False) if line.isdigit() and 0 < int(line) < 65536
    }
