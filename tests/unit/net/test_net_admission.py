"""Under which account a peer is let in, and what is left behind when things end halfway."""

from __future__ import annotations

import asyncio
import functools
import socket

import pytest

from jamid.core import limits
from jamid.crypto.certificates import Certificate, create_account_certificate, create_ca, create_device_certificate
from jamid.crypto.identity import Identity
from jamid.crypto.keys import PrivateKey
from jamid.net.channels import Channel
from jamid.net.listener import Listener
from jamid.net.mux_wire import ChannelMessage, ChannelState
from jamid.net.relay import TurnTcpRelay
from jamid.net.tls import make_context
from jamid.net.turn import TurnServer
from tests.support.net.world import Pair


@functools.cache
def account_keys() -> tuple[PrivateKey, PrivateKey]:
    return PrivateKey.generate(2048), PrivateKey.generate(2048)


def under_another_account(identity: Identity) -> Identity:
    """The same device key, certified by another account than the one known from the DHT."""
    ca_key, account_key = account_keys()
    ca = create_ca(ca_key)
    account = create_account_certificate(account_key, ca_key, ca)
    return Identity(identity.key, create_device_certificate(identity.key.public, account_key, account))


async def test_a_caller_cannot_come_in_under_a_blocked_account(pair: Pair) -> None:
    a, b = pair
    blocked = under_another_account(a.identity)
    a.connections.context = make_context(blocked)
    b.policy.refused.add(blocked.account_uri)
    with pytest.raises(ConnectionError):
        await a.connections.open(b.certificate, "sip", timeout=3)
    assert b.handler.opened_channels.empty()
    assert not b.connections.connected_devices()


async def test_who_is_called_cannot_answer_under_a_blocked_account(pair: Pair) -> None:
    a, b = pair
    blocked = under_another_account(a.identity)
    a.connections.context = make_context(blocked)
    b.policy.refused.add(blocked.account_uri)
    with pytest.raises(ConnectionError):
        await b.connections.open(a.certificate, "sip", timeout=3)
    assert not b.connections.connected_devices()


async def test_who_is_called_need_not_be_allowed_to_call(pair: Pair) -> None:
    a, b = pair
    b.policy.refused.add(a.identity.account_uri)
    channel = await b.connections.open(a.certificate, "sip", timeout=5)
    assert channel.peer.account_uri == a.identity.account_uri


async def test_blocking_reaches_a_connection_that_is_being_made(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    asked: list[Certificate] = []

    def allows(certificate: Certificate) -> bool:
        asked.append(certificate)
        return len(asked) == 1

    monkeypatch.setattr(b.policy, "allows", allows)
    with pytest.raises(ConnectionError):
        await a.connections.open(b.certificate, "sip", timeout=2)
    assert len(asked) >= 2
    assert b.handler.opened_channels.empty()


async def test_a_revoked_device_loses_all_its_connections(pair: Pair) -> None:
    a, b = pair
    first = await a.connections.open(b.certificate, "sip")
    second = await a.connections.open(b.certificate, "test", new_socket=True)
    assert first.connection is not second.connection
    b.connections.close_device(a.identity.device_id)
    await asyncio.wait_for(asyncio.gather(first.wait_closed(), second.wait_closed()), 3)
    assert not b.connections.connected(a.identity.device_id)


async def test_a_failing_handler_loses_only_its_channel(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    kept = await a.connections.open(b.certificate, "sip")

    def broken(channel: Channel) -> None:
        raise RuntimeError("a mistake of ours")

    with monkeypatch.context() as patch:
        patch.setattr(b.handler, "opened", broken)
        lost = await a.connections.open(b.certificate, "test")
        await asyncio.wait_for(lost.wait_closed(), 2)
    assert not kept.closed
    assert await a.connections.open(b.certificate, "git") is not None


async def test_a_farewell_waits_until_the_peer_has_read_it(pair: Pair) -> None:
    a, b = pair
    channel = await a.connections.open(b.certificate, "sip")
    served = await b.handler.opened_channels.get()
    link, slow = channel.connection._link, served.connection._link
    assert link is not None
    assert slow is not None
    slow.pause_reading()
    leaving = asyncio.create_task(channel.connection.close())
    await asyncio.sleep(0.1)
    assert not link._transport.is_closing()  # type: ignore[union-attr]
    slow.resume_reading()
    await asyncio.wait_for(leaving, 2)
    await asyncio.wait_for(served.wait_closed(), 1)


async def test_a_channel_that_comes_up_while_its_opener_gives_up_is_closed(pair: Pair) -> None:
    a, b = pair
    mux = (await a.connections.open(b.certificate, "sip")).connection.mux
    opening = asyncio.create_task(mux.open("test", 5))
    await asyncio.sleep(0)
    ((number, future),) = mux._requested.items()
    mux._channel_answer(ChannelMessage("test", number, ChannelState.ACCEPT))
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert future.result().closed
    assert number not in mux.channels


async def test_a_burst_of_strangers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ICE_STRANGERS", 5)
    listener = Listener()
    await listener.start()
    strangers = [socket.create_connection(("127.0.0.1", listener.ports[4])) for _ in range(60)]
    try:
        await asyncio.sleep(0.3)
        alive = 0
        for stranger in strangers:
            stranger.setblocking(False)
            try:
                alive += stranger.recv(1) != b""
            except BlockingIOError:
                alive += 1
            except ConnectionError:
                pass
        assert alive == 5
    finally:
        for stranger in strangers:
            stranger.close()
        await listener.close()


async def test_a_relay_given_up_while_it_opens_leaves_no_connection() -> None:
    accepted, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    relay = TurnTcpRelay(TurnServer("127.0.0.1", server.sockets[0].getsockname()[1]), Listener(), lambda link: None)
    opening = asyncio.create_task(relay.open())
    await asyncio.wait_for(accepted.wait(), 2)
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await asyncio.wait_for(ended.wait(), 2)
    server.close()
