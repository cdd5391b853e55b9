"""The recorded sessions of both generations, walked byte by byte."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from jamid.core.generations import BOTH
from jamid.crypto.certificates import Certificate
from jamid.net import candidates, generations, mux_wire, stun, turn
from jamid.net.framing import Deframer
from jamid.net.mux_wire import ChannelMessage, ChannelState, MuxParser, ProtocolMessage
from jamid.net.requests import PeerRequest, parse_request
from jamid.net.stun import Attribute, Class, Method

DATA = Path(__file__).resolve().parents[2] / "data" / "net"
GENERATIONS = [DATA, DATA / "gen17"]


def load(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text())


def deframed(data: bytes, step: int) -> list[tuple[bool, bytes]]:
    deframer = Deframer()
    found: list[tuple[bool, bytes]] = []
    for start in range(0, len(data), step):
        found += [(is_stun, bytes(piece)) for is_stun, piece in deframer.feed(memoryview(data[start : start + step]))]
    assert not deframer.inside_frame
    return found


@pytest.mark.parametrize("directory", GENERATIONS)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_every_check_is_read_and_its_signature_holds(directory: Path, step: int) -> None:
    session = load(directory, "ice_tcp_stun.json")
    seen: set[Class] = set()
    for connection in session["connections"]:
        for entry in connection["frames"]:
            ((is_stun, message),) = deframed(bytes.fromhex(entry["frame"]), step)
            assert is_stun
            parsed = stun.parse(message)
            assert parsed.method == Method.BINDING
            seen.add(parsed.cls)
            if "key" in entry:
                assert stun.verify(message, entry["key"].encode())
                assert not stun.verify(message, b"another password")
            if parsed.cls is Class.REQUEST:
                assert parsed.number(Attribute.PRIORITY)
                assert parsed.text(Attribute.SOFTWARE).startswith("pjnath-2.1")
                assert generations.generation_of_software(parsed.text(Attribute.SOFTWARE)) is not None
            if parsed.cls is Class.SUCCESS:
                assert parsed.address(Attribute.XOR_MAPPED_ADDRESS)
    assert {Class.REQUEST, Class.SUCCESS} <= seen


def test_our_encoding_of_a_response_is_theirs() -> None:
    session = load(DATA, "ice_tcp_stun.json")
    for connection in session["connections"]:
        for entry in connection["frames"]:
            message = bytes.fromhex(entry["frame"])[2:]
            parsed = stun.parse(message)
            rebuilt = stun.parse(parsed.encode(entry["key"].encode() if "key" in entry else None))
            assert rebuilt == parsed


@pytest.mark.parametrize("directory", GENERATIONS)
def test_turn_session(directory: Path) -> None:
    session = load(directory, "turn_tcp.json")
    key = hashlib.md5(b"ring:ring:ring", usedforsecurity=False).digest()
    methods: list[tuple[int, Class]] = []
    for entry in session["control"]:
        data = bytearray.fromhex(entry["hex"])
        while (message := turn.take_message(data)) is not None:
            parsed = stun.parse(message)
            methods.append((parsed.method, parsed.cls))
            if stun.has_integrity(message):
                assert stun.verify(message, key)
            if parsed.method == Method.ALLOCATE and parsed.cls is Class.REQUEST:
                assert parsed.number(Attribute.REQUESTED_TRANSPORT) == turn.TRANSPORT_TCP
            if parsed.method == Method.CONNECTION_ATTEMPT:
                assert parsed.number(Attribute.CONNECTION_ID) is not None
                assert parsed.address(Attribute.XOR_PEER_ADDRESS)
    assert (Method.ALLOCATE, Class.SUCCESS) in methods
    assert (Method.CREATE_PERMISSION, Class.SUCCESS) in methods
    assert (Method.CONNECTION_ATTEMPT, Class.INDICATION) in methods


def test_our_allocation_is_theirs_but_for_the_software() -> None:
    (first, refusal) = (bytes.fromhex(entry["hex"]) for entry in load(DATA, "turn_tcp.json")["control"][:2])
    client = turn.TurnClient(turn.TurnServer("10.77.0.1", 3478, "ring", "ring", "ring"))
    request = stun.parse(client.allocate())
    theirs = stun.parse(first)
    assert request.attributes == tuple(item for item in theirs.attributes if item[0] != Attribute.SOFTWARE)
    answered = refusal[:8] + request.transaction + refusal[20:-8]  # the fingerprint is over the transaction id
    answered = answered[:2] + (len(answered) - 20).to_bytes(2, "big") + answered[4:]
    output = client.receive(answered)
    assert isinstance(output, turn.Output)
    key = hashlib.md5(b"ring:ring:ring", usedforsecurity=False).digest()
    assert stun.verify(output.data, key)


@pytest.mark.parametrize("directory", GENERATIONS)
def test_tls_session(directory: Path) -> None:
    session = load(directory, "tls_mux_session.json")
    first_tls: dict[str, bytes] = {}
    for entry in session["frames"]:
        payload = bytes.fromhex(entry["hex"])
        if not payload:
            continue
        framed = len(payload).to_bytes(2, "big") + payload
        pieces = deframed(framed, 1000)
        assert b"".join(piece for _, piece in pieces) == payload
        is_stun = pieces[0][0]
        if is_stun:
            stun.parse(payload)
        else:
            assert 0x14 <= payload[0] <= 0x17
            first_tls.setdefault(entry["dir"], payload)
    assert len(first_tls) == 2


def test_plaintext_is_cut_into_the_recorded_messages() -> None:
    session = load(DATA, "tls_mux_session.json")
    for direction in {entry["dir"] for entry in session["appdata"]}:
        parser = MuxParser()
        frames: list[tuple[int, bytes]] = []
        current = b""
        for entry in session["appdata"]:
            if entry["dir"] != direction:
                continue
            known = bytes.fromhex(re.match("[0-9a-f]*", entry["hex"])[0])  # type: ignore[index]
            # Long records were recorded only by their beginning and length.
            for channel, piece, last in parser.feed(known + bytes(entry["length"] - len(known))):
                current += bytes(piece)
                if last:
                    frames.append((channel, current))
                    current = b""
        recorded = [entry for entry in session["mux"] if entry["dir"] == direction]
        assert [channel for channel, _ in frames] == [entry["channel"] for entry in recorded]
        assert [len(payload) for _, payload in frames] == [entry["length"] for entry in recorded]
        for (channel, payload), entry in zip(frames, recorded, strict=True):
            if channel == mux_wire.CONTROL_CHANNEL and len(payload) < 120:
                (message,) = mux_wire.parse_control(payload)
                assert isinstance(message, ChannelMessage)
                assert [message.name, message.channel, message.state] == entry["control"]
            elif channel == mux_wire.PROTOCOL_CHANNEL:
                assert mux_wire.parse_protocol(payload) != [ProtocolMessage()]


def test_single_frames() -> None:
    recorded = {name: bytes.fromhex(text) for name, text in load(DATA, "mux_frames.json").items()}
    assert mux_wire.encode_protocol_message(ProtocolMessage(version=1)) == recorded["version"]
    assert mux_wire.encode_protocol_message(ProtocolMessage(beacon=True)) == recorded["beacon_ping"]
    assert mux_wire.encode_protocol_message(ProtocolMessage(beacon=False)) == recorded["beacon_pong"]
    for name, channel, state in (
        ("request_sip_0x1234", "sip", ChannelState.REQUEST),
        ("accept_sip_0x1234", "sip", ChannelState.ACCEPT),
        ("decline_foo", "foo://bar", ChannelState.DECLINE),
    ):
        message = ChannelMessage(channel, 0x1234, state)
        assert mux_wire.encode_channel_message(message) == recorded[name]
        ((number, payload, last),) = MuxParser().feed(recorded[name])
        assert (number, last) == (0, True)
        assert mux_wire.parse_control(bytes(payload)) == [message]
    assert mux_wire.encode_frame(0x1234, b"") == recorded["eof_0x1234"]
    assert mux_wire.encode_frame(0x1234, b"hello") == recorded["data_0x1234_hello"]


def test_requests_of_the_older_generation() -> None:
    for entry in load(DATA, "peer_request.json"):
        data = bytes.fromhex(entry["msgpack"])
        request = parse_request(data)
        assert request.id == entry["decoded"]["id"]
        assert request.is_answer == entry["decoded"]["isAnswer"]
        assert parse_request(request.encode()) == request
        blob = candidates.parse_blob(request.ice_message)
        assert blob.candidates
        assert [candidate.to_line() for candidate in blob.candidates] == request.ice_message.strip("\n").split("\n")[2:]
        assert any(candidate.connectable for candidate in blob.candidates)


def test_request_bytes_are_theirs() -> None:
    for entry in load(DATA, "peer_request.json"):
        decoded = entry["decoded"]
        request = PeerRequest(decoded["id"], decoded["ice_msg"], decoded["isAnswer"], decoded["connType"])
        theirs = bytes.fromhex(entry["msgpack"])
        assert parse_request(theirs) == request
        assert len(request.encode()) <= len(theirs)


def test_listening_keys() -> None:
    for name, ids in load(DATA / "identities", "ids.json").items():
        certificate = Certificate.from_pem((DATA / "identities" / f"{name}-chain.pem").read_bytes())
        keys = [key.key.hex() for key in generations.offer_keys(certificate, BOTH)]
        assert keys == [ids["listen_key_legacy"], ids["listen_key_new"]]


def test_recorded_foundations_and_priorities() -> None:
    make = candidates.make
    host, tcp = candidates.Kind.HOST, candidates.TcpType
    lines = [
        make(host, "10.77.0.2", 56679, tcp_type=tcp.PASSIVE).to_line(),
        make(host, "10.77.0.2", 9, tcp_type=tcp.ACTIVE, rank=1).to_line(),
        make(host, "fe80::e89f:e1ff:fe76:e600", 38783, tcp_type=tcp.PASSIVE).to_line(),
        make(candidates.Kind.SRFLX, "10.77.0.3", 9, base="192.168.3.2", tcp_type=tcp.ACTIVE, rank=2).to_line(),
        make(candidates.Kind.RELAY, "10.77.0.1", 50066, tcp_type=tcp.PASSIVE).to_line(),
    ]
    assert lines == [
        "Ha4d0002 1 TCP 2130706431 10.77.0.2 56679 typ host tcptype passive",
        "Ha4d0002 1 TCP 2130706175 10.77.0.2 9 typ host tcptype active",
        "Hcaf3975f 1 TCP 2130706431 fe80::e89f:e1ff:fe76:e600 38783 typ host tcptype passive",
        "Sc0a80302 1 TCP 1694498303 10.77.0.3 9 typ srflx tcptype active",
        "Ra4d0001 1 TCP 16777215 10.77.0.1 50066 typ relay tcptype passive",
    ]
