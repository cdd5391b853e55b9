"""Finding peers on the local network by multicast (protocol: opendht, section 24)."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.dht.addresses import Address, Family
from jamid.dht.packing import pack, unpack

_log = logging.getLogger(__name__)
PORT: Final = 8888
GROUPS: Final = {Family.V4: "239.192.0.1", Family.V6: "ff08::101"}
QUERY: Final = b"\xa1q"
DHT_SERVICE: Final = "dht"
_FIRST_REPEAT: Final = 10.0
_LAST_REPEAT: Final = 60.0
_ANSWERS_PER_SECOND: Final = 50
"""Queries answered; the whole network segment can ask."""
_BATCH: Final = 32

OnService = Callable[[Any, str], None]
"""Gets a service's payload and the host that published it."""


def pack_publication(services: dict[str, Any]) -> bytes:
    """What is sent to tell of SERVICES."""
    return pack(services)


def read_publication(data: bytes) -> dict[str, Any] | None:
    """The services in a packet, None for a query; raises RemoteError."""
    packed = unpack(data)
    if packed == "q":
        return None
    if not isinstance(packed, dict) or not all(isinstance(name, str) for name in packed):
        raise RemoteError("neither a query nor a publication")
    return packed


def dht_payload(node_id: InfoHash, port: int, network: int) -> list[Any]:
    """The payload of the `dht` service."""
    return [bytes(node_id), port, network]


def read_dht_payload(payload: Any) -> tuple[InfoHash, int, int]:
    """Node id, port and network of a `dht` payload; raises RemoteError."""
    if not isinstance(payload, list) or len(payload) < 3:
        raise RemoteError("a DHT node is an array of three")
    node_id, port, network = payload[:3]
    if not isinstance(node_id, bytes) or type(port) is not int or not 0 < port < 65536 or type(network) is not int:
        raise RemoteError("a DHT node is an id, a port and a network")
    return InfoHash(node_id), port, network


class Discovery:
    """Tells the local network of our services and hears of those of others."""

    def __init__(self) -> None:
        self._sockets: dict[Family, socket.socket] = {}
        self._published: dict[Family, dict[str, Any]] = {family: {} for family in Family}
        self._interests: dict[str, OnService] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._delay = _FIRST_REPEAT
        self._answers = 0
        self._answers_until = 0.0

    def start(self) -> bool:
        """Opens the sockets; False when this machine has no multicast."""
        loop = asyncio.get_running_loop()
        for family in Family:
            sock = _multicast_socket(family)
            if sock is not None:
                self._sockets[family] = sock
                loop.add_reader(sock.fileno(), self._readable, sock, family)
        return bool(self._sockets)

    def stop(self) -> None:
        self.pause()
        loop = asyncio.get_running_loop()
        for sock in self._sockets.values():
            loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()

    def publish(self, service: str, payload: Any, family: Family) -> None:
        """Tells of SERVICE from now on."""
        self._published[family][service] = payload
        self._send(family, pack_publication({service: payload}))

    def withdraw(self, service: str) -> None:
        """Tells of it no more."""
        for published in self._published.values():
            published.pop(service, None)

    def find(self, service: str, on_found: OnService) -> None:
        """Calls ON_FOUND with what others publish as SERVICE."""
        self._interests[service] = on_found
        self.query()

    def query(self) -> None:
        """Asks everybody now."""
        for family in self._sockets:
            self._send(family, QUERY)

    def repeat(self) -> None:
        """Asks and tells again with growing pauses, until `pause`."""
        if self._timer is None:
            self._delay = _FIRST_REPEAT
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._again)

    def pause(self) -> None:
        """Only answers from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _again(self) -> None:
        for family, sock in self._sockets.items():
            _join(sock, family)
            self._send(family, QUERY)
            if self._published[family]:
                self._send(family, pack_publication(self._published[family]))
        self._delay = min(self._delay * 2, _LAST_REPEAT)
        self._timer = asyncio.get_running_loop().call_later(self._delay, self._again)

    def _readable(self, sock: socket.socket, family: Family) -> None:
        for _ in range(_BATCH):
            try:
                data, source = sock.recvfrom(limits.DHT_DISCOVERY_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                _log.debug("reading multicast: %s", error)
                return
            self._received(data, source, family)

    def _received(self, data: bytes, source: Any, family: Family) -> None:
        try:
            services = read_publication(data)
        except RemoteError:
            return
        if services is None:
            if self._published[family] and self._may_answer():
                self._send(family, pack_publication(self._published[family]), source)
            return
        host = str(source[0]).partition("%")[0]
        if len(source) == 4 and source[3] and host.startswith("fe80"):
            host = f"{host}%{source[3]}"
        for name, payload in services.items():
            on_found = self._interests.get(name)
            if on_found is not None:
                try:
                    on_found(payload, host)
                except RemoteError as error:
                    _log.debug("%s publishes a broken %s: %s", host, name, error)

    def _may_answer(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now > self._answers_until:
            self._answers, self._answers_until = 0, now + 1
        self._answers += 1
        return self._answers <= _ANSWERS_PER_SECOND

    def _send(self, family: Family, data: bytes, target: Any = None) -> None:
        sock = self._sockets.get(family)
        if sock is None:
            return
        try:
            sock.sendto(data, target or (GROUPS[family], PORT))
        except OSError as error:
            _log.debug("multicast on %s: %s", family.name, error)


class NodeDiscovery:
    """Discovery of DHT nodes: publishes ours and hands over those of the same network."""

    def __init__(self, node_id: InfoHash, network: int, on_node: Callable[[InfoHash, Address], None]) -> None:
        self.discovery = Discovery()
        self._node_id = node_id
        self._network = network
        self._on_node = on_node

    def start(self, ports: dict[Family, int]) -> None:
        """Publishes the node with its PORTS and asks for others."""
        if not self.discovery.start():
            _log.info("there is no multicast here; nodes of the local network are not found")
            return
        self.discovery.find(DHT_SERVICE, self._found)
        for family, port in ports.items():
            self.discovery.publish(DHT_SERVICE, dht_payload(self._node_id, port, self._network), family)

    def _found(self, payload: Any, host: str) -> None:
        node_id, port, network = read_dht_payload(payload)
        if network == self._network and node_id != self._node_id:
            self._on_node(node_id, Address(host, port))


def _multicast_socket(family: Family) -> socket.socket | None:
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:
        return None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is Family.V6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("" if family is Family.V4 else "::", PORT))
    except OSError as error:
        _log.info("multicast port %d on %s: %s", PORT, family.name, error.strerror)
        sock.close()
        return None
    _join(sock, family)
    return sock


def _join(sock: socket.socket, family: Family) -> None:
    """Joins the group on every interface; those that joined already, or cannot, do not matter."""
    for index, _ in socket.if_nameindex():
        try:
            if family is Family.V4:
                group = socket.inet_aton(GROUPS[family]) + socket.inet_aton("0.0.0.0") + struct.pack("@i", index)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            else:
                sock.setsockopt(
                    socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(family, GROUPS[family]) + struct.pack("@I", index)
                )
        except OSError:
            continue
