"""The routing table: what it takes in, splits, replaces and hands out."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address
from jamid.dht.nodes import RemoteNode
from jamid.dht.table import BUCKET_NODES, RoutingTable

OWN = InfoHash(bytes(20))


def node(number: int, port: int = 4222) -> RemoteNode:
    return RemoteNode(InfoHash(number.to_bytes(20, "big")), Address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", port))


def good(number: int) -> RemoteNode:
    one = node(number)
    one.hear(0.0, replied=True)
    return one


def table(own: InfoHash = OWN) -> tuple[RoutingTable, list[RemoteNode]]:
    pinged: list[RemoteNode] = []
    return RoutingTable(own, pinged.append), pinged


def test_only_our_own_bucket_is_split() -> None:
    routing, _ = table()
    high = 1 << 159
    for number in range(1, 12):
        routing.heard(good(high | number), 2, 0.0)
    for number in range(1, 12):
        routing.heard(good(number), 2, 0.0)
    assert sum(1 for one in routing.nodes() if one.number >= high) == BUCKET_NODES
    assert sum(1 for one in routing.nodes() if one.number < high) >= 11, "near us there is room for all"
    assert routing.depth > 100


def test_an_expired_node_gives_its_place() -> None:
    routing, _ = table()
    high = 1 << 159
    nodes = [good(high | number) for number in range(1, 9)]
    for one in nodes:
        routing.heard(one, 2, 0.0)
    routing.heard(good(1), 2, 0.0)
    nodes[3].expired = True
    newcomer = good(high | 100)
    assert routing.heard(newcomer, 2, 0.0)
    assert newcomer.in_table
    assert not nodes[3].in_table


def test_a_silent_node_is_asked_before_it_is_replaced() -> None:
    routing, pinged = table()
    high = 1 << 159
    for number in range(1, 9):
        routing.heard(node(high | number), 1, 0.0)
    routing.heard(good(1), 2, 0.0)
    newcomer = good(high | 100)
    assert not routing.heard(newcomer, 2, 0.0)
    assert len(pinged) >= 1
    for one in routing.nodes():
        one.expired = one.number >= high
    routing.purge()
    assert pinged[-1] is newcomer, "the candidate of the bucket is greeted when a place is free"


def test_clients_are_never_taken_in() -> None:
    routing, _ = table()
    client = good(5)
    client.is_client = True
    assert not routing.heard(client, 2, 0.0)
    assert routing.nodes() == []


@given(st.integers(0, 2**32), st.integers(1, 300))
def test_closest_are_the_closest_of_the_table(seed: int, count: int) -> None:
    rng = random.Random(seed)
    routing, _ = table(InfoHash(rng.randbytes(20)))
    for _ in range(count):
        one = RemoteNode(InfoHash(rng.randbytes(20)), Address("10.0.0.1", 4222))
        one.hear(0.0, replied=rng.random() < 0.9)
        routing.heard(one, 2, 0.0)
    target = InfoHash(rng.randbytes(20))
    number = int.from_bytes(target, "big")
    found = routing.closest(target, 8, 1.0)
    assert all(one.is_good(1.0) for one in found)
    assert found == sorted(found, key=lambda one: one.number ^ number)
    bucket = routing.bucket_of(number)
    there = sorted((one for one in bucket.nodes if one.is_good(1.0)), key=lambda one: one.number ^ number)
    assert found[: len(there[:8])] == there[:8], "nothing outside the target's bucket is closer than what is in it"
    assert [one.first for one in routing.buckets] == sorted(one.first for one in routing.buckets)
