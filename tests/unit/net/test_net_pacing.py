"""Bulk waits outside the kernel on slow links, and never on fast ones."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from jamid.net import mux_wire
from jamid.net.links import TcpLink
from jamid.net.mux_queue import OutgoingQueue
from jamid.net.pacing import TCP_INFO_BYTES, Pacer, TcpState, parse_tcp_info
from tests.support.net.world import MemoryDht, make_account


def state(rate: float, *, unsent: int = 0, flying: int = 0, acked: int = 0, round_trip: float = 0.02) -> TcpState:
    return TcpState(unsent, flying, acked, int(rate * round_trip), round_trip, round_trip)


@pytest.mark.parametrize("megabits", [5, 10, 20, 100, 1000])
def test_what_congestion_control_holds_back_is_gone_in_ten_milliseconds(megabits: int) -> None:
    rate = megabits * 125_000
    pacer = Pacer()
    for number in range(6):
        pacer.pace(state(rate, acked=number * rate // 50), number / 50)  # so much is acknowledged
    wait, piece = pacer.pace(state(rate, acked=rate // 10), 0.1)
    assert wait == 0
    assert piece == pytest.approx(max(4096, rate / 200), rel=0.01)
    assert pacer.pace(state(rate, unsent=piece - 1, acked=rate // 10), 0.1)[0] == 0
    assert pacer.pace(state(rate, unsent=piece + 1, acked=rate // 10), 0.1)[0] > 0


def test_little_flies_until_the_rate_is_known() -> None:
    pacer, rate = Pacer(), 100_000_000
    assert pacer.pace(state(rate), 0.0)[0] == 0
    assert pacer.pace(state(rate, flying=6144), 0.0)[0] > 0
    assert pacer.pace(state(rate, acked=60_000, flying=6144), 0.01)[0] == 0


def test_a_link_that_stands_still_is_looked_at_now_and_then() -> None:
    assert Pacer().pace(TcpState(1_000_000, 0, 0, 1448, 1.0, 1.0), 0.0) == (0.02, 4096)


def test_the_kernel_tells_what_it_holds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        other, _ = server.accept()
        with other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.setblocking(False)
            sent = 0
            try:
                while True:
                    sent += one.send(bytes(1 << 20))
            except BlockingIOError:
                pass
            seen = parse_tcp_info(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES))
    assert seen is not None
    assert 0 < seen.unsent < sent
    assert seen.acked + seen.flying + seen.unsent == pytest.approx(sent, abs=1)  # the SYN counts
    assert seen.rate > 1_000_000
    assert parse_tcp_info(bytes(TCP_INFO_BYTES - 1)) is None


def test_short_messages_do_not_wait_with_bulk() -> None:
    queue = OutgoingQueue()
    queue.put(7, bytes(100_000))
    queue.put(9, b"INVITE")
    queue.put_control(b"control")
    assert queue.next_frames(10**6, 0) == [b"control", mux_wire.encode_frame(9, b"INVITE")]
    assert queue.next_frames(10**6, 0) == []
    assert queue.next_frames(5000, 5000)[0] == mux_wire.encode_frame(7, bytes(5000))


async def test_bulk_goes_on_when_the_link_is_free_again_and_is_overtaken_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dht = MemoryDht()
    a, b = await make_account("a", dht, tmp_path), await make_account("b", dht, tmp_path)
    bulk, sip = await a.connections.open(b.certificate, "test"), await a.connections.open(b.certificate, "sip")
    served_bulk, served_sip = [await b.handler.opened_channels.get() for _ in range(2)]
    monkeypatch.setattr(TcpLink, "pace", lambda link: (0.02, 4096))  # nothing of bulk fits
    writing = asyncio.create_task(bulk.write(bytes(1_000_000)))
    await asyncio.sleep(0.1)
    await sip.write(b"INVITE")
    assert await asyncio.wait_for(served_sip.read(), 2) == b"INVITE"
    assert served_bulk.received == 0
    monkeypatch.setattr(TcpLink, "pace", lambda link: (0.0, 4096))
    left = 1_000_000
    while left:
        left -= len(await asyncio.wait_for(served_bulk.read(), 5))
    await writing
    await a.connections.close()
    await b.connections.close()
