"""What the bus costs: round trips, big replies, bursts of signals, with and without the fast library.

Run it: `python tests/bench/bench_bus.py [--real /usr/libexec/jamid]`. With --real the same calls are made to the real daemon.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from jamid.bus import library
from jamid.bus.connection import BusError
from jamid.bus.interface import Interface
from jamid.core.signals import CallStateChanged, SwarmLoaded, SwarmMessage
from tests.private_bus import Client, PrivateBus, Recording, Served

DETAILS = {f"Account.someQuiteLongKey{number}": f"value {number}" for number in range(75)}
MESSAGES = [
    {
        "id": f"{number:040x}",
        "author": "a" * 40,
        "type": "text/plain",
        "timestamp": "1700000000",
        "parents": f"{number + 1:040x}",
        "linearizedParent": f"{number + 1:040x}",
        "body": f"message number {number} with a body of ordinary length, say a sentence",
    }
    for number in range(1000)
]


class _Part:
    def getAccountList(self) -> list[str]:  # noqa: N802
        return ["0011223344556677"]

    def getAccountDetails(self, account_id: str) -> dict[str, str]:  # noqa: N802
        return DETAILS

    def getContacts(self, account_id: str) -> list[dict[str, str]]:  # noqa: N802
        return MESSAGES


async def timed(name: str, count: int, call: Callable[[], Awaitable[Any]], parallel: int = 1) -> float:
    """Microseconds per CALL with PARALLEL of them in flight."""
    for _ in range(20):
        await call()
    began = time.perf_counter()
    for _ in range(count // parallel):
        await asyncio.gather(*(call() for _ in range(parallel)))
    micro = (time.perf_counter() - began) / count * 1e6
    print(f"  {name:<46} {micro:10.1f} us")
    return micro


async def serve(address: str) -> None:
    """The daemon side, in a process of its own, until it is killed."""
    async with Served(address, [Interface("ConfigurationManager", [_Part()])]) as served:
        await served.service.closed


async def measure_calls(address: str, *, page: bool) -> None:
    client = await Client.connect(address, listen=False)
    (accounts,) = await client.call("ConfigurationManager.getAccountList")
    account = accounts[0]
    details = functools.partial(client.call, "ConfigurationManager.getAccountDetails", "s", account)
    messages = functools.partial(client.call, "ConfigurationManager.getContacts", "s", account)
    await timed("getAccountList", 2000, lambda: client.call("ConfigurationManager.getAccountList"))
    await timed("getAccountDetails, one in flight", 2000, details)
    await timed("getAccountDetails, ten in flight", 2000, details, 10)
    if page:
        await timed("1000 messages aa{ss}, both ends", 50, messages)
    await client.close()


async def measure_signals(address: str, count: int = 20_000) -> None:
    async with Served(address) as served:
        quick, slow = await Client.connect(address), await Client.connect(address)
        slow.pause()
        began = time.perf_counter()
        for number in range(count):
            served.events.publish(CallStateChanged("0011223344556677", str(number), "CURRENT", 0))
        published = time.perf_counter() - began
        await quick.wait_for(count, 60)
        arrived = time.perf_counter() - began
        slow.resume()
        await slow.wait_for(count, 60)
        caught_up = time.perf_counter() - began
        expected = [str(number) for number in range(count)]
        for client in (quick, slow):
            assert [arguments[1] for _, _, arguments in client.signals] == expected, "a signal was lost or out of order"
            await client.close()
        print(
            f"  {count} signals in one turn: published in {published:.2f} s, quick listener after {arrived:.2f} s, slow {caught_up:.2f} s"
        )
        page = [SwarmMessage(one["id"], one["type"], one["parents"], one, [], [], {"a" * 40: 3}) for one in MESSAGES]
        began = time.perf_counter()
        served.events.publish(SwarmLoaded(1, "a", "c", page))
        print(f"  swarmLoaded with 1000 messages, both forms: published in {(time.perf_counter() - began) * 1e3:.1f} ms")


def measure_encoding() -> None:
    for name in ("dbus_fast", "dbus_next"):
        try:
            chosen = library.load(name)
        except Exception:
            print(f"  {name} is not installed")
            continue
        from jamid.bus import wire

        for what, signature, body in (("1000 messages", "aa{ss}", [MESSAGES]), ("75 details", "a{ss}", [DETAILS])):
            began = time.perf_counter()
            rounds = 0
            while time.perf_counter() - began < 0.5:
                wire.encode_body(chosen, signature, body)
                rounds += 1
            print(f"  {name}: {what} encoded in {(time.perf_counter() - began) / rounds * 1e3:.3f} ms")


async def measure_start(name: str, command: list[str]) -> None:
    """Seconds from exec to the first reply, and resident memory a second later, best and worst of five."""
    seconds, mebibytes = [], []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as directory, PrivateBus(Path(directory)) as bus:
            home = {"HOME": directory, "DBUS_SESSION_BUS_ADDRESS": bus.address, "PATH": os.environ["PATH"]}
            client = await Client.connect(bus.address)
            began = time.perf_counter()
            process = subprocess.Popen(command, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while True:
                try:
                    await client.call("ConfigurationManager.getAccountList")
                    break
                except BusError:
                    await asyncio.sleep(0.002)
            seconds.append(time.perf_counter() - began)
            await asyncio.sleep(1)
            mebibytes.append(psutil.Process(process.pid).memory_info().rss / 2**20)
            await client.close()
            process.terminate()
            process.wait()
    print(f"  {name:<46} {min(seconds):.2f} to {max(seconds):.2f} s, {min(mebibytes):.1f} to {max(mebibytes):.1f} MiB")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", metavar="ADDRESS")
    parser.add_argument("--real", metavar="PROGRAM", default="/usr/libexec/jamid")
    options = parser.parse_args()
    if options.serve:
        await serve(options.serve)
        return
    real_is_here = shutil.which(options.real) is not None
    print("from exec to the first reply; memory without accounts")
    await measure_start("ours", [sys.executable, "-m", "jamid.app", "-p", "-c"])
    if real_is_here:
        await measure_start("the real daemon", [options.real, "-p", "-c"])
    print("marshalling")
    measure_encoding()
    with tempfile.TemporaryDirectory() as directory, PrivateBus(Path(directory)) as bus:
        ours = subprocess.Popen([sys.executable, __file__, "--serve", bus.address])
        await wait_for_name(bus.address)
        print("ours, in a process of its own")
        await measure_calls(bus.address, page=True)
        ours.kill()
        ours.wait()
        print("signals")
        await measure_signals(bus.address)
    if real_is_here:
        with tempfile.TemporaryDirectory() as directory, PrivateBus(Path(directory)) as bus:
            home = {"HOME": directory, "DBUS_SESSION_BUS_ADDRESS": bus.address, "PATH": os.environ["PATH"]}
            real = subprocess.Popen([options.real, "-p"], env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            await wait_for_name(bus.address)
            client = await Client.connect(bus.address, listen=False)
            await client.call("ConfigurationManager.addAccount", "a{ss}", {"Account.type": "SIP", "Account.alias": "bench"})
            await client.close()
            print("the real daemon, with a SIP account")
            await measure_calls(bus.address, page=False)
            real.kill()
            real.wait()


async def wait_for_name(address: str) -> None:
    connection = await Recording.open(address)
    client = Client(connection)
    for _ in range(500):
        (owned,) = await client.call_bus("NameHasOwner", "s", "cx.ring.Ring")
        if owned:
            break
        await asyncio.sleep(0.02)
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
