"""Peers that send what they must not: nothing of it is taken, clients are told, and the conversation goes on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import FakeHome, World, identity, world

from jamid.core import limits
from jamid.core.errors import LimitError
from jamid.core.signals import AccountMessageStatusChanged, ComposingStatusChanged, MessageReceived, OnConversationError
from jamid.swarm import authoring, instant, message_maps
from jamid.swarm.authoring import Author
from jamid.swarm.commits import build_commit, parse_commit, sign_commit
from jamid.swarm.conversation import Conversation
from jamid.swarm.members import BANNED, LEFT, MEMBER
from jamid.swarm.objects import COMMIT
from jamid.swarm.repository import Repository


def found(home: FakeHome, conversation: str) -> Conversation:
    account = home.conversations.account(home.id)
    assert account is not None
    result = account.find(conversation)
    assert result is not None
    return result


async def forged(home: FakeHome, conversation: str, **changes: object) -> str:
    """A commit by HOME's device on top of its head, with something wrong about it."""
    author: Author = found(home, conversation).author

    def make(repository: Repository) -> str:
        head = repository.require_head()
        fields: dict[str, object] = {
            "tree": repository.tree_of(head),
            "parents": (head,),
            "name": "x",
            "device": author.device,
            "time": int(author.now()),
            "message": b'{"body":"forged","type":"text/plain"}',
        }
        signer = changes.pop("signer", author.identity)
        unsigned = build_commit(**{**fields, **changes})  # type: ignore[arg-type]
        raw = unsigned if signer is None else sign_commit(unsigned, signer.key)  # type: ignore[attr-defined]
        oid = repository.write(COMMIT, raw)
        repository.set_head(oid)
        return oid

    return await found(home, conversation).run(make)


async def tell(sender: FakeHome, receiver: FakeHome, conversation: str, commit: str) -> None:
    text = f'{{"commit":"{commit}","deviceId":"{sender.device_id}","id":"{conversation}"}}'
    await sender.send_to_device(receiver.identity.certificate, instant.NOTIFICATION, text)


async def begin(w: World) -> tuple[FakeHome, FakeHome, str]:
    a, b = await w.add(1), await w.add(2)
    return a, b, await w.befriend(a, b)


BAD = {
    "no signature": {"signer": None},
    "another's signature": {"signer": identity(3)},
    "another's name": {"device": identity(2).device_id},
    "an unknown device": {"device": "0" * 64},
    "before the device existed": {"time": 1_000_000},
    "no type": {"message": b'{"body":"x"}'},
    "no JSON": {"message": b"\xff\xfe"},
    "a JSON bomb": {"message": b'{"a":' * 10_000 + b"1" + b"}" * 10_000},
    "an unrelated history": {"parents": ()},
    "joining for another": {"message": b'{"action":"join","type":"member","uri":"' + b"0" * 40 + b'"}'},
    "three parents": {"parents": ("1" * 40, "2" * 40, "3" * 40)},
}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_commit_is_left_aside_and_the_conversation_goes_on(tmp_path: Path, what: str) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await begin(w)
        before = b.head(conversation)
        good = await found(a, conversation).run(Repository.require_head)
        bad = await forged(a, conversation, **BAD[what])
        await tell(a, b, conversation, bad)
        # A history that cannot even be served is an error of the fetch only.
        served = what not in ("three parents",)
        if served:
            await b.wait(lambda: b.of(OnConversationError))
            assert b.of(OnConversationError)[-1].code == 3
        assert b.head(conversation) == before
        assert not b.of(MessageReceived)
        # The other repents.
        await found(a, conversation).run(lambda repository: repository.set_head(good))
        a.conversations.send_message(a.id, conversation, "sorry", "", 0)
        await b.wait(lambda: b.of(MessageReceived))
        assert b.of(MessageReceived)[-1].message["body"] == "sorry"


async def test_what_came_before_a_bad_commit_is_kept(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await begin(w)
        here = found(a, conversation)

        def fork(repository: Repository) -> tuple[str, str]:
            """Two good texts, of one another's side; the merge of both is by a device that nobody knows."""
            root = repository.require_head()
            first = authoring.commit(repository, here.author, message_maps.text("on one side")).id
            repository.set_head(root)
            return first, authoring.commit(repository, here.author, message_maps.text("on the other")).id

        tips = await here.run(fork)
        bad = await forged(a, conversation, parents=tips, device="0" * 64)
        worse = await forged(a, conversation)
        await tell(a, b, conversation, worse)
        await b.wait(lambda: b.of(OnConversationError))
        texts = [signal.message["body"] for signal in b.of(MessageReceived) if signal.message["type"] == "text/plain"]
        assert sorted(texts) == ["on one side", "on the other"]
        there = found(b, conversation)
        log = await there.run(lambda repository: list(repository.log()))
        assert set(tips) < set(log)
        assert not {bad, worse} & set(log)
        assert not await there.run(lambda repository: bad in repository)


async def test_a_file_that_a_member_smuggles_in_is_not_taken(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await begin(w)
        here = found(a, conversation)
        for path in ("evil.txt", ".gitmodules", f"members/{identity(5).account_uri}.crt", f"admins/{b.uri}.crt"):
            head = await here.run(Repository.require_head)

            def smuggle(repository: Repository, path: str = path) -> str:
                return authoring.commit(repository, here.author, message_maps.text("innocent"), {path: b"x"}).id

            count = len(b.of(OnConversationError))
            await tell(a, b, conversation, await here.run(smuggle))
            await b.wait(lambda count=count: len(b.of(OnConversationError)) > count)
            await here.run(lambda repository, head=head: repository.set_head(head))
        assert not b.of(MessageReceived)
        assert not list((b.data_path / "conversations" / conversation).glob("evil*"))


async def test_a_merge_that_takes_back_a_ban_is_not_taken(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, c = await w.add(1), await w.add(2), await w.add(3)
        conversation = await w.group(a, b, c)
        before = b.head(conversation)
        a.conversations.remove_conversation_member(a.id, conversation, c.uri)
        await b.wait(lambda: b.roles(conversation)[c.uri] == BANNED)
        banned = a.head(conversation)
        old = await found(b, conversation).run(lambda repository: repository.tree_of(before))
        await found(b, conversation).run(lambda repository: repository.set_head(before))
        branch = await forged(b, conversation)
        merge = await forged(b, conversation, tree=old, parents=(banned, branch), message=b"Merge commit")
        await tell(b, a, conversation, merge)
        await a.wait(lambda: a.of(OnConversationError))
        assert a.of(OnConversationError)[-1].what == "Malformed merge commit"
        assert not await found(a, conversation).has_commit(merge)
        assert a.roles(conversation)[c.uri] == BANNED


def test_a_message_of_a_megabyte_is_no_commit() -> None:
    with pytest.raises(LimitError, match="bytes"):
        parse_commit(b"tree " + b"0" * 40 + b"\n\n" + b"x" * (1 << 20))


async def test_strangers_get_nothing_before_the_conversation_was_read(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, _, conversation = await begin(w)
        stranger = await w.add(4)
        vcard = a.profile_path(a.uri)
        vcard.parent.mkdir(parents=True, exist_ok=True)
        vcard.write_bytes(b"BEGIN:VCARD\nFN:A\nEND:VCARD\n")
        for name in (
            f"swarm://{conversation}",
            f"data-transfer://{conversation}/profile/{a.uri}.vcf",
            f"data-transfer://{conversation}/{stranger.device_id}/profile.vcf",
            f"git://{a.device_id}/{conversation}",
        ):
            found(a, conversation).facts = None
            channel = await stranger.links.open(a.identity.certificate, name)
            channel.write_nowait(b"BEGIN:VCARD\nFN:Evil\nEND:VCARD\n")
            assert await channel.read() == b""
        assert not a.profile_path(stranger.uri).exists()


async def test_who_left_is_not_heard_typing_or_reading(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await begin(w)
        a.conversations.send_message(a.id, conversation, "unread", "", 0)
        await b.wait(lambda: b.of(MessageReceived))
        message = b.of(MessageReceived)[-1].message["id"]
        facts = await found(a, conversation).load()
        for role in (LEFT, BANNED):
            facts.roles[b.uri] = role
            await b.send_to_device(a.identity.certificate, instant.COMPOSING, instant.write_composing(conversation, True))
            await b.send_to_device(a.identity.certificate, instant.RECEIPT, instant.write_receipt(conversation, message))
            await asyncio.sleep(0.1)
        facts.roles[b.uri] = MEMBER
        await b.send_to_device(a.identity.certificate, instant.COMPOSING, instant.write_composing(conversation, True))
        await a.wait(lambda: a.of(ComposingStatusChanged))
        assert len(a.of(ComposingStatusChanged)) == 1
        read = AccountMessageStatusChanged(a.id, conversation, b.uri, message, 3)
        assert read not in a.of(AccountMessageStatusChanged)
        await b.send_to_device(a.identity.certificate, instant.RECEIPT, instant.write_receipt(conversation, message))
        await a.wait(lambda: read in a.of(AccountMessageStatusChanged))


async def test_devices_named_by_others_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await begin(w)
        account = a.conversations.account(a.id)
        assert account is not None
        monkeypatch.setattr(limits, "PULLS", 8)
        monkeypatch.setattr(limits, "CLONE_DEVICES", 4)
        for number in range(20):
            account.puller.pull(found(a, conversation), f"{number:064x}", "1" * 40)
        assert len(account.puller._running) == 8
        for number in range(20):
            account.cloner.clone(found(a, conversation), uris=[b.uri], device=f"{number:064x}")
        assert len(account.cloner._devices[conversation]) == 4
        account.cloner.cancel(conversation)


async def test_strangers_get_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await begin(w)
        stranger = await w.add(4)
        for name in (
            f"git://{a.device_id}/{conversation}",
            f"git://{b.device_id}/{conversation}",
            f"swarm://{conversation}",
            f"data-transfer://{conversation}/profile/{a.uri}.vcf",
            f"data-transfer://{conversation}/{stranger.device_id}/{'0' * 40}_1.txt",
            "data-transfer://profile.vcf",
            "git://../../etc",
        ):
            with pytest.raises(ConnectionError, match="declined"):
                await stranger.links.open(a.identity.certificate, name)
        heads = b.head(conversation)
        await tell(stranger, b, conversation, "1" * 40)
        await stranger.send_to_device(b.identity.certificate, instant.COMPOSING, instant.write_composing(conversation, True))
        await stranger.send_to_device(b.identity.certificate, instant.RECEIPT, instant.write_receipt(conversation, heads))
        await stranger.send_to_device(b.identity.certificate, instant.INVITATION, "[]" * 1000)
        a.conversations.send_message(a.id, conversation, "still here", "", 0)
        await b.wait(lambda: b.of(MessageReceived))
        members = await b.conversations.conversation_members(b.id, conversation)
        assert {member["uri"] for member in members} == {a.uri, b.uri}


async def test_a_clone_of_something_bad_is_given_up_and_leaves_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b = await w.add(1), await w.add(2)
        group = await a.conversations.start_conversation(a.id)
        a.conversations.add_conversation_member(a.id, group, b.uri)
        await b.wait(lambda: group in b.requested())
        await forged(a, group, signer=identity(3))
        await b.conversations.accept_conversation_request(b.id, group)
        await b.wait(lambda: b.of(OnConversationError))
        assert b.of(OnConversationError)[-1].code == 3
        assert not (b.data_path / "conversations" / group).exists()
        assert (await b.conversations.conversation_infos(b.id, group))["syncing"] == "true"
