"""A Jami account: its identity, its parts, and its way from disk to the network and back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jamid.accounts.account import Account, State
from jamid.accounts.account_files import CERTIFICATE_FILE, KEY_FILE, AccountFiles
from jamid.accounts.certificate_store import CertificateStore
from jamid.accounts.config_file import StoredConfig
from jamid.accounts.contact_book import ContactBook
from jamid.accounts.creation import Device
from jamid.accounts.environment import Environment
from jamid.accounts.events import AccountLoaded, DeviceAnnounced, OwnDeviceFound
from jamid.accounts.linking import DeviceLinks
from jamid.accounts.managed import Manager
from jamid.accounts.messages import Messages
from jamid.accounts.names import Lookup
from jamid.accounts.nearby import NearbyPeers
from jamid.accounts.own_devices import OwnDevices
from jamid.accounts.peers import PeerFinder
from jamid.accounts.presence import Presence
from jamid.accounts.profile import OwnProfile
from jamid.accounts.proxies import ProxyChoice
from jamid.accounts.receipt import Receipt
from jamid.accounts.seams import Seams
from jamid.accounts.session import Session
from jamid.accounts.sync import DeviceSynchroniser
from jamid.accounts.trust import check_expiry
from jamid.accounts.vault import Vault
from jamid.core.errors import JamidError
from jamid.core.generations import Generation
from jamid.core.identifiers import InfoHash, LongId
from jamid.core.signals import AccountDetailsChanged, CertificateStateChanged
from jamid.core.tasks import Tasks, in_thread
from jamid.crypto.certificates import Certificate
from jamid.crypto.identity import Identity

if TYPE_CHECKING:
    from jamid.dht.service import Dht
    from jamid.net.connections import Connections

_log = logging.getLogger(__name__)


class JamiAccount(Account):
    """One Jami account on this device."""

    def __init__(self, account_id: str, config: StoredConfig, environment: Environment) -> None:
        super().__init__(account_id, config, environment.events)
        self.environment = environment
        self.clock = environment.clock
        self._clock_offset = self.clock.time() - self.clock.monotonic()
        self.generations: frozenset[Generation] = environment.generations
        self.files = AccountFiles(environment.paths, account_id)
        self.tasks = Tasks(f"account {account_id}")
        self.identity: Identity | None = None
        self.receipt: Receipt | None = None
        self.session: Session | None = None
        self._changing = asyncio.Lock()
        """held while the account goes online or offline, which callers ask for as they please"""
        self._closed = False
        self.peers = PeerFinder(account_id, environment.certificates, environment.clock, self.tasks)
        self.contacts = ContactBook(self)
        self.devices = OwnDevices(self)
        self.presence = Presence(self)
        self.sync = DeviceSynchroniser(self)
        self.messages = Messages(self)
        self.profile = OwnProfile(self)
        self.vault = Vault(self)
        self.links = DeviceLinks(self)
        self.manager = Manager(self)
        self.nearby = NearbyPeers(self)
        self.proxy = ProxyChoice(self)
        environment.certificates.add_account(account_id, self.files.data / "certificates")
        self._unsubscribe = [
            environment.events.subscribe(DeviceAnnounced, self._peer_announced),
            environment.events.subscribe(OwnDeviceFound, self._own_device_found),
        ]

    # -- who it is --

    @property
    def uri(self) -> str:
        """The Jami id, "" until the keys exist."""
        return self.identity.account_uri if self.identity is not None else ""

    @property
    def device_id(self) -> str:
        """The id of this device, 64 hex digits, "" until the keys exist."""
        return self.identity.device_id if self.identity is not None else ""

    @property
    def device_name(self) -> str:
        return self.details["Account.deviceName"] or self.environment.host_name

    @property
    def registered_name(self) -> str:
        return self.config.registered_name

    @property
    def data_path(self) -> Path:
        """`<data>/<account>`"""
        return self.files.data

    @property
    def cache_path(self) -> Path:
        """`<cache>/<account>`"""
        return self.files.cache

    @property
    def seams(self) -> Seams:
        return self.environment.seams

    @property
    def certificates(self) -> CertificateStore:
        return self.environment.certificates

    @property
    def dht(self) -> Dht | None:
        """The account's view of the DHT while it is online."""
        return self.session.dht if self.session is not None else None

    @property
    def connections(self) -> Connections | None:
        """The account's connections while it is online."""
        return self.session.connections if self.session is not None else None

    @property
    def is_online(self) -> bool:
        return self.session is not None

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self.clock.time() * 1000)

    def steady_ms(self) -> int:
        """As `now_ms`, by the clock as it was set when the account was loaded: what happens later is never dated earlier."""
        return int((self._clock_offset + self.clock.monotonic()) * 1000)

    # -- its life --

    def load_files(self) -> bool:
        """Reads the account from disk; blocks. False when it has no usable identity, which must then come from the archive."""
        self.contacts.load()
        self.devices.load()
        try:
            identity = self.read_identity()
            receipt = Receipt.parse(self.config.receipt, self.config.receipt_signature)
            receipt.verify(identity.certificate)
            check_expiry(identity.certificate, self.peers.now())
        except JamidError as error:
            _log.warning("[account=%s] this device is not usable: %s", self.id, error)
            return False
        self._adopt(identity, receipt)
        return True

    def read_identity(self) -> Identity:
        """The device's key and certificates on disk; blocks. Raises JamidError when they are missing, damaged or no pair."""
        return self.files.read_identity(
            self.details["TLS.certificateFile"] or str(self.files.data / CERTIFICATE_FILE),
            self.details["TLS.privateKeyFile"] or str(self.files.data / KEY_FILE),
            self.details["TLS.password"],
        )

    async def become(self, device: Device) -> None:
        """Makes this installation the DEVICE just created: files first, then whatever depends on who we are."""
        if not self.details["Account.deviceName"]:
            self.details.set("Account.deviceName", self.environment.host_name)
        self.config.receipt, self.config.receipt_signature = device.receipt.text, device.receipt.signature
        self.details.set("TLS.certificateFile", str(self.files.data / CERTIFICATE_FILE))
        self.details.set("TLS.privateKeyFile", str(self.files.data / KEY_FILE))
        await in_thread(self.files.write_identity, device.identity)
        self._adopt(device.identity, device.receipt)
        await self.save()
        await self.loaded()

    async def loaded(self) -> None:
        """Tells everybody that the account is there: its certificates, its devices, its identity."""
        assert self.identity is not None
        await self.certificates.pin(self.identity.certificate, self.id)
        await self.certificates.load_revocations(self.id, self._account_certificate().public_key)
        await self.devices.name_this(self.device_name)
        for uri, _ in self.contacts.contacts.active():
            self.presence.track(uri)
        await self.messages.load()
        self.devices.publish()
        account_certificate = self._account_certificate()
        self.events.publish(CertificateStateChanged(self.id, account_certificate.long_id.hex(), "ALLOWED"))
        self.events.publish(AccountLoaded(self.id, self))

    async def register(self) -> None:
        """Goes online when enabled; called again it starts anew."""
        async with self._changing:
            if self.identity is None or self._closed or self.state in (State.INITIALIZING, State.ERROR_NEED_MIGRATION):
                return
            await self._end_session()
            if not self.enabled:
                self.set_state(State.UNREGISTERED)
                return
            session = Session(self, await self.proxy.choose())
            self.session = session
            self.peers.dht = session.dht
            self.set_state(State.TRYING)
            await session.start()

    async def unregister(self) -> None:
        """Goes offline."""
        async with self._changing:
            await self._end_session()
            if self.identity is not None and self.state is not State.ERROR_NEED_MIGRATION:
                self.set_state(State.UNREGISTERED)

    async def apply_details(self, values: Mapping[str, str]) -> bool:
        """Takes over details, saves, re-registers, and publishes the signals of a change; nothing when nothing changes."""
        name = self.details["Account.deviceName"]
        display_name = self.display_name
        given = {key: value for key, value in values.items() if not key.startswith("TLS.") or key == "TLS.password"}
        given.pop("Account.username", None)
        if not await super().apply_details(given):
            return False
        await self.unregister()
        if self.identity is not None:
            if self.details["Account.deviceName"] != name:
                await self.devices.name_this(self.device_name)
                self.devices.contacts_changed()
            self.devices.publish()
        if self.display_name != display_name:
            await self.profile.rename(self.display_name)
        self.events.publish(AccountDetailsChanged(self.id, dict(values)))
        await self.register()
        return True

    async def save(self) -> None:
        await in_thread(self.files.write_config, self.config)

    async def close(self) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._closed = True
        await self.messages.close()
        async with self._changing:
            await self._end_session()
        await self.tasks.close()
        await self.manager.close()
        self.certificates.remove_account(self.id)

    # -- what others ask it --

    def told_details(self) -> dict[str, str]:
        return super().told_details() | {"Account.username": self.uri or self.details["Account.username"]}

    def volatile_details(self) -> dict[str, str]:
        told = super().volatile_details()
        session = self.session
        told["Account.deviceAnnounced"] = "true" if session is not None and session.announced else "false"
        told["Account.proxyServer"] = self.proxy.current
        told["Account.dhtBoundPort"] = str(session.port if session is not None else 0)
        if self.device_id:
            told["Account.deviceID"] = self.device_id
        if self.registered_name:
            told["Account.registeredName"] = self.registered_name
        return told

    async def devices_of(self, uri: str) -> list[Certificate]:
        """The devices of an account: those connected, and those announced, asked for on the DHT now when it is not tracked."""
        announced = self.presence.devices(uri)
        if announced is None:
            announced = await self.peers.devices_of(uri)
        devices = {certificate.long_id.hex(): certificate for certificate in announced}
        if (connections := self.connections) is not None:
            for device_id in connections.devices_of(uri):
                if device_id not in devices and (connection := connections.newest(device_id)) is not None:
                    devices[device_id] = connection.peer.certificate
        return list(devices.values())

    async def certificate_of(self, device_id: str | LongId | InfoHash) -> Certificate | None:
        """A device's certificate, from the store, else from the DHT."""
        return await self.peers.certificate(device_id)

    async def set_registered_name(self, name: str) -> None:
        """The name service knows the account by NAME ("" for none)."""
        if name != self.config.registered_name:
            self.config.registered_name = name
            await self.save()
            self.publish_volatile()

    async def refresh_registered_name(self) -> None:
        """Asks the name service for the own name, as is done at every registration; a server that is down changes nothing."""
        answer = await self.environment.names.lookup_address(self.details["RingNS.uri"], self.uri)
        if answer.status in (Lookup.FOUND, Lookup.NOT_FOUND):
            await self.set_registered_name(answer.name)

    def search_user(self, query: str) -> bool:
        """Searches the directory of the account's management server; False without one."""
        if self.manager.is_used:
            self.tasks.spawn(self.manager.search(query), "search")
        return self.manager.is_used

    def drop_peer(self, uri: str) -> None:
        """Closes every connection with an account: it was banned."""
        if self.connections is not None:
            self.connections.close_account(uri)

    # -- details --

    def _adopt(self, identity: Identity, receipt: Receipt) -> None:
        self.identity, self.receipt = identity, receipt
        self.details.set("Account.username", identity.account_uri)
        self.contacts.rebuild_trust()

    def _account_certificate(self) -> Certificate:
        assert self.identity is not None
        assert self.identity.certificate.issuer is not None
        return self.identity.certificate.issuer

    async def _end_session(self) -> None:
        session, self.session = self.session, None
        self.peers.dht = None
        if session is not None:
            self.presence.stop()
            self.nearby.stop()
            self.sync.close()
            await session.close()

    def _peer_announced(self, event: DeviceAnnounced) -> None:
        if event.account_id == self.id:
            self._wake(event.certificate)
            self.tasks.spawn(self.contacts.peer_announced(event.uri, event.certificate), "repeat request")
            self.messages.peer_announced(event.uri)

    def _own_device_found(self, event: OwnDeviceFound) -> None:
        if event.account_id == self.id:
            self._wake(event.certificate)
            self.tasks.spawn(self.sync.connect(event.certificate), "sync")

    def _wake(self, device: Certificate) -> None:
        if self.connections is not None:
            self.connections.wake(device.long_id.hex())
