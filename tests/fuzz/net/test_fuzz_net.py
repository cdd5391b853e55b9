"""Whatever strangers send: a message or a RemoteError, nothing else."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from jamid.core.errors import RemoteError
from jamid.net import candidates, mux_wire, stun, turn
from jamid.net.candidates import Blob, Credentials
from jamid.net.framing import Deframer
from jamid.net.ice_agent import IceTcpAgent
from jamid.net.mux_wire import MuxParser
from jamid.net.port_mapping import natpmp, upnp
from jamid.net.requests import parse_request

DATA = Path(__file__).resolve().parents[2] / "data" / "net"
CHECKS = [
    bytes.fromhex(entry["frame"])[2:]
    for connection in json.loads((DATA / "ice_tcp_stun.json").read_text())["connections"]
    for entry in connection["frames"]
]
TURN = [bytes.fromhex(entry["hex"]) for entry in json.loads((DATA / "turn_tcp.json").read_text())["control"]]
BLOBS = [entry["decoded"]["ice_msg"] for entry in json.loads((DATA / "peer_request.json").read_text())]
REQUESTS = [bytes.fromhex(entry["msgpack"]) for entry in json.loads((DATA / "peer_request.json").read_text())]
FRAMES = [bytes.fromhex(text) for text in json.loads((DATA / "mux_frames.json").read_text()).values()]


ANY = st.recursive(st.one_of(st.none(), st.integers(-1, 2**64 - 1), st.text(max_size=5)), lambda x: st.lists(x, max_size=4))


@st.composite
def spoiled(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A recorded message with some bytes changed, cut off or added."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 4))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    end = draw(st.integers(0, len(data)))
    return bytes(data[:end] if draw(st.booleans()) else data) + draw(st.binary(max_size=8))


@given(st.one_of(st.binary(max_size=200), spoiled(CHECKS + TURN)))
def test_stun(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        message = stun.parse(data)
        stun.verify(data, b"key")
        stun.has_integrity(data)
        message.error()
        with contextlib.suppress(RemoteError):
            stun.parse(message.encode(b"key"))


@given(st.lists(st.one_of(st.binary(max_size=300), spoiled(TURN)), max_size=5))
def test_turn(chunks: list[bytes]) -> None:
    client = turn.TurnClient(turn.TurnServer("server", 3478, "user", "password"))
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        with contextlib.suppress(RemoteError):
            while (message := turn.take_message(buffer)) is not None:
                client.receive(message)


@given(st.one_of(st.text(max_size=400), st.builds(lambda blob, cut: blob[cut:] + blob[:cut], st.sampled_from(BLOBS), st.integers(0, 300))))
def test_blob(text: str) -> None:
    with contextlib.suppress(RemoteError):
        blob = candidates.parse_blob(text)
        for candidate in blob.candidates:
            assert candidates.parse_line(candidate.to_line()) == candidate
            assert candidate.connectable in (True, False)


@given(st.one_of(st.binary(max_size=200), spoiled(REQUESTS)))
def test_request(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        parse_request(data)


@given(ANY)
def test_request_of_any_shape(content: object) -> None:
    with contextlib.suppress(RemoteError):
        parse_request(msgpack.packb({"id": content, "ice_msg": content, "isAnswer": content}))


@given(st.lists(st.one_of(st.binary(max_size=100), spoiled(FRAMES)), max_size=6))
def test_mux_stream(chunks: list[bytes]) -> None:
    parser = MuxParser()
    with contextlib.suppress(RemoteError):
        for chunk in chunks:
            for channel, piece, _ in parser.feed(chunk):
                assert 0 <= channel <= 0xFFFF
                mux_wire.parse_control(bytes(piece))
                mux_wire.parse_protocol(bytes(piece))


@given(st.lists(st.binary(max_size=100_000), max_size=4), st.integers(1, 70_000))
def test_frames_survive_any_cutting(payloads: list[bytes], step: int) -> None:
    payloads = [b"\x17" + payload[:60_000] for payload in payloads]
    stream = b"".join(len(payload).to_bytes(2, "big") + payload for payload in payloads)
    deframer = Deframer()
    received = b"".join(
        bytes(piece) for start in range(0, len(stream), step) for _, piece in deframer.feed(memoryview(stream[start : start + step]))
    )
    assert received == b"".join(payloads)


@given(st.lists(st.tuples(st.integers(1, 0xFFFE), st.binary(max_size=70_000)), max_size=4), st.integers(1, 20_000))
def test_mux_frames_survive_any_cutting(frames: list[tuple[int, bytes]], step: int) -> None:
    frames = [(channel, payload[: mux_wire.MAX_PAYLOAD]) for channel, payload in frames]
    stream = b"".join(mux_wire.encode_frame(channel, payload) for channel, payload in frames)
    parser = MuxParser()
    received: list[tuple[int, bytes]] = []
    current = b""
    for start in range(0, len(stream), step):
        for channel, piece, last in parser.feed(stream[start : start + step]):
            current += bytes(piece)
            if last:
                received.append((channel, current))
                current = b""
    assert received == frames


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.binary(max_size=150), spoiled(CHECKS))), max_size=12), st.booleans())
def test_agent_takes_any_message(messages: list[tuple[int, bytes]], controlling: bool) -> None:
    agent = IceTcpAgent(Credentials("725188c9", "76b49a9054da6cf2149305ff"), controlling)
    for link in range(3):
        agent.link_opened(link, ("10.77.0.3", 1000 + link), 0.0)
    for number, (link, data) in enumerate(messages):
        if number == 4:
            agent.set_remote(Blob(Credentials("2c6692dc", "5c38312f6943069c683bbf68"), ()), 1.0)
        agent.message_received(link, data, number * 0.1)
        agent.data_received(link)
        agent.tick(number * 0.1)
        agent.take()


@given(st.one_of(st.binary(max_size=80), st.builds(lambda rest: b"\x02\x81\0\0" + rest, st.binary(max_size=80))))
def test_router_port(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        natpmp.parse(data)


_DESCRIPTION = (
    "<root xmlns='urn:x'><device><serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>"
    "<controlURL>/ctl</controlURL></service></serviceList></device></root>"
)


@given(st.one_of(st.binary(max_size=200), spoiled([_DESCRIPTION.encode(), b"<a><errorCode>718</errorCode></a>"])))
def test_router_documents(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        upnp.parse_description(data, "http://10.0.0.1:5000/root.xml")
    with contextlib.suppress(RemoteError):
        upnp.parse_soap(data)


@given(st.text(max_size=60))
def test_router_search(location: str) -> None:
    with contextlib.suppress(RemoteError):
        found = upnp.parse_search_response(f"HTTP/1.1 200 OK\r\nLOCATION: {location}\r\n\r\n".encode(), "10.0.0.1")
        assert found.startswith("http")
