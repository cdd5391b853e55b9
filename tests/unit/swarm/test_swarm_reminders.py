"""Devices that do not fetch what they were told of are reminded, a few times; those known to have it are left alone."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import FakeHome, World, world

from jamid.core import limits
from jamid.core.signals import MessageReceived
from jamid.swarm import instant, notifying

REPEATS = (0.02, 0.04, 0.08)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "_REPEATS", REPEATS)
    monkeypatch.setattr(notifying, "_REPEATS_AFTER_FETCH", ())


def deafen(monkeypatch: pytest.MonkeyPatch, home: FakeHome, losses: int) -> None:
    """The next notifications to HOME are lost, as 13.7 loses them while it asks over a connection that is dead."""
    hear = home.conversations.instant_message
    left = [losses]

    def hear_some(account: str, uri: str, device: str, payloads: dict[str, str]) -> None:
        if instant.NOTIFICATION in payloads and left[0] > 0:
            left[0] -= 1
        else:
            hear(account, uri, device, payloads)

    monkeypatch.setattr(home.conversations, "instant_message", hear_some)


def told(w: World, home: FakeHome, commit: str) -> int:
    return sum(1 for _, to, mime, text in w.messages if to is home and mime == instant.NOTIFICATION and commit in text)


async def test_a_device_that_lost_notifications_is_reminded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        deafen(monkeypatch, b, len(REPEATS))
        a.conversations.send_message(a.id, conversation, "hello", "", 0)
        await b.wait(lambda: b.of(MessageReceived))
        await asyncio.sleep(sum(REPEATS) * 2)
        assert told(w, b, a.head(conversation)) == 1 + len(REPEATS)


async def test_a_device_that_still_merges_what_it_fetched_is_told_again_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "_REPEATS", (30.0,))
    monkeypatch.setattr(notifying, "_REPEATS_AFTER_FETCH", (0.02, 0.04))
    monkeypatch.setattr(notifying, "_MERGING_SECONDS", 20.0)
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        deafen(monkeypatch, b, 2)
        a.conversations.send_message(a.id, conversation, "hello", "", 0)
        await b.wait(lambda: b.of(MessageReceived))
        assert told(w, b, a.head(conversation)) == 3


async def test_a_device_that_never_fetches_is_left_alone_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        deafen(monkeypatch, b, 1000)
        before = a.head(conversation)
        a.conversations.send_message(a.id, conversation, "hello", "", 0)
        await a.wait(lambda: a.head(conversation) != before)
        await asyncio.sleep(sum(REPEATS) * 3)
        assert told(w, b, a.head(conversation)) == 1 + len(REPEATS)


async def test_who_asks_is_not_reminded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "_REPEATS", (0.2, 0.2, 0.2))
    async with world(tmp_path) as w:
        a, b, c = await w.add(1), await w.add(2), await w.add(3)
        conversation = await w.group(a, b, c)
        w.separate(a, b)
        b.conversations.send_message(b.id, conversation, "over c", "", 0)
        await a.wait(lambda: a.of(MessageReceived))
        await w.converge(conversation)
        w.messages.clear()
        # Looking at each other's heads as the connection comes up is proof enough.
        w.heal(a, b)
        await asyncio.sleep(0.8)
        for one, other in ((a, b), (b, a)):
            assert len([to for sender, to, mime, _ in w.messages if (sender, to, mime) == (one, other, instant.NOTIFICATION)]) <= 2


async def test_a_server_that_never_answers_on_an_old_channel_is_asked_on_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FETCH_ANSWER_SECONDS", 0.2)
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        # A 13.7 whose user left and was invited again forgets the channels of before, and leaves them open.
        for holder, _, channel in w.channels:
            if holder is b and channel.name.startswith("git") and channel.other is not None:
                monkeypatch.setattr(channel.other, "write", silence)
        a.conversations.send_message(a.id, conversation, "hello", "", 0)
        await b.wait(lambda: b.of(MessageReceived), 5)


async def silence(data: bytes) -> None:
    return None
