"""A home directory moves from our daemon to the real one and back: conversations go on; a killed daemon has kept what it confirmed."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.interop.driver import Driver
from tests.interop.lab import Lab
from tests.interop.swarm_lab import NUDGE, User, befriend, users

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]


async def texts(user: User, conversation: str) -> list[str]:
    return [m["body"] for m in await user.history(conversation) if m["type"] == "text/plain" and m["body"] != NUDGE]


async def test_a_home_directory_moves_to_the_real_daemon_and_back(lab: Lab) -> None:
    mover, peer = await users(lab, a="ours", b="real")
    conversation = await befriend(mover, peer)
    group = await mover.api.startConversation(mover.account)
    await mover.api.updateConversationInfos(mover.account, group, {"title": "Moving"})
    await mover.api.addConversationMember(mover.account, group, peer.uri)
    await peer.join(group)
    await mover.event(group, peer, 1)
    await mover.say(conversation, "from ours")
    await peer.get(conversation, body="from ours")
    await peer.say(group, "to ours")
    await mover.get(group, body="to ours")
    expected = [await texts(mover, conversation), await texts(mover, group)]
    # Now the real daemon, on the same files.
    await mover.driver.close()
    lab.stop("a")
    lab.start_jamid("a")
    mover.driver = await Driver.connect(lab.bus("a"), "real on our files")
    await mover.driver.announced(mover.account)
    assert sorted(await mover.api.getConversations(mover.account)) == sorted([conversation, group])
    assert [await texts(mover, conversation), await texts(mover, group)] == expected
    assert (await mover.api.conversationInfos(mover.account, group))["title"] == "Moving"
    assert await mover.roles(group) == {mover.uri: "admin", peer.uri: "member"}
    await mover.tell(conversation, "from the real one", peer)
    await peer.tell(group, "to the real one", mover)
    await mover.driver.close()
    lab.stop("a")
    # And back.
    lab.ours("a", "-c", "-d", "-p")
    mover.driver = await Driver.connect(lab.bus("a"), "ours again")
    await mover.driver.announced(mover.account)
    assert await texts(mover, conversation) == ["from the real one", "from ours"]
    assert await texts(mover, group) == ["to the real one", "to ours"]
    await mover.say(group, "ours again")
    await peer.get(group, body="ours again")


async def test_what_was_confirmed_survives_a_kill(lab: Lab) -> None:
    a, b = await users(lab, a="ours", b="ours")
    conversation = await befriend(a, b)
    confirmed: list[str] = []
    for number in range(30):
        await a.say(conversation, f"text {number}")
    while len(confirmed) < 12:
        await asyncio.sleep(0.005)
        confirmed = [m["body"] for _, c, m in a.driver.received("messageReceived") if c == conversation and m["type"] == "text/plain"]
    lab.stop("a", number=signal.SIGKILL)
    await a.driver.close()
    lab.ours("a", "-c", "-d", "-p")
    a.driver = await Driver.connect(lab.bus("a"), "a again")
    kept = (await texts(a, conversation))[::-1]
    assert kept[: len(confirmed)] == confirmed
    await a.driver.announced(a.account)
    await a.say(conversation, "alive")
    await b.get(conversation, body="alive")
    assert (await texts(b, conversation))[::-1][:-1] == kept
