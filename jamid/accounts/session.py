"""One stay of a Jami account on the network: its DHT, its connections, what it publishes and listens to (protocol: identity, 7 and 8)."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from jamid.accounts.account import State
from jamid.accounts.events import AccountOffline, AccountOnline
from jamid.accounts.generations import inbox_key
from jamid.accounts.inbox import Inbox
from jamid.accounts.peers import PeerFinder, revocation_value
from jamid.accounts.receipt import unpack_map
from jamid.core import limits
from jamid.core.errors import LocalError
from jamid.core.identifiers import InfoHash
from jamid.core.tasks import Tasks, in_thread
from jamid.crypto.keys import PublicKey
from jamid.dht.service import Dht, Status, new_value_id
from jamid.dht.values import Value

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount
    from jamid.dht.proxy_server import ProxyServer
    from jamid.dht.service import Listening
    from jamid.net.channels import Peer
    from jamid.net.connections import Connections

_log = logging.getLogger(__name__)

_STATES = {Status.CONNECTED: State.REGISTERED, Status.CONNECTING: State.TRYING, Status.DISCONNECTED: State.UNREGISTERED}
_PUT_RETRY = 10.0
_START_RETRY = 30.0


class Session:
    """From register to unregister."""

    def __init__(self, account: JamiAccount, proxy: str = "") -> None:
        assert account.identity is not None
        self._account = account
        self._identity = account.identity
        self._lease = account.environment.dht_pool.lease(account.details, account.identity, proxy)
        self.dht: Dht = self._lease.dht
        self.announced = False
        """whether our announcement lies on the DHT"""
        self.connections: Connections | None = None
        self._tasks = Tasks(f"session {account.id}")
        self._listening: list[Listening] = []
        self._inbox = Inbox(account, self._tasks)
        self._announcing = False
        self._announcement: Value | None = None
        """with one value id for the whole session, so that a later put refreshes the earlier"""
        self._proxy_server: ProxyServer | None = None
        self._unsubscribe: list[Callable[[], None]] = []

    def own_addresses(self) -> list[str]:
        """Our addresses as other DHT nodes see them."""
        return self._lease.own_addresses()

    @property
    def port(self) -> int:
        """The UDP port of the DHT node, 0 until it is bound."""
        return self._lease.port

    async def start(self) -> None:
        """Joins the DHT and begins to listen; states and announcements follow by themselves."""
        account = self._account
        if account.environment.connect is not None:
            await in_thread(importlib.import_module, "jamid.accounts.connecting")  # 60 ms, the first time
        try:
            await self._lease.start()
        except LocalError as error:
            _log.error("[account=%s] the DHT node cannot start: %s", account.id, error)
            account.set_state(State.ERROR_NETWORK)
            account.tasks.spawn(self._start_again(), "start again")
            return
        if account.session is not self:
            return
        if account.environment.connect is not None:
            self.connections = account.environment.connect(account)
            self.connections.handle("sync", account.sync)
            self.connections.handle("msg", account.messages.channels)
            self.connections.on_connected.append(self._peer_connected)
            self.connections.on_disconnected.append(self._peer_disconnected)
        account.events.publish(AccountOnline(account.id, account))
        if self.connections is not None:
            try:
                await self.connections.start()
            except LocalError as error:
                _log.error("[account=%s] peers cannot connect: %s", account.id, error)
        self._inbox.start()
        own_id = InfoHash.from_hex(account.uri)
        self._listening.append(self.dht.listen(inbox_key(self._identity.certificate.public_key), self._inbox.value))
        self._listening.append(self.dht.listen(own_id, self._own_value))
        account.presence.start()
        account.nearby.start()
        await self._serve_proxy()
        self._unsubscribe.append(self._lease.on_status(self._status_changed))
        self._status_changed(self._lease.status)

    async def _start_again(self) -> None:
        """The port may become free, or the network come."""
        await asyncio.sleep(_START_RETRY)
        if self._account.session is self:
            await self._account.register()

    async def close(self) -> None:
        """Leaves: nothing of the account is listened to, put or connected any more."""
        self._account.events.publish(AccountOffline(self._account.id))
        self.announced = False
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for listening in self._listening:
            listening.cancel()
        await self._tasks.close()
        if self._proxy_server is not None:
            await self._proxy_server.stop()
        if self.connections is not None:
            await self.connections.close()
        await self._lease.close()

    def connectivity_changed(self) -> None:
        """The machine's network changed."""
        self._lease.connectivity_changed()
        if self.connections is not None:
            self.connections.connectivity_changed()

    async def _serve_proxy(self) -> None:
        """Serves other clients as a DHT proxy when the account says so."""
        details, node = self._account.details, self._lease.node
        if not details.flag("Account.dhtProxyServerEnabled") or node is None:
            return
        from jamid.dht.proxy_server import ProxyServer  # few accounts offer one

        proxy = ProxyServer(node, port=details.number("Account.dhtProxyServerPort"))
        try:
            await proxy.start()
        except LocalError as error:
            _log.error("[account=%s] no DHT proxy is served: %s", self._account.id, error)
            return
        self._proxy_server = proxy

    # -- announcing --

    def _status_changed(self, status: Status) -> None:
        if self._account.session is not self:
            return
        state = _STATES[status]
        if state is not State.REGISTERED and self._account.state is State.REGISTERED:
            self.announced = False
        self._account.set_state(state)
        if state is State.REGISTERED and not self._announcing:
            self._announcing = True
            self._tasks.spawn(self._announce(), "announce")
        elif state is State.REGISTERED and self._listening and not self.announced:
            self._tasks.spawn(self._reannounce(), "announce")

    async def _announce(self) -> None:
        """The certificate first, as nobody can use the announcement before; permanent, so they are refreshed while we are here."""
        for delay in itertools.repeat(_PUT_RETRY):
            if await self.dht.publish_certificate():
                break
            _log.info("[account=%s] no node took our certificate; trying again", self._account.id)
            await asyncio.sleep(delay)
        for revocation_list in self._account.certificates.revocations(self._account.uri):
            self._tasks.spawn(self.dht.put(InfoHash.from_hex(self._account.uri), revocation_value(revocation_list), permanent=True))
        await self._reannounce()

    async def _reannounce(self) -> None:
        for delay in itertools.repeat(_PUT_RETRY):
            if await self._put_announcement():
                self._account_announced()
                return
            await asyncio.sleep(delay)

    async def _put_announcement(self) -> bool:
        assert self._account.receipt is not None
        if self._announcement is None:
            self._announcement = replace(announcement_value(self._account.receipt.announcement), id=new_value_id())
        value = self._announcement
        return await self.dht.put(InfoHash.from_hex(self._account.uri), value, permanent=True)

    def _account_announced(self) -> None:
        if not self.announced and self._account.session is self and self._account.state is State.REGISTERED:
            self.announced = True
            self._account.publish_volatile()
            self._account.messages.retry_all()
            self._tasks.spawn(self._account.refresh_registered_name(), "own name")
            if self._account.manager.is_used:
                self._tasks.spawn(self._account.manager.registered(), "account server")

    # -- listening --

    def _own_value(self, value: Value, expired: bool) -> None:
        """Something at our own Jami id: announcements of our devices, revocation lists, junk of strangers."""
        if expired or value.type != 0:
            return
        issuer = self._identity.certificate.issuer
        if value.owner is None:
            if issuer is not None:
                self._account.peers.learn_revocations(issuer.public_key, [value])
            return
        for announcement in PeerFinder.announcements(self._account.uri, [value]):
            key = announcement.device_key
            if key is not None and key.long_id.hex() != self._account.device_id:
                self._tasks.spawn(self._learn_device(key), "own device")

    async def _learn_device(self, key: PublicKey) -> None:
        certificate = await self._account.peers.certificate_of(key)
        if certificate is not None:
            await self._account.devices.found(certificate)

    # -- connections --

    def _peer_connected(self, peer: Peer) -> None:
        self._account.presence.peer_connected(peer.account_uri, peer.device_id)
        self._tasks.spawn(self._pin(peer), "pin")

    def _peer_disconnected(self, peer: Peer) -> None:
        self._account.presence.peer_disconnected(peer.account_uri, peer.device_id)

    async def _pin(self, peer: Peer) -> None:
        await self._account.certificates.pin(peer.certificate, self._account.id, proven=True)
        if peer.account_uri == self._account.uri:
            await self._account.devices.found(peer.certificate)


def announcement_value(packed: bytes) -> Value:
    """The signed announcement of a receipt as a value to put unchanged, with the low push priority of newer versions."""
    content = unpack_map(packed, limits.ANNOUNCEMENT_BYTES)["dat"]
    body = content["body"]
    return Value(
        type=body["type"],
        data=body["data"],
        owner=PublicKey.from_der(body["owner"]),
        seq=body["seq"],
        signature=content["sig"],
        priority=1,
    )
