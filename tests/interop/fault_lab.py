"""Two daemons that tests do harm to, and what must be true of them afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
from collections import Counter
from pathlib import Path

from tests.interop.driver import Driver, DriverError, befriend
from tests.interop.lab import Lab

COMPLETE = 6


class Side:
    """One host with its daemon, account and driver."""

    def __init__(self, lab: Lab, host: str, ours: bool, env: dict[str, str] | None = None) -> None:
        self.lab, self.host, self.ours, self._env = lab, host, ours, env
        self.driver: Driver
        self.account = self.uri = ""

    async def join(self) -> None:
        self.start()
        await self.connect()
        bootstrap = f"{self.lab.address('d')}:4222"
        self.account, self.uri = await self.driver.add_account(bootstrap, self.lab.address("d"))

    async def connect(self) -> None:
        self.driver = await Driver.connect(self.lab.bus(self.host), self.host)

    def start(self, ours: bool | None = None) -> None:
        self.ours = self.ours if ours is None else ours
        if self.ours:
            self.lab.ours(self.host, env=self._env)
        else:
            self.lab.start_jamid(self.host)

    def kill(self, number: int = signal.SIGKILL) -> int | None:
        return self.lab.stop(self.host, "jamid", number)

    def kill_bus(self) -> None:
        """The host's bus dies; the next start makes a new one."""
        self.lab.stop(self.host, "dbus", signal.SIGKILL)
        (self.lab.home(self.host) / "run/bus").unlink()

    async def texts(self, conversation: str) -> Counter[str]:
        """Each text message that the daemon has, and how often."""
        return Counter(message["body"] for message in await self.history(conversation) if message["type"] == "text/plain")

    async def offer(self, conversation: str, path: Path) -> None:
        await self.driver.configuration.sendFile(self.account, conversation, str(path), path.name, "")

    async def fetch(self, conversation: str, name: str, target: Path, seconds: float) -> None:
        """Downloads the file that was offered as NAME; raises TimeoutError, and LookupError while its offer is not here."""
        offers = [message for message in await self.history(conversation) if message.get("displayName") == name]
        if not offers:
            raise LookupError(f"{name} was not offered to {self.host}")
        identifier, since = offers[0]["fileId"], len(self.driver.signals)
        await self.driver.configuration.downloadFile(self.account, conversation, offers[0]["id"], identifier, str(target))
        await self.driver.signal("dataTransferEvent", lambda _, c, m, f, code: f == identifier and code == COMPLETE, seconds, since)

    async def history(self, conversation: str) -> list[dict[str, str]]:
        """All messages that the daemon has, newest first."""
        since = len(self.driver.signals)
        request = await self.driver.configuration.loadConversationMessages(self.account, conversation, "", 0)
        _, _, _, messages = await self.driver.signal("conversationLoaded", lambda r, *_: r == request, 20, since)
        return list(messages)


async def pair(lab: Lab, kinds: tuple[bool, bool], nat: tuple[str, ...] = (), env: dict[str, str] | None = None) -> tuple[Side, Side, str]:
    """Two sides that share a conversation; KINDS says which are ours. ENV is for the first."""
    lab.up(["d", "a", "b"], nat=nat)
    lab.start_dht("d")
    lab.start_turn("d")
    a, b = Side(lab, "a", kinds[0], env), Side(lab, "b", kinds[1])
    await a.join()
    await b.join()
    conversation = await befriend(a.driver, a.account, a.uri, b.driver, b.account, b.uri)
    return a, b, conversation


async def until_all_there(sides: tuple[Side, Side], conversation: str, wanted: set[str], seconds: float, *, remind: bool = False) -> None:
    """Waits until both sides have every text of WANTED; then each must be there once.

    REMIND writes another text now and then: a real daemon that has lost a notification hears of all it missed with the next one.
    """
    found: list[Counter[str]] = []
    loop = asyncio.get_running_loop()
    end, reminder = loop.time() + seconds, loop.time() + 10
    while loop.time() < end:
        found = [await side.texts(conversation) for side in sides]
        if all(wanted <= set(texts) for texts in found):
            break
        if remind and loop.time() > reminder:
            reminder += 10
            await sides[0].driver.configuration.sendMessage(sides[0].account, conversation, f"reminder at {reminder}", "", 0)
        await asyncio.sleep(0.5)
    for side, texts in zip(sides, found, strict=True):
        assert wanted - set(texts) == set(), f"lost on {side.host}"
        assert [text for text, times in texts.items() if times > 1] == [], f"more than once on {side.host}"


async def until_heard(sender: Side, receiver: Side, conversation: str, text: str) -> None:
    """SENDER writes TEXT and more until RECEIVER has it: a real daemon may lose a notification."""
    since = len(receiver.driver.signals)
    for words in (text, f"once more: {text}", f"again: {text}"):
        await sender.driver.configuration.sendMessage(sender.account, conversation, words, "", 0)
        with contextlib.suppress(TimeoutError):
            await receiver.driver.signal("messageReceived", lambda _, c, m: m.get("body") == text, 10, since)
            return
    assert text in await receiver.texts(conversation)


async def until_fetched(side: Side, conversation: str, source: Path, seconds: float) -> None:
    """SIDE gets the file SOURCE whole, at the third try at the latest: the first may meet what a fault has left."""
    target = source.with_name(f"{side.host}-{source.name}")
    for _ in range(3):
        with contextlib.suppress(TimeoutError, LookupError):
            await side.fetch(conversation, source.name, target, seconds / 3)
            break
        await asyncio.sleep(1)
    async with asyncio.timeout(5):  # the real daemon writes on after it has said that it has all
        while not target.exists() or target.stat().st_size < source.stat().st_size:
            await asyncio.sleep(0.05)
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(source.read_bytes()).digest()


async def until_no_call(side: Side, seconds: float) -> None:
    """Waits until SIDE has no call left."""
    async with asyncio.timeout(seconds):
        while calls := await side.driver.call.getCallList(side.account):
            for call in calls:  # whoever survived may hear of the other's end late
                with contextlib.suppress(DriverError):
                    await side.driver.call.hangUp(side.account, call)
            await asyncio.sleep(0.2)


def fill(path: str) -> None:
    """Writes to PATH until its disk is full."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            while True:
                os.write(descriptor, bytes(4096))
    finally:
        os.close(descriptor)
