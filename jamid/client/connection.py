"""Calls to the daemon and its signals, over dbus-fast when it is installed and dbus-next otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from typing import Any, Final

from jamid.core.errors import LocalError

NAME: Final = "cx.ring.Ring"
_ROOT: Final = "/cx/ring/Ring/"
_BUS: Final = "org.freedesktop.DBus"
_CONNECT_SECONDS: Final = 10
_ABSENT: Final = ("ServiceUnknown", "NameHasNoOwner", "Spawn.")

SignalHandler = Callable[[str, str, str, list[Any]], None]
"""takes interface (short), member, signature and arguments"""


class NoDaemonError(LocalError):
    """No Jami daemon answers on the bus."""


class CallFailedError(LocalError):
    """The daemon answered a call with an error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name
        """the D-Bus error name"""


class Connection:
    """A connection to the daemon of one bus."""

    def __init__(self, bus: Any, message_type: Any) -> None:
        self._bus = bus
        self._message = message_type
        self._handlers: list[SignalHandler] = []
        self._listens = False
        self._declared: dict[str, dict[str, frozenset[str]]] = {}

    @classmethod
    async def open(cls, bus: str = "session") -> Connection:
        """Connects to BUS (`session`, `system` or a D-Bus address); raises NoDaemonError when there is no such bus."""
        package = _library()
        message_bus = importlib.import_module(f"{package}.aio.message_bus").MessageBus
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                opened = await message_bus(bus_address=_address(bus)).connect()
        except TimeoutError:
            raise NoDaemonError(f"the bus ({bus}) does not answer within {_CONNECT_SECONDS} s") from None
        except Exception as error:  # each library has its own kinds for a bus that is not there
            raise NoDaemonError(f"the bus ({bus}) cannot be reached: {error}") from error
        connection = cls(opened, importlib.import_module(f"{package}.message").Message)
        opened.add_message_handler(connection._on_message)
        return connection

    async def close(self) -> None:
        self._bus.disconnect()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._bus.wait_for_disconnect(), 1)

    async def wait_closed(self) -> None:
        """Returns when the bus has gone."""
        with contextlib.suppress(Exception):
            await self._bus.wait_for_disconnect()

    async def call(self, interface: str, method: str, signature: str = "", *arguments: Any) -> Any:
        """The reply of INTERFACE.METHOD: None, its value, or a list of several; raises CallFailedError, NoDaemonError."""
        name = f"{NAME}.{interface}"
        body = await self._send(NAME, _ROOT + interface, name, method, signature, list(arguments))
        return None if not body else body[0] if len(body) == 1 else body

    async def declares(self, interface: str, member: str, signature: str | None = None) -> bool:
        """Whether the daemon's introspection has a method or signal of that name (and with that incoming signature)."""
        declared = (await self._introspect(interface)).get(member)
        return declared is not None and (signature is None or signature in declared)

    async def listen(self, handler: SignalHandler) -> Callable[[], None]:
        """Hands every signal of the daemon to HANDLER from now on; returns the function that ends it."""
        if not self._listens:
            self._listens = True
            await self._send(_BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", "s", [f"type='signal',sender='{NAME}'"])
        self._handlers.append(handler)
        return lambda: self._handlers.remove(handler)

    async def is_running(self) -> bool:
        """Whether a daemon owns the name (a call would start one where D-Bus activation is installed)."""
        return bool((await self._send(_BUS, "/org/freedesktop/DBus", _BUS, "NameHasOwner", "s", [NAME]))[0])

    async def _introspect(self, interface: str) -> Mapping[str, frozenset[str]]:
        if interface not in self._declared:
            text = (await self._send(NAME, _ROOT + interface, f"{_BUS}.Introspectable", "Introspect", "", []))[0]
            members: dict[str, frozenset[str]] = {}
            for element in ElementTree.fromstring(text).findall(f"interface[@name='{NAME}.{interface}']/*"):
                incoming = "".join(arg.get("type", "") for arg in element.findall("arg") if arg.get("direction") != "out")
                name = element.get("name", "")
                members[name] = members.get(name, frozenset()) | {incoming}
            self._declared[interface] = members
        return self._declared[interface]

    async def _send(self, destination: str, path: str, interface: str, member: str, signature: str, body: list[Any]) -> list[Any]:
        message = self._message(
            destination=destination, path=path, interface=interface, member=member, signature=signature, body=body
        )
        reply = await self._bus.call(message)
        if reply is None:
            raise NoDaemonError("the bus has gone")
        if reply.message_type.name == "ERROR":
            text = str(reply.body[0]) if reply.body else ""
            if any(word in reply.error_name for word in _ABSENT):
                raise NoDaemonError("no Jami daemon runs on this bus; start one with `jamid` (or scripts/run)")
            raise CallFailedError(reply.error_name, text)
        return list(reply.body)

    def _on_message(self, message: Any) -> None:
        if message.message_type.name == "SIGNAL" and (message.interface or "").startswith(NAME + "."):
            interface = message.interface.removeprefix(NAME + ".")
            for handler in tuple(self._handlers):
                handler(interface, message.member, message.signature, message.body)


def _library() -> str:
    for package in ("dbus_fast", "dbus_next"):
        try:
            importlib.import_module(f"{package}.message")
        except ImportError:
            continue
        return package
    raise LocalError("no D-Bus library: install dbus-next (or dbus-fast)")


def _address(bus: str) -> str:
    if bus == "system":
        return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or "unix:path=/run/dbus/system_bus_socket"
    if bus not in ("", "session"):
        return bus
    if address := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    if os.path.exists(f"{runtime}/bus"):
        return f"unix:path={runtime}/bus"
    raise NoDaemonError("there is no session bus: DBUS_SESSION_BUS_ADDRESS is not set (see what scripts/run printed, or use --bus)")
