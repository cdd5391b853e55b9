"""The devices of an account that one of them knows, and their file (protocol: identity, section 12)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from jamid.accounts.receipt import unpack_map
from jamid.core import limits
from jamid.core.errors import LimitError

_NEVER_SECONDS = -9223372036
_WRAP = 1 << 64


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """One device of the own account."""

    name: str = ""
    synced: int = 0
    """date of its last sync message, milliseconds since 1970, 0 never"""


class KnownDevices:
    """Device id (64 hex) -> what is known of it."""

    def __init__(self, devices: Mapping[str, KnownDevice] | None = None) -> None:
        self._devices = dict(devices or {})

    def __contains__(self, device_id: object) -> bool:
        return device_id in self._devices

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._devices))

    def __len__(self) -> int:
        return len(self._devices)

    def get(self, device_id: str) -> KnownDevice | None:
        return self._devices.get(device_id)

    def learn(self, device_id: str, name: str = "") -> bool:
        """Adds a device or takes over its name; whether anything changed. Raises LimitError beyond the cap."""
        old = self._devices.get(device_id)
        if old is None:
            if len(self._devices) >= limits.ACCOUNT_DEVICES:
                raise LimitError(f"an account has at most {limits.ACCOUNT_DEVICES} devices")
            self._devices[device_id] = KnownDevice(name)
            return True
        if not name or name == old.name:
            return False
        self._devices[device_id] = replace(old, name=name)
        return True

    def synced(self, device_id: str, moment: int) -> bool:
        """Notes the date of a sync message; False when one as new was treated already."""
        old = self._devices.get(device_id)
        if old is None or moment <= old.synced:
            return False
        self._devices[device_id] = replace(old, synced=moment)
        return True

    def forget(self, device_id: str) -> bool:
        return self._devices.pop(device_id, None) is not None

    def names(self) -> dict[str, str]:
        """The map of knownDevicesChanged: a nameless device goes by the first digits of its id."""
        return {device_id: device.name or device_id[:8] for device_id, device in self._devices.items()}

    def to_bytes(self) -> bytes:
        """The file `knownDevices` in the form that both generations read: name and last sync in seconds."""
        packed: bytes = msgpack.packb(
            {
                bytes.fromhex(device_id): [device.name, device.synced // 1000 if device.synced else _NEVER_SECONDS % _WRAP]
                for device_id, device in self._devices.items()
            }
        )
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> KnownDevices:
        """Parses the file of either generation; raises RemoteError when it is no such map."""
        fields = unpack_map(data, limits.STATE_FILE_BYTES)
        if len(fields) > limits.ACCOUNT_DEVICES:
            raise LimitError(f"{len(fields)} devices are more than {limits.ACCOUNT_DEVICES}")
        devices: dict[str, KnownDevice] = {}
        for key, value in fields.items():
            device = _parse(value)
            if isinstance(key, bytes) and len(key) == 32 and device is not None:
                devices[key.hex()] = device
        return cls(devices)


def _parse(value: Any) -> KnownDevice | None:
    if isinstance(value, list) and len(value) >= 2:
        name, factor, moment = value[0], 1000, value[1]
    elif isinstance(value, Mapping):
        name, factor, moment = value.get("name", ""), 1, value.get("syncMs", 0)
    else:
        return None
    if not isinstance(name, str):
        return None
    good = isinstance(moment, int) and 0 < moment < 2**53
    return KnownDevice(name, moment * factor if good else 0)
