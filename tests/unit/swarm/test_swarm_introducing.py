"""Somebody invited by a member that cannot reach them hears of it from another."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import world

from jamid.swarm import instant, membership


async def test_the_invited_hear_from_whoever_reaches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "_INTRODUCE_SECONDS", 0.1)
    async with world(tmp_path) as w:
        older, ours = await w.add(1), await w.add(2)
        conversation = await w.group(older, ours)
        newer = await w.add(3)
        w.separate(older, newer)
        older.conversations.add_conversation_member(older.id, conversation, newer.uri)
        await newer.wait(lambda: conversation in newer.requested())
        await newer.conversations.accept_conversation_request(newer.id, conversation)
        await older.wait(lambda: older.roles(conversation).get(newer.uri) == "member")


async def test_who_has_come_is_told_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "_INTRODUCE_SECONDS", 0.3)
    async with world(tmp_path) as w:
        a, b, c = await w.add(1), await w.add(2), await w.add(3)
        await w.group(a, b, c)
        w.messages.clear()
        await asyncio.sleep(0.5)
        assert not [mime for sender, to, mime, _ in w.messages if (sender, to, mime) == (b, c, instant.INVITATION)]
