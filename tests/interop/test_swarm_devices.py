"""Two devices of one account, ours and the real daemon's: conversations, messages, preferences and leaving reach both."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.interop.driver import Driver
from tests.interop.lab import Lab
from tests.interop.swarm_lab import User, befriend, users

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]


async def second_device(lab: Lab, host: str, first: User, archive: Path) -> User:
    """The account of FIRST on our daemon on HOST, by its archive."""
    assert await first.api.exportToFile(first.account, str(archive), "")
    lab.ours(host, "-c", "-d", "-p")
    driver = await Driver.connect(lab.bus(host), f"{host}-ours")
    archived = {"Account.archivePath": str(archive), "Account.archivePassword": ""}
    account, uri = await driver.add_account(f"{lab.address('d')}:4222", **archived)
    assert uri == first.uri
    return User(driver, account, uri)


@pytest.mark.parametrize("first_part", ["ours", "real"])
async def test_a_second_device_of_ours_has_everything(lab: Lab, tmp_path: Path, first_part: str) -> None:
    up = lab.up
    lab.up = lambda hosts, nat=(): up([*hosts, "e"], nat)  # type: ignore[method-assign]
    first, other = await users(lab, a=first_part, b="real")
    conversation = await befriend(first, other)
    group = await first.api.startConversation(first.account)
    await first.api.addConversationMember(first.account, group, other.uri)
    await other.join(group)
    await first.event(group, other, 1)
    await first.say(conversation, "before")
    await other.get(conversation, body="before")
    second = await second_device(lab, "e", first, tmp_path / "archive.gz")
    for each in (conversation, group):
        await second.driver.signal("conversationReady", lambda _, c, each=each: c == each, 30)
    assert [m["body"] for m in await second.history(conversation) if m["type"] == "text/plain"] == ["before"]
    for author in (second, first, other):
        await author.say(conversation, f"from {author.driver.name}")
        for reader in (first, second, other):
            await reader.get(conversation, body=f"from {author.driver.name}")
    await first.api.setConversationPreferences(first.account, conversation, {"color": "#123456"})
    colored = (second.account, conversation)
    await second.driver.signal("conversationPreferencesUpdated", lambda a, c, p: (a, c) == colored and p["color"] == "#123456", 20)
    await asyncio.sleep(1.1)
    await second.api.setConversationPreferences(second.account, conversation, {"color": "#654321"})
    colored = (first.account, conversation)
    await first.driver.signal("conversationPreferencesUpdated", lambda a, c, p: (a, c) == colored and p["color"] == "#654321", 20)
    await first.api.removeConversation(first.account, group)
    try:
        await second.driver.signal("conversationRemoved", lambda _, c: c == group, 10)
    except TimeoutError:  # 13.7.0 may read its list while it writes it, and then tells of it with the next connection only
        await second.api.sendRegister(second.account, False)
        await second.api.sendRegister(second.account, True)
        await second.driver.signal("conversationRemoved", lambda _, c: c == group, 30)
