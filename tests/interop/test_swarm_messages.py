"""Conversations of two with the real daemon: every kind of message both ways, receipts, typing, loading, and the same history."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.lab import Lab
from tests.interop.swarm_lab import User, befriend, users

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


async def exchange(one: User, other: User, conversation: str) -> None:
    """Every kind of message from ONE, seen by OTHER."""
    await one.say(conversation, "schön 👋")
    message = await other.get(conversation, body="schön 👋", author=one.uri)
    await other.say(conversation, "a reply", message["id"])
    assert (await one.get(conversation, body="a reply", author=other.uri))["reply-to"] == message["id"]
    await one.say(conversation, "edited", message["id"], 1)
    assert (await other.get(conversation, body="edited", author=one.uri))["edit"] == message["id"]
    await other.say(conversation, "❤", message["id"], 2)
    reaction = await one.get(conversation, body="❤", author=other.uri)
    assert reaction["react-to"] == message["id"]
    await other.say(conversation, "", reaction["id"], 1)
    assert (await one.get(conversation, edit=reaction["id"], author=other.uri))["body"] == ""
    await one.say(conversation, "", message["id"], 1)
    await other.driver.signal("messageReceived", lambda _, __, m: m.get("edit") == message["id"] and m.get("body") == "", 20)


async def test_every_kind_of_message_both_ways(lab: Lab) -> None:
    ours, real = await users(lab, a="ours", b="real")
    conversation = await befriend(ours, real)
    await exchange(ours, real, conversation)
    await exchange(real, ours, conversation)
    # Typing and receipts.
    for one, other in ((ours, real), (real, ours)):
        await one.api.setIsComposing(one.account, f"swarm:{conversation}", True)
        typing = (other.account, conversation, one.uri, 1)
        await other.driver.signal("composingStatusChanged", lambda *body, typing=typing: body == typing, 10)
        await one.say(conversation, f"read by {other.driver.name}")
        message = await other.get(conversation, body=f"read by {other.driver.name}")
        await other.api.setMessageDisplayed(other.account, f"swarm:{conversation}", message["id"], 3)
        displayed = (one.account, conversation, other.uri, message["id"], 3)
        await one.driver.signal("accountMessageStatusChanged", lambda *body, displayed=displayed: body == displayed, 10)
    # Both list the same history in the same order.
    histories = []
    for user in (ours, real):
        messages = await user.history(conversation)
        histories.append([{key: m.get(key) for key in ("id", "author", "type", "body", "linearizedParent")} for m in messages])
    assert histories[0] == histories[1]
    assert len(histories[0]) > 12


async def test_a_conversation_that_the_real_daemon_began(lab: Lab) -> None:
    ours, real = await users(lab, a="ours", b="real")
    conversation = await befriend(real, ours)
    assert await ours.api.conversationInfos(ours.account, conversation) == {"mode": "0"}
    assert await ours.roles(conversation) == {real.uri: "admin", ours.uri: "member"}
    for number in range(20):
        await real.say(conversation, f"r{number}")
        await ours.say(conversation, f"o{number}")
    expected = {f"{who}{number}" for who in "or" for number in range(20)}
    for user in (ours, real):
        await user.loaded(conversation, expected)
    assert ours.driver.received("onConversationError") == []
    assert real.driver.received("onConversationError") == []


async def test_what_was_missed_while_we_were_off_comes(lab: Lab) -> None:
    ours, real = await users(lab, a="ours", b="real")
    conversation = await befriend(ours, real)
    await ours.say(conversation, "before")
    await real.get(conversation, body="before")
    await ours.driver.close()
    lab.stop("a")
    for number in range(100):
        await real.say(conversation, f"missed {number}")
    await asyncio.sleep(1)
    lab.ours("a", "-c", "-d", "-p")
    from tests.interop.driver import Driver

    ours.driver = await Driver.connect(lab.bus("a"), "ours again")
    await ours.get(conversation, body="missed 99")
    texts = {f"missed {number}" for number in range(100)}
    await ours.loaded(conversation, texts)
    told = [m["body"] for _, c, m in ours.driver.received("messageReceived") if c == conversation and m.get("body") in texts]
    # The real daemon commits texts that come at once in an order of its own, and tells them in another.
    committed = [m["body"] for m in reversed(await real.history(conversation)) if m.get("body") in texts]
    assert told == committed
    await ours.say(conversation, "after")
    await real.get(conversation, body="after")
