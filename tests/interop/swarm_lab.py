"""Accounts on several hosts for tests of conversations: ours and real ones by the first letter of the host's part."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.interop.driver import Driver
from tests.interop.lab import Lab

NUDGE = "are you there?"


@dataclass
class User:
    """An account on a host of its own."""

    driver: Driver
    account: str
    uri: str

    @property
    def api(self) -> Any:
        return self.driver.configuration

    async def get(self, conversation: str, **fields: str) -> dict[str, str]:
        """The first message, past or to come, that has these fields; 45 s at most."""

        def matches(account: str, where: str, message: dict[str, str]) -> bool:
            return (account, where) == (self.account, conversation) and all(
                message.get(name.replace("_", "-") if name in ("reply_to", "react_to") else name) == value for name, value in fields.items()
            )

        found = await self.driver.signal("messageReceived", matches, 45)
        message: dict[str, str] = found[2]
        return message

    async def say(self, conversation: str, text: str, target: str = "", flag: int = 0) -> None:
        await self.api.sendMessage(self.account, conversation, text, target, flag)

    async def history(self, conversation: str) -> list[dict[str, str]]:
        """All commits, newest first, as the API of 13.7 loads them."""
        request = await self.api.loadConversationMessages(self.account, conversation, "", 0)
        loaded = await self.driver.signal("conversationLoaded", lambda r, *_: r == request, 20)
        messages: list[dict[str, str]] = loaded[3]
        return messages

    async def loaded(self, conversation: str, texts: set[str], seconds: float = 30) -> None:
        """Waits until the history holds all TEXTS, each once."""
        async with asyncio.timeout(seconds):
            while True:
                bodies = [message["body"] for message in await self.history(conversation) if message.get("body") in texts]
                if len(bodies) >= len(texts):
                    break
                await asyncio.sleep(0.5)
        assert sorted(bodies) == sorted(texts)

    async def tell(self, conversation: str, text: str, *listeners: User) -> None:
        """Says TEXT, once, and more until all LISTENERS have it: a 13.7.0 drops another's notification that comes while it fetches."""
        await self.say(conversation, text)
        for listener in listeners:
            for _ in range(3):
                try:
                    await listener.loaded(conversation, {text}, 12)
                    break
                except TimeoutError:
                    await self.say(conversation, NUDGE)
            else:
                await listener.loaded(conversation, {text}, 12)

    async def event(self, conversation: str, member: User, code: int, seconds: float = 45, since: int = 0) -> None:
        wanted = (self.account, conversation, member.uri, code)
        await self.driver.signal("conversationMemberEvent", lambda *body: body == wanted, seconds, since)

    async def roles(self, conversation: str) -> dict[str, str]:
        return {entry["uri"]: entry.get("role", "") for entry in await self.api.getConversationMembers(self.account, conversation)}

    async def join(self, conversation: str) -> None:
        """Accepts the invitation and waits for the conversation."""
        await self.driver.signal("conversationRequestReceived", lambda a, c, _: (a, c) == (self.account, conversation), 20)
        since = len(self.driver.signals)
        await self.api.acceptConversationRequest(self.account, conversation)
        await self.driver.signal("conversationReady", lambda a, c: (a, c) == (self.account, conversation), 30, since)


async def users(lab: Lab, **parts: str) -> list[User]:
    """One account per host: `users(lab, a="ours", b="real")`, all announced; d is the DHT's host."""
    lab.up(["d", *parts])
    lab.start_dht("d")
    for host, part in parts.items():
        if part == "ours":
            lab.ours(host, "-c", "-d", "-p")
        else:
            lab.start_jamid(host)

    async def user(host: str, part: str) -> User:
        driver = await Driver.connect(lab.bus(host), f"{host}-{part}")
        account, uri = await driver.add_account(f"{lab.address('d')}:4222")
        return User(driver, account, uri)

    return list(await asyncio.gather(*(user(host, part) for host, part in parts.items())))


async def befriend(asker: User, accepter: User) -> str:
    """ASKER's trust request, accepted; their conversation, joined by both."""
    since = len(accepter.driver.signals)
    await asker.api.sendTrustRequest(asker.account, accepter.uri, b"BEGIN:VCARD\nVERSION:2.1\nFN:asker\nEND:VCARD\n")
    await accepter.driver.signal("incomingTrustRequest", lambda a, _, u, *__: (a, u) == (accepter.account, asker.uri), 20, since)
    # The real daemon loses an acceptance that comes before it has stored the request.
    await accepter.driver.signal("conversationRequestReceived", lambda a, *_: a == accepter.account, 20, since)
    await accepter.api.acceptTrustRequest(accepter.account, asker.uri)
    _, conversation = await accepter.driver.signal("conversationReady", lambda a, _: a == accepter.account, 20, since)
    await asker.event(conversation, accepter, 1)
    return str(conversation)
