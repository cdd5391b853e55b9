"""What a registration must hold to be accepted (protocol: identity, section 15)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from jamid.accounts.nameserver.store import Record
from jamid.core.errors import RemoteError
from jamid.crypto.keys import PublicKey

NAME = re.compile(r"[a-z0-9_-]{3,32}")
ADDRESS = re.compile(r"(?:0x|ring:|jami:)?([0-9a-fA-F]{40})")


class BadRegistration(RemoteError):  # noqa: N818 - an outcome rather than an error
    """Something is missing or has the wrong form: status 400."""


class BadSignature(RemoteError):  # noqa: N818 - an outcome rather than an error
    """The signature is not that of the address: status 401."""


def bare_address(text: str) -> str | None:
    """40 lower-case hex digits of an address however it is written; None for anything else."""
    match = ADDRESS.fullmatch(text)
    return match[1].lower() if match else None


def read_registration(name: str, body: Any, now: int) -> Record:
    """The record that BODY asks for; raises BadRegistration or BadSignature. Checks an RSA signature (0.2 ms)."""
    name = name.lower()
    if not NAME.fullmatch(name):
        raise BadRegistration("a name has 3 to 32 letters, digits, - and _")
    if not isinstance(body, Mapping):
        raise BadRegistration("the body is no JSON object")
    fields = {key: body.get(key) for key in ("addr", "owner", "signature", "publickey")}
    if not all(isinstance(value, str) and value for value in fields.values()):
        raise BadRegistration("addr, owner, signature and publickey are needed")
    address, owner = bare_address(str(fields["addr"])), bare_address(str(fields["owner"]))
    if address is None or owner is None:
        raise BadRegistration("addr or owner is no address")
    try:
        key = PublicKey.from_der(base64.b64decode(str(fields["publickey"]), validate=True).rstrip(b"\0"))
        signature = base64.b64decode(str(fields["signature"]), validate=True)
    except (binascii.Error, ValueError):
        raise BadRegistration("publickey or signature is no base64") from None
    except RemoteError as error:
        raise BadRegistration(str(error)) from None
    if key.id.hex() != address:
        raise BadSignature("the address is not that of the key")
    if not key.verify(name.encode(), signature):
        raise BadSignature("the signature is wrong")
    return Record(name, address, owner, str(fields["publickey"]), str(fields["signature"]), now)
