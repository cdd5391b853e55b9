from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from OpenSSL import SSL

from jamid.core.errors import LocalError
from jamid.core.generations import Generation
from jamid.net import connection, links, mux_wire
from jamid.net.connection import Connection
from jamid.net.framing import frame
from jamid.net.links import TcpLink
from jamid.net.mux_wire import ChannelMessage, ChannelState
from tests.support.net.world import MemoryDht, Pair, make_account


async def test_opens_a_channel_and_carries_bytes_both_ways(pair: Pair) -> None:
    a, b = pair
    channel = await a.connections.open(b.certificate, "sip")
    served = await b.handler.opened_channels.get()
    assert served.name == "sip"
    assert served.peer.device_id == a.identity.device_id
    assert served.peer.account_uri == a.identity.account_uri
    await channel.write(b"hello")
    assert await served.read() == b"hello"
    await served.write(b"x" * 1_000_000)
    received = b""
    while len(received) < 1_000_000:
        received += await channel.read(1 << 20)
    assert received == b"x" * 1_000_000


async def test_second_channel_uses_the_same_connection(pair: Pair) -> None:
    a, b = pair
    first = await a.connections.open(b.certificate, "sip")
    second = await a.connections.open(b.certificate.long_id, "git://x/y")
    assert second.connection is first.connection
    back = await b.connections.open(a.certificate, "test")
    assert back.connection.peer.device_id == a.identity.device_id
    assert len(a.connections.connection_list()) == 1
    assert len(b.connections.connection_list()) == 1
    assert len({channel.number for channel in (first, second, back)}) == 3


async def test_simultaneous_open_serves_both(pair: Pair) -> None:
    a, b = pair
    one, two = await asyncio.gather(a.connections.open(b.certificate, "sip"), b.connections.open(a.certificate, "sip"))
    await one.write(b"from a")
    await two.write(b"from b")
    at_b, at_a = await b.handler.opened_channels.get(), await a.handler.opened_channels.get()
    assert await at_b.read() == b"from a"
    assert await at_a.read() == b"from b"


async def test_asks_as_well_when_the_handshake_of_who_asked_does_not_begin(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    start = Connection.start

    async def start_late(connection: Connection, link: TcpLink) -> None:
        if connection.outgoing and connection.peer.device_id == b.identity.device_id:
            await asyncio.sleep(60)
        await start(connection, link)

    monkeypatch.setattr(Connection, "start", start_late)
    channel = await a.connections.open(b.certificate, "sip", timeout=5)
    assert not channel.connection.outgoing
    assert (await b.handler.opened_channels.get()).connection.outgoing
    assert len(b.connections.connection_list()) == 1


async def test_declined_channel_is_refused_and_the_connection_stays(pair: Pair) -> None:
    a, b = pair
    b.handler.declined.add("test")
    with pytest.raises(ConnectionRefusedError, match="declined"):
        await a.connections.open(b.certificate, "test")
    with pytest.raises(ConnectionRefusedError, match="declined"):
        await a.connections.open(b.certificate, "foo://bar")
    assert a.connections.connected(b.identity.device_id)
    await a.connections.open(b.certificate, "sip")


async def test_closing_ends_the_other_side(pair: Pair) -> None:
    a, b = pair
    channel = await a.connections.open(b.certificate, "sip")
    served = await b.handler.opened_channels.get()
    await channel.write(b"last words")
    channel.close()
    assert await served.read() == b"last words"
    assert await served.read() == b""
    assert served.closed
    with pytest.raises(ConnectionError, match="closed"):
        await served.write(b"too late")


async def test_closed_account_is_seen_at_once(pair: Pair) -> None:
    a, b = pair
    gone: list[str] = []
    b.connections.on_disconnected.append(lambda peer: gone.append(peer.device_id))
    await a.connections.open(b.certificate, "sip")
    served = await b.handler.opened_channels.get()
    await a.connections.close()
    assert await asyncio.wait_for(served.read(), 1) == b""
    assert gone == [a.identity.device_id]
    assert not b.connections.connected(a.identity.device_id)


async def test_refused_account_gets_no_answer(pair: Pair) -> None:
    a, b = pair
    b.policy.refused.add(a.identity.account_uri)
    with pytest.raises(ConnectionError, match="within 1 s"):
        await a.connections.open(b.certificate, "sip", timeout=1)
    assert not b.connections.connected_devices()


async def test_own_device_is_refused(pair: Pair) -> None:
    a, _ = pair
    with pytest.raises(LocalError, match="itself"):
        await a.connections.open(a.certificate, "sip")


async def test_only_existing_makes_no_connection(pair: Pair) -> None:
    a, b = pair
    with pytest.raises(ConnectionError, match="no connection"):
        await a.connections.open(b.certificate, "sip", only_existing=True)


async def test_early_checks_are_enough_without_the_answer(pair: Pair, dht: MemoryDht) -> None:
    a, b = pair
    dht.lost = lambda key, value: b"isAnswer\xc3" in value.data
    await a.connections.open(b.certificate, "sip", timeout=5)


async def test_beacon_ends_a_connection_whose_peer_is_silent(pair: Pair) -> None:
    a, b = pair
    channel = await a.connections.open(b.certificate, "sip")
    served = await b.handler.opened_channels.get()
    a.connections.connectivity_changed()
    await asyncio.sleep(0.1)
    assert not channel.closed
    served.connection.mux.beacon = lambda *, ask: None  # type: ignore[method-assign]
    a.connections.connectivity_changed()
    await asyncio.wait_for(channel.wait_closed(), 8)
    await asyncio.wait_for(served.wait_closed(), 1)


async def test_an_answer_on_its_way_does_not_vouch_for_a_new_network(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BEACON_SECONDS", 0.2)
    a, b = pair
    channel = await a.connections.open(b.certificate, "sip")
    served = await b.handler.opened_channels.get()
    answer, answers = served.connection.mux.beacon, iter([True])

    def answer_once(*, ask: bool) -> None:
        if next(answers, False):
            answer(ask=ask)

    monkeypatch.setattr(served.connection.mux, "beacon", answer_once)
    a.connections.connectivity_changed()
    a.connections.connectivity_changed()
    await asyncio.wait_for(channel.wait_closed(), 2)


@pytest.mark.parametrize(
    ("mine", "theirs", "works"),
    [
        ({Generation.G13, Generation.G17}, {Generation.G13}, True),
        ({Generation.G13, Generation.G17}, {Generation.G17}, True),
        ({Generation.G13}, {Generation.G17}, False),
    ],
)
async def test_generations(mine: set[Generation], theirs: set[Generation], works: bool, dht: MemoryDht, tmp_path: Path) -> None:
    a = await make_account("a", dht, tmp_path, generations=mine)
    b = await make_account("b", dht, tmp_path, generations=theirs)
    try:
        for one, other in ((a, b), (b, a)):
            if works:
                await one.connections.open(other.certificate, "sip", timeout=5, new_socket=True)
            else:
                with pytest.raises(ConnectionError, match="within"):
                    await one.connections.open(other.certificate, "sip", timeout=0.7)
    finally:
        await a.connections.close()
        await b.connections.close()


async def test_back_pressure_stops_the_writer_and_other_side_of_a_slow_reader(pair: Pair) -> None:
    a, b = pair
    channel = await a.connections.open(b.certificate, "test")
    served = await b.handler.opened_channels.get()
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            await channel.write(bytes(65536))
            written += 65536

    writer = asyncio.create_task(write())
    await asyncio.sleep(1)
    stopped = written
    assert stopped < 40 * 1024 * 1024
    await asyncio.sleep(0.3)
    assert written == stopped
    assert served.unread < 5 * 1024 * 1024
    received = 0
    while received < stopped:
        received += len(await served.read(1 << 20))
    assert written > stopped
    writer.cancel()


async def test_short_message_overtakes_bulk(pair: Pair) -> None:
    a, b = pair
    bulk, sip = await a.connections.open(b.certificate, "test"), await a.connections.open(b.certificate, "sip")
    served_bulk, served_sip = await b.handler.opened_channels.get(), await b.handler.opened_channels.get()

    async def drain() -> None:
        while await served_bulk.read(1 << 20):
            pass

    reader = asyncio.create_task(drain())
    writer = asyncio.create_task(bulk.write(bytes(200 * 1024 * 1024)))
    await asyncio.sleep(0.1)
    start = asyncio.get_running_loop().time()
    await sip.write(b"INVITE")
    assert await served_sip.read() == b"INVITE"
    assert asyncio.get_running_loop().time() - start < 0.25
    assert not writer.done()
    writer.cancel()
    reader.cancel()


async def test_a_certificate_that_comes_late_is_waited_for(pair: Pair) -> None:
    a, b = pair
    known, b.policy.known = b.policy.known, []
    opening = asyncio.create_task(a.connections.open(b.certificate, "sip", timeout=10))
    await asyncio.sleep(0.3)
    b.policy.known = known
    assert (await opening).name == "sip"


async def test_a_connection_that_breaks_in_its_handshake_is_tried_again(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    broken: list[bool] = []
    start = Connection.start

    async def breaking(self: Connection, link: TcpLink) -> None:
        if not broken:
            broken.append(True)
            link.abort()
        await start(self, link)

    monkeypatch.setattr(Connection, "start", breaking)
    channel = await a.connections.open(b.certificate, "sip", timeout=10)
    assert broken
    assert not channel.closed


async def test_a_connection_given_up_as_it_stands_ends_the_channels_of_the_peer(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    start, authenticate = Connection.start, Connection._authenticate
    starting: dict[Connection, asyncio.Task[None]] = {}

    async def watched(self: Connection, link: TcpLink) -> None:
        starting[self] = asyncio.ensure_future(start(self, link))
        await starting[self]

    def given_up(self: Connection) -> None:
        authenticate(self)
        if not self.outgoing:
            self.mux.feed(mux_wire.encode_channel_message(ChannelMessage("sip", 7, ChannelState.REQUEST)))
            starting[self].cancel()

    monkeypatch.setattr(Connection, "start", watched)
    monkeypatch.setattr(Connection, "_authenticate", given_up)
    opening = asyncio.create_task(a.connections.open(b.certificate, "test", timeout=5))
    served = await b.handler.opened_channels.get()
    await asyncio.wait_for(served.wait_closed(), 2)
    assert not b.connections.connected_devices()
    opening.cancel()


@pytest.mark.parametrize("which", ["asking", "asked"])
async def test_a_peer_with_tls_1_2_only(pair: Pair, which: str) -> None:
    a, b = pair
    older = a if which == "asking" else b
    older.connections.context.set_max_proto_version(SSL.TLS1_2_VERSION)
    channel = await a.connections.open(b.certificate, "test")
    served = await b.handler.opened_channels.get()
    await channel.write(b"x" * 300_000)
    assert channel.connection._engine.version == "TLSv1.2"
    received = b""
    while len(received) < 300_000:
        received += await served.read()
    assert received == b"x" * 300_000


@pytest.mark.parametrize("size", [1, 7, 19, 60_000])
async def test_frames_may_be_cut_anywhere(pair: Pair, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    def cut(stream: bytes) -> list[bytes | memoryview]:
        return [frame(stream[start : start + size]) for start in range(0, len(stream), size)]

    monkeypatch.setattr(links, "frame_records", cut)
    a, b = pair
    channel = await a.connections.open(b.certificate, "test")
    served = await b.handler.opened_channels.get()
    await channel.write(bytes(range(256)) * 200)
    received = b""
    while len(received) < 256 * 200:
        received += await served.read()
    assert received == bytes(range(256)) * 200
