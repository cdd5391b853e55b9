"""Peers that got through to TCP, TLS or the multiplexer and misbehave there: they lose what they hold, nobody else does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from OpenSSL import SSL

from jamid.core import limits
from jamid.net import connection, mux_wire, tls
from jamid.net.candidates import Credentials
from jamid.net.channels import Channel
from jamid.net.connection import Connection
from jamid.net.ice_agent import Close, IceTcpAgent
from jamid.net.ice_tcp import IceTcpSession
from jamid.net.links import TcpLink
from jamid.net.mux_wire import ChannelMessage, ChannelState
from jamid.net.stun import Attribute, Class, Message, Method
from tests.support.net.world import MemoryDht, Pair, make_account, opened


def link_of(channel: Channel) -> TcpLink:
    link = channel.connection._link
    assert link is not None
    return link


def raw(channel: Channel, data: bytes) -> None:
    """Sends DATA as plaintext of the channel's connection, past the multiplexer."""
    link_of(channel).send_records(channel.connection._engine.encrypt(data))


@pytest.mark.parametrize("role", ["server", "client"])
async def test_a_handshake_that_comes_byte_by_byte_ends_in_time(pair: Pair, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    a, b = pair
    start = Connection.start
    slow: list[Connection] = []

    async def dribble(one: Connection, link: TcpLink) -> None:
        if one.outgoing is (role == "client"):
            await start(one, link)
            return
        slow.append(one)
        one._link = link
        if role == "client":
            one._engine.start()
        for byte in one._engine.take_output() or bytes(2000):
            if link.closed:
                raise ConnectionError("closed by the other side")
            link.send_records(bytes([0x16 if role == "server" else byte]))
            await asyncio.sleep(0.02)
        await asyncio.sleep(60)

    monkeypatch.setattr(connection, "HANDSHAKE_SECONDS", 0.4)
    monkeypatch.setattr(Connection, "start", dribble)
    began = asyncio.get_running_loop().time()
    with pytest.raises(ConnectionError):
        await a.connections.open(b.certificate, "sip", timeout=8)
    assert asyncio.get_running_loop().time() - began < 5
    assert slow
    monkeypatch.setattr(Connection, "start", start)
    await b.connections.open(a.certificate, "sip", timeout=8)


async def test_a_fin_without_close_notify_ends_the_connection(pair: Pair) -> None:
    channel, served = await opened(pair, "sip")
    transport = link_of(served)._transport
    assert transport is not None
    transport.write_eof()
    await asyncio.wait_for(asyncio.gather(channel.wait_closed(), served.wait_closed()), 2)
    assert not pair[0].connections.connected_devices()


async def test_the_kernel_gives_up_peers_that_vanished(pair: Pair) -> None:
    channel, _ = await opened(pair, "sip")
    transport = link_of(channel)._transport
    assert transport is not None
    tcp = transport.get_extra_info("socket")
    assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
    assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    assert idle + tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) * tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) <= 75


async def test_frames_for_a_channel_we_have_closed_are_thrown_away(pair: Pair) -> None:
    channel, served = await opened(pair, "sip")
    other, served_other = await opened(pair, "test")
    number = served.number
    served.close()
    for _ in range(300):
        raw(channel, mux_wire.encode_frame(number, bytes(65535)))
        await asyncio.sleep(0)
    raw(channel, mux_wire.encode_frame(number, b""))
    await other.write(b"still here")
    assert await asyncio.wait_for(served_other.read(), 10) == b"still here"
    assert served.unread == 0
    assert served.connection.mux.backlog.total == 0
    again = mux_wire.encode_channel_message(ChannelMessage("test", number, ChannelState.REQUEST))
    raw(channel, again + mux_wire.encode_frame(number, b"new life"))
    reopened = await asyncio.wait_for(pair[1].handler.opened_channels.get(), 2)
    assert await reopened.read() == b"new life"


@pytest.mark.parametrize("hostile_asks", [True, False])
async def test_renegotiation_is_refused(hostile_asks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS 1.2, by a peer that allows it: as client it sends a ClientHello, as server it asks for one."""
    dht = MemoryDht()
    with monkeypatch.context() as patch:
        patch.setattr(tls, "_OPTIONS", SSL.OP_NO_TICKET)
        hostile = await make_account("a", dht, tmp_path)
    hostile.connections.context.set_max_proto_version(SSL.TLS1_2_VERSION)
    honest = await make_account("b", dht, tmp_path)
    asking, answering = (hostile, honest) if hostile_asks else (honest, hostile)
    await asking.connections.open(answering.certificate, "sip")
    connection = hostile.connections.newest(honest.identity.device_id)
    attacked = honest.connections.newest(hostile.identity.device_id)
    assert connection is not None
    assert attacked is not None
    engine = connection._engine._connection
    assert engine.renegotiate()
    with contextlib.suppress(SSL.WantReadError):
        engine.do_handshake()
    assert connection._link is not None
    hello = connection._engine.take_output()
    assert hello
    connection._link.send_records(hello)
    await asyncio.sleep(0.3)
    assert attacked._engine._connection.total_renegotiations() == 0
    assert not attacked._engine._connection.renegotiate_pending()
    assert await asyncio.wait_for(honest.connections.open(hostile.certificate, "sip", timeout=5, new_socket=True), 5)
    await hostile.connections.close()
    await honest.connections.close()


@pytest.mark.parametrize("signed", [True, False])
async def test_a_peer_that_asks_with_stun_and_never_reads_is_cut_off(pair: Pair, signed: bool) -> None:
    channel, served = await opened(pair, "sip")
    link, session = link_of(channel), served.connection._session
    assert isinstance(session, IceTcpSession)
    ours, theirs = session._agent.local, session._agent.remote
    assert theirs is not None
    attributes = ((Attribute.PRIORITY, 1), (Attribute.ICE_CONTROLLED, 1), (Attribute.USERNAME, f"{ours.ufrag}:{theirs.ufrag}"))
    check = Message(Method.BINDING, Class.REQUEST, bytes(12), attributes).encode(ours.pwd.encode() if signed else b"guess")
    link.pause_reading()
    highest = 0
    for _ in range(400):
        for _ in range(100):
            link.send_stun(check)
            if link.closed:
                break
        await asyncio.sleep(0)
        transport = link_of(served)._transport
        highest = max(highest, transport.get_write_buffer_size() if transport is not None else 0)
        if served.closed or link.closed:
            break
    await asyncio.wait_for(served.wait_closed(), 10)
    assert highest <= limits.LINK_UNSENT_BYTES + limits.STUN_MESSAGE_BYTES


def test_links_of_one_session_are_counted() -> None:
    agent = IceTcpAgent(Credentials.random(), controlling=True)
    for number in range(limits.ICE_LINKS + 3):
        agent.link_opened(number, ("192.0.2.1", number + 1), 0.0)
    assert [command for command in agent.take() if isinstance(command, Close)] == [Close(limits.ICE_LINKS + n) for n in range(3)]


async def test_early_bytes_are_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS on a connection that is not selected is kept up to a limit, then the connection is aborted."""
    a, _ = pair
    session = IceTcpSession(a.connections.listener, a.connections.settings.ice, controlling=True)
    closed: list[bool] = []
    link = TcpLink(session)
    monkeypatch.setattr(link, "abort", lambda: closed.append(True))
    session._add(link, None)
    for _ in range(limits.ICE_EARLY_BYTES // 1024):
        session.data_received(link, bytes(1024))
    assert not closed
    session.data_received(link, b"x")
    assert closed
    await session.close()
