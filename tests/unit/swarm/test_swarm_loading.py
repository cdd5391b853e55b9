"""Pages, counts and searches with odd arguments, answered as the real daemons answer them on the same history."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import FakeHome, World, world

from jamid.core.signals import ConversationLoaded, MessagesFound, SwarmLoaded
from jamid.swarm import message_maps
from jamid.swarm.loading import compile_pattern


async def written(w: World) -> tuple[FakeHome, str, list[str]]:
    """A conversation with ten texts, a reply to the second, a call, an edit of the third; and the ids of the texts and the reply."""
    home = await w.add(1)
    conversation = await home.conversations.start_conversation(home.id)
    account = home.conversations.account(home.id)
    assert account is not None
    found = account.find(conversation)
    assert found is not None
    texts = []
    for number in range(10):
        commit = await found.post_content(message_maps.text(f"Text {number}"))
        assert commit is not None
        texts.append(commit.id)
    reply = await found.post_content(message_maps.text("an answer", texts[1]))
    assert reply is not None
    await found.post_content(message_maps.call_ended("1" * 40, 5))
    await found.post_content(message_maps.edition("Text two", texts[2]))
    found.history.clear()
    return home, conversation, [*texts, reply.id]


async def page(home: FakeHome, conversation: str, first: str, count: int, until: str | None = None) -> list[str]:
    request = home.conversations.load(home.id, conversation, first, count, until)
    await home.wait(lambda: home.of(SwarmLoaded) and home.of(SwarmLoaded)[-1].id == request)
    return [message.id for message in home.of(SwarmLoaded)[-1].messages]


async def flat_page(home: FakeHome, conversation: str, first: str, count: int, until: str | None = None) -> list[str]:
    request = home.conversations.load_flat(home.id, conversation, first, count, until)
    await home.wait(lambda: home.of(ConversationLoaded) and home.of(ConversationLoaded)[-1].id == request)
    return [message["id"] for message in home.of(ConversationLoaded)[-1].messages]


async def search(
    home: FakeHome, conversation: str, pattern: str = "", *, last: str = "", kind: str = "", after: int = 0, before: int = 0
) -> list[str]:
    request = home.conversations.search(home.id, conversation, "", last, pattern, kind, after, before, 0, True)
    await home.wait(lambda: any(signal.id == request and not signal.conversation_id for signal in home.of(MessagesFound)))
    return [message["id"] for signal in home.of(MessagesFound) if signal.id == request for message in signal.messages]


async def test_pages_end_where_they_should(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        home, conversation, ids = await written(w)
        assert (await page(home, conversation, "", 2))[1] == ids[10], "a count is kept, also where something older is replied to"
        assert await page(home, conversation, "", 2) == [ids[9], ids[8]]
        assert await page(home, conversation, "", 0, ids[5]) == [ids[7], ids[6], ids[5]]
        home.conversations.clear_cache(home.id, conversation)
        assert (await page(home, conversation, "", 0, ids[9]))[-1] == ids[1], "down to what is replied to"
        for odd in ("0" * 40, "xyz", ids[3][:10]):
            assert await page(home, conversation, odd, 3) == []
            assert await flat_page(home, conversation, odd, 3) == []
        home.conversations.clear_cache(home.id, conversation)
        assert await page(home, conversation, ids[3], 0, ids[6]) == [], "the end lies before the beginning"
        assert await flat_page(home, conversation, ids[3], 0, ids[6]) == []
        assert await flat_page(home, conversation, ids[6], 0, ids[5]) == [ids[6], ids[5]]
        assert len(await flat_page(home, conversation, "", 0, "xyz")) == 14


async def test_counts(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        home, conversation, ids = await written(w)

        async def count(until: str, first: str = "") -> int:
            return await home.conversations.count_interactions(home.id, conversation, until, first, "")

        assert await count("") == 13, "the edit is none"
        assert (await count(ids[4]), await count(ids[4], ids[7]), await count(ids[7], ids[7])) == (7, 3, 0)
        assert (await count(ids[7], ids[4]), await count("xyz"), await count("", "xyz")) == (0, 13, 0)


async def test_searches_are_bounded_by_commit_date_and_kind(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        home, conversation, ids = await written(w)
        assert await search(home, conversation, "Text", last=ids[7]) == [ids[9], ids[8], ids[7]]
        assert len(await search(home, conversation, "Text", last="0" * 40)) == 10
        assert await search(home, conversation, "[[:digit:]]", last=ids[8]) == [ids[9], ids[8]]
        assert len(await search(home, conversation, "nothing like it", kind=message_maps.CALL)) == 1
        assert await search(home, conversation, "", kind="unknown") == []
        now = int(home.now_ms() / 1000)
        assert await search(home, conversation, "", after=now + 100) == []
        assert await search(home, conversation, "", before=now - 10_000) == []
        assert len(await search(home, conversation, "Text", after=now - 1000, before=now + 1000)) == 10


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("[[:alpha:]_]+9", "a_9", True),
        ("[[:punct:]]", "a-b", True),
        ("[[:punct:]]", "ab", False),
        ("(?<a>x)y", "xy", True),
        ("(x", "a(x", True),
    ],
)
def test_patterns_of_ecmascript(pattern: str, text: str, matches: bool) -> None:
    assert (compile_pattern(pattern, case_sensitive=True).search(text) is not None) == matches
