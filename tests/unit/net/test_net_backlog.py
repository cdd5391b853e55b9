"""What a peer sends and nobody reads is bounded, and holds up what is read for a while only."""

from __future__ import annotations

import asyncio
import gc

import pytest

from jamid.core import limits
from jamid.net import mux_wire
from jamid.net.channels import Channel
from jamid.net.mux_wire import ChannelMessage, ChannelState
from tests.support.net.world import Pair, opened

SLACK = 512 * 1024
"""What was read from the socket already when the limit is reached."""


async def test_many_channels_that_nobody_reads_hold_no_more_than_one_limit(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANNEL_STALL_SECONDS", 0.5)
    sip, served_sip = await opened(pair, "sip")
    unread = [await opened(pair) for _ in range(24)]
    writers = [asyncio.create_task(channel.write(bytes(1024 * 1024))) for channel, _ in unread]
    backlog = served_sip.connection.mux.backlog
    highest = 0
    while not backlog.stalled:
        await asyncio.sleep(0.01)
    await sip.write(b"INVITE")
    waiting = asyncio.create_task(served_sip.read())
    while not waiting.done():
        await asyncio.sleep(0.01)
        highest = max(highest, sum(served.unread for _, served in unread))
    assert await waiting == b"INVITE"
    assert limits.CONNECTION_RECEIVE_HIGH < highest < limits.CONNECTION_RECEIVE_HIGH + SLACK
    assert sum(served.closed for _, served in unread) < len(unread)  # no more were ended than had to be
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)


async def test_many_channels_that_are_read_late_all_arrive(pair: Pair) -> None:
    size = 1024 * 1024
    channels = [await opened(pair) for _ in range(24)]
    writers = [asyncio.create_task(channel.write(bytes(size))) for channel, _ in channels]
    backlog = channels[0][1].connection.mux.backlog
    while not backlog.stalled:
        await asyncio.sleep(0.01)

    async def read(channel: Channel) -> int:
        left = size
        while left:
            left -= len(await channel.read(left))
        return left

    await asyncio.gather(*writers, *(read(served) for _, served in channels))
    assert not backlog.stalled
    assert backlog.total == 0


async def test_bytes_of_ended_channels_count_until_somebody_reads_or_drops_them(pair: Pair) -> None:
    _, served_sip = await opened(pair, "sip")
    backlog = served_sip.connection.mux.backlog
    held = []
    for _ in range(3):
        channel, served = await opened(pair)
        await channel.write(bytes(1024 * 1024))
        channel.close()
        await served.wait_closed()
        held.append(served)
    assert (backlog.total, backlog.ended) == (3 * 1024 * 1024, 3)
    assert len(await held[0].read(2 * 1024 * 1024)) > 0
    while await held[0].read(2 * 1024 * 1024):
        pass
    assert (backlog.total, backlog.ended) == (2 * 1024 * 1024, 2)
    del served, held
    gc.collect()
    assert backlog.ended == 0
    backlog.overdue()
    assert backlog.total == 0


async def test_ended_channels_that_nobody_reads_count_as_open_ones(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANNELS_PER_CONNECTION", 20)
    held = []
    for _ in range(20):
        channel, served = await opened(pair)
        await channel.write(b"x")
        channel.close()
        held.append(served)
        await served.wait_closed()
    with pytest.raises(ConnectionRefusedError, match="declined"):
        await opened(pair)
    assert await held[0].read() == b"x"
    await opened(pair)


async def test_who_reads_slowly_keeps_the_channel(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANNEL_STALL_SECONDS", 0.2)
    channel, served = await opened(pair)
    writing = asyncio.create_task(channel.write(bytes(8 * 1024 * 1024)))
    left = 8 * 1024 * 1024
    for _ in range(15):
        await asyncio.sleep(0.1)
        left -= len(await served.read(1000))
    assert not served.closed
    assert served.connection.mux.backlog.stalled
    while left:
        left -= len(await served.read(1 << 20))
    await writing


async def test_a_channel_given_up_on_keeps_no_bytes(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANNEL_STALL_SECONDS", 0.2)
    channel, served = await opened(pair)
    with pytest.raises(ConnectionError, match="closed"):
        await channel.write(bytes(30 * 1024 * 1024))
    assert served.unread == 0
    assert await served.read() == b""


def test_a_small_part_of_a_record_does_not_keep_the_record() -> None:
    class Output:
        def taken(self, channel: Channel, size: int) -> None:
            pass

    channel = Channel(1, "x", None, Output(), outgoing=False, created=0)  # type: ignore[arg-type]
    record = bytes(16384)
    for part in (memoryview(record)[:4096], memoryview(record)[4096:]):
        channel.feed(part)
    first, second = channel._pieces
    assert isinstance(first, bytes)
    assert isinstance(second, memoryview)


async def test_two_to_the_sixteen_channels_are_refused_past_the_limit(pair: Pair) -> None:
    channel, served = await opened(pair, "sip")
    connection = channel.connection
    assert connection._link is not None
    for start in range(1, 0xFFFF, 4096):
        requests = (
            mux_wire.encode_channel_message(ChannelMessage("test", n, ChannelState.REQUEST))
            for n in range(start, min(start + 4096, 0xFFFF))
        )
        connection._link.send_records(connection._engine.encrypt(b"".join(requests)))
        await asyncio.sleep(0.05)
    await channel.write(b"still here")
    assert await asyncio.wait_for(served.read(), 20) == b"still here"
    assert len(served.connection.mux.channels) == limits.CHANNELS_PER_CONNECTION
