"""Invitations between the devices of one account."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import world

from jamid.core import limits
from jamid.core.signals import ConversationRequestDeclined
from jamid.swarm import instant, membership
from jamid.swarm.records import ConversationRequest

SENDER, CONVERSATION = "1" * 40, "c" * 40


def told(declined: int, **metadatas: str) -> dict[str, object]:
    return {CONVERSATION: ConversationRequest(CONVERSATION, SENDER, metadatas, declined - 1000, declined).to_map()}


async def test_contacts_hear_of_a_request_that_another_device_declined(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        home = await w.add(1)
        account = home.conversations.account(home.id)
        assert account is not None
        now = home.now_ms()
        await account.requests.received(CONVERSATION, SENDER, {}, now)
        await account.requests.merge(told(now), {})
        assert home.declined_elsewhere == [(SENDER, CONVERSATION, now)]
        assert account.requests.pending() == []


async def test_a_removed_contact_does_not_come_back_through_the_old_conversation(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        one, other = await w.add(1), await w.add(2)
        conversation = await w.befriend(one, other)
        account = one.conversations.account(one.id)
        assert account is not None
        del one.contacts[other.uri]
        await account.forget_contact(other.uri, conversation)
        before = len(w.messages)
        notification = {"commit": other.head(conversation), "deviceId": other.device_id, "id": conversation}
        await account.inbox.received(other.uri, other.device_id, {instant.NOTIFICATION: json.dumps(notification)})
        await account.inbox.received(
            other.uri, other.device_id, {instant.INVITATION: instant.write_invitation(conversation, {"mode": "0"})}
        )
        assert instant.ASK_INVITATION not in [mime for _, _, mime, _ in w.messages[before:]]
        assert account.requests.pending() == []
        assert conversation not in one.conversations.get_conversations(one.id)


async def test_whoever_asked_while_we_asked_is_followed_unless_it_takes_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "_CROSSING_SECONDS", 0.05)
    async with world(tmp_path) as w:
        one, other = await w.add(1), await w.add(2)
        ours = await one.conversations.one_to_one(one.id, other.uri)
        theirs = await other.conversations.one_to_one(other.id, one.uri)
        one.contacts[other.uri], other.contacts[one.uri] = ours, theirs
        one.conversations.contact_confirmed(one.id, other.uri, ours)
        assert await one.conversations.crossed(one.id, other.uri, theirs, dated=False) == ours
    async with world(tmp_path / "again") as w:
        one, other = await w.add(1), await w.add(2)
        ours = await one.conversations.one_to_one(one.id, other.uri)
        theirs = await other.conversations.one_to_one(other.id, one.uri)
        one.contacts[other.uri], other.contacts[one.uri] = ours, theirs
        assert await one.conversations.crossed(one.id, other.uri, theirs, dated=False) == theirs
        await other.wait(lambda: other.roles(theirs).get(one.uri) == "member")
        await one.wait(lambda: one.contacts[other.uri] == theirs and one.conversations.get_conversations(one.id) == [theirs])


async def test_what_the_account_server_tells_is_taken_over_without_asking_it_for_commits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    async with world(tmp_path) as w:
        home = await w.add(1)
        own = await home.conversations.start_conversation(home.id)
        conversations, _ = home.conversations.archived(home.id)
        assert set(conversations) == {own}
        request = ConversationRequest(CONVERSATION, SENDER, {}, home.now_ms()).to_map()
        with caplog.at_level("DEBUG", "jamid.swarm"):
            home.conversations.sync_received(home.id, "", {"conversations": conversations, "requests": {CONVERSATION: request}})
            await home.wait(lambda: len(home.conversations.get_conversation_requests(home.id)) == 1)
        assert "looking for" not in caplog.text


async def test_contacts_do_not_hear_of_declined_groups(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        home = await w.add(1)
        account = home.conversations.account(home.id)
        assert account is not None
        await account.requests.merge(told(home.now_ms(), mode="2"), {})
        assert home.declined_elsewhere == []
        assert len(home.of(ConversationRequestDeclined)) == 1


async def test_an_old_refusal_does_not_take_a_request_that_was_repeated(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        home = await w.add(1)
        account = home.conversations.account(home.id)
        assert account is not None
        now = home.now_ms()
        await account.requests.received(CONVERSATION, SENDER, {}, now)
        await account.requests.merge(told(now - 600_000), {})
        assert len(account.requests.pending()) == 1
        assert home.of(ConversationRequestDeclined) == []


async def test_a_flood_of_invitations_does_not_wash_away_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        home = await w.add(1)
        account = home.conversations.account(home.id)
        assert account is not None
        monkeypatch.setattr(limits, "CONVERSATION_REQUESTS", 4)
        await account.requests.received(CONVERSATION, SENDER, {}, 1)
        for number in range(10):
            await account.requests.received(f"{number:040x}", "2" * 40, {}, number + 2)
        assert [request.conversation_id for request in account.requests.pending()] == [CONVERSATION, *(f"{n:040x}" for n in (7, 8, 9))]


async def test_a_request_is_gone_when_our_other_device_lets_us_know_of_the_conversation_first(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        one, other = await w.add(1), await w.add(1, device=1)
        account = one.conversations.account(one.id)
        assert account is not None
        conversation = await other.conversations.start_conversation(other.id)
        w.separate(one, other)  # its synchronisation is late
        await account.erase(conversation)
        account.infos.pop(conversation, None)
        account.cloner.cancel(conversation)
        await account.requests.received(conversation, SENDER, {"mode": "2"}, one.now_ms())
        notification = {"commit": conversation, "deviceId": other.device_id, "id": conversation}
        await account.inbox.received(one.uri, other.device_id, {instant.NOTIFICATION: json.dumps(notification)})
        assert account.requests.pending() == []


async def test_an_invitation_is_heard_again_after_the_clock_was_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        home = await w.add(1)
        account = home.conversations.account(home.id)
        assert account is not None
        invitation = {instant.INVITATION: instant.write_invitation(CONVERSATION, {"mode": "2"})}
        await account.inbox.received(SENDER, "a" * 64, invitation)
        await home.conversations.decline_conversation_request(home.id, CONVERSATION)
        assert account.requests.pending() == []
        declined = home.now_ms()
        # What came before the refusal stays declined.
        assert not await account.requests.received(CONVERSATION, SENDER, {}, declined - 1000)
        monkeypatch.setattr(home, "now_ms", lambda: declined - 3_600_000)
        await account.inbox.received(SENDER, "a" * 64, invitation)
        assert [request.conversation_id for request in account.requests.pending()] == [CONVERSATION]


async def test_who_joins_again_has_joined_later_than_left_although_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        one, other = await w.add(1), await w.add(2)
        group = await w.group(one, other)
        phone = await w.add(2, 1)
        await phone.wait(lambda: phone.head(group) == one.head(group) != "")
        await other.conversations.remove_conversation(other.id, group)
        await one.wait(lambda: other.uri not in one.roles(group))
        await phone.wait(lambda: group not in phone.conversations.get_conversations(phone.id))
        earlier = one.now_ms() - 3_600_000
        for device in (other, phone):
            monkeypatch.setattr(device, "now_ms", lambda: earlier)
        one.conversations.add_conversation_member(one.id, group, other.uri)
        await other.wait(lambda: group in other.requested())
        await other.conversations.accept_conversation_request(other.id, group)
        await phone.wait(lambda: phone.head(group) == one.head(group) != "")
        assert group in phone.conversations.get_conversations(phone.id)
