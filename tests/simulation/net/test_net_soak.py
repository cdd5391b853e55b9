"""Connections that come and go leave nothing behind: no descriptor, no task, no object."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

from jamid.net.connection import Connection
from jamid.net.ice_tcp import IceTcpSession
from tests.support.net.world import MemoryDht, make_account

_ROUNDS = 40


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def left(kind: type) -> int:
    gc.collect()
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    dht = MemoryDht()
    a, b = await make_account("a", dht, tmp_path), await make_account("b", dht, tmp_path)
    objects = {kind: left(kind) for kind in (Connection, IceTcpSession)}  # tests before this one may have left some
    before, tasks = descriptors(), len(asyncio.all_tasks())
    for number in range(_ROUNDS):
        channel = await a.connections.open(b.certificate, "sip")
        served = await b.handler.opened_channels.get()
        await channel.write(bytes(10_000))
        assert await served.read()
        match number % 4:
            case 0:
                await channel.connection.close()
            case 1:
                await served.connection.close()
            case 2:
                assert channel.connection._link is not None
                channel.connection._link.abort()
            case 3:
                a.connections.close_account(b.identity.account_uri)
        await asyncio.wait_for(asyncio.gather(channel.wait_closed(), served.wait_closed()), 5)
        for connections in (a.connections, b.connections):
            while connections.connected_devices():
                await asyncio.sleep(0.01)
    del channel, served
    dht.values.clear()
    await asyncio.sleep(1.5)
    assert descriptors() <= before
    assert len(asyncio.all_tasks()) == tasks
    assert all(left(kind) <= count for kind, count in objects.items())
    await a.connections.close()
    await b.connections.close()


async def test_many_connections_at_once(tmp_path: Path) -> None:
    dht = MemoryDht()
    a, b = await make_account("a", dht, tmp_path), await make_account("b", dht, tmp_path)
    channels = await asyncio.gather(*(a.connections.open(b.certificate, "test", new_socket=number < 8) for number in range(40)))
    assert len({channel.connection for channel in channels}) <= 16
    for channel in channels:
        await channel.write(b"hello")
    for _ in channels:
        assert await (await b.handler.opened_channels.get()).read() == b"hello"
    await a.connections.close()
    await b.connections.close()
