"""Messages and events in one form, whichever generation's signals they come from."""

from __future__ import annotations

from typing import Any

import pytest

from jamid.client.events import CallReceived, EventStream, MessageReceived, NameFound, PresenceChanged
from jamid.client.messages import Message
from jamid.core.errors import LocalError

AUTHOR, COMMIT, PARENT = "a" * 40, "c" * 40, "b" * 40
FLAT = {"id": COMMIT, "type": "text/plain", "author": AUTHOR, "body": "hello", "timestamp": "1700000000", "linearizedParent": PARENT}
BODY = {"author": AUTHOR, "body": "hello", "timestamp": "1700000000", "linearizedParent": ""}
STRUCTURE = [COMMIT, "text/plain", PARENT, BODY, [], [], {AUTHOR: 3}]


class FakeConnection:
    """A daemon that declares some signals and sends what a test makes it send."""

    def __init__(self, *declared: tuple[str, str]) -> None:
        self._declared = set(declared)
        self._handlers: list[Any] = []

    async def declares(self, interface: str, member: str, signature: str | None = None) -> bool:
        return (member, signature) in self._declared

    async def listen(self, handler: Any) -> Any:
        self._handlers.append(handler)
        return lambda: self._handlers.remove(handler)

    def send(self, interface: str, member: str, signature: str, *arguments: Any) -> None:
        for handler in tuple(self._handlers):
            handler(interface, member, signature, list(arguments))


SWARM = ("swarmMessageReceived", "ss(sssa{ss}aa{ss}aa{ss}a{si})")
FLAT_SIGNAL = ("messageReceived", "ssa{ss}")


def test_both_forms_of_a_message_mean_the_same() -> None:
    old, new = Message.from_map(FLAT), Message.from_structure(STRUCTURE)
    for name in ("id", "type", "author", "body", "time", "parent"):
        assert getattr(old, name) == getattr(new, name)
    assert new.status == {AUTHOR: 3}


def test_message_without_fields_is_no_error() -> None:
    message = Message.from_map({"timestamp": "soon"})
    assert (message.id, message.body, message.time) == ("", "", None)
    assert message.summary() == "[]"


@pytest.mark.parametrize("declared", [(FLAT_SIGNAL,), (SWARM,), (FLAT_SIGNAL, SWARM)], ids=["13", "17", "both"])
async def test_each_message_is_told_once(declared: tuple[tuple[str, str], ...]) -> None:
    connection = FakeConnection(*declared)
    async with EventStream[MessageReceived](connection, [MessageReceived]) as events:  # type: ignore[arg-type]
        if FLAT_SIGNAL in declared:
            connection.send("ConfigurationManager", *FLAT_SIGNAL, "acc", "conv", FLAT)
        if SWARM in declared:
            connection.send("ConfigurationManager", *SWARM, "acc", "conv", STRUCTURE)
        assert (await events.wait(seconds=1)).message.body == "hello"
        with pytest.raises(TimeoutError):
            await events.wait(seconds=0.01)


async def test_events_of_13_and_17_are_brought_into_one_form() -> None:
    connection = FakeConnection(
        ("registeredNameFound", "siss"), ("newBuddyNotification", "ssbs"), ("incomingCallWithMedia", "sssaa{ss}"), ("incomingCall", "sss")
    )
    async with EventStream[Any](connection, [NameFound, PresenceChanged, CallReceived]) as events:  # type: ignore[arg-type]
        connection.send("ConfigurationManager", "registeredNameFound", "siss", "acc", 0, AUTHOR, "alice")
        connection.send("PresenceManager", "newBuddyNotification", "ssbs", "acc", AUTHOR, True, "")
        connection.send("CallManager", "incomingCallWithMedia", "sssaa{ss}", "acc", "7", f"{AUTHOR}@ring.dht", [])
        assert await events.wait() == NameFound("acc", "", 0, AUTHOR, "alice")
        assert await events.wait() == PresenceChanged("acc", AUTHOR, True, "")
        assert await events.wait() == CallReceived("acc", "7", AUTHOR, [])


async def test_stream_that_nobody_reads_ends_rather_than_growing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jamid.client.events.QUEUE_EVENTS", 3)
    connection = FakeConnection(FLAT_SIGNAL)
    stream = await EventStream[MessageReceived](connection, [MessageReceived]).open()  # type: ignore[arg-type]
    for _ in range(10):
        connection.send("ConfigurationManager", *FLAT_SIGNAL, "acc", "conv", FLAT)
    for _ in range(3):
        await stream.wait(seconds=1)
    with pytest.raises(LocalError, match="not read in time"):
        await stream.wait(seconds=1)
