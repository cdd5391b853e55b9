"""Groups of ours and two real daemons: each invites, joins, writes, is banned, leaves; a partition heals."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.interop.lab import Lab
from tests.interop.swarm_lab import befriend, users

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


async def test_a_group_of_ours_with_two_real_daemons(lab: Lab) -> None:
    ours, b, c = await users(lab, a="ours", b="real", c="real")
    await befriend(ours, b)
    await befriend(c, ours)
    group = await ours.api.startConversation(ours.account)
    await ours.api.updateConversationInfos(ours.account, group, {"title": "Our group", "description": "d"})
    await ours.api.addConversationMember(ours.account, group, b.uri)
    await b.join(group)
    await ours.event(group, b, 1)
    assert (await b.api.conversationInfos(b.account, group))["title"] == "Our group"
    # A real member invites the other one.
    await b.api.addConversationMember(b.account, group, c.uri)
    await ours.event(group, c, 0)
    await c.join(group)
    for member in (ours, b):
        await member.event(group, c, 1)
    for author in (ours, b, c):
        await author.tell(group, f"from {author.driver.name}", ours, b, c)
    assert await ours.roles(group) == await b.roles(group) == await c.roles(group)
    # We ban, take back, and one leaves.
    await ours.api.removeConversationMember(ours.account, group, c.uri)
    for member in (ours, b):
        await member.event(group, c, 3)
    await ours.say(group, "without c")
    await b.get(group, body="without c")
    await ours.api.addConversationMember(ours.account, group, c.uri)
    for member in (ours, b):
        await member.event(group, c, 4)
    await asyncio.sleep(0.5)
    await ours.say(group, "with c again")
    await c.get(group, body="with c again")
    assert await b.api.removeConversation(b.account, group) is True
    for member in (ours, c):
        await member.event(group, b, 2)
    assert ours.driver.received("onConversationError") == []
    assert c.driver.received("onConversationError") == []


async def test_a_group_of_a_real_daemon(lab: Lab) -> None:
    ours, b, c = await users(lab, a="ours", b="real", c="real")
    await befriend(ours, b)
    await befriend(ours, c)
    group = await b.api.startConversation(b.account)
    await b.api.updateConversationInfos(b.account, group, {"title": "Theirs"})
    await b.api.addConversationMember(b.account, group, ours.uri)
    await ours.join(group)
    await b.event(group, ours, 1)
    assert await ours.api.conversationInfos(ours.account, group) == {"mode": "2", "title": "Theirs"}
    await ours.api.addConversationMember(ours.account, group, c.uri)
    await b.event(group, c, 0)
    await c.join(group)
    await ours.event(group, c, 1)
    # All at once: the heads part and must come together again.
    for number in range(5):
        for member in (ours, b, c):
            await member.say(group, f"{member.driver.name} {number}")
    expected = {f"{author.driver.name} {number}" for author in (ours, b, c) for number in range(5)}
    for member in (ours, b, c):
        # The real daemon does not announce all that a merge brings, but it is in the history.
        await member.loaded(group, expected)
    # The real daemon fails to ban while it merges, and does not tell.
    for _ in range(4):
        await b.api.removeConversationMember(b.account, group, c.uri)
        with contextlib.suppress(TimeoutError):
            await ours.event(group, c, 3, 12)
            break
    assert (await ours.roles(group))[c.uri] == "banned"
    assert await ours.api.removeConversation(ours.account, group) is True
    await b.event(group, ours, 2)
    assert group not in await ours.api.getConversations(ours.account)
