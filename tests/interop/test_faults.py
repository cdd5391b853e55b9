"""Kills, cuts and moves of home: what was confirmed is there afterwards, once, on every side.

JAMID_FAULT_ROUNDS=30 and JAMID_FAULT_SEED=N make the kill test longer and repeat a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter

import pytest

from tests.interop.driver import Driver, befriend, chat
from tests.interop.lab import REPOSITORY, Lab

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ROUNDS = int(os.environ.get("JAMID_FAULT_ROUNDS", "5"))
SEED = int(os.environ.get("JAMID_FAULT_SEED", "7"))


class Side:
    """One host with its daemon, account and driver."""

    def __init__(self, lab: Lab, host: str, ours: bool) -> None:
        self.lab, self.host, self.ours = lab, host, ours
        self.driver: Driver
        self.account = self.uri = ""

    async def join(self) -> None:
        self.start()
        self.driver = await Driver.connect(self.lab.bus(self.host), self.host)
        bootstrap = f"{self.lab.address('d')}:4222"
        self.account, self.uri = await self.driver.add_account(bootstrap, self.lab.address("d"))

    def start(self, ours: bool | None = None) -> None:
        self.ours = self.ours if ours is None else ours
        if self.ours:
            self.lab.ours(self.host)
        else:
            self.lab.start_jamid(self.host)

    def kill(self, number: int = signal.SIGKILL) -> int | None:
        return self.lab.stop(self.host, "jamid", number)

    async def texts(self, conversation: str) -> Counter[str]:
        """Each text message that the daemon has, and how often."""
        driver = self.driver
        since = len(driver.signals)
        request = await driver.configuration.loadConversationMessages(self.account, conversation, "", 0)
        _, _, _, messages = await driver.signal("conversationLoaded", lambda r, *_: r == request, 20, since)
        return Counter(message["body"] for message in messages if message["type"] == "text/plain")


async def pair(lab: Lab, kinds: tuple[bool, bool]) -> tuple[Side, Side, str]:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_turn("d")
    a, b = Side(lab, "a", kinds[0]), Side(lab, "b", kinds[1])
    await a.join()
    await b.join()
    conversation = await befriend(a.driver, a.account, a.uri, b.driver, b.account, b.uri)
    return a, b, conversation


def fill(path: str) -> None:
    """Writes to PATH until its disk is full."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            while True:
                os.write(descriptor, bytes(4096))
    finally:
        os.close(descriptor)


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


@pytest.mark.timeout(180 + 30 * ROUNDS)
@pytest.mark.parametrize("peer_is_ours", [True, False], ids=["ours", "real"])
async def test_killed_daemons_lose_nothing_they_confirmed(lab: Lab, peer_is_ours: bool) -> None:
    """The real daemon is never the victim: what it confirms and loses is not ours to test."""
    dice = random.Random(SEED)
    a, b, conversation = await pair(lab, (True, peer_is_ours))
    confirmed: set[str] = set()
    for number in range(ROUNDS):
        sender, other = (a, b) if dice.random() < 0.5 else (b, a)
        victim = (sender if dice.random() < 0.6 else other) if peer_is_ours else a
        since = len(sender.driver.signals)
        texts = [f"round {number} message {i}" for i in range(dice.randint(5, 30))]

        async def write(sender: Side = sender, texts: list[str] = texts) -> None:
            for text in texts:
                await sender.driver.configuration.sendMessage(sender.account, conversation, text, "", 0)
                await asyncio.sleep(dice.random() * 0.02)

        writing = asyncio.ensure_future(write())
        await asyncio.sleep(dice.random() * 0.4)
        victim.kill()
        await asyncio.wait({writing})
        writing.exception()  # the daemon it talked to may be gone
        await asyncio.sleep(0.1)
        told = [m.get("body") for _, c, m in sender.driver.received("messageReceived", since) if c == conversation]
        confirmed |= set(told) & set(texts)
        victim.start()
        await victim.driver.announced(victim.account, 30)
    assert confirmed, "nothing was confirmed in any round"
    # The real daemon does not announce all that a merge brings, but it is in the history.
    await a.driver.configuration.sendMessage(a.account, conversation, "the end", "", 0)
    await until_all_there((a, b), conversation, confirmed | {"the end"}, 120, remind=not peer_is_ours)


async def test_messages_of_a_cut_network_arrive_when_it_is_mended(lab: Lab) -> None:
    a, b, conversation = await pair(lab, (True, True))
    await chat(a.driver, a.account, b.driver, conversation, "before")
    lab.loss("b", 100)
    for text in ("into the cut 1", "into the cut 2"):
        await a.driver.configuration.sendMessage(a.account, conversation, text, "", 0)
    await b.driver.configuration.sendMessage(b.account, conversation, "from behind the cut", "", 0)
    await asyncio.sleep(8)
    lab.loss("b", 0)
    await until_all_there((a, b), conversation, {"before", "into the cut 1", "into the cut 2", "from behind the cut"}, 75)


async def test_home_moves_from_the_real_daemon_to_ours_and_back(lab: Lab) -> None:
    a, b, conversation = await pair(lab, (False, True))
    await chat(a.driver, a.account, b.driver, conversation, "written with the real daemon", 30)
    for ours, text in ((True, "written with ours"), (False, "written with the real one again")):
        assert a.kill(signal.SIGTERM) is not None, "the daemon did not end"
        a.start(ours=ours)
        assert await a.driver.configuration.getAccountList() == [a.account]
        assert (await a.driver.configuration.getAccountDetails(a.account))["Account.username"] == a.uri
        assert [one["id"] for one in await a.driver.configuration.getContacts(a.account)] == [b.uri]
        assert await a.driver.configuration.getConversations(a.account) == [conversation]
        await a.driver.announced(a.account, 40)
        await chat(a.driver, a.account, b.driver, conversation, text, 40)
    await chat(b.driver, b.account, a.driver, conversation, "the answer", 40)
    written = {"written with the real daemon", "written with ours", "written with the real one again", "the answer"}
    await until_all_there((a, b), conversation, written, 20)


async def test_full_disk_confirms_nothing_and_loses_nothing(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    data = lab.home("b") / ".local"
    data.mkdir()
    a, b = Side(lab, "a", True), Side(lab, "b", True)
    await a.join()
    lab.start_bus("b")
    mount = f'mount -t tmpfs -o size=12m,mode=700 tmpfs {data} && exec "$@"'  # for this process alone
    command = ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "-m", "jamid.app", "-c", "-d", "-p"]
    lab.start_jamid("b", command=command, env={"PYTHONPATH": str(REPOSITORY)})
    b.driver = await Driver.connect(lab.bus("b"), "b")
    b.account, b.uri = await b.driver.add_account(f"{lab.address('d')}:4222", None)
    conversation = await befriend(a.driver, a.account, a.uri, b.driver, b.account, b.uri)
    await chat(b.driver, b.account, a.driver, conversation, "there is room")

    inside = f"/proc/{lab.pid('b')}/root{data}/filler"
    fill(inside)
    since = len(b.driver.signals)
    for number in range(3):
        await b.driver.configuration.sendMessage(b.account, conversation, f"into the full disk {number}", "", 0)
    await asyncio.sleep(2)
    told = {m.get("body") for _, _, m in b.driver.received("messageReceived", since)}
    os.unlink(inside)
    await chat(b.driver, b.account, a.driver, conversation, "there is room again", 30)
    await chat(a.driver, a.account, b.driver, conversation, "and an answer", 30)
    await until_all_there((a, b), conversation, {"there is room", "there is room again", "and an answer"} | told, 20)
