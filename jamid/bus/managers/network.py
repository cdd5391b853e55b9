"""The machine's network and the daemon's connections, for clients that offer a choice or show what is going on."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import logging
import os
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from jamid import __version__
from jamid.core.events import Events
from jamid.core.signals import MessageSend

_SIOCGIFADDR: Final = 0x8915
_TLS_METHODS: Final = ("Default", "TLSv1.2", "TLSv1.1", "TLSv1")
_LOOPBACK: Final = "127.0.0.1"


class ConnectionList(Protocol):
    """An account's connections to other devices, as `Connections` of the network room has them."""

    def connection_list(self, peers: Sequence[str] | None = None) -> list[dict[str, str]]:
        """A map per connection; only those to accounts in PEERS when given."""
        ...

    def channel_list(self, connection_id: str) -> list[dict[str, str]]:
        """A map per channel of one connection."""
        ...


class NetworkPart:
    """Interfaces, TLS choices, connection monitoring, and the order to reconnect.

    CONNECTIONS_OF gives an account's connections (None: unknown), MEMBERS_OF the uris of a conversation's members, IS_SIP tells whether
    an account is a SIP one, ON_CONNECTIVITY_CHANGED makes every account reconnect.
    """

    def __init__(
        self,
        events: Events,
        *,
        connections_of: Callable[[str], ConnectionList | None] = lambda account_id: None,
        members_of: Callable[[str, str], Sequence[str]] = lambda account_id, conversation_id: (),
        is_sip: Callable[[str], bool] = lambda account_id: False,
        on_connectivity_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._events = events
        self._connections_of = connections_of
        self._members_of = members_of
        self._is_sip = is_sip
        self._on_connectivity_changed = on_connectivity_changed
        self._log = _LogAsSignals(events)

    def connectivityChanged(self) -> None:
        asyncio.get_running_loop().call_soon(self._on_connectivity_changed)

    # -- interfaces --

    def getAllIpInterface(self) -> list[str]:
        return [*_ipv6_addresses(), *(address for name in _interfaces() if (address := _ipv4_of(name)) and address != _LOOPBACK)]

    def getAllIpInterfaceByName(self) -> list[str]:
        return ["default", *_interfaces()]

    def getAddrFromInterfaceName(self, name: str) -> str:
        if name in _interfaces():
            return _ipv4_of(name) or _LOOPBACK
        return next((address for one in _interfaces() if (address := _ipv4_of(one)) not in ("", _LOOPBACK)), _LOOPBACK)

    # -- TLS --

    def getSupportedTlsMethod(self) -> list[str]:
        return list(_TLS_METHODS)

    def getSupportedCiphers(self, account_id: str) -> list[str]:
        if not self._is_sip(account_id):
            return []
        return [str(cipher["name"]) for cipher in ssl.create_default_context().get_ciphers()]

    # -- monitoring --

    def getConnectionList(self, account_id: str, conversation_id: str) -> list[dict[str, str]]:
        connections = self._connections_of(account_id)
        if connections is None:
            return []
        return connections.connection_list(list(self._members_of(account_id, conversation_id)) if conversation_id else None)

    def getChannelList(self, account_id: str, connection_id: str) -> list[dict[str, str]]:
        connections = self._connections_of(account_id)
        return connections.channel_list(connection_id) if connections is not None else []

    def monitor(self, keep_on: bool) -> None:
        for line in (
            "############## START MONITORING ##############",
            f"Using jamid {__version__}",
            f"Using {ssl.OPENSSL_VERSION}",
            f"Using Python on {os.uname().sysname} {os.uname().release}",
            f"Opened files: {_open_files()}",
            "############## END MONITORING ##############",
        ):
            self._events.publish(MessageSend(line))
        self._log.enable(keep_on)


class _LogAsSignals(logging.Handler):
    """Publishes each line of the log as messageSend while it is enabled."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events
        self._busy = False
        self.setFormatter(logging.Formatter("[%(created).3f|%(name)s] %(message)s"))

    def enable(self, enabled: bool) -> None:
        root = logging.getLogger("jamid")
        root.removeHandler(self)
        if enabled:
            root.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if self._busy:  # sending a line may be worth a line itself
            return
        self._busy = True
        try:
            self._events.publish(MessageSend(self.format(record)))
        except Exception:
            self.handleError(record)
        finally:
            self._busy = False


def _interfaces() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def _ipv4_of(interface: str) -> str:
    request = struct.pack("256s", interface.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])


def _ipv6_addresses() -> list[str]:
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    addresses = [ipaddress.IPv6Address(bytes.fromhex(line.split()[0])) for line in lines]
    return [str(address) for address in addresses if not address.is_loopback]


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
