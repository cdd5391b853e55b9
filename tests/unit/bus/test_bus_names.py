"""What the look-up methods tell clients, in the form of 17."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from jamid.accounts.names import Answer, Lookup
from jamid.bus.managers.names import NamesPart
from jamid.core.events import Events
from jamid.core.signals import RegisteredNameFound

URI = "ab" * 20


class Directory:
    """Answers every question with one answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def lookup_name(self, server: str, text: str) -> Answer:
        return self._answer

    async def lookup_address(self, server: str, address: str) -> Answer:
        return self._answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(Lookup.FOUND, URI, "alice"), (0, URI, "alice")),
        (Answer(Lookup.NOT_FOUND, "", "alice"), (2, "", "")),
        (Answer(Lookup.INVALID, "", "alice"), (1, "", "")),
        (Answer(Lookup.ERROR, URI, ""), (3, "", "")),
    ],
)
async def test_only_what_was_found_is_told(answer: Answer, told: tuple[int, str, str]) -> None:
    events = Events()
    signals: list[RegisteredNameFound] = []
    events.subscribe(RegisteredNameFound, signals.append)
    environment = SimpleNamespace(names=Directory(answer), events=events)
    accounts: Any = SimpleNamespace(environment=environment, jami=lambda _account: None)
    methods = NamesPart(accounts)
    assert methods.lookupName("", "http://names", "alice")
    assert methods.lookupAddress("", "http://names", f"ring:{URI}")
    await asyncio.sleep(0.01)
    assert signals == [RegisteredNameFound("", "alice", *told), RegisteredNameFound("", URI, *told)]
