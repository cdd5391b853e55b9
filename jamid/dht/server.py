"""Answers to the requests of others (protocol: opendht, sections 4, 6, 14 and 15)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, Family, packed_host
from jamid.dht.engine import Engine
from jamid.dht.nodes import RemoteNode
from jamid.dht.packing import unpack
from jamid.dht.query import Field, FieldValue, pack_fields, read_fields
from jamid.dht.search import SEARCH_NODES, TARGET_NODES
from jamid.dht.storage import Change, RemoteListener, Storage
from jamid.dht.table import RoutingTable
from jamid.dht.timers import Timers
from jamid.dht.tokens import Tokens
from jamid.dht.values import WireValue
from jamid.dht.wire import (
    ZERO_ID,
    ErrorCode,
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
    encode,
    pack_reply,
)

UPDATE_BYTES: Final = 56 * 1024
"""Values beyond this go into a further update."""


class Server:
    """What a node does for others."""

    def __init__(
        self,
        engine: Engine,
        tables: dict[Family, RoutingTable],
        storage: Storage,
        tokens: Tokens,
        timers: Timers,
        on_update: Callable[[Update, RemoteNode], None],
    ) -> None:
        self._engine = engine
        self._tables = tables
        self._storage = storage
        self._tokens = tokens
        self._timers = timers
        self._on_update = on_update

    def handle(self, message: Request, node: RemoteNode, source: Address) -> None:
        """Answers one request."""
        match message:
            case Get():
                self._get(message, source)
            case Find():
                self._find(message, source)
            case Put():
                self._put(message, source)
            case Ping():
                self._reply(message.tid, source)
            case Listen():
                self._listen(message, node, source)
            case Update():
                self._reply(message.tid, source)
                self._on_update(message, node)
            case Refresh():
                self._refresh(message, source)

    def push(self, key: InfoHash, listeners: Iterable[RemoteListener], change: Change, values: list[WireValue]) -> None:
        """Tells the listeners of KEY what happened."""
        for listener in listeners:
            if listener.node.expired:
                continue
            if change is Change.ADDED:
                matching = [value for value in values if listener.query is None or listener.query.matches(value)]
                if matching:
                    self._push_values(key, listener, matching)
            else:
                self._push_ids(listener, change, tuple(value.id for value in values))

    # -- each request

    def _find(self, message: Find, source: Address) -> None:
        nodes = self._closest(message.target, message.want, source)
        self._reply(message.tid, source, nodes=nodes, token=self._tokens.make(source))

    def _get(self, message: Get, source: Address) -> None:
        if message.key == ZERO_ID:
            self._refuse(message.tid, ErrorCode.NON_AUTHORITATIVE, "Get_values with no info_hash", source)
            return
        nodes = self._closest(message.key, message.want, source)
        token = self._tokens.make(source)
        values = self._storage.get(message.key, message.query)
        if values and message.query is not None and message.query.select:
            rows = read_fields(unpack(pack_fields(values, message.query.select)))
            self._reply(message.tid, source, nodes=nodes, token=token, fields=rows)
        else:
            self._reply(message.tid, source, nodes=nodes, token=token, values=values)

    def _put(self, message: Put, source: Address) -> None:
        if message.key == ZERO_ID:
            self._refuse(message.tid, ErrorCode.NON_AUTHORITATIVE, "Put with no info_hash", source)
            return
        if not self._tokens.check(message.token, source):
            self._refuse(message.tid, ErrorCode.UNAUTHORIZED, "Put with incorrect token", source)
            return
        now = self._timers.now()
        created = now
        if message.created is not None:
            created = now - max(self._timers.wall() - message.created, 0.0)
        ours = not self._too_far(message.key, source.family, now)
        for value in message.values:
            if value.id == 0:
                self._refuse(message.tid, ErrorCode.NON_AUTHORITATIVE, "Put with invalid ID", source)
                return
            if ours:
                self._storage.store(message.key, value, created, source)
            self._reply(message.tid, source, value_id=value.id)

    def _refresh(self, message: Refresh, source: Address) -> None:
        if not self._tokens.check(message.token, source):
            self._refuse(message.tid, ErrorCode.UNAUTHORIZED, "Refresh with incorrect token", source)
        elif not self._storage.refresh(message.key, message.value_id):
            self._refuse(message.tid, ErrorCode.NOT_FOUND, "Access operation for unknown storage", source)
        else:
            self._reply(message.tid, source, value_id=message.value_id)

    def _listen(self, message: Listen, node: RemoteNode, source: Address) -> None:
        if message.key == ZERO_ID:
            self._refuse(message.tid, ErrorCode.NON_AUTHORITATIVE, "Listen with no info_hash", source)
            return
        if not self._tokens.check(message.token, source):
            self._refuse(message.tid, ErrorCode.UNAUTHORIZED, "Listen with incorrect token", source)
            return
        legacy = message.version < 1
        stored = self._storage.listen(message.key, node, message.socket, message.query, legacy=legacy)
        self._reply(message.tid, source, token=self._tokens.make(source))
        if stored:
            listener = RemoteListener(node, message.socket, message.query, 0.0, legacy)
            self._push_values(message.key, listener, stored)

    # -- details

    def _too_far(self, key: InfoHash, family: Family, now: float) -> bool:
        """Whether enough nodes are closer to KEY than we are."""
        nodes = self._tables[family].closest(key, SEARCH_NODES, now)
        if len(nodes) < TARGET_NODES:
            return False
        number = int.from_bytes(key, "big")
        return nodes[-1].number ^ number < int.from_bytes(self._engine.id, "big") ^ number

    def _closest(self, target: InfoHash, want: tuple[Family, ...] | None, source: Address) -> tuple[bytes, bytes]:
        """The nodes closest to TARGET, packed, of each family that was asked for."""
        now = self._timers.now()
        families = (source.family,) if want is None else want
        nodes4, nodes6 = (
            b"".join([node.compact for node in self._tables[family].closest(target, TARGET_NODES, now)]) if family in families else b""
            for family in (Family.V4, Family.V6)
        )
        return nodes4, nodes6

    def _reply(
        self,
        tid: int,
        source: Address,
        *,
        nodes: tuple[bytes, bytes] = (b"", b""),
        token: bytes | None = None,
        values: Sequence[WireValue] = (),
        fields: Sequence[dict[Field, FieldValue]] | None = None,
        value_id: int | None = None,
    ) -> None:
        head = Reply(tid=tid, **self._engine.envelope)
        self._engine.answer(pack_reply(head, packed_host(source.host), *nodes, token, values, fields, value_id), source)

    def _refuse(self, tid: int, code: int, text: str, source: Address) -> None:
        self._engine.reply_error(tid, code, text, source)

    def _push_values(self, key: InfoHash, listener: RemoteListener, values: list[WireValue]) -> None:
        batch: list[WireValue] = []
        size = 0
        for value in values:
            if batch and size + value.size > UPDATE_BYTES:
                self._push_batch(key, listener, batch)
                batch, size = [], 0
            batch.append(value)
            size += value.size
        self._push_batch(key, listener, batch)

    def _push_batch(self, key: InfoHash, listener: RemoteListener, values: list[WireValue]) -> None:
        node = listener.node
        token = self._tokens.make(node.address)
        if listener.legacy:
            seen = packed_host(node.address.host)
            legacy = Reply(tid=listener.socket, seen=seen, token=token, values=tuple(values), **self._engine.envelope)
            self._engine.answer(encode(legacy), node.address)
            return
        tid = self._engine.new_tid()
        update = Update(tid=tid, key=key, socket=listener.socket, values=tuple(values), token=token, **self._engine.envelope)
        self._engine.update(node, update)

    def _push_ids(self, listener: RemoteListener, change: Change, ids: tuple[int, ...]) -> None:
        node = listener.node
        token = self._tokens.make(node.address)
        refreshed, expired = (ids, ()) if change is Change.REFRESHED else ((), ids)
        news: dict[str, Any] = {"token": token, "refreshed": refreshed, "expired": expired, **self._engine.envelope}
        if listener.legacy:
            self._engine.answer(encode(LegacyUpdate(tid=listener.socket, **news)), node.address)
        else:
            self._engine.update(node, Update(tid=self._engine.new_tid(), socket=listener.socket, **news))
