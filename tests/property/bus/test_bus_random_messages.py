"""Whatever is sent to the daemon, it answers with a value of the contract's signature or with a short error, and goes on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jamid.app.options import Options
from jamid.app.wiring import Daemon
from jamid.bus import contract, library, wire
from jamid.bus.connection import BusError
from jamid.bus.contract import BUS_NAME, ROOT_PATH
from jamid.bus.signature import split
from jamid.bus.wire import Kind
from jamid.core.errors import RemoteError
from jamid.core.paths import Paths
from tests.private_bus import Client

CONTRACTS = contract.load()
FORMS = [(interface.name, form) for interface in CONTRACTS.values() for forms in interface.methods.values() for form in forms]
HARMLESS = [pair for pair in FORMS if pair[1].name not in ("Unregister", "addAccount", "removeAccount", "monitor")]
"""all but those that end the daemon, add or remove accounts, or send the log to everybody"""
ACCOUNT = "THE ACCOUNT"
"""stands for the id of the one account there is"""
SHORT_ERRORS = ("cx.ring.Ring.Error.Failed", "cx.ring.Ring.Error.NotImplemented", "org.freedesktop.DBus.Error.InvalidArgs")

IDS = [
    "",
    "ffffffffffffffff",
    "0" * 40,
    "jami:" + "0" * 40,
    "swarm:" + "1" * 40,
    "../../etc/passwd",
    "/nonexistent/x",
    "desktop",
    "9" * 400,
]
TEXT = st.sampled_from(IDS) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
OFFLINE = {"Account.type": "RING", "Account.hostname": "127.0.0.1:9", "Account.upnpEnabled": "false", "TURN.enable": "false"}
INTEGER = {"y": (0, 8), "n": (-1, 16), "q": (0, 16), "i": (-1, 32), "u": (0, 32), "x": (-1, 64), "t": (0, 64)}


def values(complete_type: str) -> st.SearchStrategy[Any]:
    """Values of one complete D-Bus type."""
    first = complete_type[0]
    if first in INTEGER:
        signed, bits = INTEGER[first]
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return st.sampled_from([low, 0, 1, high]) | st.integers(low, high)
    if first == "s":
        return TEXT
    if first == "b":
        return st.booleans()
    if first == "d":
        return st.floats()
    if complete_type == "ay":
        return st.binary(max_size=60)
    if complete_type.startswith("a{"):
        key, value = split(complete_type[2:-1])
        return st.dictionaries(values(key), values(value), max_size=4)
    return st.lists(values(complete_type[1:]), max_size=4)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, contract.Member, list[Any]]:
    interface, form = draw(st.sampled_from(HARMLESS))
    return interface, form, [draw(values(one)) for one in form.in_types]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, list[Any]]:
    types = draw(st.lists(st.sampled_from(["s", "b", "i", "u", "t", "x", "d", "as", "a{ss}", "aa{ss}", "ay", "au"]), max_size=6))
    return "".join(types), [draw(values(one)) for one in types]


class Running:
    """The whole daemon in this process and a client, on a loop that is run for one call at a time."""

    def __init__(self, address: str, directory: Path) -> None:
        self.runner = asyncio.Runner()
        self._address = address
        self._paths = Paths(directory / "config", directory / "data", directory / "cache")

    def start(self) -> None:
        self.runner.run(self._start())

    def stop(self) -> None:
        self.runner.run(self._stop())
        self.runner.close()

    def call(self, member: str, signature: str, body: list[Any]) -> list[Any] | BusError:
        async def run() -> list[Any] | BusError:
            try:
                return await asyncio.wait_for(self.client.call(member, signature, *(self._with_account(value) for value in body)), 20)
            except BusError as error:
                return error

        return self.runner.run(run())

    def _with_account(self, value: Any) -> Any:
        return self.account if value == ACCOUNT else value

    async def _start(self) -> None:
        options = Options(bus=self._address, persistent=True)
        self.daemon = Daemon(options, request_stop=lambda reason, code=0: None, paths=self._paths)
        await self.daemon.start()
        self.client = await Client.connect(self._address)
        (self.account,) = await self.client.call("ConfigurationManager.addAccount", "a{ss}", OFFLINE)
        async with asyncio.timeout(60):
            while True:
                (details,) = await self.client.call("ConfigurationManager.getVolatileAccountDetails", "s", self.account)
                if details["Account.registrationStatus"] != "INITIALIZING":
                    break
                await asyncio.sleep(0.05)

    async def _stop(self) -> None:
        await self.client.close()
        await self.daemon.stop(2)


@pytest.fixture(scope="module")
def running(bus: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("home")
    before = Path.cwd()
    os.chdir(directory)  # some methods write to the path they are given
    running = Running(bus, directory)
    running.start()
    yield running
    running.stop()
    os.chdir(before)


EVERY_METHOD = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@EVERY_METHOD
@given(call=calls())
def test_random_arguments_are_answered(running: Running, call: tuple[str, contract.Member, list[Any]]) -> None:
    interface, form, body = call
    reply = running.call(f"{interface}.{form.name}", form.in_signature, body)
    if isinstance(reply, BusError):
        assert reply.name in SHORT_ERRORS, f"{form.name}{tuple(body)}: {reply}"
        assert "\n" not in str(reply)
    else:
        assert len(reply) == len(form.out_types)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pair=st.sampled_from(HARMLESS), message=bodies())
def test_random_signatures_are_refused_or_taken(
    running: Running, pair: tuple[str, contract.Member], message: tuple[str, list[Any]]
) -> None:
    interface, form = pair
    signature, body = message
    reply = running.call(f"{interface}.{form.name}", signature, body)
    if isinstance(reply, BusError):
        assert reply.name in SHORT_ERRORS
    else:
        assert CONTRACTS[interface].find_method(form.name, signature) is not None


@pytest.mark.parametrize("pair", HARMLESS, ids=lambda pair: f"{pair[0]}.{pair[1].name}.{pair[1].in_signature or 'none'}")
def test_values_at_the_edge(running: Running, pair: tuple[str, contract.Member]) -> None:
    """Each method with the emptiest and the largest arguments."""
    interface, form = pair
    for large in (False, True):
        reply = running.call(f"{interface}.{form.name}", form.in_signature, [edge(one, large) for one in form.in_types])
        assert not isinstance(reply, BusError) or reply.name in SHORT_ERRORS, reply


def edge(complete_type: str, large: bool) -> Any:
    first = complete_type[0]
    if first in INTEGER:
        signed, bits = INTEGER[first]
        return (2 ** (bits - 1) - 1 if signed else 2**bits - 1) if large else (-(2 ** (bits - 1)) if signed else 0)
    if first in "bds":
        return {"b": large, "d": float("inf") if large else float("nan"), "s": "ä" * 100_000 if large else ACCOUNT}[first]
    if complete_type == "ay":
        return b"\xff" * 100_000 if large else b""
    if complete_type.startswith("a{"):
        return {f"{number}": "x" * 100 for number in range(1000)} if large else {}
    return [edge(complete_type[1:], False)] * (1000 if large else 0)


def test_client_that_leaves_in_the_middle_of_its_calls(running: Running) -> None:
    async def leave() -> None:
        for _ in range(20):
            client = await Client.connect(running.daemon.options.bus, listen=False)
            for interface, form in HARMLESS[:60]:
                head = wire.header(
                    Kind.CALL,
                    flags=0,
                    path=f"{ROOT_PATH}/{interface}",
                    member=form.name,
                    destination=BUS_NAME,
                    signature=form.in_signature,
                )
                body = [edge(one, False) for one in form.in_types]
                client.connection.send(head, wire.encode_body(client.connection.library, form.in_signature, body))
            await client.close()

    running.runner.run(leave())
    assert running.call("ConfigurationManager.getRecordPreview", "", []) in ([True], [False])


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), cut=st.integers(1, 300))
def test_garbage_on_the_wire_is_a_remote_error_and_nothing_else(data: bytes, cut: int) -> None:
    framer = wire.Framer(library.load())
    good = wire.header(Kind.SIGNAL, path="/a", interface="a.b", member="c", signature="s").message(1, b"\x01\0\0\0x\0")
    assert [message.body for message in framer.feed(good)] == [["x"]]
    try:
        for start in range(0, len(data), cut):
            framer.feed(data[start : start + cut])
    except RemoteError:
        pass
    try:
        wire.Framer(library.load()).feed(good[:16] + data[: len(good) - 16].ljust(len(good) - 16, b"\0"))
    except RemoteError:
        pass
