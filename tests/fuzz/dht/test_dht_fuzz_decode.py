"""The parser of foreign packets: a message or a RemoteError, nothing else; a node survives whatever it is sent."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jamid.core.errors import RemoteError
from jamid.dht.decode import decode
from jamid.dht.state import unpack_state
from jamid.dht.values import unpack_value
from jamid.dht.wire import encode
from tests.simulation.dht.simulator import World

DATA = Path(__file__).parents[2] / "data" / "dht"
SEEDS = [bytes.fromhex(one["hex"]) for one in json.loads((DATA / "packets.json").read_text()) if one.get("hex")]

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.binary(max_size=70), st.text(max_size=20),
    st.sampled_from([bytes(20), b"\x01" * 20, 0, 1, 2, 10, 65536, 2**32 - 1, 2**64 - 1]),
)  # fmt: skip
names = st.sampled_from([
    "a", "r", "e", "u", "p", "y", "t", "v", "n", "s", "q", "id", "h", "target", "w", "token", "values", "fileds", "sa", "n4",
    "n6", "c", "vid", "sid", "ve", "exp", "re", "f", "o", "d", "dat", "body", "sig", "seq", "owner", "to", "type", "data",
    "utype", "pt",
])  # fmt: skip
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.integers(0, 3), inner, max_size=8), max_leaves=30
)
requests = st.fixed_dictionaries(
    {"t": leaves, "q": st.sampled_from(["ping", "find", "get", "put", "listen", "refresh", "update", "x"]), "y": st.just("q")},
    optional={
        "a": st.dictionaries(names, trees, max_size=8) | trees,
        "r": trees,
        "e": trees,
        "p": trees,
        "u": trees,
        "n": leaves,
        "v": leaves,
    },
)


def check(data: bytes) -> None:
    try:
        message = decode(data)
    except RemoteError:
        return
    assert all(isinstance(packet, bytes) for packet in encode(message))


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(trees | requests)
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_any_msgpack(tree: Any) -> None:
    check(msgpack.packb(tree, unicode_errors="surrogatepass"))


@given(st.sampled_from(SEEDS), st.integers(0, 2**32), st.integers(1, 6))
@settings(max_examples=400)
def test_damaged_packets(seed: bytes, random_seed: int, changes: int) -> None:
    rng = random.Random(random_seed)
    data = bytearray(seed)
    for _ in range(changes):
        match rng.randrange(4):
            case 0:
                data[rng.randrange(len(data))] = rng.randrange(256)
            case 1:
                del data[rng.randrange(len(data)) :]
                data += b"\x00"
            case 2:
                data.insert(rng.randrange(len(data)), rng.randrange(256))
            case _:
                start = rng.randrange(len(data))
                data[start:start] = data[start : start + rng.randrange(40)]
    check(bytes(data))


@given(st.binary(max_size=200) | trees.map(lambda tree: msgpack.packb(tree, unicode_errors="surrogatepass")))
def test_values_and_state_files(data: bytes) -> None:
    for parse in (unpack_value, unpack_state):
        try:
            parse(data)
        except RemoteError:
            pass


def test_deep_nesting_is_refused() -> None:
    for opening in (b"\x91", b"\x81\xa1a"):
        check(opening * 20_000)


@given(
    st.lists(
        st.tuples(requests, st.sampled_from(["10.0.0.9", "10.0.0.8", "127.0.0.1", "0.0.0.0", "224.0.0.1"]), st.integers(0, 65535)),
        max_size=30,
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
def test_a_node_survives_any_sequence_of_packets(packets: list[tuple[Any, str, int]]) -> None:
    world = World(1)
    node = world.add()
    for tree, host, port in packets:
        node.core.receive(msgpack.packb(tree, unicode_errors="surrogatepass"), (host, port))
        world.run(0.5)
    other = world.add(bootstrap=node)
    world.run(10)
    assert node.core.id in {known.id for known in other.core.good_nodes()}, "it still serves an honest peer"
