"""What a node does with packets: honest, broken and hostile ones."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from jamid.core import limits
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, Family
from jamid.dht.core import Status
from jamid.dht.decode import decode
from jamid.dht.fragments import Fragments
from jamid.dht.query import IDS_AND_SEQUENCES, by_id
from jamid.dht.values import WireValue, pack_value
from jamid.dht.wire import ErrorReply, Find, Get, Listen, Ping, Put, Refresh, Reply, Update, ValueData, encode
from tests.simulation.dht.simulator import SimNode, World

KEY = InfoHash.of("key")
PEER = InfoHash.of("peer")
HOST = Address("10.9.9.9", 5000)


class Peer:
    """A hand-driven peer of one node."""

    def __init__(self, **settings: object) -> None:
        self.world = World(1)
        self.node = self.world.add(**settings)
        self.inbox: list[bytes] = []
        self.polite = False
        """answers what the node asks"""
        self.world.carry = self._carry  # type: ignore[method-assign]

    def _carry(self, packet: bytes, _source: Address, target: tuple[str, int]) -> None:
        if target == HOST:
            self.inbox.append(packet)
            message = decode(packet)
            if self.polite and isinstance(message, Ping | Find | Get | Update):
                reply = encode(Reply(tid=message.tid, sender=PEER, token=b"t" * 32))[0]
                self.world.call_at(self.world.time, self.node.core.receive, reply, HOST)

    def send(self, *packets: bytes, source: Address = HOST) -> list[object]:
        """Sends PACKETS and returns the messages that came back at once."""
        self.inbox.clear()
        for packet in packets:
            self.node.core.receive(packet, source)
        return [decode(packet) for packet in self.inbox]

    def ask(self, message: object) -> object:
        """The one answer to MESSAGE, without what the node asks us on its own."""
        answers = [one for one in self.send(*encode(message)) if isinstance(one, Reply | ErrorReply | ValueData)]  # type: ignore[arg-type]
        return answers[0] if answers else None

    def token(self) -> bytes:
        reply = self.ask(Find(tid=1, sender=PEER, target=KEY))
        assert isinstance(reply, Reply)
        assert reply.token is not None
        return reply.token


@pytest.fixture
def peer() -> Peer:
    return Peer()


def test_find_and_get_always_carry_a_token_and_our_address(peer: Peer) -> None:
    for message in (Find(tid=5, sender=PEER, target=KEY), Get(tid=6, sender=PEER, key=KEY)):
        reply = peer.ask(message)
        assert isinstance(reply, Reply)
        assert (reply.tid, reply.seen) == (message.tid, bytes((10, 9, 9, 9)))
        assert reply.token is not None
        assert len(reply.token) == 32


def test_put_get_refresh_and_their_errors(peer: Peer) -> None:
    value = WireValue(7, data=b"x", user_type="text/plain")
    bad = peer.ask(Put(tid=1, sender=PEER, key=KEY, values=(value,), token=b"wrong"))
    assert isinstance(bad, ErrorReply)
    assert bad.code == 401
    token = peer.token()
    missing = peer.ask(Refresh(tid=2, sender=PEER, key=KEY, value_id=7, token=token))
    assert isinstance(missing, ErrorReply)
    assert missing.code == 404
    stored = peer.ask(Put(tid=3, sender=PEER, key=KEY, values=(value,), token=token))
    assert isinstance(stored, Reply)
    assert stored.value_id == 7
    got = peer.ask(Get(tid=4, sender=PEER, key=KEY))
    assert isinstance(got, Reply)
    assert got.values == (value,)
    assert isinstance(peer.ask(Refresh(tid=5, sender=PEER, key=KEY, value_id=7, token=token)), Reply)
    zero = peer.ask(Get(tid=6, sender=PEER, key=InfoHash(bytes(20))))
    assert isinstance(zero, ErrorReply)
    assert zero.code == 203
    no_id = peer.ask(Put(tid=7, sender=PEER, key=KEY, values=(replace(value, id=0),), token=token))
    assert isinstance(no_id, ErrorReply)
    assert no_id.code == 203


def test_queries_select_and_filter(peer: Peer) -> None:
    token = peer.token()
    for number in (3, 5):
        peer.ask(Put(tid=number, sender=PEER, key=KEY, values=(WireValue(number, data=b"x"),), token=token))
    rows = peer.ask(Get(tid=9, sender=PEER, key=KEY, query=IDS_AND_SEQUENCES))
    assert isinstance(rows, Reply)
    assert rows.fields is not None
    assert sorted(row[1] for row in rows.fields) == [3, 5]  # type: ignore[index]
    one = peer.ask(Get(tid=10, sender=PEER, key=KEY, query=by_id(5)))
    assert isinstance(one, Reply)
    assert [value.id for value in one.values] == [5]


def test_tokens_belong_to_an_address_and_grow_old(peer: Peer) -> None:
    token = peer.token()
    put = encode(Put(tid=3, sender=PEER, key=KEY, values=(WireValue(1, data=b"x"),), token=token))
    peer.send(*put, source=Address("10.9.9.8", 5000))
    assert KEY not in peer.node.core.storage
    peer.node.core.tokens.rotate()
    peer.send(*put)
    assert KEY in peer.node.core.storage
    peer.node.core.tokens.rotate()
    late = peer.ask(Put(tid=4, sender=PEER, key=KEY, values=(WireValue(2, data=b"x"),), token=token))
    assert isinstance(late, ErrorReply)


@pytest.mark.parametrize("order", ["as sent", "reversed", "shuffled", "doubled", "header last"])
def test_fragments_in_any_order(peer: Peer, order: str) -> None:
    value = WireValue(7, data=random.Random(1).randbytes(20_000))
    header, *chunks = encode(Put(tid=77, sender=PEER, key=KEY, values=(value,), token=peer.token()))
    packets = {
        "as sent": [header, *chunks],
        "reversed": [header, *reversed(chunks)],
        "shuffled": [header, *random.Random(2).sample(chunks, len(chunks))],
        "doubled": [header, *(chunk for chunk in chunks for _ in range(2))],
        "header last": [*chunks, header],
    }[order]
    peer.send(*packets)
    assert peer.node.core.storage.get(KEY) == [value]


def test_contradictory_and_unfinished_fragments_leave_nothing(peer: Peer) -> None:
    value = WireValue(7, data=bytes(5000))
    packed = pack_value(value)
    header = encode(Put(tid=77, sender=PEER, key=KEY, sizes=(len(packed),), token=peer.token()))[0]
    pieces = [ValueData(tid=77, chunks=((0, offset, bytes((offset & 255,)) * 100),)) for offset in range(0, 4000, 50)]
    peer.send(header, *(encode(piece)[0] for piece in pieces))
    assert KEY not in peer.node.core.storage
    peer.world.run(400)
    assert peer.node.core.engine.unfinished == 0


def test_many_unfinished_messages_are_bounded(peer: Peer) -> None:
    sizes = (1,) * 3_000
    for tid in range(1, 2 * limits.DHT_PARTIAL_MESSAGES):
        header = encode(Put(tid=tid, sender=PEER, key=KEY, sizes=sizes, token=b""))[0]
        peer.send(header)
        if tid % 500 == 0:
            peer.world.run(0.6)
    assert peer.node.core.engine.unfinished <= limits.DHT_PARTIAL_MESSAGES_PER_HOST


def test_tiny_pieces_are_charged_what_they_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DHT_MESSAGE_BYTES", 10_000)
    fragments = Fragments()
    fragments.add(ValueData(tid=1, chunks=tuple((index, 9, b"") for index in range(1000))), HOST, 0.0)
    assert not fragments._partials[HOST, 1].values, "empty pieces leave nothing"
    fragments.add(ValueData(tid=1, chunks=tuple((index, 9, b"x") for index in range(40))), HOST, 0.0)
    assert len(fragments) == 0


def test_unfinished_messages_do_not_grow_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DHT_PARTIAL_BYTES", 20_000)
    fragments = Fragments()
    for tid in range(1, 5):
        fragments.add(ValueData(tid=tid, chunks=((0, 9, b"x"),)), HOST, 0.0)
    for step in range(100):
        for tid in range(1, 5):
            fragments.add(ValueData(tid=tid, chunks=((0, 2000 * step, bytes(1000)),)), HOST, 0.0)
    assert fragments._bytes < 25_000


def test_other_networks_and_impossible_senders_are_ignored(peer: Peer) -> None:
    ping = encode(Ping(tid=1, sender=PEER))[0]
    assert peer.send(encode(Ping(tid=1, sender=PEER, network=7))[0]) == []
    assert peer.send(encode(Ping(tid=1, sender=peer.node.core.id))[0]) == []
    assert peer.send(encode(Ping(tid=1, sender=InfoHash(bytes(20))))[0]) == []
    assert peer.send(ping, source=Address("10.9.9.9", 0)) == []
    assert len(peer.send(ping)) >= 1


def test_network_id_is_answered_with_itself() -> None:
    peer = Peer(network=7)
    reply = peer.ask(Ping(tid=1, sender=PEER, network=7))
    assert isinstance(reply, Reply)
    assert reply.network == 7


def test_a_flood_is_cut_off_and_others_are_still_served(peer: Peer) -> None:
    flood = [encode(Ping(tid=number, sender=PEER))[0] for number in range(1, 3000)]
    answered = sum(isinstance(one, Reply) for one in peer.send(*flood))
    assert answered == limits.DHT_REQUESTS_PER_SECOND_AND_HOST
    other: list[bytes] = []
    peer.world.carry = lambda packet, _source, _target: other.append(packet)  # type: ignore[method-assign]
    peer.node.core.receive(encode(Ping(tid=1, sender=InfoHash.of("honest")))[0], ("10.1.1.1", 4000))
    assert any(isinstance(decode(packet), Reply) for packet in other)
    peer.world.run(1.5)
    assert peer.node.core.engine.statistics.refused == 3000 - 1 - answered


def test_replies_are_never_larger_than_an_attacker_could_want_without_a_token(peer: Peer) -> None:
    """Without a token nothing is pushed and nothing stored; find answers stay small."""
    find = encode(Find(tid=1, sender=PEER, target=KEY))[0]
    peer.send(find)
    assert sum(map(len, peer.inbox)) < 8 * len(find)
    peer.send(encode(Listen(tid=2, sender=PEER, key=KEY, token=b"x" * 32, socket=5))[0])
    assert peer.node.core.storage.listeners == 0


def test_a_forged_source_is_not_drowned(peer: Peer) -> None:
    token = peer.token()
    values = [WireValue(number, data=bytes(60_000)) for number in range(1, 11)]
    for value in values:
        peer.send(*encode(Put(tid=value.id, sender=PEER, key=KEY, values=(value,), token=token)))
    sent = 0
    for tid in range(100, 160):
        peer.send(encode(Get(tid=tid, sender=PEER, key=KEY))[0])
        sent += sum(map(len, peer.inbox))
    assert limits.DHT_REPLY_BYTES_PER_SECOND / 2 < sent <= limits.DHT_REPLY_BYTES_PER_SECOND
    peer.world.run(1.1)
    assert len(peer.send(encode(Get(tid=99, sender=PEER, key=KEY))[0])) > 400


def test_an_id_that_answers_us_cannot_be_taken_over_from_elsewhere(peer: Peer) -> None:
    core = peer.node.core
    core.ping_address(HOST)
    ping = decode(peer.inbox[-1])
    assert isinstance(ping, Ping)
    core.receive(encode(Reply(tid=ping.tid, sender=PEER))[0], HOST)
    assert core.status is Status.CONNECTED
    thief = Address("10.6.6.6", 666)
    core.receive(encode(Ping(tid=9, sender=PEER))[0], thief)
    known = core.engine.caches[Family.V4].find(PEER)
    assert known is not None
    assert known.address == HOST
    peer.world.run(60)
    core.receive(encode(Ping(tid=9, sender=PEER))[0], thief)
    assert known.address == thief, "later the node may have moved"


def test_a_token_less_answer_is_never_forgiven(peer: Peer) -> None:
    core = peer.node.core
    core.ping_address(HOST)
    ping = decode(peer.inbox[-1])
    core.receive(encode(Reply(tid=ping.tid, sender=PEER))[0], HOST)
    peer.inbox.clear()
    core.get(KEY, None, lambda _values: True, lambda _ok: None)
    get = next(one for one in map(decode, peer.inbox) if isinstance(one, Get))
    core.receive(encode(Reply(tid=get.tid, sender=PEER))[0], HOST)
    assert peer.ask(Ping(tid=1, sender=PEER)) is None


def test_listeners_are_pushed_values_refreshes_and_expirations(peer: Peer) -> None:
    peer.polite = True
    token = peer.token()
    peer.ask(Put(tid=1, sender=PEER, key=KEY, values=(WireValue(1, type=5, data=b"x"),), token=token))
    first = peer.send(encode(Listen(tid=2, sender=PEER, key=KEY, token=token, socket=99))[0])
    updates = [one for one in first if isinstance(one, Update)]
    assert [(one.socket, [value.id for value in one.values]) for one in updates] == [(99, [1])]
    again = peer.send(encode(Listen(tid=3, sender=PEER, key=KEY, token=token, socket=99))[0])
    assert not any(isinstance(one, Update) for one in again)
    refreshed = peer.send(*encode(Refresh(tid=4, sender=PEER, key=KEY, value_id=1, token=token)))
    assert [one.refreshed for one in refreshed if isinstance(one, Update)] == [(1,)]
    peer.inbox.clear()
    peer.world.run(61)
    expired = [one for one in map(decode, peer.inbox) if isinstance(one, Update)]
    assert expired[-1].expired == (1,)


def test_own_addresses_are_what_most_say(peer: Peer) -> None:
    core = peer.node.core
    for number in [*range(60), 3, 3]:
        core.ping_address(HOST)
        ping = decode(peer.inbox[-1])
        assert isinstance(ping, Ping)
        core.receive(encode(Reply(tid=ping.tid, sender=PEER, seen=bytes((10, 0, 0, number))))[0], HOST)
    assert core.engine.own_addresses()[0] == "10.0.0.3"
    assert len(core.engine.own_addresses()) == limits.DHT_OWN_ADDRESSES


def test_a_silent_peer_is_asked_three_times() -> None:
    peer = Peer()
    core = peer.node.core
    peer.node.upkeep.stop()
    times: list[float] = []
    peer.world.carry = lambda _packet, _source, _target: times.append(peer.world.time)  # type: ignore[method-assign]
    core.ping_address(HOST)
    peer.world.run(20)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) == 3
    assert 0.35 <= gaps[0] <= 0.6
    assert 2.0 <= gaps[1] <= 2.5
    assert core.status is Status.DISCONNECTED


def _nodes(count: int, seed: int = 3) -> tuple[World, list[SimNode]]:
    world = World(seed)
    nodes = world.grow(count)
    world.run(30)
    return world, nodes


def test_a_client_uses_the_network_but_is_in_no_table() -> None:
    world, nodes = _nodes(10)
    client = world.add(bootstrap=nodes[0], client=True)
    world.run(30)
    assert world.put(client, KEY, WireValue(1, data=b"x"))
    assert [value.id for value in world.get(nodes[5], KEY)] == [1]
    assert all(known.id != client.core.id for node in nodes for known in node.core.tables[Family.V4].nodes())
