"""The relay against a small TURN server of our own: renewal, refusal, silence, and a peer through it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from jamid.core.errors import LocalError
from jamid.net import relay, stun, turn
from jamid.net.framing import frame
from jamid.net.links import TcpLink
from jamid.net.relay import RelayMemory, TurnTcpRelay
from jamid.net.relays import Relays
from jamid.net.stun import Attribute, Class, Message, Method
from jamid.net.turn import TurnServer

_KEY = hashlib.md5(b"ring:realm:secret", usedforsecurity=False).digest()


@dataclass
class Server:
    """Answers like a TURN server; `requests` has what came, in order."""

    lifetime: int = 600
    refuse: int = 0
    stale_after: int = 10**6
    requests: list[tuple[int, int | None]] = field(default_factory=list)
    controls: list[asyncio.StreamWriter] = field(default_factory=list)
    nonce: bytes = b"nonce-1"
    forbidden: set[str] = field(default_factory=set)
    permitted: set[str] = field(default_factory=set)
    ipv6: bool = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        self.controls.append(writer)
        while data := await reader.read(4096):
            buffer += data
            while (message := turn.take_message(buffer)) is not None:
                self.answer(stun.parse(message), message, writer)

    def answer(self, request: Message, data: bytes, writer: asyncio.StreamWriter) -> None:
        if len(self.requests) == self.stale_after:
            self.nonce = b"nonce-2"
            self.stale_after = 10**6
        if not stun.has_integrity(data) or request.get(Attribute.NONCE) != self.nonce:
            code = 438 if stun.has_integrity(data) else 401
            challenge = (Attribute.ERROR_CODE, (code, "no")), (Attribute.REALM, "realm"), (Attribute.NONCE, self.nonce)
            writer.write(Message(request.method, Class.ERROR, request.transaction, challenge).encode())
            return
        assert stun.verify(data, _KEY)
        self.requests.append((request.method, request.number(Attribute.LIFETIME)))
        peers = {value[0] for kind, value in request.attributes if kind == Attribute.XOR_PEER_ADDRESS and isinstance(value, tuple)}
        self.permitted |= set() if peers & self.forbidden else {str(peer) for peer in peers}
        ipv6 = request.number(Attribute.REQUESTED_ADDRESS_FAMILY) == 0x02000000
        if self.refuse or peers & self.forbidden or (ipv6 and not self.ipv6):
            refusal = ((Attribute.ERROR_CODE, (self.refuse or (440 if ipv6 else 403), "not you")),)
            writer.write(Message(request.method, Class.ERROR, request.transaction, refusal).encode(_KEY))
            return
        attributes: tuple[tuple[int, stun.Value], ...] = ()
        if request.method == Method.ALLOCATE:
            attributes = (
                (Attribute.XOR_RELAYED_ADDRESS, ("2001:db8::5", 5000) if ipv6 else ("192.0.2.1", 5000)),
                (Attribute.XOR_MAPPED_ADDRESS, ("192.0.2.7", 6000)),
                (Attribute.LIFETIME, self.lifetime),
            )
        success = Message(request.method, Class.SUCCESS, request.transaction, attributes).encode(_KEY)
        if request.method == Method.CONNECTION_BIND:
            success += frame(b"\x16first bytes behind the response")
        writer.write(success)


class Receiver:
    """Keeps what a link receives."""

    def __init__(self) -> None:
        self.data = b""

    def stun_received(self, link: TcpLink, message: bytes) -> None: ...
    def link_closed(self, link: TcpLink, error: Exception | None) -> None: ...
    def writable_changed(self, link: TcpLink) -> None: ...
    def data_received(self, link: TcpLink, piece: bytes | memoryview) -> None:
        self.data += bytes(piece)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, TurnServer]]:
    one = Server()
    listening = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    yield one, TurnServer("127.0.0.1", listening.sockets[0].getsockname()[1], "ring", "secret", "realm")
    listening.close()


async def test_allocates_renews_and_gives_back(server: tuple[Server, TurnServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "PERMISSION_RENEWAL", 1.0)
    one, address = server
    one.lifetime = 2
    one.stale_after = 3
    client = TurnTcpRelay(address, Receiver(), lambda link: None)
    await client.open()
    assert (client.address, client.mapped) == (("192.0.2.1", 5000), ("192.0.2.7", 6000))
    await client.permit(["10.0.0.1", "10.0.0.2", "2001:db8::1"])
    await client.permit(["10.0.0.1"])
    await asyncio.sleep(2.3)
    await client.close()
    await asyncio.sleep(0.1)
    methods = [method for method, _ in one.requests]
    assert methods[:2] == [Method.ALLOCATE, Method.CREATE_PERMISSION]
    assert methods.count(Method.CREATE_PERMISSION) >= 2
    assert methods.count(Method.REFRESH) >= 2
    assert one.requests[-1] == (Method.REFRESH, 0)


async def test_refusal_and_silence_are_told(server: tuple[Server, TurnServer], monkeypatch: pytest.MonkeyPatch) -> None:
    one, address = server
    one.refuse = 486
    with pytest.raises(LocalError, match="declined: 486 not you"):
        await TurnTcpRelay(address, Receiver(), lambda link: None).open()
    monkeypatch.setattr(relay, "OPEN_SECONDS", 0.2)
    monkeypatch.setattr(Server, "answer", lambda *words: None)
    with pytest.raises(LocalError, match="does not answer"):
        await TurnTcpRelay(address, Receiver(), lambda link: None).open()
    with pytest.raises(LocalError, match="cannot be reached"):
        await TurnTcpRelay(TurnServer("127.0.0.1", 1), Receiver(), lambda link: None).open()


async def test_a_peer_comes_through(server: tuple[Server, TurnServer]) -> None:
    one, address = server
    receiver, links = Receiver(), []
    client = TurnTcpRelay(address, receiver, links.append)
    await client.open()
    attempt = (Attribute.CONNECTION_ID, 77), (Attribute.XOR_PEER_ADDRESS, ("10.0.0.9", 1234))
    one.controls[0].write(Message(Method.CONNECTION_ATTEMPT, Class.INDICATION, bytes(12), attempt).encode())
    async with asyncio.timeout(2):
        while not receiver.data:
            await asyncio.sleep(0.01)
    assert receiver.data == b"\x16first bytes behind the response"
    (link,) = links
    assert link.remote == ("10.0.0.9", 1234)
    assert link.relayed
    link.close()
    await client.close()


async def test_one_forbidden_peer_does_not_keep_the_others_out(server: tuple[Server, TurnServer]) -> None:
    one, address = server
    one.forbidden = {"192.168.1.1"}
    client = TurnTcpRelay(address, Receiver(), lambda link: None)
    await client.open()
    await client.permit(["192.168.1.1", "203.0.113.9", "203.0.113.8", "127.0.0.1"])
    assert one.permitted == {"203.0.113.9", "203.0.113.8"}
    await client.close()


async def test_a_session_has_a_relay_of_each_family(server: tuple[Server, TurnServer]) -> None:
    one, address = server
    relays, memory = Relays(Receiver(), lambda link: None), RelayMemory()
    await relays.open(address, memory, ipv6=True)
    assert relays.addresses == [("192.0.2.1", 5000), ("2001:db8::5", 5000)]
    await relays.permit(["203.0.113.9", "2001:db8::9"])
    assert one.permitted == {"203.0.113.9", "2001:db8::9"}
    attempt = (Attribute.CONNECTION_ID, 77), (Attribute.XOR_PEER_ADDRESS, ("2001:db8::9", 1234))
    links: list[TcpLink] = []
    relays._relays[1]._on_link = links.append
    one.controls[1].write(Message(Method.CONNECTION_ATTEMPT, Class.INDICATION, bytes(12), attempt).encode())
    async with asyncio.timeout(2):
        while not links:
            await asyncio.sleep(0.01)
    await relays.close(but=links[0])
    assert relays.addresses == [("2001:db8::5", 5000)]
    await relays.close()
    assert not relays


async def test_a_server_without_ipv6_is_asked_for_it_once_in_a_network(server: tuple[Server, TurnServer]) -> None:
    one, address = server
    one.ipv6 = False
    memory = RelayMemory()
    for allocations in (2, 3):
        relays = Relays(Receiver(), lambda link: None)
        await relays.open(address, memory, ipv6=True)
        assert relays.addresses == [("192.0.2.1", 5000)]
        assert [method for method, _ in one.requests].count(Method.ALLOCATE) == allocations
        await relays.close()
    memory.forget()
    assert memory.ipv6


async def test_a_server_that_is_not_there_leaves_a_session_without_relays() -> None:
    relays, memory = Relays(Receiver(), lambda link: None), RelayMemory()
    await relays.open(TurnServer("127.0.0.1", 9), memory, ipv6=True)
    assert not relays
    assert not memory.worth_asking(asyncio.get_running_loop().time())


async def test_a_relay_that_is_given_back_while_somebody_gives_up_is_given_back(server: tuple[Server, TurnServer]) -> None:
    one, address = server
    client = TurnTcpRelay(address, Receiver(), lambda link: None)
    await client.open()
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await asyncio.sleep(0.1)
    assert one.requests[-1] == (Method.REFRESH, 0)
