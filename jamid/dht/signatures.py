"""Who signed a value, and whether it is true (protocol: opendht, section 18)."""

from __future__ import annotations

from dataclasses import replace

from jamid.core.errors import RemoteError
from jamid.crypto.keys import PrivateKey, PublicKey
from jamid.dht.values import WireValue, pack_body


def verify(value: WireValue) -> PublicKey | None:
    """The key that signed VALUE, None when it is unsigned, signed wrongly or by a key that nobody can use."""
    if not value.owner or not value.signature:
        return None
    try:
        key = PublicKey.from_der(value.owner)
    except RemoteError:
        return None
    signed = pack_body(value if value.owner == key.der else replace(value, owner=key.der))
    return key if key.verify(signed, value.signature) else None


def sign(value: WireValue, key: PrivateKey) -> WireValue:
    """VALUE owned and signed by KEY; 2 ms and more: call it off the event loop."""
    owned = replace(value, owner=key.public.der, signature=b"")
    return replace(owned, signature=key.sign(pack_body(owned)))
