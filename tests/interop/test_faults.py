"""Cut networks, full disks, jumping clocks and moves of home; kills at random moments are in test_fault_rounds.py."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import sys

import pytest

from tests.interop.driver import Driver, audio_call, befriend, chat
from tests.interop.fault_lab import Side, fill, pair, until_all_there, until_heard
from tests.interop.lab import REPOSITORY, Lab, preload

pytestmark = [pytest.mark.interop, pytest.mark.slow]

HOUR, DAY = 3600, 86400


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


async def test_clock_jumps_change_nothing_for_who_is_there(lab: Lab) -> None:
    """An hour back just after the account was made, an hour ahead, a day ahead, with connections that stand and with new ones."""
    shift = lab.dir.with_suffix(".shift")
    shift.write_bytes(struct.pack("=q", 0))
    environment = {"LD_PRELOAD": str(preload("clock_shift")), "CLOCK_SHIFT": str(shift)}
    try:
        a, b, conversation = await pair(lab, (True, False), env=environment)
        texts: list[str] = []
        for jump, restart in ((-HOUR, False), (HOUR, False), (DAY, False), (-HOUR, True)):
            if restart:
                a.kill(signal.SIGTERM)
            with shift.open("r+b") as file:
                file.write(struct.pack("=q", jump))
            if restart:
                a.start()
                await a.driver.announced(a.account)
            for sender, receiver in ((a, b), (b, a)):
                texts.append(f"{sender.host} at {jump:+d} s{' anew' * restart}")
                await until_heard(sender, receiver, conversation, texts[-1])
            if jump == DAY:
                assert await audio_call(a.driver, a.account, b.driver, b.account, b.uri, seconds=0.5) < 20
        dated = {message["body"]: int(message["timestamp"]) for message in await a.history(conversation) if message.get("body") in texts}
        assert abs(dated[f"a at {DAY:+d} s"] - dated[f"b at {DAY:+d} s"] - DAY) < 60, "the clock did not jump"
        await until_all_there((a, b), conversation, set(texts), 30, remind=True)
    finally:
        shift.unlink()
