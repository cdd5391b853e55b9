"""Connections that come and go: what of memory, descriptors, tasks, threads and objects is left after an hour of it.

    scripts/bench soak_connections [--minutes 60] [--pause 0.5]

Three processes of one account device each: the first asks the other two for connections, which end in every way in turn: closed here,
closed there, cut, given up half-way, not read, hung, killed and begun anew. The first and the second tell a line of figures a minute;
the verdict compares those after the warm-up with the last and is the exit status.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from jamid.core import memory
from jamid.core.clock import SystemClock
from jamid.core.identifiers import InfoHash
from jamid.crypto.keys import PublicKey
from jamid.dht.values import Value
from jamid.net.channels import Channel, Peer
from jamid.net.connection import Connection
from jamid.net.connections import Connections, ConnectionSettings
from jamid.net.ice_tcp import IceTcpSession
from jamid.net.links import TcpLink
from tests.support.net.world import Policy, load_identity

GROWTH_MIB = 2.0
"""Memory that may be there more at the end: the ids of 4,096 treated requests, and what the allocator cannot give back."""
_KINDS = (Connection, IceTcpSession, TcpLink, Channel)
_STEADY_ROUNDS = 4
"""A killed process costs half a second of start-up, so it is killed once in so many rounds of the others."""


class SoakDht:
    """A DHT over a pipe: what one process puts, the first hands to all."""

    def __init__(self, name: str) -> None:
        self._own = load_identity(name).certificate.public_key
        self._listeners: dict[InfoHash, Callable[[Value, bool], None]] = {}
        self._pipes: dict[str, asyncio.StreamWriter] = {}
        self._readers: set[asyncio.Task[None]] = set()

    async def attach(self, name: str, pipe: socket.socket) -> None:
        """From now on what is put goes to the process NAME too, instead of its forerunner."""
        reader, writer = await asyncio.open_connection(sock=pipe)
        former, self._pipes[name] = self._pipes.get(name), writer
        if former is not None:
            former.close()
        task = asyncio.create_task(self._read(name, reader))
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    async def put_encrypted(self, key: InfoHash, to: PublicKey, value: Value) -> bool:
        await self._spread("", pickle.dumps((bytes(key), to.der, value.id, value.data, value.user_type, self._own.der)))
        return True

    def listen(self, key: InfoHash, callback: Callable[[Value, bool], None]) -> SoakDht:
        self._listeners[key] = callback
        return self

    def cancel(self) -> None:
        pass

    async def _spread(self, source: str, fields: bytes) -> None:
        self._take(fields)
        for name, pipe in self._pipes.items():
            if name != source:
                pipe.write(struct.pack("!I", len(fields)) + fields)

    async def _read(self, name: str, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack("!I", await reader.readexactly(4))
                await self._spread(name, await reader.readexactly(length))

    def _take(self, fields: bytes) -> None:
        key, to, number, data, user_type, owner = pickle.loads(fields)
        callback = self._listeners.get(InfoHash(key))
        if to == self._own.der and callback is not None:
            value = Value(id=number, data=data, user_type=user_type, owner=PublicKey.from_der(owner), recipient=self._own.id)
            asyncio.get_running_loop().call_soon(callback, value, False)


class Server:
    """Serves `echo`, keeps `idle` without reading, and does what the names of other channels say."""

    def __init__(self, name: str) -> None:
        self.connections: Connections | None = None
        self._name = name
        self._idle: set[Channel] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def accepts(self, peer: Peer, name: str) -> bool:
        return not name.startswith("no")

    def opened(self, channel: Channel) -> None:
        task = asyncio.create_task(self._serve(channel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, channel: Channel) -> None:
        assert self.connections is not None
        match channel.name.partition(":")[2]:
            case "echo":
                with contextlib.suppress(ConnectionError):
                    while data := await channel.read():
                        await channel.write(data)
            case "idle":
                await channel.wait_closed()
            case "figures":
                await channel.write(json.dumps(figures(self._name)).encode())
                await channel.wait_closed()
            case "close":
                await channel.connection.close()
            case "end":
                channel.close()
            case "cut":
                assert channel.connection._link is not None
                channel.connection._link.abort()
            case "back":
                await channel.wait_closed()
                with contextlib.suppress(ConnectionError):
                    (await self.connections.open(channel.peer.certificate, "do:echo", new_socket=True)).close()


def figures(name: str) -> dict[str, float | str]:
    """What this process holds now."""
    gc.collect()
    memory.give_back()  # what is free but kept would hide what is lost
    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    objects = gc.get_objects()
    return {
        "process": name,
        "MiB": round(resident / 2**20, 2),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "tasks": len(asyncio.all_tasks()),
        "threads": len(os.listdir("/proc/self/task")),
        **{kind.__name__: sum(isinstance(thing, kind) for thing in objects) for kind in _KINDS},
    }


async def _account(name: str, dht: SoakDht) -> tuple[Connections, Server]:
    policy = Policy([load_identity(other).certificate for other in "abc"])
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    server = Server(name)
    connections = Connections(
        load_identity(name), dht, policy=policy, settings=ConnectionSettings(), clock=SystemClock(), state_dir=directory
    )
    server.connections = connections
    for scheme in ("do", "no"):
        connections.handle(scheme, server)
    await connections.start()
    return connections, server


async def _serve(name: str, pipe: socket.socket) -> None:
    dht = SoakDht(name)
    await _account(name, dht)
    await dht.attach("first", pipe)
    await asyncio.Event().wait()


class Soak:
    """The first process and the rounds it makes."""

    def __init__(self, connections: Connections, dht: SoakDht) -> None:
        self._connections = connections
        self._dht = dht
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.rounds = 0

    async def begin(self, name: str) -> None:
        """Starts the process NAME, or starts it anew."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", __spec__.name, "--serve", name, str(theirs.fileno())]
        # In the group of a shell that ends, the kernel would send SIGCONT to a process that `_hung` has stopped.
        self._children[name] = await asyncio.to_thread(subprocess.Popen, command, pass_fds=[theirs.fileno()], start_new_session=True)
        theirs.close()
        await self._dht.attach(name, ours)

    def end(self) -> None:
        for child in self._children.values():
            child.kill()
            child.wait()

    async def figures(self) -> list[dict[str, float | str]]:
        """Of this process and the second, without a connection between any; then with the one that asked."""
        await self._nobody()
        while self._connections.connection_list():  # the wish for the killed one comes true once it is back
            await asyncio.sleep(0.1)
            await self._nobody()
        await asyncio.sleep(1)
        own = figures("a")
        async with self._channel("b", "do:figures") as channel:
            other = json.loads(await channel.read())
        return [own, other]

    async def round(self) -> None:
        """Every way in which connections end, once each."""
        for way in (self._closed_here, self._closed_there, self._cut_here, self._cut_there, self._given_up, self._many, self._crossed,
                    self._unread, self._strangers, self._hung):  # fmt: skip
            await way()
            await self._nobody()
        if self.rounds % _STEADY_ROUNDS == 0:
            await self._killed()
            await self._nobody()
        self.rounds += 1

    # -- the ways -------------------------------------------------------------------------------------------------------------

    async def _closed_here(self) -> None:
        async with self._channel("b") as channel:
            await self._echo(channel, 100_000)
            await channel.connection.close()

    async def _closed_there(self) -> None:
        async with self._channel("b", "do:close") as channel:  # of two connections it may be either
            await channel.wait_closed()

    async def _cut_here(self) -> None:
        async with self._channel("b") as channel:
            assert channel.connection._link is not None
            channel.connection._link.abort()
            await channel.wait_closed()

    async def _cut_there(self) -> None:
        async with self._channel("b", "do:cut") as channel:
            await channel.wait_closed()

    async def _given_up(self) -> None:
        for seconds in (0.0, 0.005, 0.02):
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(seconds):
                    await self._open("b", "do:echo")
        await asyncio.sleep(0.2)
        self._connections.close_account(load_identity("b").account_uri)

    async def _many(self) -> None:
        async with self._channel("b") as first:
            for number in range(40):
                with contextlib.suppress(ConnectionError):
                    await self._echo(await self._open("b", ("do:echo", "do:end", "no:thanks", "other:")[number % 4]), 100)
            await first.connection.close()

    async def _crossed(self) -> None:
        async with self._channel("b", "do:back", new_socket=True):
            pass
        async with self._channel("b", new_socket=True) as channel:
            await self._echo(channel, 10)
        await asyncio.sleep(0.3)
        self._connections.connectivity_changed()
        self._connections.close_account(load_identity("b").account_uri)

    async def _unread(self) -> None:
        async with self._channel("b", "do:idle") as channel:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    while True:
                        await channel.write(bytes(1 << 18))
            await channel.connection.close()

    async def _strangers(self) -> None:
        port = self._connections.listener.ports[4]
        writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(20)]
        for writer in writers:
            writer.write(b"\x00\x08nonsense")
            writer.close()

    async def _hung(self) -> None:
        """A process that does not run any more is noticed after a beacon."""
        async with self._channel("b") as channel:
            await self._echo(channel, 10)  # by then it is known to answer beacons
            process, pongs = self._children["b"].pid, channel.connection.mux.pongs
            os.kill(process, signal.SIGSTOP)
            try:
                self._connections.connectivity_changed()
                await asyncio.wait_for(channel.wait_closed(), 20)
            except TimeoutError:
                raise TimeoutError(f"a hung process was not noticed: {self._seen(channel, process, pongs)}") from None
            finally:
                os.kill(process, signal.SIGCONT)

    async def _killed(self) -> None:
        async with self._channel("c") as channel:
            self._children["c"].kill()
            await channel.wait_closed()
        await asyncio.to_thread(self._children["c"].wait)
        with contextlib.suppress(ConnectionError):
            await self._open("c", "do:echo", timeout=1)
        await self.begin("c")

    # -- details --------------------------------------------------------------------------------------------------------------

    async def _open(self, name: str, channel: str, *, new_socket: bool = False, timeout: float = 40) -> Channel:
        return await self._connections.open(load_identity(name).certificate, channel, new_socket=new_socket, timeout=timeout)

    def _seen(self, channel: Channel, process: int, pongs: int) -> dict[str, object]:
        """What there is of a channel whose end was expected; PONGS had come before."""
        connection = channel.connection
        return {
            "process": Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0],
            "pongs since": connection.mux.pongs - pongs,
            "pongs at the last beacon": connection._pongs - pongs,
            "beacon runs": connection._beacon is not None,
            "beacon follows": connection._ask_again,
            "peer's version": connection.mux.peer_version,
            "connection closed": connection.closed,
            "channel known": connection.mux.channels.get(channel.number) is channel,
            "connection": connection.identifier,
            "connections": self._connections.connection_list(),
        }

    @contextlib.asynccontextmanager
    async def _channel(self, name: str, kind: str = "do:echo", *, new_socket: bool = False) -> AsyncIterator[Channel]:
        channel = await self._open(name, kind, new_socket=new_socket)
        try:
            yield channel
        finally:
            channel.close()

    async def _echo(self, channel: Channel, size: int) -> None:
        await channel.write(bytes(size))
        left = size
        while left and (data := await channel.read()):
            left -= len(data)

    async def _nobody(self) -> None:
        """Ends the connections that stay, also those that come up meanwhile, until none is left."""
        while self._connections.connected_devices():
            for name in "bc":
                self._connections.close_account(load_identity(name).certificate.account_uri)
            await asyncio.sleep(0.02)


async def _run(minutes: float, pause: float) -> bool:
    dht = SoakDht("a")
    connections, _ = await _account("a", dht)
    soak = Soak(connections, dht)
    try:
        for name in "bc":
            await soak.begin(name)
        start = said = time.monotonic()
        warm: list[dict[str, float | str]] = []
        last: list[dict[str, float | str]] = []
        while time.monotonic() < start + 60 * minutes or not last:
            await soak.round()
            if time.monotonic() - said >= min(60, 6 * minutes) or time.monotonic() >= start + 60 * minutes:
                said = time.monotonic()
                last = await soak.figures()
                for figure in last:
                    print(json.dumps({"minute": round((said - start) / 60, 1), "rounds": soak.rounds, **figure}), flush=True)
                warm = warm if warm and said - start > 60 * minutes / 6 else last
            await asyncio.sleep(pause)
    finally:
        soak.end()
    good = True
    for before, after in zip(warm, last, strict=True):
        for name, value in after.items():
            allowed = GROWTH_MIB if name == "MiB" else 0
            if name != "process" and float(value) - float(before[name]) > allowed:
                good = False
                print(f"process {after['process']}: {name} grew from {before[name]} to {value}")
    print("nothing is left behind" if good else "something is left behind", f"after {soak.rounds} rounds")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("JAMID_SOAK_MINUTES", "2")))
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between rounds, so that a machine can do something else beside")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options.serve[0], socket.socket(fileno=int(options.serve[1]))))
        return
    sys.exit(0 if asyncio.run(_run(options.minutes, options.pause)) else 1)


if __name__ == "__main__":
    main()
