"""How our DHT node compares with dhtnode 2.4.12 and OpenDHT 4.4.2 in one run on this machine.

python tests/bench/bench_dht.py [requests|latency|delivery|memory|idle …]      prints a Markdown table a benchmark
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from jamid.core.identifiers import InfoHash  # noqa: E402
from jamid.dht.addresses import Address  # noqa: E402
from jamid.dht.core import CoreSettings, DhtCore  # noqa: E402
from jamid.dht.decode import decode  # noqa: E402
from jamid.dht.service import DhtNode, WireValue  # noqa: E402
from jamid.dht.wire import Find, Get, Put, Reply, encode  # noqa: E402
from tests.support.dht.real import RealNode, free_port, our_node  # noqa: E402

WINDOW = 64


def start_ours(port: int, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jamid.dht.cli", "-4", "-q", "-p", str(port), *arguments, "node"]
    return subprocess.Popen(command, cwd=ROOT)


def start_real(port: int, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["dhtnode", "-p", str(port), *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


# -- requests answered per second


class Load:
    """A peer that keeps a window of requests in flight."""

    def __init__(self, port: int) -> None:
        self.rng = random.Random(1)
        self.id = InfoHash(self.rng.randbytes(20))
        self.target = ("127.0.0.1", port)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)

    def token(self) -> bytes:
        """The write token that the node gives us."""
        for _ in range(20):
            self.sock.sendto(encode(Find(tid=1, sender=self.id, target=self.id))[0], self.target)
            try:
                while True:
                    reply = decode(self.sock.recv(65536))
                    if isinstance(reply, Reply) and reply.token:
                        return reply.token
            except TimeoutError:
                continue
        raise RuntimeError("the node does not answer")

    def run(self, packets: list[bytes]) -> float:
        """Seconds until all PACKETS are answered."""
        started, sent, answered = time.perf_counter(), 0, 0
        while answered < len(packets):
            while sent < len(packets) and sent - answered < WINDOW:
                self.sock.sendto(packets[sent], self.target)
                sent += 1
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                answered = sent  # lost
                continue
            answered += b"\xa1y\xa1r" in data
        return time.perf_counter() - started


def bench_requests() -> None:
    print("| node | puts/s | gets/s (1 value) | gets/s per core | puts/s per core |\n|---|---|---|---|---|")
    for name, start in (("jamid", start_ours), ("dhtnode 2.4.12", start_real)):
        port = free_port()
        process = start(port, "-U")
        try:
            time.sleep(1.5)
            load = Load(port)
            token = load.token()
            keys = [InfoHash(load.rng.randbytes(20)) for _ in range(2000)]
            puts = [
                encode(
                    Put(
                        tid=n + 1, sender=load.id, key=keys[n % 2000], values=(WireValue(n + 1, data=load.rng.randbytes(200)),), token=token
                    )
                )[0]
                for n in range(10000)
            ]
            gets = [encode(Get(tid=n + 1, sender=load.id, key=InfoHash(load.rng.randbytes(20))))[0] for n in range(2000)]
            gets += [encode(Get(tid=n + 1, sender=load.id, key=keys[n % 2000]))[0] for n in range(18000)]
            results = []
            for packets in (puts[:2000], gets, puts[2000:]):
                before = cpu_seconds(process.pid)
                elapsed = load.run(packets)
                results.append((len(packets) / elapsed, len(packets) / max(cpu_seconds(process.pid) - before, 0.01)))
            print(f"| {name} | {results[2][0]:.0f} | {results[1][0]:.0f} | {results[1][1]:.0f} | {results[2][1]:.0f} |")
        finally:
            process.kill()
            process.wait()


# -- latency among sixteen real nodes


async def real_network(count: int) -> list[RealNode]:
    first = await RealNode.start()
    return [first, *await asyncio.gather(*(RealNode.start(bootstrap=first.host) for _ in range(count - 1)))]


async def measure(count: int, operation: Callable[[int], Awaitable[Any]]) -> tuple[float, float]:
    """Median and 95th percentile in ms."""
    times = []
    for number in range(count):
        started = time.perf_counter()
        await operation(number)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times), sorted(times)[int(count * 0.95)]


async def bench_latency() -> None:
    network = await real_network(16)
    await asyncio.sleep(5)
    count = 60
    print("| client in a network of 16 dhtnodes | put median | put p95 | get median | get p95 | (ms)\n|---|---|---|---|---|---|")
    try:
        async with our_node(network[0].host) as node:
            await asyncio.sleep(5)
            put = await measure(count, lambda n: node.put(InfoHash.of(f"ours {n}"), WireValue(n + 1, data=b"x" * 100)))
            get = await measure(count, lambda n: node.get(InfoHash.of(f"theirs? {n}")))
            print(f"| jamid | {put[0]:.1f} | {put[1]:.1f} | {get[0]:.1f} | {get[1]:.1f} | |")
        try:
            import opendht
        except ImportError:
            opendht = None
        if opendht is not None:
            runner = opendht.DhtRunner()
            runner.run(port=free_port())
            runner.bootstrap("127.0.0.1", str(network[0].port))
            await asyncio.sleep(6)
            put = await measure(
                count, lambda n: asyncio.to_thread(runner.put, opendht.InfoHash.get(f"wheel {n}"), opendht.Value(b"x" * 100))
            )
            get = await measure(count, lambda n: asyncio.to_thread(runner.get, opendht.InfoHash.get(f"wheel? {n}")))
            print(f"| opendht 4.4.2 | {put[0]:.1f} | {put[1]:.1f} | {get[0]:.1f} | {get[1]:.1f} | |")
            runner.shutdown()
        client = network[-1]
        times: dict[str, list[float]] = {"p": [], "g": []}
        for number in range(count):
            text = await client.command(f"p client{number} {'x' * 100}", r"Put: \w+, took .*")
            times["p"].append(took(text))
            text = await client.command(f"g nothing{number}", r"Get: completed, took .*")
            times["g"].append(took(text))
        numbers = [value for verb in "pg" for value in (statistics.median(times[verb]), sorted(times[verb])[int(count * 0.95)])]
        print(f"| dhtnode 2.4.12 | {' | '.join(f'{number:.1f}' for number in numbers)} | |")
    finally:
        for real in network:
            await real.kill()


def took(text: str) -> float:
    """Milliseconds in `took 3.29 ms`."""
    number, unit = text.rpartition("took ")[2].split()[:2]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit.rstrip(".").replace("mss", "ms")[:2].strip()]


# -- from put to listen


async def bench_delivery() -> None:
    print("| 8 nodes | values put and heard per second |\n|---|---|")
    async with our_node() as first:
        nodes = [first]
        contexts = []
        for _ in range(7):
            context = our_node(f"127.0.0.1:{first.port}")
            nodes.append(await context.__aenter__())
            contexts.append(context)
        await asyncio.sleep(2)
        print(f"| jamid (all in one process) | {await delivered(nodes):.0f} |")
        for context in contexts:
            await context.__aexit__(None, None, None)
    processes = []
    first_port = free_port()
    try:
        processes.append(start_ours(first_port))
        await asyncio.sleep(1.5)
        processes += [start_ours(free_port(), "-b", f"127.0.0.1:{first_port}") for _ in range(5)]
        await asyncio.sleep(3)
        async with our_node(f"127.0.0.1:{first_port}") as putter, our_node(f"127.0.0.1:{first_port}") as listener:
            await asyncio.sleep(2)
            print(f"| jamid (a process each, 2 in ours) | {await delivered([putter, listener]):.0f} |")
    finally:
        for process in processes:
            process.kill()
            process.wait()
    network = await real_network(6)
    try:
        async with our_node(network[0].host) as putter, our_node(network[0].host) as listener:
            await asyncio.sleep(3)
            print(f"| 6 dhtnodes, put and heard by 2 of ours | {await delivered([putter, listener]):.0f} |")
    finally:
        for real in network:
            await real.kill()


async def delivered(nodes: list[DhtNode], count: int = 1000, window: int = 32) -> float:
    """Values per second from the first node's put to the last node's listener."""
    key = InfoHash.of("delivery")
    missing = set(range(1, count + 1))
    complete = asyncio.Event()

    def news(values: list[WireValue], _expired: bool) -> None:
        missing.difference_update(value.id for value in values)
        if not missing:
            complete.set()

    stop = nodes[-1].listen(key, news)
    await asyncio.sleep(0.5)
    slots = asyncio.Semaphore(window)

    async def put(number: int) -> None:
        async with slots:
            await nodes[0].put(key, WireValue(number, data=b"x" * 100))

    started = time.perf_counter()
    async with asyncio.timeout(120):
        await asyncio.gather(*(put(number) for number in range(1, count + 1)))
        await complete.wait()
    stop()
    return count / (time.perf_counter() - started)


# -- memory and idleness


class _NoNetwork:
    def send(self, packets: list[bytes], address: tuple[str, int]) -> bool:
        return True


def bench_memory() -> None:
    script = "import tests.bench.bench_dht as b; b.fill(int(__import__('sys').argv[1]))"
    print("| values of 200 bytes | resident MiB |\n|---|---|")
    for count in (0, 100_000):
        done = subprocess.run([sys.executable, "-c", script, str(count)], cwd=ROOT, capture_output=True, text=True, check=True)
        print(f"| {count} | {float(done.stdout):.0f} |")


def fill(count: int) -> None:
    """Stores COUNT values, each under a key of its own, as puts of others, and prints the memory used."""
    from tests.simulation.dht.simulator import World

    world = World(1)
    core = DhtCore(CoreSettings(node_id=InfoHash.of("node"), requests_per_second=0), world, _NoNetwork(), random.Random(1))
    peer, source = InfoHash.of("peer"), Address("10.0.0.2", 4222)
    token = core.tokens.make(source)
    for number in range(1, count + 1):
        message = Put(tid=number, sender=peer, key=InfoHash(os.urandom(20)), values=(WireValue(number, data=os.urandom(200)),), token=token)
        core.receive(encode(message)[0], source)
    assert core.storage.values == count
    print(resident_mib(os.getpid()))


async def bench_idle(seconds: float = 60) -> None:
    network = await real_network(29)
    port = free_port()
    process = start_ours(port, "-b", network[0].host)
    try:
        await asyncio.sleep(20)
        pids = {"jamid": process.pid, "dhtnode 2.4.12": network[1].process.pid}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        await asyncio.sleep(seconds)
        print("| idle in a network of 30 | % of a core | resident MiB |\n|---|---|---|")
        for name, pid in pids.items():
            print(f"| {name} | {(cpu_seconds(pid) - before[name]) / seconds * 100:.2f} | {resident_mib(pid):.0f} |")
    finally:
        process.kill()
        process.wait()
        for real in network:
            await real.kill()


def main() -> None:
    chosen = sys.argv[1:] or ["requests", "latency", "delivery", "memory", "idle"]
    for name in chosen:
        print(f"\n### {name}\n")
        benchmark = {
            "requests": bench_requests,
            "latency": bench_latency,
            "delivery": bench_delivery,
            "memory": bench_memory,
            "idle": bench_idle,
        }[name]
        if asyncio.iscoroutinefunction(benchmark):
            asyncio.run(benchmark())
        else:
            benchmark()


if __name__ == "__main__":
    main()
