"""All connections of one account's device: opened on demand, answered when peers ask, shared by every channel of a device pair."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jamid.core import limits
from jamid.core.clock import Clock
from jamid.core.errors import LocalError
from jamid.core.generations import BOTH, Generation
from jamid.core.identifiers import LongId
from jamid.core.tasks import Tasks
from jamid.crypto.certificates import Certificate
from jamid.crypto.identity import Identity
from jamid.net.attempts import Attempts
from jamid.net.channels import Channel, ChannelHandler, Peer
from jamid.net.connection import Connection
from jamid.net.hints import Hints
from jamid.net.ice_tcp import IceSettings
from jamid.net.listener import Listener
from jamid.net.negotiation import Answerer, Requester
from jamid.net.port_mapping import natpmp
from jamid.net.port_mapping.mapper import PortMapper
from jamid.net.requests import TreatedIds
from jamid.net.seams import Listening, PeerPolicy, RequestDht
from jamid.net.tls import make_context
from jamid.net.turn import TurnServer

_log = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 1.0
CONNECTED = "0"
NEGOTIATING = "2"

PeerCallback = Callable[[Peer], None]


@dataclass(slots=True)
class ConnectionSettings:
    """How connections of an account are made."""

    ice: IceSettings = field(default_factory=IceSettings)
    map_ports: bool = False
    """whether a router is asked to let peers in"""
    dht_port: int = 0
    """the UDP port of the DHT node, which the router is then asked to let in as well; 0 when there is none"""


class Connections:
    """The connections of one account device. Call `start` once the DHT node runs."""

    def __init__(
        self,
        identity: Identity,
        dht: RequestDht,
        *,
        policy: PeerPolicy,
        settings: ConnectionSettings,
        clock: Clock,
        state_dir: Path,
        generations: Set[Generation] = BOTH,
    ) -> None:
        self.on_connected: list[PeerCallback] = []
        """called with the peer when the first connection with a device stands"""
        self.on_disconnected: list[PeerCallback] = []
        """called with the peer when the last connection with a device is gone"""
        self.settings = settings
        self.generations = generations
        self.hints = Hints()
        self.listener = Listener()
        self.treated = TreatedIds(state_dir)
        self.context = make_context(identity)
        self.identity = identity
        self.dht = dht
        self.policy = policy
        self.clock = clock
        self.tasks = Tasks(f"connections {identity.device_id[:8]}")
        self._live: dict[str, list[Connection]] = {}
        """by device, the newest last"""
        self._handlers: dict[str, ChannelHandler] = {}
        self._requester = Requester(self)
        self._answerer = Answerer(self)
        self._attempts = Attempts(self, self._requester)
        self._listening: list[Listening] = []
        self._mappers: list[PortMapper] = []
        self._closed = False

    async def start(self) -> None:
        """Listens for peers' requests; raises LocalError when no socket can be bound."""
        await self.listener.start()
        if self.settings.map_ports and 4 in self.listener.ports:
            own = PortMapper(natpmp.TCP, self.listener.ports[4])
            self._mappers = [own, PortMapper(natpmp.UDP, self.settings.dht_port)] if self.settings.dht_port else [own]
            self.settings.ice.mapped_addresses = lambda: [own.external] if own.external is not None else []
            for mapper in self._mappers:
                mapper.start()
        self._listening = self._answerer.listen(self._requester)

    async def open(
        self,
        device: LongId | Certificate,
        name: str,
        *,
        kind: str = "",
        timeout: float = 30,
        only_existing: bool = False,
        new_socket: bool = False,
    ) -> Channel:
        """A channel NAME to DEVICE, over a connection that is there or a new one; raises ConnectionError or LocalError with the reason.

        ONLY_EXISTING makes no connection; NEW_SOCKET makes one in any case, as calls do for their quality.
        """
        certificate = device if isinstance(device, Certificate) else None
        device_id = (device.long_id if isinstance(device, Certificate) else device).hex()
        if device_id == self.identity.device_id:
            raise LocalError("a device does not connect to itself")
        if self._closed:
            raise ConnectionError("the account is disabled")
        try:
            async with asyncio.timeout(timeout):
                return await self._open(device_id, certificate, name, kind, timeout, only_existing, new_socket)
        except TimeoutError:
            why = self._attempts.why_not(device_id)
            raise ConnectionError(f"no channel {name} to {device_id} within {timeout:.0f} s{why}") from None

    def handle(self, scheme: str, handler: ChannelHandler) -> None:
        """HANDLER serves the channels `SCHEME` and `SCHEME:…` that peers open."""
        self._handlers[scheme] = handler

    def connected(self, device_id: str) -> bool:
        """Whether there is a connection with the device."""
        return self.newest(device_id) is not None

    def connected_devices(self) -> list[str]:
        """The ids of the devices there is a connection with."""
        return list(self._live)

    def devices_of(self, account_uri: str) -> list[str]:
        """The ids of the connected devices of an account."""
        return [
            device_id
            for device_id, connections in self._live.items()
            if any(connection.peer.account_uri == account_uri for connection in connections)
        ]

    def newest(self, device_id: str) -> Connection | None:
        """The connection that new channels to the device take."""
        connections = self._live.get(device_id)
        return connections[-1] if connections else None

    def connectivity_changed(self) -> None:
        """The network changed: asks every peer for a sign of life; connections without answer end after 3 s."""
        self.settings.ice.relay_memory.forget()
        for mapper in self._mappers:
            mapper.connectivity_changed()
        for connection in self._all():
            connection.ask_for_life()
        self._attempts.wake()

    def wake(self, device_id: str) -> None:
        """The device was seen: who waits to try it again tries now."""
        self._attempts.wake(device_id)

    def forgive(self, device_id: str) -> None:
        """The device asks for a connection itself: the next wish for it is tried at once."""
        self._attempts.forgive(device_id)

    def usable_turn(self) -> TurnServer | None:
        """The account's TURN server, None also while it has proven dead: calls need not wait for it either."""
        ice = self.settings.ice
        return ice.turn if ice.relay_memory.worth_asking(asyncio.get_running_loop().time()) else None

    def close_account(self, account_uri: str) -> None:
        """Ends the connections with all devices of an account: a contact that was removed or blocked."""
        for connection in self._all():
            if connection.peer.account_uri == account_uri:
                self.tasks.spawn(connection.close(), "close")

    def close_device(self, device_id: str) -> None:
        """Ends every connection with a device: it was revoked."""
        for connection in self._all():
            if connection.peer.device_id == device_id:
                self.tasks.spawn(connection.close(), "close")

    async def close(self) -> None:
        """Ends everything, telling the peers."""
        self._closed = True
        for listening in self._listening:
            listening.cancel()
        self._listening = []
        self._attempts.close("the account is disabled")
        closing = [asyncio.create_task(connection.close()) for connection in self._all()]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
        await self.tasks.close()
        await asyncio.gather(*(mapper.close() for mapper in self._mappers))
        await self.listener.close()

    # -- what D-Bus shows -----------------------------------------------------------------------------------------------------

    def connection_list(self, devices: Set[str] | None = None) -> list[dict[str, str]]:
        """The connections, of DEVICES only when given, as `getConnectionList` shows them (protocol: dbus, section 7.12)."""
        shown = [connection for connection in self._all() if devices is None or connection.peer.device_id in devices]
        entries = [
            {
                "id": f"{connection.peer.device_id} {connection.identifier}",
                "device": connection.peer.device_id,
                "peer": connection.peer.account_uri,
                "status": CONNECTED,
                "remoteAddress": connection.remote_address,
                "created": str(int(connection.created * 1000)),
                "rx": str(connection.bytes_received),
                "tx": str(connection.bytes_sent),
            }
            for connection in shown
        ]
        asked = [device_id for device_id in self._attempts.under_way() if devices is None or device_id in devices]
        return entries + [{"id": f"{device_id} 0", "device": device_id, "peer": "", "status": NEGOTIATING} for device_id in asked]

    def channel_list(self, connection_id: str) -> list[dict[str, str]]:
        """The channels of one connection of `connection_list`, as `getChannelList` shows them; empty for an unknown one."""
        for connection in self._all():
            if connection_id == f"{connection.peer.device_id} {connection.identifier}":
                return [
                    {
                        "id": str(channel.number),
                        "name": channel.name,
                        "created": str(int(channel.created * 1000)),
                        "rx": str(channel.received),
                        "tx": str(channel.sent),
                    }
                    for channel in connection.mux.channels.values()
                ]
        return []

    # -- the negotiations' and connections' side --------------------------------------------------------------------------------

    def has_room(self, device_id: str) -> bool:
        """Whether another connection with the device is within the limits."""
        here = len(self._live.get(device_id, ()))
        return not self._closed and here < limits.CONNECTIONS_PER_DEVICE and len(self._all()) < limits.CONNECTIONS

    def admits(self, connection: Connection, certificate: Certificate) -> bool:
        """Whether the peer may stay under the certificate of its handshake, which may name another account than the one on the DHT.

        Asked even when it is the same: since the offer the account may have been blocked, or the device revoked.
        """
        if connection.outgoing and certificate.account_uri == connection.peer.account_uri:
            return True  # whom we call ourselves need not be allowed to call us
        return self.policy.allows(certificate)

    def ask_as_well(self, device: Certificate) -> None:
        """Attempts a connection with a device whose own one does not come up, unless there is one or an attempt."""
        if not self._closed and not self.connected(device.long_id.hex()):
            self._attempts.ask_as_well(device)

    def established(self, connection: Connection) -> None:
        """CONNECTION stands."""
        connections = self._live.setdefault(connection.peer.device_id, [])
        older = list(connections)
        connections.append(connection)
        self._attempts.established(connection)
        _log.info("connected with %s (%s)", connection.peer.device_id, connection.remote_address)
        for other in older:
            other.ask_for_life()  # a second connection often means that the peer lost the first one
        if not older:
            self._tell(self.on_connected, connection.peer)

    def connection_closed(self, connection: Connection, reason: str) -> None:
        self.tasks.spawn(connection.close(), "close")
        device_id = connection.peer.device_id
        connections = self._live.get(device_id, [])
        if connection not in connections:
            return
        connections.remove(connection)
        _log.info("no longer connected with %s: %s", device_id, reason)
        if not connections:
            del self._live[device_id]
            self._tell(self.on_disconnected, connection.peer)

    def channel_requested(self, connection: Connection, name: str) -> Callable[[Channel], None] | None:
        handler = self._handlers.get(name.partition(":")[0])
        if handler is None or connection.peer.certificate.issuer is None:
            return None
        try:
            if not handler.accepts(connection.peer, name):
                return None
        except Exception:
            _log.exception("the handler of channel %s failed", name)
            return None

        def take(channel: Channel) -> None:
            try:
                handler.opened(channel)
            except Exception:
                _log.exception("the handler of channel %s failed", name)
                channel.close()

        return take

    # -- details --------------------------------------------------------------------------------------------------------------

    async def _open(
        self,
        device_id: str,
        certificate: Certificate | None,
        name: str,
        kind: str,
        timeout: float,
        only_existing: bool,
        new_socket: bool,
    ) -> Channel:
        connection = None if new_socket else self.newest(device_id)
        for _ in range(3):
            if connection is None:
                if only_existing:
                    raise ConnectionError(f"there is no connection with {device_id}")
                connection = await self._attempts.connect(device_id, certificate, kind, another=new_socket)
            try:
                return await connection.mux.open(name, timeout)
            except ConnectionRefusedError:
                raise
            except ConnectionError:
                if not connection.closed:
                    raise
                connection = self.newest(device_id)  # it died under us: another one, or a new one
        raise ConnectionError(f"connections with {device_id} end before a channel is open")

    def _all(self) -> list[Connection]:
        return [connection for connections in self._live.values() for connection in connections]

    @staticmethod
    def _tell(callbacks: list[PeerCallback], peer: Peer) -> None:
        for callback in tuple(callbacks):
            try:
                callback(peer)
            except Exception:
                _log.exception("a callback about %s failed", peer.device_id)
