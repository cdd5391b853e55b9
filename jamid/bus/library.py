"""The D-Bus library behind the daemon: dbus-fast when it is installed, dbus-next otherwise; nothing else imports either.

Only their body marshaller and message parser are used, dbus-next's marshaller only for what ours (`jamid.bus.marshal`) leaves to it:
ours is three times as fast. Connection, writer and dispatcher are ours: dbus-next's writer drops the
connection when the socket buffer is full, answers with tracebacks and refuses calls without an interface (protocol: dbus, section 10).
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
from dataclasses import dataclass
from types import ModuleType
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
            marshaller, unmarshaller = _modules(name)
        except ImportError:
            continue
        return Library(name, marshaller.Marshaller, unmarshaller.Unmarshaller)
    raise LocalError("no D-Bus library: install dbus-next (or dbus-fast)")


def _modules(name: str) -> tuple[ModuleType, ModuleType]:
    """The marshaller's and the parser's module, loaded below an empty package where that works.

    The package's own `__init__` imports clients, services and XML introspection, none of which we use: 3 MB in every idle daemon.
    """
    wanted = (f"{name}._private.marshaller", f"{name}._private.unmarshaller")
    specification = importlib.util.find_spec(name)
    if name in sys.modules or name != "dbus_fast" or specification is None or specification.submodule_search_locations is None:
        return importlib.import_module(wanted[0]), importlib.import_module(wanted[1])
    package = ModuleType(name)
    package.__path__ = list(specification.submodule_search_locations)
    sys.modules[name] = package
    try:
        importlib.import_module(f"{name}.errors")  # before the others: it and `message` import each other
        return importlib.import_module(wanted[0]), importlib.import_module(wanted[1])
    except (ImportError, AttributeError):
        for loaded in [module for module in sys.modules if module.startswith(f"{name}.")]:
            del sys.modules[loaded]
        del sys.modules[name]
        return importlib.import_module(wanted[0]), importlib.import_module(wanted[1])
    finally:
        if sys.modules.get(name) is package:
            del sys.modules[name]  # so that anybody else gets the whole package
