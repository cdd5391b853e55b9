"""Values between the rest of the daemon and the wire: converted, signed and encrypted (protocol: opendht, section 19)."""

from __future__ import annotations

import secrets
from dataclasses import replace

from jamid.core.errors import RemoteError
from jamid.crypto.keys import PrivateKey, PublicKey
from jamid.dht.packing import unpack
from jamid.dht.signatures import sign, verify
from jamid.dht.values import Value, WireValue, pack_content, read_content


def new_value_id() -> int:
    """A random value id; never 0."""
    return secrets.randbelow(2**64 - 1) + 1


def to_wire(value: Value) -> WireValue:
    """VALUE as it travels."""
    return WireValue(
        id=value.id,
        type=value.type,
        data=value.data,
        user_type=value.user_type,
        owner=value.owner.der if value.owner is not None else b"",
        seq=value.seq,
        recipient=value.recipient,
        signature=value.signature,
        cipher=value.cipher,
        priority=value.priority,
        push_type=value.push_type,
    )


def from_wire(value: WireValue, owner: PublicKey | None) -> Value:
    """VALUE for the rest of the daemon; OWNER is its verified signer."""
    return Value(
        id=value.id,
        type=value.type,
        data=value.data,
        user_type=value.user_type,
        owner=owner,
        seq=value.seq,
        recipient=value.recipient,
        signature=value.signature,
        cipher=value.cipher,
        priority=value.priority,
        push_type=value.push_type,
    )


def seal(value: WireValue, key: PrivateKey, to: PublicKey) -> WireValue:
    """VALUE signed by KEY and encrypted to TO; RSA work: call it off the event loop."""
    signed = sign(replace(value, recipient=to.id), key)
    return WireValue(value.id, cipher=to.encrypt(pack_content(signed)), priority=value.priority, push_type=value.push_type)


def unseal(value: WireValue, key: PrivateKey) -> Value | None:
    """What VALUE holds if it was made for KEY and its signature is good, else None; RSA work: call it off the event loop."""
    try:
        content = unpack(key.decrypt(value.cipher))
        if not isinstance(content, dict):
            return None
        inner = read_content(content, value.id, value.priority, value.push_type)
    except RemoteError:
        return None
    owner = verify(inner)
    if owner is None or inner.recipient != key.public.id:
        return None
    return from_wire(inner, owner)
