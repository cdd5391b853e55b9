"""Nobody who was banned is sought any more for that conversation: not told, not asked, not connected to; all others still are."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import FakeHome, World, world

from jamid.core.signals import SwarmMessageReceived
from jamid.swarm import notifying, pulling

REPEATS = (0.02, 0.04, 0.08)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "_REPEATS", REPEATS)
    monkeypatch.setattr(notifying, "_REPEATS_AFTER_FETCH", ())
    monkeypatch.setattr(pulling, "_LOOK_SECONDS", 0.02)


def sought(w: World, seeker: FakeHome, other: FakeHome, conversation: str) -> list[str]:
    """What went from SEEKER to OTHER because of CONVERSATION, messages and channels."""
    messages = [mime for a, b, mime, text in w.messages if (a, b) == (seeker, other) and conversation in text]
    return messages + [channel.name for a, b, channel in w.channels if (a, b) == (seeker, other) and conversation in channel.name]


def forget_traffic(w: World) -> None:
    w.messages.clear()
    w.channels.clear()


async def write(sender: FakeHome, conversation: str, text: str, *readers: FakeHome) -> None:
    sender.conversations.send_message(sender.id, conversation, text, "", 0)
    for reader in readers:
        await reader.wait(lambda reader=reader: any(s.message.body.get("body") == text for s in reader.of(SwarmMessageReceived)))


async def test_a_banned_member_is_left_alone_while_the_others_hear_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "_REPEATS", (0.5, 0.5))
    async with world(tmp_path) as w:
        a, b, c = await w.add(1), await w.add(2), await w.add(3)
        group = await w.group(a, b, c)
        # It does not fetch: reminders of what came before the ban wait for it.
        monkeypatch.setattr(c.conversations, "instant_message", lambda *_: None)
        await write(a, group, "before", b)
        a.conversations.remove_conversation_member(a.id, group, c.uri)
        await b.wait(lambda: b.roles(group).get(c.uri) == "banned")
        await a.wait(lambda: a.roles(group).get(c.uri) == "banned")
        forget_traffic(w)
        await write(a, group, "after", b)
        await write(b, group, "answer", a)
        for member in (a, b):
            member.conversations.peer_announced(member.id, c.uri, c.device_id)
        await asyncio.sleep(1.2)
        assert sought(w, a, c, group) == sought(w, b, c, group) == []


async def test_another_conversation_still_leads_to_who_was_banned_from_one(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        group, pair = await w.group(a, b), await w.befriend(a, b)
        a.conversations.remove_conversation_member(a.id, group, b.uri)
        await a.wait(lambda: a.roles(group).get(b.uri) == "banned")
        await write(a, pair, "still friends", b)
        forget_traffic(w)
        w.separate(a, b)
        w.cut.clear()
        a.conversations.peer_announced(a.id, b.uri, b.device_id)
        w.connect(a, b)
        await a.wait(lambda: sought(w, a, b, pair))
        await asyncio.sleep(sum(REPEATS))
        assert sought(w, a, b, group) == []


async def test_who_is_taken_back_is_told_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, c = await w.add(1), await w.add(2), await w.add(3)
        group = await w.group(a, b, c)
        a.conversations.remove_conversation_member(a.id, group, c.uri)
        await b.wait(lambda: b.roles(group).get(c.uri) == "banned")
        await write(a, group, "without", b)
        a.conversations.add_conversation_member(a.id, group, c.uri)
        await write(a, group, "with", b, c)
        assert c.roles(group)[c.uri] == "member"


async def test_a_banned_device_is_left_alone_but_not_the_member(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        group = await w.group(a, b)
        phone = await w.add(2, 1)
        await phone.wait(lambda: phone.head(group) == b.head(group) != "")
        await write(phone, group, "from the phone", a, b)
        a.conversations.remove_conversation_member(a.id, group, phone.device_id)
        account = a.conversations.account(a.id)
        assert account is not None
        conversation = account.find(group)
        assert conversation is not None
        await a.wait(lambda: conversation.facts is not None and phone.device_id in conversation.facts.banned_devices)
        await b.wait(lambda: b.head(group) == a.head(group))
        forget_traffic(w)
        await write(a, group, "after", b)
        w.connect(a, phone)
        await asyncio.sleep(sum(REPEATS) * 2)
        assert sought(w, a, phone, group) == []


async def test_a_blocked_contact_is_left_alone_in_the_conversation_with_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        pair = await w.befriend(a, b)
        await w.converge(pair)
        await write(a, pair, "before", b)
        # The look for what it could not tell is still to come.
        a.banned.add(b.uri)
        forget_traffic(w)
        before = a.head(pair)
        await write(a, pair, "after")
        await a.wait(lambda: a.head(pair) != before)
        a.conversations.peer_announced(a.id, b.uri, b.device_id)
        w.connect(a, b)
        await asyncio.sleep(sum(REPEATS) * 2)
        assert sought(w, a, b, pair) == []
        a.banned.clear()
        w.connect(a, b)
        await b.wait(lambda: b.head(pair) == a.head(pair))
