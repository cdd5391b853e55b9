"""The messages of OpenDHT, one frozen dataclass each, and their exact bytes (protocol: opendht, sections 3 to 6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import WIRE_NUMBER, CompactNode, Family, pack_node
from jamid.dht.packing import array_header, map_header, pack, pack_bin, pack_str, pack_uint
from jamid.dht.query import Field, FieldValue, Query
from jamid.dht.values import WireValue, pack_value

AGENT = "o2"
"""How we name ourselves: the agent of every node since 2.6."""
CHUNK_BYTES = 1280
"""Payload of one packet of a fragmented value."""
INLINE_BYTES = 600
"""Values of fewer bytes in all travel in the message itself."""
INLINE_VALUES = 50
"""…unless they are this many."""
ZERO_ID = InfoHash(bytes(20))


class ErrorCode:
    """Codes of error packets."""

    NON_AUTHORITATIVE = 203
    UNAUTHORIZED = 401
    NOT_FOUND = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What every packet carries."""

    tid: int
    """matches replies and value data to requests"""
    agent: str = AGENT
    """informational; "" when absent"""
    network: int = 0
    client: bool = False
    """the sender serves nobody and wants in no table"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Message):
    sender: InfoHash


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Message):
    sender: InfoHash
    target: InfoHash
    want: tuple[Family, ...] | None = None
    """families of the nodes wanted; None = that of the packet"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(Message):
    sender: InfoHash
    key: InfoHash
    query: Query | None = None
    want: tuple[Family, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Put(Message):
    sender: InfoHash
    key: InfoHash
    values: tuple[WireValue, ...] = ()
    sizes: tuple[int, ...] = ()
    """bytes of the fragmented values that follow, instead of `values`"""
    created: int | None = None
    """Unix seconds; None = now"""
    token: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh(Message):
    sender: InfoHash
    key: InfoHash
    value_id: int
    token: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen(Message):
    sender: InfoHash
    key: InfoHash
    token: bytes
    socket: int
    """the listener's name for this subscription"""
    query: Query | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(Message):
    """What a storer pushes to a listener: new values (with key), or ids of refreshed or expired ones (without)."""

    sender: InfoHash
    socket: int
    key: InfoHash | None = None
    values: tuple[WireValue, ...] = ()
    sizes: tuple[int, ...] = ()
    created: int | None = None
    token: bytes = b""
    refreshed: tuple[int, ...] = ()
    expired: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Message):
    sender: InfoHash
    seen: bytes = b""
    """our own packed address, as the replier saw it"""
    nodes4: tuple[CompactNode, ...] = ()
    nodes6: tuple[CompactNode, ...] = ()
    token: bytes | None = None
    values: tuple[WireValue, ...] = ()
    sizes: tuple[int, ...] = ()
    fields: tuple[dict[Field, FieldValue], ...] | None = None
    """rows of a query with a selection"""
    value_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply(Message):
    sender: InfoHash
    code: int
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueData(Message):
    """Pieces of the fragmented values of another message with the same tid."""

    chunks: tuple[tuple[int, int, bytes], ...]
    """(index of the value, offset, bytes)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyUpdate(Message):
    """A refresh or expiry pushed by old nodes to old listeners; the tid is the listener's socket."""

    sender: InfoHash
    token: bytes = b""
    refreshed: tuple[int, ...] = ()
    expired: tuple[int, ...] = ()


Request = Ping | Find | Get | Put | Refresh | Listen | Update
AnyMessage = Request | Reply | ErrorReply | ValueData | LegacyUpdate

_ID = b"\xa2id\xc4\x14"
_KEY = b"\xa1h\xc4\x14"
_Y_QUERY, _Y_REPLY, _Y_ERROR, _Y_DATA = b"\xa1y\xa1q", b"\xa1y\xa1r", b"\xa1y\xa1e", b"\xa1y\xa1p"


def encode(message: AnyMessage) -> list[bytes]:
    """The packets of MESSAGE: one, and one more for each chunk of values too large for it."""
    match message:
        case Reply():
            return _encode_reply(message)
        case Put():
            body, data = _values(message, message.values, message.sizes)
            count, tail = 4, b""
            if message.created is not None:
                count, tail = 5, b"\xa1c" + pack_uint(message.created)
            body = map_header(count) + _ID + message.sender + _KEY + message.key + body + tail + b"\xa5token" + pack_bin(message.token)
            return [_request(message, body, b"\xa3put"), *data]
        case Update():
            return _encode_update(message)
        case ValueData():
            return [_encode_data(message)]
        case ErrorReply():
            error = b"\x92" + pack_uint(message.code) + pack_str(message.text)
            head = map_header(4 + _extra(message)) + b"\xa1e" + error + b"\xa1r\x81" + _ID + message.sender
            return [head + b"\xa1t" + pack_uint(message.tid) + _Y_ERROR + _tail(message)]
        case LegacyUpdate():
            which = b"\xa2re" + _ids(message.refreshed) if message.refreshed else b"\xa3exp" + _ids(message.expired)
            body = b"\x83" + _ID + message.sender + b"\xa5token" + pack_bin(message.token) + which
            return [map_header(3 + _extra(message)) + b"\xa1u" + body + _Y_REPLY + _tail(message) + b"\xa1t" + pack_uint(message.tid)]
        case _:
            return [_encode_small(message)]


def fragments(tid: int, packed_values: list[bytes], network: int = 0, client: bool = False) -> Iterator[bytes]:
    """The value data packets of PACKED_VALUES, in the order in which old readers need them."""
    for index, packed in enumerate(packed_values):
        for offset in range(0, len(packed), CHUNK_BYTES):
            chunk = ((index, offset, packed[offset : offset + CHUNK_BYTES]),)
            yield _encode_data(ValueData(tid=tid, network=network, client=client, chunks=chunk))


def fits_inline(packed_values: list[bytes]) -> bool:
    """Whether the values travel inside the message."""
    return len(packed_values) < INLINE_VALUES and sum(map(len, packed_values)) < INLINE_BYTES


def _encode_small(message: Ping | Find | Get | Refresh | Listen) -> bytes:
    match message:
        case Ping():
            return _request(message, b"\x81" + _ID + message.sender, b"\xa4ping")
        case Find():
            want = _want(message.want)
            body = map_header(2 + bool(want)) + _ID + message.sender + b"\xa6target\xc4\x14" + message.target + want
            return _request(message, body, b"\xa4find")
        case Get():
            want, query = _want(message.want), _query(message.query)
            body = map_header(2 + bool(want) + bool(query)) + _ID + message.sender + _KEY + message.key + query + want
            return _request(message, body, b"\xa3get")
        case Refresh():
            body = b"\x84" + _ID + message.sender + _KEY + message.key + b"\xa3vid" + pack_uint(message.value_id)
            return _request(message, body + b"\xa5token" + pack_bin(message.token), b"\xa7refresh")
        case Listen():
            query = _query(message.query)
            version = b"\xa2ve" + pack_uint(message.version) if message.version else b""
            body = map_header(4 + bool(version) + bool(query)) + _ID + message.sender + version + _KEY + message.key
            body += b"\xa5token" + pack_bin(message.token) + b"\xa3sid" + pack_uint(message.socket) + query
            return _request(message, body, b"\xa6listen")


def _encode_update(message: Update) -> list[bytes]:
    data: list[bytes] = []
    socket, token = b"\xa3sid" + pack_uint(message.socket), b"\xa5token" + pack_bin(message.token)
    if message.key is None:
        which = b"\xa2re" + _ids(message.refreshed) if message.refreshed else b"\xa3exp" + _ids(message.expired)
        body = b"\x84" + _ID + message.sender + socket + token + which
        head = map_header(4 + _extra(message)) + b"\xa1a" + body + _Y_QUERY + _tail(message)
        return [head + b"\xa1q\xa6update\xa1t" + pack_uint(message.tid)]
    values, data = _values(message, message.values, message.sizes)
    created = b"" if message.created is None else b"\xa1c" + pack_uint(message.created)
    body = map_header(6 + bool(created)) + _ID + message.sender + b"\xa2ve\x01" + _KEY + message.key + socket + values + created + token
    return [_request(message, body, b"\xa6update"), *data]


def _encode_reply(message: Reply) -> list[bytes]:
    nodes = [b"".join(pack_node(node.id, node.address) for node in nodes) for nodes in (message.nodes4, message.nodes6)]
    return pack_reply(message, message.seen, nodes[0], nodes[1], message.token, message.values, message.fields, message.value_id)


def pack_reply(
    head: Reply,
    seen: bytes,
    nodes4: bytes = b"",
    nodes6: bytes = b"",
    token: bytes | None = None,
    values: Sequence[WireValue] = (),
    fields: Sequence[dict[Field, FieldValue]] | None = None,
    value_id: int | None = None,
) -> list[bytes]:
    """A reply's packets around node lists that are packed already; HEAD gives sender and envelope (and the sizes, if it has any)."""
    parts, count = [_ID, head.sender], 1
    data: list[bytes] = []
    if value_id is not None:
        count += 1
        parts += (b"\xa3vid", pack_uint(value_id))
    if seen:
        count += 1
        parts += (b"\xa2sa", pack_bin(seen))
    if nodes4:
        count += 1
        parts += (b"\xa2n4", pack_bin(nodes4))
    if nodes6:
        count += 1
        parts += (b"\xa2n6", pack_bin(nodes6))
    if token is not None:
        count += 1
        parts += (b"\xa5token", pack_bin(token))
    if values or head.sizes:
        count += 1
        packed, data = _values(head, values, head.sizes)
        parts.append(packed)
    elif fields is not None:
        count += 1
        parts += (b"\xa6fileds", _rows(fields))
    start = map_header(3 + _extra(head)) + b"\xa1r" + map_header(count)
    return [b"".join((start, *parts, b"\xa1t", pack_uint(head.tid), _Y_REPLY, _tail(head))), *data]


def _encode_data(message: ValueData) -> bytes:
    extra = bool(message.network) + message.client
    head = map_header(3 + extra)
    if message.network:
        head += b"\xa1n" + pack_uint(message.network)
    if message.client:
        head += b"\xa1s\xc3"
    chunks = b"".join(
        pack_uint(index) + b"\x82\xa1o" + pack_uint(offset) + b"\xa1d" + pack_bin(chunk) for index, offset, chunk in message.chunks
    )
    return head + _Y_DATA + b"\xa1t" + pack_uint(message.tid) + b"\xa1p" + map_header(len(message.chunks)) + chunks


def _request(message: Message, body: bytes, name: bytes) -> bytes:
    head = map_header(4 + _extra(message)) + b"\xa1a" + body + b"\xa1q" + name
    return head + b"\xa1t" + pack_uint(message.tid) + _Y_QUERY + _tail(message)


def _extra(message: Message) -> int:
    return bool(message.agent) + bool(message.network) + message.client


def _tail(message: Message) -> bytes:
    tail = b"\xa1v" + pack_str(message.agent) if message.agent else b""
    if message.client:
        tail += b"\xa1s\xc3"
    if message.network:
        tail += b"\xa1n" + pack_uint(message.network)
    return tail


def _values(message: Message, values: Sequence[WireValue], sizes: tuple[int, ...]) -> tuple[bytes, list[bytes]]:
    """`values` as it stands in the body, and the packets that follow."""
    if sizes:
        return b"\xa6values" + array_header(len(sizes)) + b"".join(map(pack_uint, sizes)), []
    packed = [pack_value(value) for value in values]
    head = b"\xa6values" + array_header(len(packed))
    if fits_inline(packed):
        return head + b"".join(packed), []
    data = list(fragments(message.tid, packed, message.network, message.client))
    return head + b"".join(pack_uint(len(one)) for one in packed), data


def _want(want: tuple[Family, ...] | None) -> bytes:
    return b"" if want is None else b"\xa1w" + array_header(len(want)) + bytes(WIRE_NUMBER[family] for family in want)


def _query(query: Query | None) -> bytes:
    return b"" if query is None else b"\xa1q" + query.pack()


def _ids(ids: tuple[int, ...]) -> bytes:
    return array_header(len(ids)) + b"".join(map(pack_uint, ids))


def _rows(rows: Sequence[dict[Field, FieldValue]]) -> bytes:
    fields = sorted(rows[0]) if rows else []
    flat = [row[field] for row in rows for field in fields]
    return pack({"f": [int(field) for field in fields], "v": flat})
