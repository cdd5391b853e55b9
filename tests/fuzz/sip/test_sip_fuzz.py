"""A message or a RemoteError, nothing else: SIP and SDP of any shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jamid.core.errors import RemoteError
from jamid.sip.digest import parse_challenge
from jamid.sip.headers import NameAddress, SipUri, Via, address_of, branch_of, split_list, tokens
from jamid.sip.messages import MessageStream, Request, parse_message
from jamid.sip.sdp import parse_sdp
from jamid.sip.transactions import TransactionLayer

DATA = Path(__file__).parents[2] / "data" / "calls"
REAL = [
    entry["raw"].encode()
    for name in ("g13/sip/audio_call_full.json", "g13/sip/sip_accounts_udp.json", "g17/sip/av_call_variants.json")
    for entry in json.loads((DATA / name).read_text())
    if "raw" in entry
]
PIECES = [
    b"\r\n", b"\r\n\r\n", b"\r\n ", b";", b",", b"<", b">", b'"', b"\\", b"\0", b":", b"=", b"/", b"@", b" ", b"\xff\xfe", b"9" * 30,
    b"-1", b"Content-Length: 99999999999\r\n", b"Content-Length: -5\r\n", b"l:3\r\n", b"v: SIP/2.0/TLS x;branch=z9hG4bKx\r\n",
    b"CSeq: 4294967296 INVITE\r\n", b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:", b"a=candidate:", b"m=audio 0 RTP/SAVP", b"tag=",
    "\u0661\u0662".encode(),
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real message with bytes cut out, doubled or replaced."""
    data = bytearray(draw(st.sampled_from(REAL)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(data)))
        span = draw(st.integers(0, 40))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            del data[at : at + span]
        elif kind == 1:
            data[at:at] = draw(st.sampled_from(PIECES))
        elif kind == 2:
            data[at : at + span] = draw(st.binary(max_size=20))
        else:
            data[at:at] = data[at : at + span] * draw(st.integers(1, 5))
    return bytes(data)


def take_apart(data: bytes) -> None:
    try:
        message = parse_message(data)
    except RemoteError:
        return
    again = parse_message(bytes(message))
    assert again.body == message.body
    for read in (branch_of, lambda each: address_of(each, "From"), lambda each: address_of(each, "Contact"), lambda each: each.cseq):
        try:
            read(message)
        except RemoteError:
            continue
    try:
        for step in TransactionLayer(reliable=False).receive(message, 0.0):
            assert step is not None
    except RemoteError:
        pass


@given(mutated() | st.binary(max_size=400))
@settings(max_examples=600, deadline=None)
def test_messages(data: bytes) -> None:
    take_apart(data)


@given(st.lists(mutated() | st.binary(max_size=100), max_size=4), st.integers(1, 700))
@settings(max_examples=200, deadline=None)
def test_streams(messages: list[bytes], size: int) -> None:
    stream, joined = MessageStream(), b"".join(messages)
    try:
        for start in range(0, len(joined), size):
            for message in stream.feed(joined[start : start + size]):
                assert bytes(message)
    except RemoteError:
        pass


@given(mutated().map(lambda data: data.partition(b"\r\n\r\n")[2]) | st.binary(max_size=400).map(lambda data: b"v=0\r\n" + data))
@settings(max_examples=600, deadline=None)
def test_session_descriptions(data: bytes) -> None:
    try:
        description = parse_sdp(data)
    except RemoteError:
        return
    assert parse_sdp(bytes(description)) == description
    assert description.version >= 0
    assert len(description.ice_credentials) == 2
    for media in description.media:
        assert 0 <= media.port < 65536
        assert all(len(crypto.key) == 30 for crypto in media.cryptos)
        assert all(0 <= each.payload_type < 1000 for each in media.formats)
        assert 0 <= media.rtcp_port <= 65536
        assert media.telephone_event is None or media.telephone_event < 128
        assert description.direction_of(media)
        assert isinstance(description.address_of(media), str)


@given(st.text(max_size=80))
@settings(max_examples=500, deadline=None)
def test_header_values(text: str) -> None:
    for parse in (NameAddress.parse, SipUri.parse, Via.parse, parse_challenge):
        try:
            parse(text)
        except RemoteError:
            continue
    assert split_list(text)
    assert isinstance(tokens(text), frozenset)


def test_giants_are_refused() -> None:
    with pytest.raises(RemoteError, match="more than"):
        MessageStream().feed(b"INVITE sip:x SIP/2.0\r\nX: " + b"y" * 40_000)
    with pytest.raises(RemoteError, match="more than"):
        parse_message(b"INVITE sip:x SIP/2.0\r\n" + b"X: y\r\n" * 200 + b"\r\n")
    head = REAL[0].partition(b"\r\n\r\n")[0].replace(b"Content-Length:   778", b"Content-Length: 9999999")
    with pytest.raises(RemoteError, match="is more than"):
        MessageStream().feed(head + b"\r\n\r\n")
    with pytest.raises(RemoteError, match="is more than"):
        parse_sdp(b"v=0\r\n" + b"a=x\r\n" * 5000)


def test_a_header_cannot_smuggle_another() -> None:
    message = parse_message(REAL[0])
    evil = Request(message.headers.adding(("X", "a\r\nEvil: b")), method="INVITE", uri="sip:x")
    assert not parse_message(bytes(evil)).headers.having("Evil")
