from __future__ import annotations

import asyncio

import pytest

from jamid.core import limits
from tests.support.net.world import Pair, opened


async def test_reads_at_most_what_is_asked_for(pair: Pair) -> None:
    channel, served = await opened(pair)
    await channel.write(bytes(range(256)) * 100)
    received = b""
    while len(received) < 25_600:
        piece = await served.read(1000)
        assert 0 < len(piece) <= 1000
        received += piece
    assert received == bytes(range(256)) * 100
    assert served.unread == 0


async def test_many_tiny_writes_arrive_in_order(pair: Pair) -> None:
    channel, served = await opened(pair)
    for number in range(5000):
        channel.write_nowait(number.to_bytes(2, "big"))
    received = b""
    while len(received) < 10_000:
        received += await served.read()
    assert received == b"".join(number.to_bytes(2, "big") for number in range(5000))


async def test_only_one_reader_at_a_time(pair: Pair) -> None:
    channel, _ = await opened(pair)
    first = asyncio.create_task(channel.read())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="read already"):
        await channel.read()
    channel.close()
    assert await first == b""


async def test_cancelled_read_loses_nothing(pair: Pair) -> None:
    channel, served = await opened(pair)
    reading = asyncio.create_task(served.read())
    await asyncio.sleep(0)
    reading.cancel()
    await channel.write(b"kept")
    assert await served.read() == b"kept"


async def test_writing_without_waiting_is_bounded(pair: Pair) -> None:
    channel, served = await opened(pair)
    for _ in range(limits.CHANNEL_CONTROL_QUEUE // 65536):
        channel.write_nowait(bytes(65536))
    with pytest.raises(ConnectionError, match="does not take"):
        channel.write_nowait(bytes(65536))
    assert channel.closed
    assert not served.connection.closed


async def test_reader_that_stops_for_good_loses_its_channel_and_no_other(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANNEL_STALL_SECONDS", 0.3)
    stuck, served_stuck = await opened(pair)
    sip, served_sip = await opened(pair, "sip")
    writer = asyncio.create_task(stuck.write(bytes(30 * 1024 * 1024)))
    await asyncio.sleep(0.2)
    assert served_stuck.unread > limits.CHANNEL_RECEIVE_HIGH
    await sip.write(b"INVITE")
    assert await asyncio.wait_for(served_sip.read(), 3) == b"INVITE"
    await asyncio.wait_for(stuck.wait_closed(), 3)
    with pytest.raises(ConnectionError, match="closed"):
        await writer
    assert not sip.closed


async def test_request_without_answer_fails_and_is_withdrawn(pair: Pair) -> None:
    a, b = pair
    channel, served = await opened(pair)
    served.connection.mux._channel_request = lambda message: None  # type: ignore[method-assign]
    with pytest.raises(ConnectionError, match="within"):
        await a.connections.open(b.certificate, "sip", timeout=0.2)
    assert list(channel.connection.mux.channels) == [channel.number]


async def test_requests_fail_when_the_connection_ends(pair: Pair) -> None:
    a, b = pair
    channel, served = await opened(pair)
    served.connection.mux._channel_request = lambda message: None  # type: ignore[method-assign]
    opening = asyncio.create_task(a.connections.open(b.certificate, "sip", only_existing=True))
    await asyncio.sleep(0.05)
    await served.connection.close()
    with pytest.raises(ConnectionError, match="no connection"):
        await opening
    assert channel.closed


async def test_d_bus_lists_show_connections_and_channels(pair: Pair) -> None:
    a, b = pair
    channel, served = await opened(pair)
    await channel.write(b"12345")
    await served.read()
    (entry,) = b.connections.connection_list()
    assert entry["device"] == a.identity.device_id
    assert entry["id"] == f"{entry['device']} {served.connection.identifier}"
    assert (entry["peer"], entry["status"]) == (a.identity.account_uri, "0")
    assert int(entry["rx"]) > 0
    (shown,) = b.connections.channel_list(entry["id"])
    assert (shown["id"], shown["name"], shown["rx"]) == (str(channel.number), "test", "5")
    assert b.connections.channel_list("unknown") == []
    assert all(isinstance(value, str) for value in (*entry.values(), *shown.values()))
