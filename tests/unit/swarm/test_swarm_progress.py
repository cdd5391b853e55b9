"""What clients are told of calls that go on, of who types and of who has read what, also of peers that say what is not so."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import FakeHome, World, world

from jamid.core import limits
from jamid.core.clock import SystemClock
from jamid.core.signals import ActiveCallsChanged, ComposingStatusChanged, ConversationReady, MessageReceived
from jamid.swarm import composing, fetching, message_maps
from jamid.swarm.conversation import Conversation
from jamid.swarm.repository import Repository
from jamid.swarm.service import Conversations


def found(home: FakeHome, conversation: str) -> Conversation:
    account = home.conversations.account(home.id)
    assert account is not None
    result = account.find(conversation)
    assert result is not None
    return result


def calls(home: FakeHome, conversation: str) -> list[dict[str, str]]:
    return home.conversations.active_calls(home.id, conversation)


async def begin(w: World) -> tuple[FakeHome, FakeHome, str]:
    a, b = await w.add(1), await w.add(2)
    return a, b, await w.group(a, b)


async def test_calls_are_told_before_a_cloned_conversation_is_ready(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await begin(w)
        kinds = [signal for signal in b.signals if isinstance(signal, ActiveCallsChanged | ConversationReady)]
        assert kinds == [ActiveCallsChanged(b.id, conversation, []), ConversationReady(b.id, conversation)]
        await found(a, conversation).post_content(message_maps.hosted_call("7", a.device_id, a.uri))
        c = await w.add(3)
        a.conversations.add_conversation_member(a.id, conversation, c.uri)
        await c.wait(lambda: conversation in c.requested())
        await c.conversations.accept_conversation_request(c.id, conversation)
        await c.wait(lambda: c.of(ConversationReady))
        assert c.of(ActiveCallsChanged) == [ActiveCallsChanged(c.id, conversation, [{"id": "7", "uri": a.uri, "device": a.device_id}])]


async def test_a_long_clone_is_told_of_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fetching, "_PROGRESS_SECONDS", 0)
    with caplog.at_level("INFO", "jamid.swarm.cloning"):
        async with world(tmp_path) as w:
            await begin(w)
    told = next(record.getMessage() for record in caplog.records if "received" in record.getMessage())
    assert re.search(r"cloning from device [0-9a-f]{16}: 0\.0 MiB of [1-9][0-9]* objects received, [0-9]+ KiB/s", told)


async def test_nobody_begins_or_ends_the_calls_of_another(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await begin(w)
        mine = {"id": "1", "uri": a.uri, "device": a.device_id}
        await found(a, conversation).post_content(message_maps.hosted_call("1", a.device_id, a.uri))
        await b.wait(lambda: calls(b, conversation) == [mine])
        for content in (
            message_maps.hosted_call("1", a.device_id, a.uri, 1000),
            message_maps.hosted_call("2", a.device_id, a.uri),
            message_maps.hosted_call("3", b.device_id, a.uri),
            message_maps.hosted_call("4", a.device_id, b.uri),
        ):
            await found(b, conversation).post_content(content)
        await w.converge(conversation)
        assert calls(a, conversation) == calls(b, conversation) == [mine]
        for number in range(limits.ACTIVE_CALLS + 5):
            found(b, conversation).post_content(message_maps.hosted_call(f"9{number}", b.device_id, b.uri))
        await a.wait(lambda: calls(a, conversation) and calls(a, conversation)[-1]["id"] == f"9{limits.ACTIVE_CALLS + 4}")
        assert len(calls(a, conversation)) == limits.ACTIVE_CALLS


async def test_calls_that_go_on_are_known_after_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await begin(w)
        await found(a, conversation).post_content(message_maps.hosted_call("1", a.device_id, a.uri))
        await b.wait(lambda: calls(b, conversation))
        b.online = False
        await b.conversations.close()
        b.conversations = Conversations(b.events, SystemClock())
        await b.conversations.add_account(b)
        assert calls(b, conversation) == [{"id": "1", "uri": a.uri, "device": a.device_id}]
        b.online = True
        b.conversations.went_online(b.id)
        w.connect(a, b)
        await found(a, conversation).post_content(message_maps.hosted_call("1", a.device_id, a.uri, 1000))
        await b.wait(lambda: not calls(b, conversation))


async def test_who_is_too_much_to_be_remembered_typing_is_told_to_have_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composing, "_TYPISTS", 2)
    async with world(tmp_path) as w:
        a = await w.add(1)
        account = a.conversations.account(a.id)
        assert account is not None
        for uri in ("u1", "u2", "u3", "u2"):
            account.composing.received("", uri, True)
        account.composing.received("", "u3", False)
        told = [(signal.contact_id, signal.status) for signal in a.of(ComposingStatusChanged)]
        assert told == [("u1", 1), ("u2", 1), ("u1", 0), ("u3", 1), ("u3", 0)]


async def test_reading_never_goes_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await begin(w)
        w.separate(a, b)
        b.conversations.send_message(b.id, conversation, "old", "", 0)
        await b.wait(lambda: b.of(MessageReceived))
        now = SystemClock().time()
        object.__setattr__(found(a, conversation).author, "now", lambda: now + 60)
        for text in ("one", "two"):
            a.conversations.send_message(a.id, conversation, text, "", 0)
        await a.wait(lambda: len([s for s in a.of(MessageReceived) if s.message.get("body") in ("one", "two")]) == 2)
        first, last = (s.message["id"] for s in a.of(MessageReceived) if s.message.get("body") in ("one", "two"))
        statuses = found(a, conversation).statuses
        # As another device of b would tell.
        assert await statuses.displayed(b.uri, last)
        assert not await statuses.displayed(b.uri, first)
        w.heal(a, b)
        await w.converge(conversation)
        assert await found(a, conversation).run(Repository.contains_in_history, b.of(MessageReceived)[0].message["id"])
        assert statuses.last_displayed(b.uri) == last
