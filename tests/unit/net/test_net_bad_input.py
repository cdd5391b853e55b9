"""What strangers and hostile peers try: it ends with the smallest thing it can, and other channels go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jamid.core import limits
from jamid.core.identifiers import InfoHash
from jamid.dht.values import Value
from jamid.net import listener, mux_wire
from jamid.net.channels import Channel
from jamid.net.framing import frame
from jamid.net.generations import offer_keys
from jamid.net.mux_wire import ChannelMessage, ChannelState
from jamid.net.requests import USER_TYPE, PeerRequest
from jamid.net.stun import Attribute, Class, Message, Method
from tests.support.net.world import MemoryDht, Pair, make_account


async def connected(pair: Pair) -> tuple[Channel, Channel]:
    a, b = pair
    channel = await a.connections.open(b.certificate, "sip")
    return channel, await b.handler.opened_channels.get()


def raw(channel: Channel, data: bytes) -> None:
    """Sends DATA as plaintext of the channel's connection, past the multiplexer."""
    connection = channel.connection
    assert connection._link is not None
    connection._link.send_records(connection._engine.encrypt(data))


CHECK = Message(Method.BINDING, Class.REQUEST, bytes(12), ((Attribute.USERNAME, "nobody:x"),)).encode(b"key")


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", frame(b"\x16\x03\x01\0\x01x"), frame(CHECK), frame(CHECK[:-4] + b"fail")])
async def test_strangers_at_the_listener_are_shown_out(pair: Pair, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "FIRST_CHECK_SECONDS", 0.3)
    a, _ = pair
    reader, writer = await asyncio.open_connection("127.0.0.1", a.connections.listener.ports[4])
    writer.write(data)
    try:
        assert await asyncio.wait_for(reader.read(), 2) == b""
    except ConnectionError:
        pass
    writer.close()


async def test_silent_stranger_is_closed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "FIRST_CHECK_SECONDS", 0.2)
    a, _ = pair
    reader, writer = await asyncio.open_connection("127.0.0.1", a.connections.listener.ports[4])
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()


async def test_many_strangers_cost_only_their_oldest(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ICE_STRANGERS", 5)
    a, b = pair
    streams = [await asyncio.open_connection("127.0.0.1", a.connections.listener.ports[4]) for _ in range(20)]
    assert await a.connections.open(b.certificate, "sip", timeout=5)
    for _, writer in streams:
        writer.close()


async def test_flood_of_offers_is_bounded(pair: Pair, dht: MemoryDht) -> None:
    a, b = pair
    key = offer_keys(b.certificate, {a.connections.generations and next(iter(a.connections.generations))})[0].key
    view = dht.view(a.identity)
    blob = "ufrag000\npasswordpasswordpassword\nH1 1 TCP 1 127.0.0.1 1 typ host tcptype passive\n"
    for number in range(1000):
        await view.put_encrypted(key, b.certificate.public_key, Value(data=PeerRequest(number + 1, blob).encode(), user_type=USER_TYPE))
    await asyncio.sleep(0.2)
    assert len(b.connections.tasks) <= 3 * limits.PENDING_OFFERS_PER_DEVICE
    assert await b.connections.open(a.certificate, "sip", timeout=5)


async def test_garbage_and_replayed_requests_are_dropped(pair: Pair, dht: MemoryDht) -> None:
    a, b = pair
    await a.connections.open(b.certificate, "sip")
    offers = [(key, value, to) for key, values in dht.values.items() for value, to in values if b"isAnswer\xc2" in value.data]
    view = dht.view(a.identity)
    for key, value, to in offers:
        await view.put_encrypted(key, to, value)
    key = offers[0][0]
    for data in (b"", b"\xc1", b"\x80", PeerRequest(5, "").encode(), PeerRequest(6, "a\nb").encode()):
        await view.put_encrypted(key, b.certificate.public_key, Value(data=data, user_type=USER_TYPE))
    await view.put_encrypted(InfoHash.random(), b.certificate.public_key, Value(data=b"x", user_type=USER_TYPE))
    await asyncio.sleep(0.3)
    assert len(b.connections.connection_list()) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1\xc1",
        b"\x93\xa1a\x01",
        b"\x93\x01\x02\x03",
        b"\xdd\xff\xff\xff\xff",
        b"\x93\xa1a\xcd\xff\xff\x00",
        b"\x90" * 500,
        b"\x81" * 2000,
    ],
)
async def test_broken_control_frames_lose_only_themselves(pair: Pair, payload: bytes) -> None:
    channel, served = await connected(pair)
    raw(channel, mux_wire.encode_frame(mux_wire.CONTROL_CHANNEL, payload) + mux_wire.encode_frame(mux_wire.PROTOCOL_CHANNEL, payload))
    await channel.write(b"still here")
    assert await served.read() == b"still here"


@pytest.mark.parametrize("data", [b"\xc1", b"hello", b"\x92\xc0\xc0", mux_wire.encode_frame(0, bytes(10))[:2] + b"\xc6\xff\xff\xff\xff"])
async def test_a_broken_stream_ends_its_connection(pair: Pair, data: bytes) -> None:
    channel, served = await connected(pair)
    raw(channel, data + bytes(limits.MUX_CONTROL_BYTES + 1))
    await asyncio.wait_for(served.wait_closed(), 3)
    await asyncio.wait_for(channel.wait_closed(), 3)
    a, b = pair
    assert await a.connections.open(b.certificate, "sip", timeout=5)


async def test_frames_for_unknown_channels_are_ignored(pair: Pair) -> None:
    channel, served = await connected(pair)
    for number in range(100, 200):
        raw(channel, mux_wire.encode_frame(number, b"data") + mux_wire.encode_frame(number, b""))
    await channel.write(b"still here")
    assert await served.read() == b"still here"


async def test_a_number_in_use_is_declined_and_channels_are_counted(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHANNELS_PER_CONNECTION", 50)
    channel, served = await connected(pair)
    request = mux_wire.encode_channel_message(ChannelMessage("test", channel.number, ChannelState.REQUEST))
    raw(channel, request)
    for number in range(1000, 1200):
        raw(channel, mux_wire.encode_channel_message(ChannelMessage("test", number, ChannelState.REQUEST)))
    await channel.write(b"still here")
    assert await served.read() == b"still here"
    assert len(served.connection.mux.channels) == 50


async def test_a_peer_that_only_asks_and_never_reads_is_cut_off(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MUX_CONTROL_WAITING", 600)
    channel, served = await connected(pair)
    assert channel.connection._link is not None
    channel.connection._link.pause_reading()
    beacons = mux_wire.encode_protocol_message(mux_wire.ProtocolMessage(beacon=True)) * 2000
    for _ in range(300):
        raw(channel, beacons)
        await asyncio.sleep(0)
        if served.closed:
            break
    await asyncio.wait_for(served.wait_closed(), 5)


async def test_another_device_than_the_asked_one_is_refused(dht: MemoryDht, tmp_path: Path) -> None:
    a, b = await make_account("a", dht, tmp_path), await make_account("b", dht, tmp_path)
    try:
        b.connections.context = (await make_account("c", dht, tmp_path)).connections.context
        with pytest.raises(ConnectionError, match="another device"):
            await a.connections.open(b.certificate, "sip", timeout=5)
        assert not a.connections.connected_devices()
    finally:
        await a.connections.close()
        await b.connections.close()


async def test_unsigned_stun_on_a_live_connection_changes_nothing(pair: Pair) -> None:
    channel, served = await connected(pair)
    assert channel.connection._link is not None
    kinds = ((Method.BINDING, Class.INDICATION), (Method.BINDING, Class.SUCCESS), (Method.ALLOCATE, Class.ERROR))
    for data in (CHECK, *(Message(method, cls, bytes(12)).encode() for method, cls in kinds)):
        for _ in range(20):
            channel.connection._link.send_stun(data)
    await channel.write(b"still here")
    assert await served.read() == b"still here"


async def test_a_cut_connection_is_noticed_and_made_anew(pair: Pair) -> None:
    channel, served = await connected(pair)
    assert served.connection._link is not None
    served.connection._link.abort()
    await asyncio.wait_for(channel.wait_closed(), 2)
    a, b = pair
    again = await a.connections.open(b.certificate, "sip", timeout=5)
    assert again.connection is not channel.connection
