"""Our connection against a bus that misbehaves: refuses, falls silent, stops reading, sends garbage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from jamid.bus import connection as connection_module
from jamid.bus import library, wire
from jamid.bus.connection import Connection, address_of
from jamid.bus.wire import Kind
from jamid.core import limits
from jamid.core.errors import LocalError

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeBus:
    """Lets a client in, answers its Hello, and then does what the test wants."""

    def __init__(self, path: Path) -> None:
        self.address = f"unix:path={path}"
        self.answer = b"OK 1234\r\n"
        self.reads = True
        self.writer: asyncio.StreamWriter | None = None
        self.received = 0
        self.end = b""
        self._path = path

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=1024)

    async def stop(self) -> None:
        self._server.close()
        if self.writer is not None:
            self.writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        await reader.readuntil(b"\r\n")
        writer.write(self.answer)
        if not self.answer.startswith(b"OK"):
            writer.close()
            return
        await reader.readuntil(b"BEGIN\r\n")
        chosen = library.load()
        framer = wire.Framer(chosen)
        while not (messages := framer.feed(await reader.read(1024))):
            pass
        reply = wire.header(Kind.RETURN, reply_serial=messages[0].serial, signature="s")
        writer.write(reply.message(1, wire.encode_body(chosen, "s", [":1.7"])))
        while self.reads and (data := await reader.read(65536)):
            self.received += len(data)
            self.end = (self.end + data)[-100:]
        await asyncio.sleep(30)


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeBus]:
    bus = FakeBus(tmp_path / "bus")
    await bus.start()
    yield bus
    await bus.stop()


SIGNAL = wire.header(Kind.SIGNAL, path="/a", interface="a.b", member="c", signature="s")


async def test_hello_gives_the_unique_name(fake: FakeBus) -> None:
    connection = await Connection.open(fake.address)
    assert connection.unique_name == ":1.7"
    await connection.close()
    assert connection.closed.done()


async def test_refusal_is_one_clear_line(fake: FakeBus) -> None:
    fake.answer = b"REJECTED EXTERNAL\r\n"
    with pytest.raises(LocalError, match="refuses our user id: REJECTED"):
        await Connection.open(fake.address)


async def test_silent_bus_is_not_waited_for(fake: FakeBus, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.answer = b""
    monkeypatch.setattr(limits, "BUS_REPLY_SECONDS", 0.05)
    with pytest.raises(LocalError, match="does not let us in"):
        await Connection.open(fake.address)


async def test_call_without_answer_ends(fake: FakeBus, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await Connection.open(fake.address)
    monkeypatch.setattr(limits, "BUS_REPLY_SECONDS", 0.05)
    with pytest.raises(LocalError, match="did not answer Whatever"):
        await connection.call("a.b", "/", "a.b", "Whatever")
    await connection.close()


async def test_bus_that_goes_away_ends_waiting_calls(fake: FakeBus) -> None:
    connection = await Connection.open(fake.address)
    waiting = asyncio.create_task(connection.call("a.b", "/", "a.b", "Whatever"))
    await asyncio.sleep(0.01)
    await fake.stop()
    with pytest.raises(LocalError, match="connection to the bus was lost"):
        await waiting
    await asyncio.wait_for(connection.closed, 1)


async def test_slow_bus_stops_calls_but_loses_nothing(fake: FakeBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUS_OUTGOING_HIGH", 10_000)
    fake.reads = False
    connection = await Connection.open(fake.address)
    taken: list[str] = []
    connection.on_call = lambda message: bool(taken.append(message.member))
    body = wire.encode_body(connection.library, "s", ["x" * 10_000])
    for _ in range(200):
        connection.send(SIGNAL, body)
    await asyncio.sleep(0.05)
    call = wire.header(Kind.CALL, path="/a", interface="a.b", member="Ask", destination=":1.7")
    assert fake.writer is not None
    fake.writer.write(call.message(9, b""))
    await asyncio.sleep(0.05)
    assert not taken, "a call was taken although the replies to earlier ones wait"
    assert not connection.closed.done()
    await connection.close()


async def test_a_body_in_pieces_is_made_as_the_bus_reads(fake: FakeBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUS_OUTGOING_HIGH", 10_000)
    made: list[int] = []

    class Body:
        def __len__(self) -> int:
            return 3_000_000

        def __iter__(self) -> Iterator[bytes]:
            for number in range(3000):
                made.append(number)
                yield b"%03d." % (number % 1000) * 250

    connection = await Connection.open(fake.address)
    before = fake.received
    connection.send(SIGNAL, Body())
    connection.send(SIGNAL, wire.encode_body(connection.library, "s", ["behind it"]))
    assert len(made) < 1500, "it is made although the bus has not read"
    async with asyncio.timeout(5):
        while not fake.end.endswith(b"behind it\0"):
            await asyncio.sleep(0.01)
    assert len(made) == 3000
    assert fake.received - before > 3_000_000
    await connection.close()


async def test_bus_that_never_reads_is_taken_for_gone(fake: FakeBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUS_OUTGOING_BYTES", 1_000_000)
    fake.reads = False
    connection = await Connection.open(fake.address)
    body = wire.encode_body(connection.library, "s", ["x" * 10_000])
    for _ in range(1000):
        connection.send(SIGNAL, body)
        await asyncio.sleep(0)
        if connection.closed.done():
            break
    await asyncio.wait_for(connection.closed, 1)


async def test_garbage_from_the_bus_ends_the_connection(fake: FakeBus) -> None:
    connection = await Connection.open(fake.address)
    assert fake.writer is not None
    fake.writer.write(b"\x00" * 64)
    await asyncio.wait_for(connection.closed, 1)


async def test_message_that_is_not_understood_is_ignored(fake: FakeBus, caplog: pytest.LogCaptureFixture) -> None:
    connection = await Connection.open(fake.address)
    taken: list[str] = []
    connection.on_call = lambda message: bool(taken.append(message.member))
    call = wire.header(Kind.CALL, path="/a", interface="a.b", member="Ask", destination=":1.7").message(9, b"")
    deep = wire.header(Kind.CALL, path="/a", interface="a.b", member="Deep", signature="v").message(10, b"\1v\0" * 200 + b"\1y\0\0")
    assert fake.writer is not None
    unknown_kind, odd_flags = bytearray(call), bytearray(call)
    unknown_kind[1], odd_flags[2] = 77, 0xF0
    fake.writer.write(bytes(unknown_kind) + deep + bytes(odd_flags) + call)
    await asyncio.sleep(0.05)
    assert not connection.closed.done()
    assert taken[-1:] == ["Ask"]
    assert "is not understood and ignored" in caplog.text
    await connection.close()


async def test_oversized_message_ends_the_connection(fake: FakeBus) -> None:
    connection = await Connection.open(fake.address)
    assert fake.writer is not None
    fake.writer.write(b"l\1\0\1" + b"\xff\xff\xff\x7f" + b"\1\0\0\0" + b"\0\0\0\0")
    await asyncio.wait_for(connection.closed, 1)


async def test_what_is_queued_leaves_before_the_end(fake: FakeBus) -> None:
    connection = await Connection.open(fake.address)
    before = fake.received
    body = wire.encode_body(connection.library, "s", ["x" * 1000])
    for _ in range(1000):
        connection.send(SIGNAL, body)
    await connection.close()
    await asyncio.sleep(0.05)
    assert fake.received - before > 1_000_000


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/session")
    assert address_of("session") == "unix:path=/session"
    assert address_of("system") == "unix:path=/run/dbus/system_bus_socket"
    assert address_of("unix:abstract=x") == "unix:abstract=x"
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")
    with pytest.raises(LocalError, match="no session bus"):
        address_of("session")
    endpoints = connection_module.endpoints("unix:path=/a%20b,guid=1;unix:abstract=c;tcp:host=::1,port=7,family=ipv6;nonsense:x")
    assert [where for _, where in endpoints] == ["/a b", "\0c", ("::1", 7)]
