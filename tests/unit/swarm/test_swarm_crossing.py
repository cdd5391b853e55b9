"""A device of 13.7 is led past the commit by which a device joins that it cannot know: first beside it, then over it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import FakeHome, FakePeer, World, identity, world

from jamid.core import limits
from jamid.core.generations import Generation
from jamid.core.signals import MessageReceived, SwarmMessageReceived
from jamid.core.tasks import Tasks
from jamid.swarm import records
from jamid.swarm.authoring import is_beside
from jamid.swarm.commits import Commit
from jamid.swarm.crossing import Crossings
from jamid.swarm.repository import Repository
from jamid.swarm.rule_sets import OUR_RULES, RULES_13, RULES_17
from jamid.swarm.rules import Checker
from jamid.swarm.store import Store


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


async def joined_while_away(w: World) -> tuple[FakeHome, FakeHome, FakeHome, str]:
    """Ours, an older one that was cut off before a newer one joined and wrote, that newer one, and the conversation."""
    ours, older, conversation = await mixed(w)
    w.separate(ours, older)
    older.signals.clear()
    newer = await invite_newer(w, ours, conversation)
    newer.conversations.send_message(newer.id, conversation, "hello", "", 0)
    await ours.wait(lambda: ours.head(conversation) == newer.head(conversation))
    return ours, older, newer, conversation


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
        heard = [signal.message["id"] for signal in older.of(MessageReceived)]
        assert heard.index(beside.id) < heard.index(join.id)
        assert not [signal for signal in older.of(SwarmMessageReceived) if signal.message.id == beside.id]
        # From then on everything comes as it is written.
        newer.conversations.send_message(newer.id, conversation, "hello", "", 0)
        await older.wait(lambda: any(signal.message.get("body") == "hello" for signal in older.of(MessageReceived)))
        assert len([commit for commit in await commits(ours, conversation) if is_beside(commit)]) == 1


async def test_an_older_device_that_was_away_is_led_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ours, older, _, conversation = await joined_while_away(w)
        w.heal(ours, older)
        await w.converge(conversation)
        # The invitation and the commit beside come first, then the join, what merges there were, the text.
        assert told(older)[:2] == ["add", "merge"]
        assert [kind for kind in told(older)[2:] if kind != "merge"] == ["join", "text/plain"]


async def restart(home: FakeHome) -> None:
    await home.conversations.remove_account(home.id)
    await home.conversations.add_account(home)
    home.conversations.went_online(home.id)


def told(home: FakeHome) -> list[str]:
    """What clients of HOME were told: the kinds of commits, in order."""
    bodies = [signal.message for signal in home.of(MessageReceived)]
    return [body.get("action") or body["type"] for body in bodies]


async def test_an_older_device_is_led_after_a_restart_of_ours_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ours, older, newer, conversation = await joined_while_away(w)
        await restart(ours)
        w.connect(ours, newer)
        w.heal(ours, older)
        await w.converge(conversation)
        assert told(older)[:2] == ["add", "merge"]
        assert [kind for kind in told(older)[2:] if kind != "merge"] == ["join", "text/plain"]
        # What it has taken is not given to it again.
        w.separate(ours, older)
        await restart(ours)
        w.connect(ours, newer)
        ours.conversations.send_message(ours.id, conversation, "once more", "", 0)
        await newer.wait(lambda: newer.head(conversation) == ours.head(conversation) != "")
        older.signals.clear()
        w.heal(ours, older)
        await older.wait(lambda: "text/plain" in told(older))
        assert told(older) == ["text/plain"]


async def test_an_older_device_that_is_away_is_remembered_over_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ours, older, conversation = await mixed(w)
        w.separate(ours, older)
        older.signals.clear()
        await restart(ours)
        await invite_newer(w, ours, conversation)
        w.heal(ours, older)
        await w.converge(conversation)
        assert told(older)[:2] == ["add", "merge"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        records.pack(["a list"]),
        records.pack({"older": {"no device": 1}, "crossings": {}}),
        records.pack({"older": [], "crossings": {"CONVERSATION": 3}}),
        records.pack({"older": {}, "crossings": {"CONVERSATION": [{"steps": ["x", "y"]}, {"steps": 1}, 7]}}),
        records.pack({"older": {}, "crossings": {"CONVERSATION": [{"steps": ["a" * 40, "b" * 40], "accounts": [7], "progress": {}}]}}),
        records.pack({"older": {}, "crossings": {"CONVERSATION": [{"steps": ["a" * 40, "b" * 40], "accounts": [], "progress": {7: -9}}]}}),
    ],
)
async def test_a_broken_file_of_crossings_is_done_without(tmp_path: Path, content: bytes) -> None:
    async with world(tmp_path) as w:
        ours, older, conversation = await mixed(w)
        path = ours.data_path / "crossings"
        w.separate(ours, older)
        await ours.conversations.remove_account(ours.id)
        assert path.exists()
        path.write_bytes(content.replace(b"CONVERSATION", conversation.encode()))
        await restart(ours)
        w.heal(ours, older)
        await invite_newer(w, ours, conversation)
        await w.converge(conversation)
        assert "merge" in told(older)


async def test_steps_that_are_not_in_the_history_hold_nobody_up(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ours, older, conversation = await mixed(w)
        w.separate(ours, older)
        await ours.conversations.remove_account(ours.id)
        lost = {"steps": ["a" * 40, "b" * 40], "accounts": [ours.uri, older.uri], "progress": {}}
        kept = {"older": {older.device_id: older.uri}, "crossings": {conversation: [lost]}}
        (ours.data_path / "crossings").write_bytes(records.pack(kept))
        await restart(ours)
        w.heal(ours, older)
        ours.conversations.send_message(ours.id, conversation, "hello", "", 0)
        await older.wait(lambda: "text/plain" in told(older))


async def test_few_older_devices_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OLDER_DEVICES", 2)
    store, tasks = Store(tmp_path, tmp_path), Tasks("test")
    crossings = Crossings(store, tasks)
    first, second, third = (identity(number) for number in (1, 2, 3))
    for one in (first, second, third):
        crossings.met(FakePeer(one.device_id, one.account_uri, one.certificate, Generation.G13))
    # One that was updated is older no more.
    crossings.met(FakePeer(third.device_id, third.account_uri, third.certificate, Generation.G17))
    await crossings.save()
    read = Crossings(store, tasks)
    read.load(())
    assert read.older == crossings.older == {second.device_id: second.account_uri}
    await tasks.close()


async def test_without_older_devices_nothing_is_added(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ours = await w.add(1)
        conversation = await w.group(ours)
        await invite_newer(w, ours, conversation)
        await asyncio.sleep(0.1)
        assert not [commit for commit in await commits(ours, conversation) if len(commit.parents) > 1]
