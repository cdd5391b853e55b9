"""State files of ours and of the real node, and what a broken one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, Family
from jamid.dht.node import DhtNode, DhtSettings, node_id_of
from jamid.dht.packing import unpack
from jamid.dht.query import Field, Query, parse_query, read_query
from jamid.dht.state import NodeState, pack_state, read_state, unpack_state, write_state
from jamid.dht.values import WireValue

DATA = Path(__file__).parents[2] / "data" / "dht"


def test_the_real_nodes_file_is_read() -> None:
    state = unpack_state((DATA / "dhtstate-2.4.12.bin").read_bytes())
    assert state.node_id == InfoHash.from_hex("ceb7919ef3fa0073b78dfe559848e08dded2953b")
    assert state.nodes
    assert all(address.host == "127.0.0.1" for _, address in state.nodes)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    node_id = InfoHash.of("node")
    value = WireValue(7, data=b"x", user_type="text/plain")
    nodes = [
        (InfoHash.of("a"), Address("10.0.0.1", 4222)),
        (InfoHash.of("b"), Address("2001:db8::1", 5000)),
        (InfoHash.of("c"), Address("fe80::1%3", 1)),
    ]
    state = NodeState(node_id, nodes, [(InfoHash.of("key"), value, 1_700_000_000.5, 1_700_000_600.5)])
    path = tmp_path / "dhtstate"
    write_state(path, state, {Family.V4: 4222, Family.V6: 4223})
    assert read_state(path) == (state, {Family.V4: 4222, Family.V6: 4223})
    assert unpack_state(pack_state(state)) == state


def test_a_broken_file_is_set_aside_and_the_node_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "dhtstate"
    path.write_bytes(b"\x81\xa1vnonsense")
    (tmp_path / "dhtstate_port.txt").write_text("no\nport\n")
    assert read_state(path) == (NodeState(), {})
    assert not path.exists()
    assert len(list(tmp_path.glob("dhtstate.broken-*"))) == 1
    with pytest.raises(RemoteError, match="version"):
        unpack_state(b"\x80")


async def test_id_port_and_values_survive_a_restart(tmp_path: Path) -> None:
    settings = DhtSettings(host4="127.0.0.1", host6="", state_file=tmp_path / "dhtstate")
    first = DhtNode(settings)
    await first.start()
    node_id, port = first.id, first.port
    await first.put(InfoHash.of("key"), WireValue(7, data=b"x"))
    await first.stop()
    second = DhtNode(settings)
    await second.start()
    assert (second.id, second.port) == (node_id, port)
    assert [value.id for value in second.core.storage.get(InfoHash.of("key"))] == [7]
    await second.stop()


def test_the_node_id_of_a_key() -> None:
    short_id = InfoHash.from_hex("15e4dda1522267345bc9a04883a4f8ac19c37038")
    assert str(node_id_of(short_id)) == "ceb7919ef3fa0073b78dfe559848e08dded2953b"


def test_queries_in_text_and_on_the_wire() -> None:
    query = parse_query("select id,seq where value_type=3,user_type=text/plain")
    assert query == Query((Field.ID, Field.SEQ), ((Field.TYPE, 3), (Field.USER_TYPE, "text/plain")))
    assert read_query(unpack(query.pack())) == query
    assert parse_query(str(query)) == query
    assert parse_query("") == Query()
