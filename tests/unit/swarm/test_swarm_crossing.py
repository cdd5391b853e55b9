"""A device of 13.7 is led past the commit by which a device joins that it cannot know: first beside it, then over it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import FakeHome, World, world

from jamid.core.generations import Generation
from jamid.core.signals import MessageReceived, SwarmMessageReceived
from jamid.swarm.authoring import is_beside
from jamid.swarm.commits import Commit
from jamid.swarm.repository import Repository
from jamid.swarm.rule_sets import OUR_RULES, RULES_13, RULES_17
from jamid.swarm.rules import Checker


async def mixed(w: World) -> tuple[FakeHome, FakeHome, str]:
    """A group of ours and one that passes for a 13.7."""
    ours, older = await w.add(1), await w.add(2)
    older.peer.generation = Generation.G13
    w.connect(ours, older)
    return ours, older, await w.group(ours, older)


async def invite_newer(w: World, host: FakeHome, conversation: str) -> FakeHome:
    """One that passes for a 17 joins; it knows nobody but HOST."""
    newer = await w.add(3)
    for other in w.homes:
        if other not in (host, newer):
            w.separate(newer, other)
    newer.peer.generation = Generation.G17
    host.conversations.add_conversation_member(host.id, conversation, newer.uri)
    await newer.wait(lambda: conversation in newer.requested())
    await newer.conversations.accept_conversation_request(newer.id, conversation)
    await host.wait(lambda: host.roles(conversation).get(newer.uri) == "member")
    return newer


async def commits(home: FakeHome, conversation: str) -> list[Commit]:
    """All commits, oldest first; each is good by the rules of both generations and by ours."""
    account = home.conversations.account(home.id)
    assert account is not None
    found = account.find(conversation)
    assert found is not None

    def read(repository: Repository) -> list[Commit]:
        order = [repository.commit(oid) for oid in repository.log()][::-1]
        for rules in (RULES_13, RULES_17, OUR_RULES):
            checker = Checker(repository, conversation, rules)
            for commit in order:
                checker.check(commit)
        return order

    return await found.run(read)


async def test_an_older_device_is_led_past_a_newcomer_that_it_cannot_know(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ours, older, conversation = await mixed(w)
        older.signals.clear()
        newer = await invite_newer(w, ours, conversation)
        await w.converge(conversation)
        history = await commits(ours, conversation)
        (beside,) = [commit for commit in history if is_beside(commit)]
        (join,) = [commit for commit in history if commit.device == newer.device_id]
        assert beside.time > join.time
        # It had the commit beside before it was given the join.
        told = [signal.message["id"] for signal in older.of(MessageReceived)]
        assert told.index(beside.id) < told.index(join.id)
        assert not [signal for signal in older.of(SwarmMessageReceived) if signal.message.id == beside.id]
        # From then on everything comes as it is written.
        newer.conversations.send_message(newer.id, conversation, "hello", "", 0)
        await older.wait(lambda: any(signal.message.get("body") == "hello" for signal in older.of(MessageReceived)))
        assert len([commit for commit in await commits(ours, conversation) if is_beside(commit)]) == 1


async def test_an_older_device_that_was_away_is_led_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ours, older, conversation = await mixed(w)
        w.separate(ours, older)
        older.signals.clear()
        newer = await invite_newer(w, ours, conversation)
        newer.conversations.send_message(newer.id, conversation, "hello", "", 0)
        await ours.wait(lambda: ours.head(conversation) == newer.head(conversation))
        w.heal(ours, older)
        await w.converge(conversation)
        told = [signal.message for signal in older.of(MessageReceived)]
        kinds = [message.get("action") or message["type"] for message in told]
        # The invitation and the commit beside come first, then the join, what merges there were, the text.
        assert kinds[:2] == ["add", "merge"]
        assert [kind for kind in kinds[2:] if kind != "merge"] == ["join", "text/plain"]


async def test_without_older_devices_nothing_is_added(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ours = await w.add(1)
        conversation = await w.group(ours)
        await invite_newer(w, ours, conversation)
        await asyncio.sleep(0.1)
        assert not [commit for commit in await commits(ours, conversation) if len(commit.parents) > 1]
