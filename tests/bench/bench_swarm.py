"""Measures conversations between two daemons in the laboratory: request to conversation, a message, a burst, a large file.

Beside each time stands how long the processors worked for either daemon, which other load on the machine does not change.

python -m tests.bench.bench_swarm [ours|real] [ours|real]      needs root and the programs of tests/interop
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.interop.lab import Lab, new_name
from tests.interop.swarm_lab import User, befriend, users

MIB = 1 << 20
FILE_MIB = int(os.environ.get("BENCH_FILE_MIB", "200"))


async def latencies(one: User, other: User, conversation: str, count: int = 30) -> list[float]:
    """Seconds from sendMessage to the receiver's signal."""
    taken = []
    for number in range(count):
        text = f"{one.driver.name} {number}"
        began = time.monotonic()
        await one.say(conversation, text)
        await other.get(conversation, body=text)
        taken.append(time.monotonic() - began)
        await asyncio.sleep(0.25)
    return taken


async def burst(one: User, other: User, conversation: str, count: int = 200) -> tuple[float, float, bool]:
    """Seconds until COUNT texts were taken and until all had arrived, and whether each came once and in order."""
    since = len(other.driver.signals)
    began = time.monotonic()
    for number in range(count):
        await one.say(conversation, f"burst {number}")
    sent = time.monotonic() - began
    expected = [f"burst {number}" for number in range(count)]

    def got() -> list[str]:
        found = other.driver.received("messageReceived", since)
        return [message.get("body", "") for _, c, message in found if c == conversation and message["type"] == "text/plain"]

    end = began + 30
    while len(got()) < count and time.monotonic() < end:
        await asyncio.sleep(0.005)
    return sent, time.monotonic() - began, got() == expected


async def file(one: User, other: User, conversation: str, directory: Path) -> tuple[float, float, float]:
    """Seconds until the offer arrived, until the file had, and in all."""
    path = directory / "large.bin"
    with path.open("wb") as target:
        for _ in range(FILE_MIB):
            target.write(os.urandom(MIB))
    began = time.monotonic()
    await one.api.sendFile(one.account, conversation, str(path), "large.bin", "")
    offer = await other.get(conversation, displayName="large.bin", author=one.uri)
    offered = time.monotonic()
    received = directory / "received.bin"
    await other.api.downloadFile(other.account, conversation, offer["id"], offer["fileId"], str(received))
    done = (other.account, conversation, offer["id"], offer["fileId"], 6)
    await other.driver.signal("dataTransferEvent", lambda *body: body == done, 120)
    ended = time.monotonic()
    assert hashlib.sha1(path.read_bytes()).digest() == hashlib.sha1(received.read_bytes()).digest()
    return offered - began, ended - offered, ended - began


class Work:
    """Processor seconds of the daemons of both hosts since it was asked last."""

    def __init__(self, lab: Lab) -> None:
        self._pids = [lab.pid(host) for host in ("a", "b")]
        self._before = self._now()

    def taken(self) -> str:
        before, self._before = self._before, self._now()
        return "CPU a {:.2f} b {:.2f} s".format(*(now - then for now, then in zip(self._before, before, strict=True)))

    def _now(self) -> list[float]:
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self._pids]
        return [(int(each[11]) + int(each[12])) / os.sysconf("SC_CLK_TCK") for each in fields]


async def measure(lab: Lab, first: str, second: str) -> None:
    one, other = await users(lab, a=first, b=second)
    work = Work(lab)
    began = time.monotonic()
    conversation = await befriend(one, other)
    print(f"request to conversation        {time.monotonic() - began:7.3f} s; {work.taken()}")
    await asyncio.sleep(1)
    for sender, receiver in ((one, other), (other, one)):
        names = f"{sender.driver.name} -> {receiver.driver.name}"
        work.taken()
        taken = await latencies(sender, receiver, conversation)
        print(
            f"message {names:18} median {1000 * statistics.median(taken):6.1f} ms, worst {1000 * max(taken):6.1f} ms;"
            f" {len(taken)}: {work.taken()}"
        )
        sent, arrived, in_order = await burst(sender, receiver, conversation)
        print(f"burst   {names:18} taken {sent:.3f} s, arrived {arrived:.3f} s, once and in order: {in_order}; {work.taken()}")
        await asyncio.sleep(2)
    with tempfile.TemporaryDirectory() as directory:
        for sender, receiver in ((one, other), (other, one)):
            target = Path(directory) / sender.driver.name
            target.mkdir()
            work.taken()
            offered, fetched, total = await file(sender, receiver, conversation, target)
            names = f"{sender.driver.name} -> {receiver.driver.name}"
            print(f"{FILE_MIB} MiB {names:18} offered {offered:.2f} s, fetched {fetched:.2f} s, in all {total:.2f} s; {work.taken()}")


def main() -> None:
    parts = [*sys.argv[1:3], "ours", "ours"][:2]
    lab = Lab(new_name())
    try:
        asyncio.run(measure(lab, *parts))
    finally:
        lab.down()


if __name__ == "__main__":
    main()
