"""Two daemons of a lab that may call each other, and one call between them step by step."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.interop.driver import AUDIO, Driver
from tests.interop.lab import Lab

STRANGERS = {"DHT.PublicInCalls": "true"}


@dataclass
class End:
    """One daemon, its account, and the call it is in."""

    driver: Driver
    account: str
    uri: str
    call: str = ""
    since: int = 0
    media: list[dict[str, str]] = field(default_factory=list)

    @property
    def calls(self) -> Any:
        return self.driver.call

    def states(self) -> list[tuple[str, int]]:
        """(state, code) of this call's callStateChanged signals."""
        return [(state, code) for _, call, state, code in self.driver.received("callStateChanged", self.since) if call == self.call]

    def got(self, member: str) -> list[list[Any]]:
        """What a signal told since the call began."""
        return self.driver.received(member, self.since)

    async def state(self, wanted: str, seconds: float = 20) -> None:
        await self.driver.signal("callStateChanged", lambda _, call, state, *__: call == self.call and state == wanted, seconds, self.since)

    async def negotiated(self, count: int = 1, seconds: float = 20) -> None:
        """Waits for the COUNTth mediaNegotiationStatus of this call."""
        seen = 0

        def is_it(call: str, *_: Any) -> bool:
            nonlocal seen
            seen += call == self.call
            return seen == count

        await self.driver.signal("mediaNegotiationStatus", is_it, seconds, self.since)

    async def details(self) -> dict[str, str]:
        return dict(await self.calls.getCallDetails(self.account, self.call))


async def join(stack: AsyncExitStack, lab: Lab, host: str, **details: str) -> End:
    """A client of the daemon on HOST with a new account that anybody may call."""
    driver = await stack.enter_async_context(await Driver.connect(lab.bus(host), host))
    account, uri = await driver.add_account(f"{lab.address('d')}:4222", **STRANGERS, **details)
    return End(driver, account, uri)


async def ring(caller: End, *callees: End, media: list[dict[str, str]] | None = None, target: str = "") -> None:
    """CALLER calls the account of the first callee; it rings at every one of them."""
    for end in (caller, *callees):
        end.since = len(end.driver.signals)
    caller.call = await caller.calls.placeCallWithMedia(caller.account, target or callees[0].uri, [AUDIO] if media is None else media)
    for callee in callees:
        _, callee.call, peer, callee.media = await callee.driver.signal(
            "incomingCallWithMedia", lambda account, *_, own=callee.account: account == own, 20, callee.since
        )
        assert peer == f"{caller.uri}@ring.dht"
    await caller.state("RINGING")


async def answer(caller: End, callee: End) -> None:
    """CALLEE accepts; returns when media flows."""
    assert await callee.calls.acceptWithMedia(callee.account, callee.call, callee.media)
    for end in (caller, callee):
        await end.state("CURRENT")
        await end.negotiated()


async def hang_up(end: End, *others: End) -> None:
    """END hangs up; returns when it is over everywhere."""
    assert await end.calls.hangUp(end.account, end.call)
    for each in (end, *others):
        await each.state("OVER")
