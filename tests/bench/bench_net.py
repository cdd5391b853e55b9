"""Connections between two of ours, each in a process of its own: set-up time, bulk rate, message delay, memory of idle connections.

    python -m tests.bench.bench_net [--size MIB] [--idle N] [--other COMMAND]

COMMAND, such as `ip netns exec other`, starts the second process somewhere else.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import pickle
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from jamid.core.clock import SystemClock
from jamid.core.identifiers import InfoHash
from jamid.crypto.certificates import Certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PublicKey
from jamid.dht.values import Value
from jamid.net.channels import Channel, Peer
from jamid.net.connections import Connections, ConnectionSettings
from tests.support.net.world import Policy, load_identity

_BLOCK = 1 << 18


class PipeDht:
    """A DHT of two processes, over a socket pair."""

    def __init__(self, identity: Identity, pipe: socket.socket) -> None:
        self._identity = identity
        self._pipe = pipe
        self._listeners: dict[InfoHash, Callable[[Value, bool], None]] = {}
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._pipe)
        self._task = asyncio.create_task(self._read(reader))

    async def put_encrypted(self, key: InfoHash, to: PublicKey, value: Value) -> bool:
        # The two RSA operations of the real thing are part of the time to a connection.
        sealed = await asyncio.to_thread(lambda: (self._identity.key.sign(value.data), to.encrypt(b"k" * 32)))
        assert self._writer is not None
        fields = pickle.dumps((bytes(key), value.id, value.data, value.user_type, self._identity.certificate.public_key.der, sealed[1]))
        self._writer.write(struct.pack("!I", len(fields)) + fields)
        return True

    def listen(self, key: InfoHash, callback: Callable[[Value, bool], None]) -> PipeDht:
        self._listeners[key] = callback
        return self

    def cancel(self) -> None:
        pass

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            (length,) = struct.unpack("!I", await reader.readexactly(4))
            key, number, data, user_type, owner, _ = pickle.loads(await reader.readexactly(length))
            own = self._identity.certificate.public_key
            value = Value(id=number, data=data, user_type=user_type, owner=PublicKey.from_der(owner), recipient=own.id)
            callback = self._listeners.get(InfoHash(key))
            if callback is not None:
                callback(value, False)


class Server:
    """Echoes on `echo`, counts and confirms on `bulk`."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def accepts(self, peer: Peer, name: str) -> bool:
        return True

    def opened(self, channel: Channel) -> None:
        task = asyncio.create_task(self._bulk(channel) if channel.name.startswith("bulk") else self._echo(channel))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _echo(self, channel: Channel) -> None:
        while data := await channel.read():
            await channel.write(data)

    async def _bulk(self, channel: Channel) -> None:
        left = int(channel.name.partition(":")[2])
        while left > 0:
            left -= len(await channel.read(1 << 20))
        await channel.write(b"done")


async def _account(name: str, pipe: socket.socket) -> Connections:
    identity = load_identity(name)
    dht = PipeDht(identity, pipe)
    await dht.start()
    policy = Policy([load_identity(other).certificate for other in "ab"])
    directory = Path(tempfile.mkdtemp(prefix="bench-net-"))
    connections = Connections(identity, dht, policy=policy, settings=ConnectionSettings(), clock=SystemClock(), state_dir=directory)
    server = Server()
    for scheme in ("echo", "bulk"):
        connections.handle(scheme, server)
    await connections.start()
    return connections


async def _serve(pipe: socket.socket) -> None:
    await _account("b", pipe)
    await asyncio.Event().wait()


async def _bulk(connections: Connections, target: Certificate, size: int) -> float:
    bulk = await connections.open(target, f"bulk:{size}")
    block = os.urandom(_BLOCK)
    start = time.perf_counter()
    for _ in range(size // _BLOCK):
        await bulk.write(block)
    assert await bulk.read() == b"done"
    return size / (time.perf_counter() - start) / 2**20


def _memory() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


async def _measure(pipe: socket.socket, size: int, idle: int) -> dict[str, float]:
    connections = await _account("a", pipe)
    target: Certificate = load_identity("b").certificate
    await asyncio.sleep(2)
    setups = []
    for _ in range(10):
        start = time.perf_counter()
        channel = await connections.open(target, "echo", new_socket=True)
        setups.append(time.perf_counter() - start)
    await channel.write(b"warm")
    await channel.read()
    trips = []
    for _ in range(500):
        start = time.perf_counter()
        await channel.write(b"x" * 400)
        await channel.read()
        trips.append(time.perf_counter() - start)
    rate = await _bulk(connections, target, size)
    busy = asyncio.create_task(_bulk(connections, target, size))
    await asyncio.sleep(0.2)
    overtaking = []
    while not busy.done():
        start = time.perf_counter()
        await channel.write(b"x" * 400)
        await channel.read()
        overtaking.append(time.perf_counter() - start)
        await asyncio.sleep(0.005)
    result = {
        "setup_median_ms": statistics.median(setups) * 1000,
        "setup_max_ms": max(setups) * 1000,
        "round_trip_median_ms": statistics.median(trips) * 1000,
        "round_trip_p99_ms": sorted(trips)[int(len(trips) * 0.99)] * 1000,
        "bulk_mib_s": rate,
        "round_trip_beside_bulk_median_ms": statistics.median(overtaking) * 1000,
        "round_trip_beside_bulk_p95_ms": sorted(overtaking)[int(len(overtaking) * 0.95)] * 1000,
        "round_trip_beside_bulk_max_ms": max(overtaking) * 1000,
    }
    if idle:
        before = _memory()
        start = time.perf_counter()
        for _ in range(idle):
            await connections.open(target, "echo", new_socket=True)
        result["idle_setup_ms"] = (time.perf_counter() - start) / idle * 1000
        await asyncio.sleep(1)
        result["idle_kib"] = (_memory() - before) / idle / 1024
    return result


def _run(main: Callable[[], object], fast: bool) -> None:
    if fast:
        import uvloop

        uvloop.run(main())  # type: ignore[arg-type]
    else:
        asyncio.run(main())  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="MiB of bulk")
    parser.add_argument("--idle", type=int, default=0, help="idle connections to make")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--other", default="", help="command before that of the second process")
    parser.add_argument("--serve", type=int, default=-1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.idle:
        import jamid.core.limits as limits

        limits.CONNECTIONS_PER_DEVICE = 10_000  # type: ignore[misc]
    if options.serve >= 0:
        _run(functools.partial(_serve, socket.socket(fileno=options.serve)), options.uvloop)
        return
    ours, theirs = socket.socketpair()
    command = [*options.other.split(), sys.executable, "-m", __spec__.name, *sys.argv[1:], "--serve", str(theirs.fileno())]
    child = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    theirs.close()
    results: dict[str, float] = {}

    async def measure() -> None:
        results.update(await _measure(ours, options.size * 2**20, options.idle))

    try:
        _run(measure, options.uvloop)
    finally:
        child.kill()
        child.wait()
    print(json.dumps({name: round(value, 3) for name, value in results.items()}, indent=1))


if __name__ == "__main__":
    main()
