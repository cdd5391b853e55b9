"""Whole conversations among accounts in memory: contacts, groups, messages, members, status."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import world

from jamid.core.signals import (
    AccountMessageStatusChanged,
    ComposingStatusChanged,
    ConversationLoaded,
    ConversationMemberEvent,
    ConversationProfileUpdated,
    ConversationReady,
    ConversationRemoved,
    MessageReceived,
    MessagesFound,
    OnConversationError,
    ReactionAdded,
    ReactionRemoved,
    SwarmLoaded,
    SwarmMessageReceived,
    SwarmMessageUpdated,
)
from jamid.swarm import instant
from jamid.swarm.rules import ONE_TO_ONE


def texts(home: object) -> list[str]:
    return [signal.message["body"] for signal in home.of(MessageReceived) if signal.message["type"] == "text/plain"]  # type: ignore[attr-defined]


async def test_a_contact_request_becomes_a_conversation_and_messages_go_both_ways(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        assert b.of(ConversationReady)[-1].conversation_id == conversation
        assert a.of(ConversationMemberEvent) == [ConversationMemberEvent(a.id, conversation, b.uri, 1)]
        a.conversations.send_message(a.id, conversation, "hello 👋 \0", "", 0)
        await b.wait(lambda: texts(b) == ["hello 👋 "])
        b.conversations.send_message(b.id, conversation, "hi", b.of(MessageReceived)[-1].message["id"], 0)
        await a.wait(lambda: texts(a) == ["hello 👋 ", "hi"])
        assert a.of(MessageReceived)[-1].message["reply-to"] == b.of(MessageReceived)[0].message["id"]
        statuses = [(s.peer, s.status) for s in a.of(AccountMessageStatusChanged) if s.id == b.of(MessageReceived)[0].message["id"]]
        assert statuses[:2] == [(a.uri, 3), (a.uri, 1)]
        assert (a.uri, 2) in statuses
        assert (b.uri, 2) in statuses
        assert not a.of(OnConversationError)


async def test_a_burst_arrives_once_and_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        expected = [f"message {number}" for number in range(60)]
        for text in expected:
            a.conversations.send_message(a.id, conversation, text, "", 0)
        await b.wait(lambda: len(texts(b)) >= 60)
        assert texts(b) == expected
        assert [s.message.body["body"] for s in b.of(SwarmMessageReceived) if s.message.type == "text/plain"] == expected


async def test_edits_reactions_and_deletions_fold(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        send = a.conversations.send_message
        send(a.id, conversation, "frist", "", 0)
        await b.wait(lambda: texts(b))
        message = b.of(MessageReceived)[-1].message["id"]
        send(a.id, conversation, "first", message, 1)
        await b.wait(lambda: b.of(SwarmMessageUpdated))
        updated = b.of(SwarmMessageUpdated)[-1].message
        assert (updated.id, updated.body["body"], [e["body"] for e in updated.editions]) == (message, "first", ["frist"])
        b.conversations.send_message(b.id, conversation, "👍", message, 2)
        await a.wait(lambda: a.of(ReactionAdded))
        reaction = a.of(ReactionAdded)[-1].reaction
        assert (a.of(ReactionAdded)[-1].message_id, reaction["body"], reaction["author"]) == (message, "👍", b.uri)
        b.conversations.send_message(b.id, conversation, "", reaction["id"], 1)
        await a.wait(lambda: a.of(ReactionRemoved))
        assert a.of(ReactionRemoved)[-1].reaction_id == reaction["id"]
        before = len(a.of(MessageReceived))
        b.conversations.send_message(b.id, conversation, "not mine", message, 1)
        b.conversations.send_message(b.id, conversation, "after", "", 0)
        await a.wait(lambda: texts(a)[-1] == "after")
        assert len(a.of(MessageReceived)) == before + 1
        a.conversations.send_message(a.id, conversation, "", message, 1)
        await b.wait(
            lambda: (b.of(SwarmMessageUpdated)[-1].message.id, b.of(SwarmMessageUpdated)[-1].message.body["body"]) == (message, "")
        )
        # Loaded anew it looks the same.
        b.conversations.clear_cache(b.id, conversation)
        request = b.conversations.load(b.id, conversation, "", 0)
        await b.wait(lambda: b.of(SwarmLoaded))
        loaded = b.of(SwarmLoaded)[-1]
        assert loaded.id == request
        shown = {each.id: each for each in loaded.messages}
        assert shown[message].body["body"] == ""
        assert [e["body"] for e in shown[message].editions] == ["first", "frist"]
        assert [each.body.get("body") for each in loaded.messages][:2] == ["after", ""]
        assert loaded.messages[0].linearized_parent == message


async def test_loading_counting_and_searching(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        for number in range(30):
            a.conversations.send_message(a.id, conversation, f"text {number}", "", 0)
        await b.wait(lambda: len(texts(b)) == 30)
        request = b.conversations.load_flat(b.id, conversation, "", 5)
        await b.wait(lambda: b.of(ConversationLoaded))
        page = b.of(ConversationLoaded)[-1]
        assert (page.id, [m["body"] for m in page.messages]) == (request, [f"text {n}" for n in range(29, 24, -1)])
        assert all(m["linearizedParent"] == n["id"] for m, n in zip(page.messages, page.messages[1:], strict=False))
        b.conversations.load_flat(b.id, conversation, page.messages[-1]["id"], 0)
        await b.wait(lambda: len(b.of(ConversationLoaded)) == 2)
        rest = b.of(ConversationLoaded)[-1].messages
        assert (len(rest), rest[0]["id"], rest[-1]["type"]) == (28, page.messages[-1]["id"], "initial")
        b.conversations.load_flat(b.id, conversation, "", 0, page.messages[2]["id"])
        await b.wait(lambda: len(b.of(ConversationLoaded)) == 3)
        assert [m["body"] for m in b.of(ConversationLoaded)[-1].messages] == ["text 29", "text 28", "text 27"]
        b.conversations.clear_cache(b.id, conversation)
        for count in (10, 10, 0):
            request = b.conversations.load(b.id, conversation, "", count)
            await b.wait(lambda request=request: b.of(SwarmLoaded) and b.of(SwarmLoaded)[-1].id == request)
        assert [len(each.messages) for each in b.of(SwarmLoaded)] == [10, 10, 12]
        assert await b.conversations.count_interactions(b.id, conversation, page.messages[3]["id"], "", "") == 3
        assert await b.conversations.count_interactions(b.id, conversation, "", "", a.uri) == 0
        found = b.conversations.search(b.id, conversation, "", "", "TEXT 1.", "", 0, 0, 0, False)
        await b.wait(lambda: any(not s.conversation_id for s in b.of(MessagesFound)))
        first, last = b.of(MessagesFound)
        assert (first.id, len(first.messages), last.messages) == (found, 10, [])
        assert b.conversations.load(b.id, "0" * 40, "", 0) == 0


async def test_groups_members_bans_and_leaving(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, c = await w.add(1), await w.add(2), await w.add(3)
        group = await w.group(a, b, c)
        a.conversations.update_conversation_infos(a.id, group, {"title": "A group", "description": "of three"})
        await c.wait(lambda: c.of(ConversationProfileUpdated))
        infos = await c.conversations.conversation_infos(c.id, group)
        assert infos == {"title": "A group", "description": "of three", "mode": "2"}
        b.conversations.send_message(b.id, group, "from b", "", 0)
        await c.wait(lambda: texts(c) == ["from b"])
        b.conversations.remove_conversation_member(b.id, group, c.uri)
        a.conversations.remove_conversation_member(a.id, group, c.uri)
        await b.wait(lambda: b.roles(group).get(c.uri) == "banned")
        assert ConversationMemberEvent(b.id, group, c.uri, 3) in b.of(ConversationMemberEvent)
        c.conversations.send_message(c.id, group, "from the banned", "", 0)
        a.conversations.send_message(a.id, group, "without c", "", 0)
        await b.wait(lambda: texts(b)[-1] == "without c")
        assert "without c" not in texts(c)
        a.conversations.add_conversation_member(a.id, group, c.uri)
        await c.wait(lambda: "without c" in texts(c))
        assert c.roles(group)[c.uri] == "member"
        await b.wait(lambda: "from the banned" in texts(b))
        assert await b.conversations.remove_conversation(b.id, group)
        assert b.of(ConversationRemoved)[-1].conversation_id == group
        await a.wait(lambda: b.uri not in a.roles(group))
        assert group not in b.conversations.get_conversations(b.id)
        # Invited again, under the same id.
        a.conversations.add_conversation_member(a.id, group, b.uri)
        await b.wait(lambda: b.conversations.get_conversation_requests(b.id))
        await b.conversations.accept_conversation_request(b.id, group)
        await a.wait(lambda: a.roles(group).get(b.uri) == "member")


async def test_typing_and_read_receipts(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        a.conversations.set_is_composing(a.id, f"swarm:{conversation}", True)
        await b.wait(lambda: b.of(ComposingStatusChanged))
        assert b.of(ComposingStatusChanged)[-1] == ComposingStatusChanged(b.id, conversation, a.uri, 1)
        a.conversations.send_message(a.id, conversation, "read me", "", 0)
        await b.wait(lambda: texts(b))
        message = b.of(MessageReceived)[-1].message["id"]
        assert await b.conversations.set_message_displayed(b.id, f"swarm:{conversation}", message, 3)
        await a.wait(lambda: AccountMessageStatusChanged(a.id, conversation, b.uri, message, 3) in a.signals)
        members = await a.conversations.conversation_members(a.id, conversation)
        assert {m["uri"]: m["lastDisplayed"] for m in members}[b.uri] == message


async def test_members_hear_that_a_message_was_read_after_we_wrote_another(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        a.conversations.send_message(a.id, conversation, "read me", "", 0)
        await b.wait(lambda: texts(b))
        message = b.of(MessageReceived)[-1].message["id"]
        b.conversations.send_message(b.id, conversation, "not read yet", "", 0)
        await a.wait(lambda: texts(a)[-1] == "not read yet")

        def receipts() -> int:
            return sum(1 for _, to, mime, text in w.messages if to is a and mime == instant.RECEIPT and message in text)

        for _ in range(2):
            assert await b.conversations.set_message_displayed(b.id, f"swarm:{conversation}", message, 3)
            await a.wait(receipts)
        await asyncio.sleep(0.1)
        assert receipts() == 1
        last = b.head(conversation)
        members = await b.conversations.conversation_members(b.id, conversation)
        assert {m["uri"]: m["lastDisplayed"] for m in members}[b.uri] == last


async def test_a_partition_heals_without_loss_or_doubles(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, c = await w.add(1), await w.add(2), await w.add(3)
        group = await w.group(a, b, c)
        w.separate(a, b)
        w.separate(a, c)
        for number in range(5):
            a.conversations.send_message(a.id, group, f"a{number}", "", 0)
            b.conversations.send_message(b.id, group, f"b{number}", "", 0)
            c.conversations.send_message(c.id, group, f"c{number}", "", 0)
        await a.wait(lambda: len(texts(a)) == 5)
        await b.wait(lambda: len(texts(b)) == 10)
        w.heal(a, b)
        w.heal(a, c)
        await w.converge(group)
        for home in (a, b, c):
            await home.wait(lambda home=home: len(texts(home)) >= 15)
            assert sorted(texts(home)) == sorted(f"{who}{number}" for who in "abc" for number in range(5))
            assert not home.of(OnConversationError)


async def test_a_second_device_gets_everything(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        a.conversations.send_message(a.id, conversation, "before", "", 0)
        await b.wait(lambda: texts(b))
        read = b.of(MessageReceived)[-1].message["id"]
        assert await b.conversations.set_message_displayed(b.id, f"swarm:{conversation}", read, 3)
        await a.wait(lambda: AccountMessageStatusChanged(a.id, conversation, b.uri, read, 3) in a.signals)
        second = await w.add(1, 1)
        for parts in a.conversations.sync_parts(a.id, second.device_id):
            second.conversations.sync_received(second.id, a.device_id, parts)
        await second.wait(lambda: second.of(ConversationReady))
        members = await second.conversations.conversation_members(second.id, conversation)
        assert {m["uri"]: m["lastDisplayed"] for m in members}[b.uri] == read
        second.conversations.send_message(second.id, conversation, "from the second", "", 0)
        await b.wait(lambda: texts(b)[-1] == "from the second")
        await a.wait(lambda: texts(a)[-1] == "from the second")
        await w.converge(conversation)
        await second.conversations.remove_conversation(second.id, conversation)
        await a.wait(lambda: a.of(ConversationRemoved))


async def test_a_message_that_cannot_be_written_is_told_and_later_ones_go_on(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        objects = a.data_path / "conversations" / conversation / ".git" / "objects"
        aside = objects.rename(objects.with_name("aside"))
        objects.write_bytes(b"in the way")
        a.conversations.send_message(a.id, conversation, "lost", "", 0)
        await a.wait(lambda: a.of(OnConversationError))
        assert a.of(OnConversationError)[-1].code == 5
        objects.unlink()
        aside.rename(objects)
        a.conversations.send_message(a.id, conversation, "kept", "", 0)
        await b.wait(lambda: texts(b) == ["kept"])


async def test_a_branch_that_cannot_move_is_told_and_nothing_is_half_there(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        conversation = await w.befriend(a, b)
        before = a.head(conversation)
        lock = a.data_path / "conversations" / conversation / ".git" / "refs" / "heads" / "main.lock"
        lock.mkdir()
        a.conversations.send_message(a.id, conversation, "lost", "", 0)
        await a.wait(lambda: a.of(OnConversationError))
        assert a.of(OnConversationError)[-1].code == 5
        assert a.head(conversation) == before
        lock.rmdir()
        a.conversations.send_message(a.id, conversation, "kept", "", 0)
        await b.wait(lambda: texts(b) == ["kept"])
        assert texts(a) == ["kept"]


async def test_what_was_fetched_but_could_not_be_kept_is_fetched_and_told_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, c = await w.add(1), await w.add(2), await w.add(3)
        conversation = await w.group(a, b)
        index = b.data_path / "conversations" / conversation / ".git" / "index"
        index.unlink()
        index.mkdir()
        a.conversations.add_conversation_member(a.id, conversation, c.uri)
        await c.wait(lambda: conversation in c.requested())
        await asyncio.sleep(0.3)
        assert c.uri not in b.roles(conversation)
        index.rmdir()
        w.separate(a, b)
        w.heal(a, b)
        await b.wait(lambda: b.roles(conversation).get(c.uri) == "invited")
        assert [event.member_uri for event in b.of(ConversationMemberEvent) if event.event == 0] == [c.uri]


async def test_removing_the_conversation_with_a_contact_lets_a_new_one_begin(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        first = await w.befriend(a, b)
        assert await a.conversations.remove_conversation(a.id, first)
        await b.wait(lambda: b.roles(first).get(a.uri) == "left")
        assert a.contacts[b.uri] == ""
        second = await a.conversations.one_to_one(a.id, b.uri)
        assert second != first
        assert a.conversations.get_conversations(a.id) == [second]


async def test_the_new_conversation_of_a_contact_who_leaves_is_followed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        old = await w.befriend(a, b)
        account = b.conversations.account(b.id)
        assert account is not None
        new = await account.start(ONE_TO_ONE, a.uri)
        conversation = account.find(new)
        assert conversation is not None
        await account.membership.send_invitation(conversation, a.uri)
        await a.wait(lambda: a.requested() == [new])
        assert a.conversations.get_conversations(a.id) == [old]
        await b.conversations.remove_conversation(b.id, old)
        await a.wait(lambda: ConversationReady(a.id, new) in a.signals)
        assert a.contacts[b.uri] == new
        assert not a.requested()
        assert a.conversations.get_conversations(a.id) == [old, new]
        assert not a.of(ConversationRemoved)
        a.conversations.send_message(a.id, new, "here we are", "", 0)
        await b.wait(lambda: texts(b) == ["here we are"])
