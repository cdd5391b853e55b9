"""Device sync messages, on the DHT and on `sync://` channels (protocol: identity, section 12; swarm, section 11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from jamid.accounts.contacts import Contact, parse_contacts
from jamid.accounts.receipt import unpack_map
from jamid.accounts.seams import SyncParts
from jamid.accounts.trust_requests import PendingRequest, parse_requests
from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.core.identifiers import InfoHash, LongId

REQUESTS_PER_MESSAGE = 20
_CONTACTS_PER_MESSAGE = 250


@dataclass(slots=True)
class DeviceSync:
    """What one device of an account tells another about the account."""

    date: int = 0
    """nanoseconds since 1970"""
    device_name: str = ""
    devices: dict[str, tuple[str, InfoHash | None]] = field(default_factory=dict)
    """device id -> name, short device id"""
    contacts: dict[str, Contact] = field(default_factory=dict)
    requests: dict[str, PendingRequest] = field(default_factory=dict)

    def to_map(self) -> dict[str, Any]:
        """The superset of both generations' keys."""
        devices = {}
        for device_id, (name, short_id) in self.devices.items():
            devices[bytes.fromhex(device_id)] = {"name": name} if short_id is None else {"name": name, "sha1": bytes(short_id)}
        requests = {}
        for uri, request in tuple(self.requests.items())[:REQUESTS_PER_MESSAGE]:
            requests[bytes.fromhex(uri)] = request.to_map() | {"payload": b""}
        return {
            "date": self.date,
            "device_name": self.device_name,
            "devices_known": {},
            "devices": devices,
            "peers": {bytes.fromhex(uri): contact.to_map() for uri, contact in self.contacts.items()},
            "trust_requests": requests,
        }

    def to_bytes(self) -> bytes:
        """The data of a DHT value."""
        packed: bytes = msgpack.packb(self.to_map())
        return packed

    @classmethod
    def from_map(cls, fields: Mapping[Any, Any]) -> DeviceSync:
        """Reads the map of any version, leaving out entries that are damaged; raises RemoteError when the frame of it is."""
        date, name = fields.get("date", 0), fields.get("device_name", "")
        if not isinstance(date, int) or not isinstance(name, str):
            raise RemoteError("a device sync message has fields of the wrong type")
        sync = cls(date, name)
        devices = fields.get("devices")
        for key, device in devices.items() if isinstance(devices, Mapping) else ():
            if not isinstance(key, bytes) or len(key) != 32 or not isinstance(device, Mapping):
                continue
            device_name, short_id = device.get("name", ""), device.get("sha1")
            if len(sync.devices) < limits.ACCOUNT_DEVICES and isinstance(device_name, str):
                known = InfoHash(short_id) if isinstance(short_id, bytes) and len(short_id) == 20 else None
                sync.devices[LongId(key).hex()] = (device_name, known)
        peers, requests = fields.get("peers"), fields.get("trust_requests")
        if isinstance(peers, Mapping):
            sync.contacts = parse_contacts(peers)
        if isinstance(requests, Mapping):
            sync.requests = parse_requests(requests)
        return sync

    @classmethod
    def from_bytes(cls, data: bytes) -> DeviceSync:
        """Parses the data of a DHT value; raises RemoteError."""
        return cls.from_map(unpack_map(data, limits.INBOX_VALUE_BYTES))

    def split(self) -> Iterator[DeviceSync]:
        """Itself in messages that fit into one frame each; the first has devices and requests."""
        contacts = tuple(self.contacts.items())
        head = DeviceSync(self.date, self.device_name, self.devices, dict(contacts[:_CONTACTS_PER_MESSAGE]), self.requests)
        yield head
        for start in range(_CONTACTS_PER_MESSAGE, len(contacts), _CONTACTS_PER_MESSAGE):
            part = dict(contacts[start : start + _CONTACTS_PER_MESSAGE])
            yield DeviceSync(self.date, self.device_name, contacts=part)


@dataclass(slots=True)
class SyncMessage:
    """One message on a `sync://` channel."""

    device: DeviceSync = field(default_factory=DeviceSync)
    parts: SyncParts = field(default_factory=SyncParts)

    def to_bytes(self) -> bytes:
        """An array of six, of which older readers take the first four."""
        parts = self.parts
        fields = [self.device.to_map(), parts.conversations, parts.requests, parts.preferences, parts.displayed, parts.status]
        packed: bytes = msgpack.packb(fields)
        return packed

    @classmethod
    def from_unpacked(cls, message: Any) -> SyncMessage:
        """Reads an unpacked array of one or more elements; raises RemoteError."""
        if not isinstance(message, list) or not message or not isinstance(message[0], Mapping):
            raise RemoteError("a sync message is an array that begins with a map")
        maps = [element if isinstance(element, dict) else {} for element in message[1:6]]
        maps += [{} for _ in range(5 - len(maps))]
        return cls(DeviceSync.from_map(message[0]), SyncParts(*maps))


class SyncReader:
    """Cuts the bytes of a channel into sync messages."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False, strict_map_key=False, unicode_errors="replace", max_buffer_size=limits.SYNC_MESSAGE_BYTES, max_ext_len=64
        )

    def feed(self, data: bytes) -> list[SyncMessage]:
        """The messages that DATA completes; raises RemoteError, after which the channel is to be closed."""
        messages = []
        try:
            self._unpacker.feed(data)
            messages.extend(self._unpacker)
        except msgpack.BufferFull:
            raise LimitError(f"a sync message of more than {limits.SYNC_MESSAGE_BYTES} bytes") from None
        except Exception as error:
            raise RemoteError(f"not msgpack: {type(error).__name__}") from None
        return [SyncMessage.from_unpacked(message) for message in messages]
