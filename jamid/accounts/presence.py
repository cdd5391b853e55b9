"""Presence: whose devices are announced on the DHT or connected to us (protocol: identity, section 11)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jamid.accounts.events import DeviceAnnounced
from jamid.accounts.peers import PeerFinder
from jamid.core import limits
from jamid.core.errors import JamidError
from jamid.core.identifiers import InfoHash, is_account_uri
from jamid.core.signals import NewBuddyNotification
from jamid.crypto.certificates import Certificate
from jamid.dht.values import Value

if TYPE_CHECKING:
    from jamid.accounts.jami import JamiAccount
    from jamid.dht.service import Listening

_log = logging.getLogger(__name__)

OFFLINE: Final = 0
ANNOUNCED: Final = 1
CONNECTED: Final = 2


@dataclass(slots=True)
class _Buddy:
    """One tracked account."""

    subscribed: bool = False
    """a frontend asked for it; contacts are tracked without"""
    wanted: bool = False
    """a contact"""
    member: bool = False
    """takes part in a conversation with us"""
    announcements: dict[int, InfoHash] = field(default_factory=dict)
    """live value ids -> short device id: one device may have several"""
    devices: dict[InfoHash, Certificate] = field(default_factory=dict)
    connected: set[str] = field(default_factory=set)
    """device ids with a connection"""
    lists: deque[Value] = field(default_factory=lambda: deque(maxlen=limits.REVOCATION_LISTS_PER_ACCOUNT))
    """what may be revocation lists, until a device tells the key that signs them"""
    listening: Listening | None = None
    told: int = OFFLINE

    @property
    def status(self) -> int:
        return CONNECTED if self.connected else ANNOUNCED if self.announcements else OFFLINE


class Presence:
    """Listens for the announcements of an account's contacts and whoever a frontend subscribed to."""

    def __init__(self, account: JamiAccount) -> None:
        self._account = account
        self._buddies: dict[str, _Buddy] = {}
        self._online = False

    def subscribe(self, uri: str, wanted: bool) -> None:
        """A frontend wants to know, or no longer; it is told the present state at once when that is not offline."""
        if not is_account_uri(uri):
            return
        if not wanted:
            if (buddy := self._buddies.get(uri)) is not None:
                buddy.subscribed = False
                self._drop_if_unwanted(uri, buddy)
            return
        known = self._buddies.get(uri)
        buddy = self._buddy(uri)
        if buddy is None:
            return
        buddy.subscribed = True
        if known is not None and buddy.told != OFFLINE:
            self._account.events.publish(NewBuddyNotification(self._account.id, uri, buddy.told, ""))

    def track(self, uri: str) -> None:
        """Tracks a contact."""
        if is_account_uri(uri) and (buddy := self._buddy(uri)) is not None:
            buddy.wanted = True

    def untrack(self, uri: str) -> None:
        """A contact is none any more; a frontend's subscription stays."""
        if (buddy := self._buddies.get(uri)) is not None:
            buddy.wanted = False
            self._drop_if_unwanted(uri, buddy)

    def set_members(self, uris: Iterable[str]) -> None:
        """Tracks exactly those who take part in conversations with us, besides contacts and subscriptions; own ones are left out."""
        members = [uri for uri in dict.fromkeys(uris) if is_account_uri(uri) and uri != self._account.uri][: limits.TRACKED_MEMBERS]
        for uri, buddy in tuple(self._buddies.items()):
            if buddy.member and uri not in members:
                buddy.member = False
                self._drop_if_unwanted(uri, buddy)
        for uri in members:
            if (known := self._buddy(uri)) is not None:
                known.member = True

    def subscriptions(self) -> list[dict[str, str]]:
        """What getSubscriptions answers."""
        return [{"Buddy": uri, "Status": "Online" if buddy.told else "Offline"} for uri, buddy in self._buddies.items() if buddy.subscribed]

    def status(self, uri: str) -> int:
        """0 offline or unknown, 1 announced, 2 connected."""
        buddy = self._buddies.get(uri)
        return OFFLINE if buddy is None else buddy.status

    def devices(self, uri: str) -> list[Certificate] | None:
        """The announced devices of a tracked account; None when it is not tracked or nothing is known yet."""
        buddy = self._buddies.get(uri)
        if buddy is None or not buddy.announcements:
            return None
        live = set(buddy.announcements.values())
        if not live <= set(buddy.devices):
            return None
        return [certificate for device_id, certificate in buddy.devices.items() if device_id in live]

    def start(self) -> None:
        """The account is online: everybody is listened for."""
        self._online = True
        for uri, buddy in self._buddies.items():
            self._listen(uri, buddy)

    def stop(self) -> None:
        """The account goes offline: what was known counts no more, silently, as peers are told of anew after the next registration."""
        self._online = False
        for buddy in self._buddies.values():
            if buddy.listening is not None:
                buddy.listening.cancel()
            buddy.listening = None
            buddy.announcements.clear()
            buddy.connected.clear()
            buddy.told = OFFLINE

    def peer_connected(self, uri: str, device_id: str) -> None:
        """A connection with a device of URI is up."""
        if (buddy := self._buddies.get(uri)) is not None:
            buddy.connected.add(device_id)
            self._tell(uri, buddy)

    def peer_disconnected(self, uri: str, device_id: str) -> None:
        """The last connection with a device of URI is gone."""
        if (buddy := self._buddies.get(uri)) is not None:
            buddy.connected.discard(device_id)
            self._tell(uri, buddy)

    def _buddy(self, uri: str) -> _Buddy | None:
        buddy = self._buddies.get(uri)
        if buddy is None:
            if len(self._buddies) >= limits.TRACKED_BUDDIES:
                _log.warning("[account=%s] %d accounts are tracked; %s is not", self._account.id, len(self._buddies), uri)
                return None
            buddy = self._buddies[uri] = _Buddy()
            if self._online:
                self._listen(uri, buddy)
        return buddy

    def _drop_if_unwanted(self, uri: str, buddy: _Buddy) -> None:
        if not buddy.subscribed and not buddy.wanted and not buddy.member:
            if buddy.listening is not None:
                buddy.listening.cancel()
            del self._buddies[uri]

    def _listen(self, uri: str, buddy: _Buddy) -> None:
        dht = self._account.dht
        if dht is not None and buddy.listening is None:
            buddy.listening = dht.listen(InfoHash.from_hex(uri), lambda value, expired: self._value(uri, value, expired))

    def _value(self, uri: str, value: Value, expired: bool) -> None:
        buddy = self._buddies.get(uri)
        if buddy is None or value.type != 0:
            return
        if expired:
            if buddy.announcements.pop(value.id, None) is not None:
                self._tell(uri, buddy)
            return
        found = PeerFinder.announcements(uri, [value])
        if not found:
            if value.owner is None:
                buddy.lists.append(value)
                self._apply_revocations(uri, buddy)
            return
        announcement = found[0]
        if announcement.device_key is None or value.id in buddy.announcements or len(buddy.announcements) >= limits.PEER_DEVICES:
            return
        buddy.announcements[value.id] = announcement.device_id
        self._tell(uri, buddy)
        self._account.tasks.spawn(self._identify(uri, buddy, value), "identify")

    async def _identify(self, uri: str, buddy: _Buddy, value: Value) -> None:
        try:
            devices = await self._account.peers.devices_from(uri, [value])
        except JamidError as error:
            _log.info("[account=%s] a device of %s stays unknown: %s", self._account.id, uri, error)
            return
        for certificate in devices.values():
            buddy.devices[certificate.id] = certificate
            self._apply_revocations(uri, buddy)
            if certificate.id in buddy.devices:
                self._account.events.publish(DeviceAnnounced(self._account.id, uri, certificate))

    def _apply_revocations(self, uri: str, buddy: _Buddy) -> None:
        """Reads the lists that wait for the account's key; revoked devices are forgotten and lose their connections.

        Also when the lists say nothing new: others than we may have read them first.
        """
        account = next((certificate.issuer for certificate in buddy.devices.values()), None)
        if account is None:
            return
        values = tuple(buddy.lists)
        buddy.lists.clear()
        self._account.peers.learn_revocations(account.public_key, values)
        revocations = self._account.certificates.revocations(uri)
        for device_id, certificate in tuple(buddy.devices.items()):
            if any(known.contains(certificate) for known in revocations):
                _log.info("[account=%s] device %s of %s was revoked", self._account.id, certificate.long_id, uri)
                del buddy.devices[device_id]
                for value_id in [value_id for value_id, announced in buddy.announcements.items() if announced == device_id]:
                    del buddy.announcements[value_id]
        self._tell(uri, buddy)
        connections = self._account.connections
        if connections is None:
            return
        for device in connections.devices_of(uri):
            connection = connections.newest(device)
            if connection is not None and any(known.contains(connection.peer.certificate) for known in revocations):
                connections.close_device(device)

    def _tell(self, uri: str, buddy: _Buddy) -> None:
        status = buddy.status
        if status == buddy.told:
            return
        buddy.told = status
        self._account.events.publish(NewBuddyNotification(self._account.id, uri, status, ""))
