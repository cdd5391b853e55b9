# ruff: noqa: N802
"""Calls and replies over a real bus: overloads, errors, order, slow methods, clients that leave."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from typing import Any

import pytest

from jamid.bus import library, wire
from jamid.bus.connection import BusError, NameTakenError
from jamid.bus.contract import BUS_NAME, ROOT_PATH
from jamid.bus.interface import Interface
from jamid.bus.publisher import current_call
from jamid.bus.wire import Kind
from jamid.core import limits
from jamid.core.errors import LocalError, NotFoundError, RemoteError
from jamid.core.events import Events
from jamid.core.signals import AccountsChanged, ContactAdded
from tests.private_bus import Client, Served


class Part:
    """Implements a handful of the configuration interface."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.release = asyncio.Event()
        self.events: Events | None = None

    def getAccountList(self) -> list[str]:
        return ["0011223344556677"]

    def getAccountDetails(self, account_id: str) -> dict[str, str]:
        return {"id": account_id}

    def revokeDevice(self, *arguments: str) -> bool:
        self.calls.append(arguments)
        return True

    def exportToFile(self, account_id: str, path: str, *secret: str) -> bool:
        self.calls.append((account_id, path, *secret))
        return len(secret) == 2

    async def changeAccountPassword(self, account_id: str, old: str, new: str) -> bool:
        await self.release.wait()
        return True

    def getCodecDetails(self, account_id: str, codec: int) -> dict[str, str]:
        return {"codec": str(codec)}

    def addContact(self, account_id: str, uri: str) -> None:
        assert self.events is not None
        self.events.publish(ContactAdded(account_id, uri, False))

    async def removeContact(self, account_id: str, uri: str, ban: bool) -> None:
        assert self.events is not None
        self.events.publish(ContactAdded(account_id, uri, ban))
        await asyncio.sleep(0.05)
        self.events.publish(AccountsChanged())

    def getContacts(self, account_id: str) -> list[dict[str, str]]:
        raise NotFoundError("no such account")

    async def isAllModerators(self, account_id: str) -> bool:
        raise NotFoundError("no such account")

    def getContactDetails(self, account_id: str, uri: str) -> dict[str, str]:
        raise LocalError("that is no uri; give 40 hex digits")

    def getConversations(self, account_id: str) -> list[str]:
        raise RemoteError("the peer is confused")

    def getVolatileAccountDetails(self, account_id: str) -> dict[str, str]:
        raise ZeroDivisionError("a secret detail")

    def getTrustRequests(self, account_id: str) -> list[dict[str, str]]:
        return [{"number": 5}]  # type: ignore[dict-item]

    def fileTransferInfo(self, account_id: str, conversation_id: str, file_id: str) -> tuple[int, str, int, int]:
        return (0, "/file", 2**40, 7)

    def getCredentials(self, account_id: str) -> list[dict[str, str]]:
        call = current_call.get()
        assert call is not None
        return [{"sender": call.sender}]


@pytest.fixture(params=["dbus_fast", "dbus_next"])
async def served(bus: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    monkeypatch.setattr(library, "PREFERRED", (request.param,))
    part = Part()
    async with Served(bus, [Interface("ConfigurationManager", [part])]) as served:
        part.events = served.events
        served.part = part  # type: ignore[attr-defined]
        yield served


CONFIGURATION = "ConfigurationManager"


async def call(served: Served, member: str, signature: str = "", *arguments: Any) -> list[Any]:
    return await served.client.call(f"{CONFIGURATION}.{member}", signature, *arguments)


async def failure(served: Served, path: str, interface: str, member: str, signature: str = "", *arguments: Any) -> tuple[str, str]:
    with pytest.raises(BusError) as caught:
        await served.client.connection.call(BUS_NAME, path, interface, member, signature, list(arguments))
    return caught.value.name, str(caught.value)


async def test_overloads_are_told_apart_by_signature(served: Any) -> None:
    assert await call(served, "exportToFile", "sss", "a", "/p", "secret") == [False]
    assert await call(served, "exportToFile", "ssss", "a", "/p", "password", "secret") == [True]
    assert await call(served, "revokeDevice", "ssss", "a", "dev", "", "pw") == [True]
    assert served.part.calls == [("a", "/p", "secret"), ("a", "/p", "password", "secret"), ("a", "dev", "", "pw")]


async def test_surplus_arguments_and_other_widths_are_accepted(served: Any) -> None:
    assert await call(served, "getAccountDetails", "ssi", "a", "surplus", 1) == [{"id": "a"}]
    assert await call(served, "getCodecDetails", "si", "a", 86076) == [{"codec": "86076"}]


async def test_call_without_interface(served: Any) -> None:
    reply = await served.client.connection.call(BUS_NAME, f"{ROOT_PATH}/{CONFIGURATION}", "", "getAccountList")
    assert reply == [["0011223344556677"]]


async def test_several_results_and_the_caller(served: Any) -> None:
    assert await call(served, "fileTransferInfo", "sss", "a", "c", "f") == [0, "/file", 2**40, 7]
    assert await call(served, "getCredentials", "s", "a") == [[{"sender": served.client.connection.unique_name}]]


async def test_standard_errors(served: Any) -> None:
    path, interface = f"{ROOT_PATH}/{CONFIGURATION}", f"{BUS_NAME}.{CONFIGURATION}"
    unknown_method = "org.freedesktop.DBus.Error.UnknownMethod"
    assert (await failure(served, path, interface, "noSuch"))[0] == unknown_method
    assert (await failure(served, path, f"{BUS_NAME}.CallManager", "getCallList", "s", ""))[0] == unknown_method
    assert (await failure(served, path, "org.freedesktop.DBus.Peer", "Pong"))[0] == unknown_method
    assert (await failure(served, ROOT_PATH, interface, "getAccountList"))[0] == unknown_method
    assert (await failure(served, "/nowhere", interface, "getAccountList"))[0] == "org.freedesktop.DBus.Error.UnknownObject"
    assert (await failure(served, "/nowhere", "org.freedesktop.DBus.Introspectable", "Introspect"))[0].endswith("UnknownObject")
    name, text = await failure(served, path, interface, "getAccountDetails", "i", 5)
    assert name == "org.freedesktop.DBus.Error.InvalidArgs"
    assert f"Invalid arguments 'i' to call {interface}.getAccountDetails(), expecting 's'." in text
    name, text = await failure(served, path, interface, "exportToFile", "s", "a")
    assert "expecting 'ssss' or 'sss'" in text


async def test_errors_are_short_and_never_tracebacks(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    path, interface = f"{ROOT_PATH}/{CONFIGURATION}", f"{BUS_NAME}.{CONFIGURATION}"
    name, text = await failure(served, path, interface, "getContactDetails", "ss", "a", "u")
    assert (name, text) == ("cx.ring.Ring.Error.Failed", "that is no uri; give 40 hex digits (cx.ring.Ring.Error.Failed)")
    name, _ = await failure(served, path, interface, "getConversations", "s", "a")
    assert name == "cx.ring.Ring.Error.PeerFault"
    with caplog.at_level(logging.ERROR):
        name, text = await failure(served, path, interface, "getVolatileAccountDetails", "s", "a")
    assert name == "cx.ring.Ring.Error.Internal"
    assert "secret" not in text
    assert "Traceback" not in text
    assert "ZeroDivisionError" in caplog.text
    name, text = await failure(served, path, interface, "getTrustRequests", "s", "a")
    assert name == "cx.ring.Ring.Error.Failed"
    assert "does not fit the D-Bus signature 'aa{ss}'" in text
    name, _ = await failure(served, path, interface, "registerAllAccounts")
    assert name == "cx.ring.Ring.Error.NotImplemented"


async def test_unknown_ids_are_answered_neutrally(served: Any) -> None:
    assert await call(served, "getContacts", "s", "none") == [[]]
    assert await call(served, "isAllModerators", "s", "none") == [True]
    # Not implemented by anybody here, and the account is unknown:
    assert await call(served, "addDevice", "ss", "none", "uri") == [-3]


async def test_reply_comes_before_the_signals_of_its_call(served: Any) -> None:
    before = len(served.client.connection.arrived)
    await call(served, "addContact", "ss", "a", "u")
    await call(served, "removeContact", "ssb", "a", "u", True)
    await served.client.wait_for(3)
    assert served.client.connection.arrived[before:] == ["reply", "contactAdded", "reply", "contactAdded", "accountsChanged"]


async def test_later_signals_queue_behind_held_ones(served: Any) -> None:
    running = asyncio.create_task(call(served, "removeContact", "ssb", "a", "u", True))
    await asyncio.sleep(0.02)
    served.events.publish(ContactAdded("b", "later", True))
    await running
    members = await served.client.wait_for(3)
    assert [arguments[:1] for _, _, arguments in members] == [["a"], ["b"], []]


async def test_slow_handler_does_not_hold_signals_for_long(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUS_HOLD_SECONDS", 0.01)
    running = asyncio.create_task(call(served, "removeContact", "ssb", "a", "u", True))
    await served.client.wait_for(1)
    assert not running.done()
    await running


async def test_slow_call_delays_nobody(served: Any) -> None:
    slow = asyncio.create_task(call(served, "changeAccountPassword", "sss", "a", "", ""))
    await asyncio.sleep(0.01)
    assert await call(served, "getAccountList") == [["0011223344556677"]]
    assert not slow.done()
    served.part.release.set()
    assert await slow == [True]


async def test_too_many_slow_calls_are_refused(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUS_CALLS_IN_FLIGHT", 3)
    calls = [asyncio.create_task(call(served, "changeAccountPassword", "sss", "a", "", "")) for _ in range(5)]
    done, pending = await asyncio.wait(calls, timeout=0.1)
    assert {task.exception().name for task in done} == {"org.freedesktop.DBus.Error.LimitsExceeded"}
    assert len(pending) == 3
    served.part.release.set()
    await asyncio.gather(*pending)


async def test_client_that_leaves_in_mid_call_harms_nobody(served: Any, bus: str) -> None:
    other = await Client.connect(bus, listen=False)
    abandoned = asyncio.create_task(other.call(f"{CONFIGURATION}.changeAccountPassword", "sss", "a", "", ""))
    await asyncio.sleep(0.02)
    abandoned.cancel()
    await other.close()
    served.part.release.set()
    assert await call(served, "getAccountList") == [["0011223344556677"]]


async def test_call_that_wants_no_reply(served: Any) -> None:
    head = wire.header(
        Kind.CALL,
        flags=wire.NO_REPLY_EXPECTED,
        path=f"{ROOT_PATH}/{CONFIGURATION}",
        interface=f"{BUS_NAME}.{CONFIGURATION}",
        member="revokeDevice",
        destination=BUS_NAME,
        signature="sss",
    )
    connection = served.client.connection
    connection.send(head, wire.encode_body(library.load(), "sss", ["a", "b", "c"]))
    assert await call(served, "getAccountList") == [["0011223344556677"]]
    assert served.part.calls == [("a", "b", "c")]


async def test_second_daemon_is_refused_and_the_first_goes_on(served: Any, bus: str) -> None:
    second = Served(bus)
    with pytest.raises(NameTakenError, match="another daemon runs on this bus"):
        await second.service.start()
    assert await call(served, "getAccountList") == [["0011223344556677"]]


async def test_bus_that_is_not_there() -> None:
    with pytest.raises(LocalError, match="is a D-Bus daemon running there"):
        await Served("unix:path=/nonexistent/bus").service.start()


def test_part_must_be_in_the_contract(bus: str) -> None:
    class Stranger:
        def doSomethingElse(self) -> None: ...

    with pytest.raises(LocalError, match="not in the contract of CallManager: doSomethingElse"):
        Served(bus, [Interface("CallManager", [Stranger()])])
    with pytest.raises(LocalError, match="implemented twice"):
        Interface("CallManager", [Stranger(), Stranger()])
    with pytest.raises(LocalError, match="13, 17 or both"):
        Served(bus, api_level="14")
