"""Value types: how long each lives and who may store or edit it (protocol: opendht, sections 15 and 17)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.identifiers import InfoHash
from jamid.crypto.certificates import Certificate
from jamid.dht.addresses import Address, pack_sockaddr, unpack_sockaddr
from jamid.dht.packing import pack_bin, unpack
from jamid.dht.signatures import verify
from jamid.dht.values import WireValue, pack_body

MINUTE: Final = 60.0
DAY: Final = 86400.0

USER_DATA: Final = 0
DHT_MESSAGE: Final = 1
SERVICE_ANNOUNCEMENT: Final = 2
IM_MESSAGE: Final = 3
TRUST_REQUEST: Final = 4
ICE_CANDIDATES: Final = 5
CERTIFICATE: Final = 8
PROFILE: Final = 9

StorePolicy = Callable[[InfoHash, WireValue, Address | None], WireValue | None]
EditPolicy = Callable[[InfoHash, WireValue, WireValue], bool]


def _store_any(_key: InfoHash, value: WireValue, _source: Address | None) -> WireValue | None:
    return value if value.size <= limits.DHT_VALUE_BYTES else None


def _edit_never(_key: InfoHash, _old: WireValue, _new: WireValue) -> bool:
    return False


def _store_message(key: InfoHash, value: WireValue, source: Address | None) -> WireValue | None:
    try:
        content = unpack(value.data)
    except RemoteError:
        content = None
    if isinstance(content, list) and content and content[0] in ("", b""):
        return None
    return _store_any(key, value, source)


def _store_announcement(_key: InfoHash, value: WireValue, source: Address | None) -> WireValue | None:
    try:
        packed = unpack(value.data)
        announced = unpack_sockaddr(packed if isinstance(packed, bytes) else value.data)
    except RemoteError:
        return None
    if announced.port == 0:
        return None
    if source is None:
        return value
    address = Address(source.host, announced.port)
    return replace(value, data=pack_bin(pack_sockaddr(address)), owner=b"", signature=b"", seq=0, recipient=None)


def certificate_key(key: InfoHash, data: bytes) -> bytes | None:
    """The public key (DER) of a certificate value that belongs under KEY, else None."""
    try:
        certificate = Certificate.from_bytes(data)
        public = certificate.public_key
    except RemoteError:
        return None
    return public.der if key in (public.id, InfoHash.of(bytes(public.long_id))) else None


def _store_certificate(key: InfoHash, value: WireValue, _source: Address | None) -> WireValue | None:
    return value if len(value.data) <= limits.DHT_VALUE_BYTES and certificate_key(key, value.data) else None


def _edit_certificate(key: InfoHash, old: WireValue, new: WireValue) -> bool:
    old_key = certificate_key(key, old.data)
    return old_key is not None and old_key == certificate_key(key, new.data)


@dataclass(frozen=True, slots=True)
class ValueType:
    """The rules of one type of value; `secure` types may also be signed, and then only the signature decides."""

    id: int
    name: str
    lifetime: float
    """seconds from its creation"""
    store: StorePolicy = _store_any
    """what of a new value is stored, None = nothing"""
    edit: EditPolicy = _edit_never
    secure: bool = True


BUILT_IN: Final = (
    ValueType(USER_DATA, "user data", 10 * MINUTE),
    ValueType(DHT_MESSAGE, "DHT message", 5 * MINUTE, _store_message),
    ValueType(SERVICE_ANNOUNCEMENT, "service announcement", 15 * MINUTE, _store_announcement, secure=False),
    ValueType(IM_MESSAGE, "text message", 5 * MINUTE),
    ValueType(TRUST_REQUEST, "trust request", 7 * DAY),
    ValueType(ICE_CANDIDATES, "ICE candidates", 1 * MINUTE),
    ValueType(CERTIFICATE, "certificate", 7 * DAY, _store_certificate, _edit_certificate, secure=False),
    ValueType(PROFILE, "user profile", 7 * DAY),
)


class ValueTypes:
    """The types a node knows; others follow the rules of user data."""

    def __init__(self) -> None:
        self._types = {one.id: one for one in BUILT_IN}
        self._default = self._types[USER_DATA]

    def register(self, value_type: ValueType) -> None:
        """Adds or replaces a type."""
        self._types[value_type.id] = value_type

    def of(self, number: int) -> ValueType:
        return self._types.get(number, self._default)

    def lifetime(self, value: WireValue) -> float:
        """Seconds that VALUE lives; an encrypted one counts as user data."""
        return self.of(value.type).lifetime

    def accept(self, key: InfoHash, value: WireValue, source: Address | None) -> WireValue | None:
        """What of a new VALUE is stored, None = nothing; SOURCE None = our own."""
        value_type = self.of(value.type)
        if value_type.secure and value.owner:
            return value if source is None or (value.size <= limits.DHT_VALUE_BYTES and verify(value) is not None) else None
        return value_type.store(key, value, source)

    def may_edit(self, key: InfoHash, old: WireValue, new: WireValue) -> bool:
        """Whether NEW may replace OLD under the same id."""
        value_type = self.of(old.type)
        if not (value_type.secure and old.owner):
            return value_type.edit(key, old, new)
        if new.owner != old.owner or new.size > limits.DHT_VALUE_BYTES:
            return False
        newer = new.seq > old.seq or (new.seq == old.seq and pack_body(new) == pack_body(old))
        return newer and verify(new) is not None
