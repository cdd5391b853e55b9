"""What holds for all values, messages, fragments and queries."""

from __future__ import annotations

import random

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, CompactNode, Family
from jamid.dht.decode import decode
from jamid.dht.fragments import Fragments
from jamid.dht.packing import array_header, map_header, pack_bin, pack_str, pack_uint, unpack
from jamid.dht.proxy_json import value_from_json, value_to_json
from jamid.dht.query import Field, Query, pack_fields, read_fields, read_query
from jamid.dht.ratelimit import RateLimit
from jamid.dht.values import WireValue, pack_value, unpack_value
from jamid.dht.wire import Find, Get, Listen, Ping, Put, Refresh, Reply, Update, ValueData, encode

hashes = st.binary(min_size=20, max_size=20).map(InfoHash)
numbers32 = st.integers(0, 2**32 - 1)
numbers64 = st.integers(0, 2**64 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
plain_values = st.builds(
    WireValue, id=numbers64, type=st.integers(0, 65535), data=st.binary(max_size=300), user_type=texts, priority=numbers32, push_type=texts
)
signed_values = st.builds(
    WireValue,
    id=numbers64,
    type=st.integers(0, 65535),
    data=st.binary(max_size=300),
    user_type=texts,
    owner=st.binary(min_size=1, max_size=600),
    seq=st.integers(0, 65535),
    recipient=st.none() | hashes,
    signature=st.binary(min_size=1, max_size=600),
)
sealed_values = st.builds(WireValue, id=numbers64, cipher=st.binary(min_size=1, max_size=900), priority=numbers32, push_type=texts)
values = plain_values | signed_values | sealed_values
filters = st.one_of(
    st.tuples(st.just(Field.ID), numbers64),
    st.tuples(st.just(Field.TYPE), st.integers(0, 65535)),
    st.tuples(st.just(Field.OWNER), st.binary(min_size=20, max_size=20)),
    st.tuples(st.just(Field.USER_TYPE), texts),
)
queries = st.builds(Query, select=st.lists(st.sampled_from(Field), max_size=4).map(tuple), where=st.lists(filters, max_size=4).map(tuple))
tokens = st.binary(max_size=64)
wants = st.none() | st.lists(st.sampled_from(Family), max_size=2).map(tuple)
compact4 = st.builds(CompactNode, hashes, st.builds(Address, st.ip_addresses(v=4).map(str), st.integers(0, 65535)))
common = {"tid": numbers32, "network": numbers32, "client": st.booleans(), "agent": st.sampled_from(["o2", "RNG1", ""])}
ids = st.lists(numbers64, min_size=1, max_size=5).map(tuple)
messages = st.one_of(
    st.builds(Ping, sender=hashes, **common),
    st.builds(Find, sender=hashes, target=hashes, want=wants, **common),
    st.builds(Get, sender=hashes, key=hashes, query=st.none() | queries, want=wants, **common),
    st.builds(Refresh, sender=hashes, key=hashes, value_id=numbers64, token=tokens, **common),
    st.builds(Listen, sender=hashes, key=hashes, token=tokens, socket=numbers32, query=st.none() | queries, **common),
    st.builds(Update, sender=hashes, socket=numbers32, token=tokens, refreshed=ids, **common),
    st.builds(Update, sender=hashes, socket=numbers32, token=tokens, expired=ids, **common),
    st.builds(
        Reply,
        sender=hashes,
        seen=st.binary(min_size=4, max_size=4),
        nodes4=st.lists(compact4, max_size=8).map(tuple),
        token=tokens,
        **common,
    ),
    st.builds(Reply, sender=hashes, value_id=numbers64, **common),
)


@given(values)
def test_a_value_is_read_as_it_was_written(value: WireValue) -> None:
    assert unpack_value(pack_value(value)) == value


@given(values.filter(lambda value: not value.owner))
def test_a_value_survives_json(value: WireValue) -> None:
    assert value_from_json(value_to_json(value)) == value


@given(messages)
def test_a_message_is_read_as_it_was_written(message: Ping) -> None:
    (packet,) = encode(message)
    assert decode(packet) == message


@given(queries)
def test_a_query_is_read_as_it_was_written(query: Query) -> None:
    assert read_query(unpack(query.pack())) == query


@given(
    st.lists(plain_values, min_size=1, max_size=6),
    st.lists(st.sampled_from([f for f in Field if f is not Field.OWNER]), min_size=1, max_size=4),
)
def test_selected_fields_are_read_as_they_were_written(stored: list[WireValue], select: list[Field]) -> None:
    rows = read_fields(unpack(pack_fields(stored, tuple(select))))
    assert len(rows) == len(stored)
    for row, value in zip(rows, stored, strict=True):
        assert set(row) == set(select)
        assert row.get(Field.ID, value.id) == value.id
        assert row.get(Field.USER_TYPE, value.user_type) == value.user_type


@given(st.lists(values, min_size=1, max_size=60), numbers32, st.randoms(use_true_random=False))
def test_values_arrive_whole_in_whatever_order_their_pieces_come(stored: list[WireValue], tid: int, rng: random.Random) -> None:
    packets = encode(Put(tid=tid, sender=InfoHash.of("x"), key=InfoHash.of("y"), values=tuple(stored), token=b"t"))
    header, *pieces = map(decode, packets)
    assert isinstance(header, Put)
    if not header.sizes:
        assert header.values == tuple(stored)
        return
    rng.shuffle(pieces)
    fragments = Fragments()
    source = ("10.0.0.1", 4222)
    whole = fragments.announce(header, source, 0.0)
    for piece in pieces:
        assert isinstance(piece, ValueData)
        assert whole is None
        whole = fragments.add(piece, source, 0.0)
    assert whole is not None
    assert whole.values == tuple(stored)
    assert len(fragments) == 0


@given(numbers64, st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"]), max_size=300), st.integers(0, 65535))
def test_our_packing_is_msgpacks(number: int, data: bytes, text: str, length: int) -> None:
    assert pack_uint(number) == msgpack.packb(number)
    assert pack_bin(data) == msgpack.packb(data)
    assert pack_str(text) == msgpack.packb(text)
    packer = msgpack.Packer()
    assert array_header(length) == packer.pack_array_header(length)
    assert map_header(length) == packer.pack_map_header(length)


@given(st.lists(st.tuples(st.floats(0, 0.2), st.integers(0, 3)), max_size=200))
def test_no_window_of_a_second_lets_more_through(steps: list[tuple[float, int]]) -> None:
    limit, now = RateLimit(total=10, per_host=4), 0.0
    accepted: list[tuple[float, int]] = []
    for pause, host in steps:
        now += pause
        if limit.accepts(f"10.0.0.{host}", now):
            accepted.append((now, host))
    for start, _ in accepted:
        window = [host for at, host in accepted if start <= at < start + 1]
        assert len(window) <= 10
        assert all(window.count(host) <= 4 for host in set(window))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.booleans(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["id", "dat", "data", "type", "utype", "owner", "sig", "seq", "to", "cypher", "prio", "pt"]), inner
            )
        ),
        max_leaves=15,
    )
)
def test_json_is_a_value_or_a_remote_error(raw: object) -> None:
    try:
        value = value_from_json(raw)
    except RemoteError:
        return
    assert value_from_json(value_to_json(value)) == value
