"""Which D-Bus error an exception becomes: one clear line, never a traceback."""

from __future__ import annotations

import logging
from typing import Final

from jamid.core.errors import JamidError, LimitError, LocalError, NotImplementedYetError, RemoteError

_log = logging.getLogger(__name__)

UNKNOWN_METHOD: Final = "org.freedesktop.DBus.Error.UnknownMethod"
UNKNOWN_OBJECT: Final = "org.freedesktop.DBus.Error.UnknownObject"
UNKNOWN_INTERFACE: Final = "org.freedesktop.DBus.Error.UnknownInterface"
UNKNOWN_PROPERTY: Final = "org.freedesktop.DBus.Error.UnknownProperty"
INVALID_ARGS: Final = "org.freedesktop.DBus.Error.InvalidArgs"
LIMITS_EXCEEDED: Final = "org.freedesktop.DBus.Error.LimitsExceeded"
OURS: Final = "cx.ring.Ring.Error."

_NAMES: tuple[tuple[type[JamidError], str], ...] = (
    (NotImplementedYetError, "NotImplemented"),
    (LimitError, "LimitExceeded"),
    (LocalError, "Failed"),
    (RemoteError, "PeerFault"),
)


def error_of(error: BaseException, where: str) -> tuple[str, str]:
    """The D-Bus error name and text for ERROR, which is logged; WHERE is the method's name."""
    for kind, name in _NAMES:
        if isinstance(error, kind):
            _log.info("%s: %s", where, error)
            return OURS + name, str(error) or name
    _log.error("%s failed: %s", where, error, exc_info=error)
    return OURS + "Internal", f"{where} failed inside the daemon; its log says why"
