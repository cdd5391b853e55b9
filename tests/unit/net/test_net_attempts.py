"""Devices that cannot be reached are asked less and less, until something says that they are back."""

from __future__ import annotations

import asyncio

import pytest

from jamid.core import limits
from jamid.core.identifiers import InfoHash
from jamid.dht.values import Value
from jamid.net import attempts, backoff, negotiation
from jamid.net.backoff import FIRST_PAUSE, LONGEST_PAUSE, Backoff
from jamid.net.candidates import Blob, Candidate
from jamid.net.connection import Connection
from jamid.net.ice_tcp import IceTcpSession
from jamid.net.links import TcpLink
from jamid.net.requests import parse_request
from tests.support.net.world import MemoryDht, Pair


def test_pauses_double_up_to_the_longest_and_end_with_success() -> None:
    pauses = Backoff()
    now = 100.0
    assert pauses.left("x", now) == 0
    lengths = []
    for _ in range(12):
        pauses.failed("x", "no way", now)
        lengths.append(pauses.left("x", now))
        now += lengths[-1]
        assert pauses.left("x", now) == 0
    assert lengths[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert lengths[-1] == LONGEST_PAUSE
    assert pauses.reason("x") == "no way"
    assert pauses.left("y", now) == 0
    pauses.forget("x")
    pauses.failed("x", "again", now)
    assert pauses.left("x", now) == FIRST_PAUSE


def test_failures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KNOWN_DEVICES", 3)
    pauses = Backoff()
    for name in "abcda":
        pauses.failed(name, "", 0)
    assert [name for name in "abcd" if pauses.left(name, 0)] == ["a", "c", "d"]


class Offers:
    """Counts the offers that are put, and loses them while `lose` is set."""

    def __init__(self, dht: MemoryDht) -> None:
        self.ids: list[int] = []
        self.lose = True
        dht.lost = self._lost

    def _lost(self, key: InfoHash, value: Value) -> bool:
        request = parse_request(value.data)
        if not request.is_answer and request.id not in self.ids:
            self.ids.append(request.id)
        return self.lose


async def fails(pair: Pair, timeout: float = 1.0, kind: str = "") -> str:
    a, b = pair
    with pytest.raises(ConnectionError) as caught:
        await a.connections.open(b.certificate, "sip", timeout=timeout, kind=kind)
    return str(caught.value)


async def test_who_asks_again_and_again_makes_few_offers(pair: Pair, dht: MemoryDht, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negotiation, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(backoff, "FIRST_PAUSE", 0.2)
    offers = Offers(dht)
    loop = asyncio.get_running_loop()
    end = loop.time() + 2
    while loop.time() < end:
        await fails(pair, 0.1)
    assert 2 <= len(offers.ids) <= 4  # after 0, 0.25, 0.7 and 1.55 s
    assert "did not answer within 0 s; tried again in" in await fails(pair, 0.01)


async def test_a_call_is_tried_at_once(pair: Pair, dht: MemoryDht, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negotiation, "ANSWER_SECONDS", 0.05)
    offers = Offers(dht)
    await fails(pair)
    offers.lose = False
    monkeypatch.setattr(negotiation, "ANSWER_SECONDS", 5)
    a, b = pair
    await asyncio.wait_for(a.connections.open(b.certificate, "sip", kind="audioCall"), FIRST_PAUSE / 2)
    assert len(offers.ids) == 2


@pytest.mark.parametrize("how", ["presence", "network", "their connection"])
async def test_signs_of_life_end_the_pause(how: str, pair: Pair, dht: MemoryDht, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_PAUSE", 60.0)
    monkeypatch.setattr(negotiation, "ANSWER_SECONDS", 0.05)
    a, b = pair
    offers = Offers(dht)
    await fails(pair)
    offers.lose = False
    monkeypatch.setattr(negotiation, "ANSWER_SECONDS", 5)
    waiting = asyncio.create_task(a.connections.open(b.certificate, "sip", timeout=5))
    await asyncio.sleep(0.1)
    assert len(offers.ids) == 1
    match how:
        case "presence":
            a.connections.wake(b.identity.device_id)
        case "network":
            a.connections.connectivity_changed()
        case "their connection":
            await b.connections.open(a.certificate, "sip", timeout=5)
    await asyncio.wait_for(waiting, 3)


async def test_an_offer_of_the_device_ends_the_pause(pair: Pair, dht: MemoryDht, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_PAUSE", 60.0)
    monkeypatch.setattr(negotiation, "ANSWER_SECONDS", 0.05)
    a, b = pair
    offers = Offers(dht)
    await fails(pair)
    offers.lose = False
    dht.lost = lambda key, value: parse_request(value.data).is_answer  # their attempt fails as well
    with monkeypatch.context() as patch:
        patch.setattr(IceTcpSession, "start", _nothing)
        patch.setattr(IceTcpSession, "adopt", lambda session, link, first: link.abort())
        with pytest.raises(ConnectionError, match="did not answer"):
            await b.connections.open(a.certificate, "sip", timeout=1)
    monkeypatch.setattr(negotiation, "ANSWER_SECONDS", 5)
    offers = Offers(dht)
    offers.lose = False
    await a.connections.open(b.certificate, "sip", timeout=3)
    assert len(offers.ids) == 1


async def _nothing(*_: object) -> None:
    pass


async def test_failed_handshakes_count_too(pair: Pair, dht: MemoryDht, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_PAUSE", 60.0)
    offers = Offers(dht)
    offers.lose = False

    async def refuse(connection: Connection, link: object) -> None:
        raise ConnectionError("TLS failed")

    monkeypatch.setattr(Connection, "start", refuse)
    assert "TLS failed" in await fails(pair, 5)
    made = len(offers.ids)
    assert made == 2  # a handshake that breaks is tried once more at once
    for _ in range(5):
        assert "TLS failed; tried again in" in await fails(pair, 0.05)
    assert len(offers.ids) == made


async def test_connections_asked_for_beside_others_are_bounded(pair: Pair, dht: MemoryDht) -> None:
    a, b = pair
    offers = Offers(dht)
    tasks = [asyncio.create_task(a.connections.open(b.certificate, "sip", new_socket=True, timeout=0.5)) for _ in range(20)]
    await asyncio.wait(tasks)
    assert all(isinstance(task.exception(), ConnectionError) for task in tasks)
    assert len(offers.ids) == limits.ATTEMPTS_PER_DEVICE


async def test_a_certificate_that_nobody_has_is_not_sought_all_the_time(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_CERTIFICATE_PAUSES", (0.0,))
    a, b = pair
    a.policy.known.clear()
    with pytest.raises(ConnectionError, match="certificate"):
        await a.connections.open(b.certificate.long_id, "sip", timeout=1)
    with pytest.raises(ConnectionError, match=r"certificate of device .* tried again in 1 s"):
        await a.connections.open(b.certificate.long_id, "sip", timeout=0.1)


async def test_a_peer_without_relay_is_asked_again_as_soon_as_only_our_relay_is_left(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """13.7.0 behind walls: it knocks at our relay once, before the relay was told of it, and has none of its own."""
    a, b = pair
    gather, connect = IceTcpSession.gather, IceTcpSession._connect
    sessions: list[IceTcpSession] = []

    async def counted(self: IceTcpSession) -> Blob:
        if not self._agent.controlling:
            sessions.append(self)
        return await gather(self)

    async def walled(self: IceTcpSession, target: Candidate) -> None:
        if len(sessions) > 1:
            await connect(self, target)

    monkeypatch.setattr(negotiation, "LATE_RELAY_SECONDS", 0.2)
    monkeypatch.setattr(IceTcpSession, "uses_relay", True)
    monkeypatch.setattr(IceTcpSession, "gather", counted)
    monkeypatch.setattr(IceTcpSession, "_connect", walled)
    await asyncio.wait_for(a.connections.open(b.certificate, "sip"), 3)
    assert len(sessions) == 2


async def test_a_path_that_is_being_found_is_waited_for(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    established = IceTcpSession.established
    sessions: list[IceTcpSession] = []

    async def slowly(self: IceTcpSession, timeout: float) -> TcpLink:
        link = await established(self, timeout)
        if not self._agent.controlling:
            sessions.append(self)
            await asyncio.sleep(0.2)
        return link

    monkeypatch.setattr(negotiation, "LATE_RELAY_SECONDS", 0.05)
    monkeypatch.setattr(IceTcpSession, "uses_relay", True)
    monkeypatch.setattr(IceTcpSession, "established", slowly)
    await asyncio.wait_for(a.connections.open(b.certificate, "sip"), 3)
    assert len(sessions) == 1
