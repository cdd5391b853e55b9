"""A TURN client without I/O: allocations, permissions and relayed TCP connections (RFC 5766, 6062; protocol: connection, section 6)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.net import stun
from jamid.net.stun import Address, Attribute, Class, Message, Method

TRANSPORT_TCP: Final = 0x06000000
REFRESH_BEFORE: Final = 60.0
"""seconds before an allocation expires"""
PERMISSION_RENEWAL: Final = 285.0
"""a permission lives 300 s"""
_UNAUTHORIZED: Final = 401
_STALE_NONCE: Final = 438


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A TURN server of an account."""

    host: str
    port: int = 3478
    username: str = ""
    password: str = field(default="", repr=False)
    realm: str = ""

    @classmethod
    def parse(cls, server: str, username: str, password: str, realm: str) -> TurnServer | None:
        """From the account's details: `host`, `host:port` or `[ipv6]:port`; None when there is no host."""
        text = server.strip()
        if not text:
            return None
        if text.startswith("["):
            host, _, rest = text[1:].partition("]")
            port = rest.removeprefix(":")
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        else:
            host, port = text, ""
        return cls(host, int(port) if port.isdigit() and 0 < int(port) < 65536 else 3478, username, password, realm)


@dataclass(frozen=True, slots=True)
class Output:
    """Send these bytes to the server."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Allocated:
    """The server relays for us."""

    relayed: Address
    mapped: Address | None
    lifetime: int


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The allocation lives on, or has ended when LIFETIME is 0."""

    lifetime: int


@dataclass(frozen=True, slots=True)
class Permitted:
    """The server lets the addresses of one CreatePermission in."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A data connection is from its next byte on a pipe to the peer."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """A peer connected to the relayed address."""

    connection: int
    peer: Address


@dataclass(frozen=True, slots=True)
class Refused:
    """The server declined a request."""

    method: int
    code: int
    reason: str


TurnEvent = Output | Allocated | Refreshed | Permitted | Bound | Attempted | Refused


class TurnClient:
    """The requests of one allocation and what their responses mean."""

    def __init__(self, server: TurnServer) -> None:
        self._server = server
        self._realm = ""
        self._nonce = b""
        self._pending: dict[bytes, tuple[Method, tuple[tuple[int, stun.Value], ...], int]] = {}

    def allocate(self, *, ipv6: bool = False) -> bytes:
        """Asks for a relayed TCP address."""
        attributes: list[tuple[int, stun.Value]] = [(Attribute.REQUESTED_TRANSPORT, TRANSPORT_TCP)]
        if ipv6:
            attributes.append((Attribute.REQUESTED_ADDRESS_FAMILY, 0x02000000))
        return self._request(Method.ALLOCATE, tuple(attributes))

    def refresh(self, lifetime: int | None = None) -> bytes:
        """Renews the allocation; LIFETIME 0 ends it."""
        return self._request(Method.REFRESH, () if lifetime is None else ((Attribute.LIFETIME, lifetime),))

    def permit(self, hosts: Iterable[str]) -> bytes:
        """Lets peers at HOSTS, all of the relayed address's family, connect."""
        return self._request(Method.CREATE_PERMISSION, tuple((Attribute.XOR_PEER_ADDRESS, (host, 9)) for host in hosts))

    def bind(self, connection: int) -> bytes:
        """The first bytes of a new connection to the server that takes over a peer's CONNECTION."""
        return self._request(Method.CONNECTION_BIND, ((Attribute.CONNECTION_ID, connection),))

    def receive(self, data: bytes) -> TurnEvent | None:
        """What one message of the server means, None when nothing; raises RemoteError for garbage or a wrong signature."""
        message = stun.parse(data)
        if message.cls is Class.INDICATION:
            return self._indication(message)
        pending = self._pending.pop(message.transaction, None)
        if pending is None or message.method != pending[0]:
            return None
        method, attributes, tries = pending
        if message.cls is Class.ERROR:
            code, reason = message.error()
            nonce = message.get(Attribute.NONCE)
            first = code == _UNAUTHORIZED and not self._nonce
            if (first or code == _STALE_NONCE) and isinstance(nonce, bytes) and tries < 3:
                self._realm = message.text(Attribute.REALM) or self._server.realm
                self._nonce = nonce
                return Output(self._request(method, attributes, tries + 1))
            return Refused(method, code, reason)
        if self._nonce and not stun.verify(data, self._key()):
            raise RemoteError("the TURN server's response is not signed with our password")
        return _success(message)

    def _request(self, method: Method, attributes: tuple[tuple[int, stun.Value], ...], tries: int = 0) -> bytes:
        transaction = stun.new_transaction()
        self._pending[transaction] = (method, attributes, tries)
        if not self._nonce:
            return Message(method, Class.REQUEST, transaction, attributes).encode(fingerprint=False)
        signed = (
            *attributes,
            (Attribute.USERNAME, self._server.username),
            (Attribute.REALM, self._realm),
            (Attribute.NONCE, self._nonce),
        )
        return Message(method, Class.REQUEST, transaction, signed).encode(self._key(), fingerprint=False)

    def _key(self) -> bytes:
        text = f"{self._server.username}:{self._realm}:{self._server.password}"
        return hashlib.md5(text.encode(), usedforsecurity=False).digest()

    def _indication(self, message: Message) -> Attempted | None:
        if message.method != Method.CONNECTION_ATTEMPT:
            return None
        connection, peer = message.number(Attribute.CONNECTION_ID), message.address(Attribute.XOR_PEER_ADDRESS)
        if connection is None or peer is None:
            raise RemoteError("a TURN connection attempt without id or peer")
        return Attempted(connection, peer)


def _success(message: Message) -> TurnEvent | None:
    lifetime = message.number(Attribute.LIFETIME)
    match message.method:
        case Method.ALLOCATE:
            relayed = message.address(Attribute.XOR_RELAYED_ADDRESS)
            if relayed is None:
                raise RemoteError("a TURN allocation without an address")
            return Allocated(relayed, message.address(Attribute.XOR_MAPPED_ADDRESS), 600 if lifetime is None else lifetime)
        case Method.REFRESH:
            return Refreshed(600 if lifetime is None else lifetime)
        case Method.CREATE_PERMISSION:
            return Permitted()
        case Method.CONNECTION_BIND:
            return Bound()
        case _:
            return None


def take_message(buffer: bytearray) -> bytes | None:
    """Removes the first whole STUN message from a TCP stream, None when it is not there yet; raises RemoteError when none can come."""
    if len(buffer) < stun.HEADER_LENGTH:
        return None
    length = stun.HEADER_LENGTH + (buffer[2] << 8 | buffer[3])
    if buffer[0] & 0xC0 or length > limits.STUN_MESSAGE_BYTES:
        raise RemoteError("the TURN server sent something that is not STUN")
    if len(buffer) < length:
        return None
    message = bytes(buffer[:length])
    del buffer[:length]
    return message
