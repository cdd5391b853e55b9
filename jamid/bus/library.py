"""The D-Bus library behind the daemon: dbus-fast when it is installed, dbus-next otherwise; nothing else imports either.

Only their body marshaller and message parser are used, dbus-next's marshaller only for what ours (`jamid.bus.marshal`) leaves to it:
ours is three times as fast. Connection, writer and dispatcher are ours: dbus-next's writer drops the
connection when the socket buffer is full, answers with tracebacks and refuses calls without an interface (protocol: dbus, section 10).
"""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from typing import Any

from jamid.bus import marshal
from jamid.core.errors import LocalError

PREFERRED = ("dbus_fast", "dbus_next")
"""packages in the order in which they are tried"""


@dataclass(frozen=True, slots=True)
class Library:
    """The marshaller and the parser of one package."""

    name: str
    """`dbus_fast` or `dbus_next`"""
    marshaller: Any
    unmarshaller: Any

    def encode_body(self, signature: str, body: list[Any]) -> bytes:
        """BODY as the body of a message; raises whatever the library does when it does not fit SIGNATURE."""
        if not signature:
            return b""
        if self.name == "dbus_next" and marshal.can_write(signature):
            return marshal.encode(signature, body)
        return bytes(self.marshaller(signature, body).marshall())

    def decode(self, data: bytes) -> Any:
        """The library's message object of the bytes of one whole message."""
        return self.unmarshaller(io.BytesIO(data)).unmarshall()


def load(*names: str) -> Library:
    """The first installed package of NAMES (default: the fast one, then the other)."""
    for name in names or PREFERRED:
        try:
            marshaller = importlib.import_module(f"{name}._private.marshaller")
            unmarshaller = importlib.import_module(f"{name}._private.unmarshaller")
        except ImportError:
            continue
        return Library(name, marshaller.Marshaller, unmarshaller.Unmarshaller)
    raise LocalError("no D-Bus library: install dbus-next (or dbus-fast)")
