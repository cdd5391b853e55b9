"""Two SipExchanges joined in memory, with everything their sessions tell written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from jamid.sip.dialogs import LocalParty, Path
from jamid.sip.exchange import IncomingMessage, SipExchange
from jamid.sip.messages import Message, parse_message
from jamid.sip.session_events import Ended
from jamid.sip.sessions import InviteSession

ALICE, BOB = "a" * 40, "b" * 40


class Pipe:
    """One end of an in-memory transport; `written` keeps every message."""

    reliable = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: list[Message] = []
        self.far: Pipe
        self.hold = False
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue()

    def send(self, data: bytes) -> None:
        self.written.append(parse_message(data))
        if not self.hold:
            self.far._inbox.put_nowait(data)

    def probe(self) -> None:
        return None

    async def read(self) -> bytes:
        return await self._inbox.get()

    def close(self) -> None:
        self._inbox.put_nowait(b"")
        self.far._inbox.put_nowait(b"")


@dataclass
class Peer:
    device_id: str
    account_uri: str


@dataclass
class Recorder:
    """A listener that writes down what it is told."""

    told: list[tuple[Any, ...]] = field(default_factory=list)

    def progressed(self, session: InviteSession, status: int) -> None:
        self.told.append(("progressed", status))

    def answered(self, session: InviteSession, sdp: bytes) -> None:
        self.told.append(("answered", sdp))

    def established(self, session: InviteSession, sdp: bytes) -> None:
        self.told.append(("established",))

    def offered(self, session: InviteSession, sdp: bytes) -> None:
        self.told.append(("offered", sdp))

    def offer_answered(self, session: InviteSession, sdp: bytes) -> None:
        self.told.append(("offer_answered", sdp))

    def offer_refused(self, session: InviteSession, status: int) -> None:
        self.told.append(("offer_refused", status))

    def offer_lapsed(self, session: InviteSession) -> None:
        self.told.append(("offer_lapsed",))

    def info(self, session: InviteSession, content_type: str, body: bytes) -> None:
        self.told.append(("info", content_type, body))

    def message(self, session: InviteSession, content_type: str, body: bytes) -> None:
        self.told.append(("message", content_type, body))

    def referred(self, session: InviteSession, refer_to: str) -> None:
        self.told.append(("referred", refer_to))

    def notified(self, session: InviteSession, body: bytes) -> None:
        self.told.append(("notified", body))

    def ended(self, session: InviteSession, end: Ended) -> None:
        self.told.append(("ended", end.cause.value, end.status))


@dataclass
class End:
    """One side of the pair."""

    exchange: SipExchange
    pipe: Pipe
    messages: list[IncomingMessage] = field(default_factory=list)
    sessions: list[InviteSession] = field(default_factory=list)
    recorder: Recorder = field(default_factory=Recorder)
    ended: list[SipExchange] = field(default_factory=list)


def make_end(path: Path, party: LocalParty, peer: Peer) -> End:
    pipe = Pipe(path)

    def call(exchange: SipExchange, session: InviteSession) -> None:
        session.listener = end.recorder
        end.sessions.append(session)

    exchange = SipExchange(
        pipe,
        peer,
        lambda: party,
        on_message=lambda exchange, message: end.messages.append(message),
        on_call=call,
        on_end=lambda exchange: end.ended.append(exchange),
    )
    end = End(exchange, pipe)
    return end


@pytest.fixture
async def pair() -> AsyncIterator[tuple[End, End]]:
    here, there = ("10.77.0.2", 40154), ("10.77.0.3", 46669)
    alice_party = LocalParty(ALICE, contact_user="1" * 40, display_name="Alice")
    alice = make_end(Path("TLS", here, there, secure=True), alice_party, Peer("2" * 64, BOB))
    bob = make_end(Path("TLS", there, here, secure=True), LocalParty(BOB, contact_user="2" * 40), Peer("1" * 64, ALICE))
    alice.pipe.far, bob.pipe.far = bob.pipe, alice.pipe
    alice.exchange.start()
    bob.exchange.start()
    yield alice, bob
    await alice.exchange.wait_closed()
    await bob.exchange.wait_closed()


@pytest.fixture
def settle() -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        for _ in range(30):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)

    return run


@pytest.fixture
def call(pair: tuple[End, End], settle: Callable[[], Awaitable[None]]) -> Callable[..., Awaitable[tuple[InviteSession, InviteSession]]]:
    """Places a call from Alice to Bob and lets it ring; answered when asked."""

    async def place(*, answer: bool = True) -> tuple[InviteSession, InviteSession]:
        alice, bob = pair
        caller = InviteSession.outgoing(alice.exchange, BOB)
        caller.listener = alice.recorder
        caller.call(b"offer")
        await settle()
        callee = bob.sessions[-1]
        callee.trying()
        callee.ring()
        await settle()
        if answer:
            callee.answer(b"answer")
            await settle()
        return caller, callee

    return place
