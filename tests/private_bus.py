"""A bus of a test's own, and a client for it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jamid.bus.connection import Connection
from jamid.bus.contract import BUS_NAME, ROOT_PATH
from jamid.bus.interface import Interface
from jamid.bus.service import BusService
from jamid.bus.wire import Framer, Kind, Message
from jamid.core.events import Events

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>{services}
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
<limit name="max_incoming_bytes">1000000000</limit><limit name="max_outgoing_bytes">1000000000</limit>
<limit name="max_message_size">134217728</limit><limit name="max_replies_per_connection">50000</limit>
</busconfig>
"""


class PrivateBus:
    """A `dbus-daemon` that knows no services but those in SERVICES, so that no other daemon is ever activated on it."""

    def __init__(self, directory: Path, services: Path | None = None) -> None:
        socket = directory / "bus"
        config = directory / "bus.conf"
        config.write_text(_CONFIG.format(socket=socket, services=f"<servicedir>{services}</servicedir>" if services else ""))
        program = shutil.which("dbus-daemon") or "dbus-daemon"
        self._process = subprocess.Popen(
            [program, f"--config-file={config}", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": "", "HOME": str(directory)},
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Recording(Connection):
    """A connection that keeps what arrives, in order: `reply`, `error` or the name of the signal."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[str] = []
        self.transport: asyncio.Transport
        self._own_framer = Framer(self.library)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        for message in self._own_framer.feed(data):
            self.arrived.append("reply" if message.kind is Kind.RETURN else message.member or "error")
        super().data_received(data)


class Client:
    """A client of the daemon on a bus: calls methods by `Interface.member`, collects signals."""

    def __init__(self, connection: Recording) -> None:
        self.connection = connection
        self.signals: list[tuple[str, str, list[Any]]] = []
        """member, signature, arguments of each signal of the daemon"""
        connection.on_signal = self._signal

    @classmethod
    async def connect(cls, address: str, *, listen: bool = True) -> Client:
        client = cls(await Recording.open(address))
        if listen:
            await client.call_bus("AddMatch", "s", f"type='signal',path_namespace='{ROOT_PATH}'")
        return client

    async def call(self, member: str, signature: str = "", *arguments: Any, destination: str = BUS_NAME) -> list[Any]:
        """The body of the reply; raises BusError."""
        interface, _, method = member.partition(".")
        return await self.connection.call(
            destination, f"{ROOT_PATH}/{interface}", f"{BUS_NAME}.{interface}", method, signature, list(arguments)
        )

    async def call_bus(self, member: str, signature: str = "", *arguments: Any) -> list[Any]:
        bus = "org.freedesktop.DBus"
        return await self.connection.call(bus, "/org/freedesktop/DBus", bus, member, signature, list(arguments))

    async def ping(self) -> None:
        """Waits until everything that the daemon has sent so far is here."""
        await self.connection.call(BUS_NAME, "/", "org.freedesktop.DBus.Peer", "Ping")

    async def wait_for(self, count: int, seconds: float = 5) -> list[tuple[str, str, list[Any]]]:
        """The signals, once there are COUNT of them."""
        async with asyncio.timeout(seconds):
            while len(self.signals) < count:
                await asyncio.sleep(0.005)
        return self.signals

    def pause(self) -> None:
        """Reads nothing until `resume`: a slow listener."""
        self.connection.transport.pause_reading()

    def resume(self) -> None:
        self.connection.transport.resume_reading()

    async def close(self) -> None:
        await self.connection.close()

    def _signal(self, message: Message) -> None:
        if message.path.startswith(ROOT_PATH):
            self.signals.append((message.member, message.signature, plain(message.body)))


class Served:
    """A bus service with some interfaces and a client of it."""

    def __init__(self, address: str, interfaces: Sequence[Interface] = (), *, api_level: str = "both", **options: Any) -> None:
        self.events = Events()
        self.service = BusService(address, interfaces, self.events, api_level, **options)
        self._address = address
        self.client: Client

    async def __aenter__(self) -> Self:
        await self.service.start()
        self.client = await Client.connect(self._address)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.client.close()
        await self.service.stop()


def plain(value: Any) -> Any:
    """VALUE with lists for every sequence: the two libraries disagree about structs."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value
