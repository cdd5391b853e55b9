"""The routing table of a conversation: which devices to keep a channel to, after the protocol of 17 (protocol: swarm, section 15). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError

VERSION: Final = 1
FIND: Final = 1
FOUND: Final = 2
BUCKET_SIZE: Final = 2


@dataclass(frozen=True, slots=True)
class Find:
    """The peer asks for the nodes nearest to one."""

    node: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Found:
    """The peer names nodes."""

    nodes: tuple[bytes, ...]
    mobile: tuple[bytes, ...] = ()


Message = Find | Found


class MessageReader:
    """Cuts the stream of a `swarm://` channel into messages."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=limits.ROUTING_MESSAGE_BYTES)

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that DATA completes; those with nothing for us are left out. Raises RemoteError."""
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull:
            raise LimitError(f"a routing message of more than {limits.ROUTING_MESSAGE_BYTES} bytes") from None
        while True:
            try:
                unpacked = self._unpacker.unpack()
            except msgpack.OutOfData:
                return
            except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
                raise RemoteError(f"malformed routing message: {type(error).__name__}") from None
            message = _message(unpacked)
            if message is not None:
                yield message


def write_find(node: bytes, count: int = BUCKET_SIZE) -> bytes:
    return _pack({"v": VERSION, "is_mobile": False, "request": {"q": FIND, "num": count, "nodeId": node}, "response": None})


def write_found(nodes: list[bytes]) -> bytes:
    return _pack({"v": VERSION, "is_mobile": False, "request": None, "response": {"q": FOUND, "nodes": nodes, "mobile_nodes": []}})


def _pack(message: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return packed


def _message(unpacked: Any) -> Message | None:
    if not isinstance(unpacked, dict):
        raise RemoteError("a routing message that is no map")
    request, response = unpacked.get("request"), unpacked.get("response")
    if isinstance(request, dict) and request.get("q") == FIND:
        node, count = request.get("nodeId"), request.get("num")
        if not isinstance(node, bytes) or len(node) != 32 or not isinstance(count, int):
            raise RemoteError("malformed routing request")
        return Find(node, max(0, min(count, 16)))
    if isinstance(response, dict) and response.get("q") == FOUND:
        return Found(_nodes(response.get("nodes")), _nodes(response.get("mobile_nodes")))
    return None


def _nodes(given: Any) -> tuple[bytes, ...]:
    if not isinstance(given, list):
        return ()
    if len(given) > limits.ROUTING_NODES:
        raise LimitError(f"a routing answer of {len(given)} nodes")
    return tuple(node for node in given if isinstance(node, bytes) and len(node) == 32)


class RoutingTable:
    """Known and connected nodes of one conversation, by distance from our own."""

    def __init__(self, own: bytes) -> None:
        self._own = own
        self._known: dict[bytes, None] = {}
        self.connected: set[bytes] = set()

    def learn(self, node: bytes) -> None:
        """A node was named."""
        if node != self._own and node not in self._known:
            if len(self._known) >= limits.ROUTING_NODES:
                self._known.pop(next(iter(self._known)))
            self._known[node] = None

    def forget(self, node: bytes) -> None:
        """A node cannot be reached or does not belong here."""
        self._known.pop(node, None)
        self.connected.discard(node)

    def nearest(self, node: bytes, count: int) -> list[bytes]:
        """The COUNT connected nodes nearest to NODE, which is not among them."""
        others = (other for other in self.connected if other != node)
        return sorted(others, key=lambda other: _distance(other, node))[:count]

    def to_connect(self) -> list[bytes]:
        """Known nodes to open a channel to: every bucket (distance by power of two) should have two."""
        filled: dict[int, int] = {}
        for node in self.connected:
            bucket = self._bucket(node)
            filled[bucket] = filled.get(bucket, 0) + 1
        chosen = []
        for node in sorted(self._known, key=lambda other: _distance(other, self._own)):
            bucket = self._bucket(node)
            if node not in self.connected and filled.get(bucket, 0) < BUCKET_SIZE:
                filled[bucket] = filled.get(bucket, 0) + 1
                chosen.append(node)
        return chosen

    def _bucket(self, node: bytes) -> int:
        return _distance(node, self._own).bit_length()


def _distance(first: bytes, second: bytes) -> int:
    return int.from_bytes(first, "big") ^ int.from_bytes(second, "big")
