"""Memory is given back some time after what needed much of it, once for many occasions."""

from __future__ import annotations

import asyncio

import pytest

from jamid.app import housekeeping
from jamid.app.housekeeping import Housekeeping
from jamid.core import memory
from jamid.core.events import Events
from jamid.core.signals import AccountsChanged, CallStateChanged, DataTransferEvent


async def test_once_for_many_occasions(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[None] = []
    monkeypatch.setattr(memory, "give_back", lambda: given.append(None))
    monkeypatch.setattr(housekeeping, "SECONDS", 0.01)
    events = Events()
    keeper = Housekeeping(events)
    events.publish(AccountsChanged())
    await asyncio.sleep(0.05)
    assert not given, "nothing that needs memory has happened"
    for state in ("INCOMING", "CURRENT", "OVER"):
        events.publish(CallStateChanged("account", "call", state, 0))
    await asyncio.sleep(0.05)
    assert len(given) == 1
    events.publish(DataTransferEvent("account", "conversation", "interaction", "file", 6))
    await asyncio.sleep(0.05)
    assert len(given) == 2
    events.publish(DataTransferEvent("account", "conversation", "interaction", "file", 6))
    await keeper.close()
    await asyncio.sleep(0.05)
    assert len(given) == 2, "closed"
