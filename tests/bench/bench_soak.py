"""Constant chat, calls and files between two daemons for an hour: what of memory, descriptors, threads and tasks grows, and which objects.

    scripts/bench soak [--minutes 60] [--real]      as root; --real: the other one is the real daemon

A message every two seconds, a call each minute, a file of 1 MB each fifth minute, in turns. A line a minute; at the end the verdict on our
daemons, from the figures after five minutes and after the last, and whether each side has every message once. Each message that is loaded
takes some memory: the verdict allows MESSAGE_KIB for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from typing import Any

import psutil

from tests.interop.driver import Driver, audio_call, befriend, chat
from tests.interop.lab import REPOSITORY, Lab, missing_requirements, new_name

MESSAGE_SECONDS, CALL_SECONDS, FILE_SECONDS, SAY_SECONDS = 2, 60, 300, 60
WARM_SECONDS = 300
LINGER_SECONDS = 65
"""What lingers on purpose (SIP transactions, ended calls) has gone by then, and the counts are fresh."""

MESSAGE_KIB = 2.5


class Side:
    """One daemon under load."""

    driver: Driver
    account = uri = ""

    def __init__(self, lab: Lab, host: str, ours: bool) -> None:
        self.lab, self.host, self.ours = lab, host, ours
        self._counts = lab.home(host) / "counts.json"
        if ours:
            command = [sys.executable, "-m", "tests.bench.counting_daemon", "-c", "-p"]
            lab.start_jamid(host, command=command, env={"PYTHONPATH": str(REPOSITORY), "JAMID_COUNTS": str(self._counts)})
        else:
            lab.start_jamid(host)
        self._process = psutil.Process(lab.pid(host))

    async def join(self) -> None:
        self.driver = await Driver.connect(self.lab.bus(self.host), self.host)
        self.account, self.uri = await self.driver.add_account(f"{self.lab.address('d')}:4222", self.lab.address("d"))

    def objects(self) -> Counter[str]:
        return Counter(json.loads(self._counts.read_text())) if self._counts.exists() else Counter()

    def figures(self) -> dict[str, float]:
        memory = self._process.memory_info().rss / 2**20
        used = self._process.cpu_times()
        figures = {"MiB": round(memory, 1), "descriptors": self._process.num_fds(), "threads": self._process.num_threads()}
        if self.ours:
            objects = self.objects()
            figures |= {"tasks": objects["_asyncio.Task"], "kobjects": round(objects.total() / 1000)}
        return figures | {"cpu s": round(used.user + used.system)}


class Soak:
    """The load on both sides and what came of it."""

    def __init__(self, lab: Lab, a: Side, b: Side) -> None:
        self._lab, self.sides, self._conversation = lab, (a, b), ""
        self.done: Counter[str] = Counter()
        self.texts: list[str] = []
        self._due: dict[str, float] = {}

    async def meet(self) -> None:
        a, b = self.sides
        await a.join()
        await b.join()
        self._conversation = await befriend(a.driver, a.account, a.uri, b.driver, b.account, b.uri)

    async def run(self, seconds: float) -> None:
        """The load for so long; the slower the machine the less of it."""
        began = time.monotonic()
        due = self._due = self._due or {"messages": began, "calls": began + 10, "files": began + 40}
        every = {"messages": MESSAGE_SECONDS, "calls": CALL_SECONDS, "files": FILE_SECONDS}
        work = {"messages": self._message, "calls": self._call, "files": self._file}
        while (now := time.monotonic()) < began + seconds:
            kind = min(due, key=due.__getitem__)
            if due[kind] > now:
                await asyncio.sleep(min(due[kind], began + seconds) - now)
                continue
            due[kind] = max(due[kind] + every[kind], now)
            sender, receiver = self.sides if self.done[kind] % 2 == 0 else self.sides[::-1]
            try:
                await work[kind](sender, receiver)
            except TimeoutError as error:  # a real daemon loses notifications; what counts is what is there at the end
                self.done[f"{kind} late"] += 1
                print(f"{kind[:-1]} {self.done[kind]}: {error}", flush=True)
            self.done[kind] += 1
            for side in self.sides:
                del side.driver.signals[:-500]

    async def _message(self, sender: Side, receiver: Side) -> None:
        self.texts.append(f"message {len(self.texts)}")
        await chat(sender.driver, sender.account, receiver.driver, self._conversation, self.texts[-1], 20)

    async def _call(self, sender: Side, receiver: Side) -> None:
        await asyncio.wait_for(audio_call(sender.driver, sender.account, receiver.driver, receiver.account, receiver.uri, seconds=8), 40)

    async def _file(self, sender: Side, receiver: Side) -> None:
        source, target = self._lab.dir / "offered.bin", self._lab.dir / f"fetched-{self.done['files']}.bin"
        source.write_bytes(os.urandom(1_000_000))
        since = len(receiver.driver.signals)
        await sender.driver.configuration.sendFile(sender.account, self._conversation, str(source), "offered.bin", "")
        _, _, message = await receiver.driver.signal("messageReceived", lambda _, c, m: "fileId" in m, 20, since)
        await receiver.driver.configuration.downloadFile(
            receiver.account, self._conversation, message["id"], message["fileId"], str(target)
        )
        await receiver.driver.signal("dataTransferEvent", lambda _, c, m, f, code: f == message["fileId"] and code == 6, 60, since)
        target.unlink(missing_ok=True)

    async def missing(self) -> list[str]:
        """What is not there exactly once on each side, in words."""
        wrong = []
        for side in self.sides:
            driver, since = side.driver, len(side.driver.signals)
            request = await driver.configuration.loadConversationMessages(side.account, self._conversation, "", 0)
            _, _, _, messages = await driver.signal("conversationLoaded", lambda r, *_, request=request: r == request, 60, since)
            there = Counter(message.get("body") for message in messages)
            wrong += [f"{text!r} is {there[text]} times on {side.host}" for text in self.texts if there[text] != 1]
        return wrong


def grown(before: dict[str, float], after: dict[str, float], messages: int) -> list[str]:
    allowed = {"MiB": 3 + messages * MESSAGE_KIB / 1024, "descriptors": 5, "threads": 2, "tasks": 10}
    return [f"{name} by {after[name] - before[name]:.1f}" for name in allowed if after[name] - before[name] > allowed[name]]


def most_grown(before: Counter[str], after: Counter[str]) -> str:
    return ", ".join(f"{kind} +{more}" for kind, more in (after - before).most_common(12))


async def soak(minutes: float, real: bool) -> int:
    lab = Lab(new_name())
    try:
        lab.up(["d", "a", "b"])
        lab.start_dht("d")
        lab.start_turn("d")
        sides = (Side(lab, "a", True), Side(lab, "b", not real))
        load = Soak(lab, *sides)
        await load.meet()
        began = time.monotonic()
        warm: list[Any] = []
        while (left := minutes * 60 - (time.monotonic() - began)) > 0:
            await load.run(min(left, SAY_SECONDS))
            print(f"{(time.monotonic() - began) / 60:5.1f} min  {dict(load.done)}  {[side.figures() for side in sides]}", flush=True)
            if not warm and time.monotonic() - began >= min(WARM_SECONDS, minutes * 20):
                await asyncio.sleep(LINGER_SECONDS)
                warm = [len(load.texts), *[(side.figures(), side.objects()) for side in sides]]
        await asyncio.sleep(LINGER_SECONDS)
        ends = [side.figures() for side in sides]  # before all that was written is loaded
        failed = await load.missing()
        print(f"{dict(load.done)}; messages {'all there once' if not failed else failed[:10]}")
        for side, (figures, objects), last in zip(sides, warm[1:], ends, strict=True):
            print(f"{side.host} ({'ours' if side.ours else 'real'})\n  after warming up {figures}\n  at the end       {last}")
            if side.ours:
                print(f"  objects          {most_grown(objects, side.objects())}")
                growth = grown(figures, last, len(load.texts) - warm[0])
                print(f"  grown            {', '.join(growth) or 'nothing'}")
                failed += growth
        for side in sides:
            await side.driver.close()
        return 1 if failed else 0
    finally:
        lab.down()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--real", action="store_true", help="our daemon with the real one")
    arguments = parser.parse_args()
    if missing := missing_requirements():
        raise SystemExit(f"this bench needs {', '.join(missing)}")
    raise SystemExit(asyncio.run(soak(arguments.minutes, arguments.real)))


if __name__ == "__main__":
    main()
