"""A group in which only ours knows everybody: the others, of 13.7, have never met."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.lab import Lab
from tests.interop.swarm_lab import User, befriend, users

pytestmark = pytest.mark.interop


async def invite(host: User, guest: User, group: str) -> None:
    await host.api.addConversationMember(host.account, group, guest.uri)
    await guest.join(group)


async def member_of(watcher: User, group: str, member: User, seconds: float) -> bool:
    for _ in range(int(seconds * 4)):
        if (await watcher.roles(group)).get(member.uri) == "member":
            return True
        await asyncio.sleep(0.25)
    return False


async def test_strangers_learn_of_each_other_and_we_hear_them_both(lab: Lab) -> None:
    ours, first, second = await users(lab, a="ours", b="real", c="real")
    await befriend(ours, first)
    await befriend(ours, second)
    group = await ours.api.startConversation(ours.account)
    await invite(ours, first, group)
    await ours.event(group, first, 1)
    await invite(ours, second, group)
    # What the second does comes to the first again with whatever happens next, so this is said again if it was lost.
    for attempt in range(3):
        if await member_of(first, group, second, 8):
            break
        await ours.say(group, f"are you there? {attempt}")
    assert await member_of(first, group, second, 1)
    await first.tell(group, "from the first", ours)
    await second.tell(group, "from the second", ours)
    await ours.loaded(group, {"from the first", "from the second"})
