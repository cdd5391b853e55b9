"""What a peer may say inside and outside of calls: it does something sensible or is refused, and other calls go on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from jamid.calls.conference_orders import hand_order, layout_order
from jamid.calls.in_call_messages import read_message, write_message
from jamid.calls.media_control import parse_media_control
from jamid.calls.media_maps import from_maps, to_maps
from jamid.calls.negotiation import Formats, Negotiator, RemoteIce, offered_media
from jamid.core.errors import RemoteError
from jamid.core.signals import IncomingCallWithMedia
from jamid.sip.messages import Request, parse_message
from jamid.sip.offers import IceDescription, SdpAuthor
from jamid.sip.sdp import parse_sdp
from tests.support.calls.lab import FakeIce, Lab

DATA = Path(__file__).parents[2] / "data" / "calls"
OFFERS = [
    message.body
    for name in ("g13/sip/av_call_variants.json", "g17/sip/audio_call_full.json", "g13/sip/sip_accounts_udp.json")
    for entry in json.loads((DATA / name).read_text())
    if "raw" in entry and (message := parse_message(entry["raw"].encode())).content_type == "application/sdp"
]
FORMATS = Formats.of_account([86076, 69660, 65542, 65543])


@st.composite
def offers(draw: st.DrawFn) -> bytes:
    """A real offer with its lines shuffled, doubled, lost or spoilt."""
    lines = draw(st.sampled_from(OFFERS)).decode().split("\r\n")
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(1, len(lines) - 1))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, draw(st.sampled_from(lines)))
        elif kind == 2:
            lines[at] = lines[at].replace(draw(st.sampled_from("0123456789 :/=")), draw(st.sampled_from(["", "9", " ", "/", "\u0663"])), 1)
        elif kind == 3:
            lines.insert(at, f"m={draw(st.sampled_from(['audio', 'video', 'text', '']))} {draw(st.integers(-1, 70000))} RTP/SAVP 104 0")
        else:
            lines[at:] = lines[at:] * 2
        if len(lines) < 2:
            lines += ["v=0", ""]
    return "\r\n".join(lines).encode()


@given(offers())
@settings(max_examples=600, deadline=None)
def test_offers(sdp: bytes) -> None:
    try:
        description = parse_sdp(sdp)
        media = offered_media(description, keep_closed=True)
    except RemoteError:
        return
    RemoteIce.of(description)
    negotiator = Negotiator(SdpAuthor("1", "10.0.0.1", answering=True, now=0), FORMATS)
    try:
        answer, agreed = negotiator.answer(description, media, IceDescription("u", "p"))
    except RemoteError:
        return
    written = parse_sdp(answer)
    assert len(written.media) == len(description.media)
    assert [each.kind for each in written.media] == [each.kind for each in description.media]
    for each in agreed:
        assert description.media[each.index].enabled
        assert written.media[each.index].formats[0].payload_type == each.format.payload_type


@given(offers())
@settings(max_examples=300, deadline=None)
def test_answers(sdp: bytes) -> None:
    negotiator = Negotiator(SdpAuthor("1", "10.0.0.1", answering=False, now=0), FORMATS)
    negotiator.offer(from_maps([{"MEDIA_TYPE": "MEDIA_TYPE_AUDIO"}]), None)
    try:
        assert negotiator.take_answer(parse_sdp(sdp))[0].format.matches(FORMATS.audio[0]) or True
    except RemoteError:
        return


@given(st.text(max_size=60) | st.sampled_from(["multipart/mixed;boundary=x", 'multipart/x; boundary="y"']), st.binary(max_size=300))
@settings(max_examples=400, deadline=None)
def test_messages(kind: str, body: bytes) -> None:
    try:
        payloads = read_message(kind, body.replace(b"\n", b"\r\n--x"))
    except RemoteError:
        return
    assert all("\0" not in text for text in payloads.values())


@given(st.dictionaries(st.sampled_from(["text/plain", "a/b;k=v", "x/y;id=1,part=2,of=3", "image/png"]), st.text(max_size=50), min_size=1))
def test_messages_survive_a_round_trip(payloads: dict[str, str]) -> None:
    clean = {key: text.replace("\0", "") for key, text in payloads.items()}
    assert read_message(*write_message(clean)) == clean


@given(st.binary(max_size=200))
def test_orders(body: bytes) -> None:
    parse_media_control(b"<media_control>" + body)


@given(st.lists(st.dictionaries(st.sampled_from(["MEDIA_TYPE", "ENABLED", "MUTED", "LABEL", "SOURCE", "x"]), st.text(max_size=20))))
def test_media_maps(maps: list[dict[str, str]]) -> None:
    assert all(len(each) == 7 for each in to_maps(from_maps(maps)))


def test_orders_are_the_recorded_bytes() -> None:
    assert layout_order(2) == '{"layout":2}'
    order = hand_order("ACCT", "DEV64", True, version=1)
    assert order == '{"ACCT":{"devices":{"DEV64":{"raiseHand":true}},"raiseHand":true},"version":1}'


@given(st.lists(offers(), min_size=1, max_size=5), st.lists(st.binary(max_size=200), max_size=3))
@settings(max_examples=25, deadline=None)
def test_a_peer_gone_mad_harms_no_other_call(sdps: list[bytes], bodies: list[bytes]) -> None:
    asyncio.run(meet_a_mad_peer(sdps, bodies))


async def meet_a_mad_peer(sdps: list[bytes], bodies: list[bytes]) -> None:
    FakeIce.everyone.clear()
    lab = Lab()
    try:
        await _meet(lab, sdps, bodies)
    finally:
        await lab.close()
    assert not any(node.calls.ids("") for node in lab.nodes)
    assert not FakeIce.everyone


async def _meet(lab: Lab, sdps: list[bytes], bodies: list[bytes]) -> None:
    a, b, c = lab.add("a", "a"), lab.add("b", "b"), lab.add("c", "c")
    call = c.place(b)
    while not b.calls.ids(""):
        await asyncio.sleep(0.001)
    b.calls.accept(b.account.id, b.incoming)
    while not c.calls.find(call).current:
        await asyncio.sleep(0.001)
    assert a.account.sip is not None
    exchange = await a.account.sip.get(b.account.device_id)
    send = exchange._transport.send

    def spoil(data: bytes) -> None:
        if data.startswith((b"INVITE", b"SIP/2.0 200")) and b"application/sdp" in data and sdps:
            message = parse_message(data)
            if isinstance(message, Request):
                data = bytes(Request(message.headers, sdps.pop(), method=message.method, uri=message.uri))
        send(data)

    exchange._transport.send = spoil
    for _ in range(len(sdps)):
        a.place(b)
    await asyncio.sleep(0.01)
    for each in b.calls.ids(""):
        b.calls.accept(b.account.id, each)
    await asyncio.sleep(0.02)
    for each in a.calls.ids(""):
        session = a.calls.find(each).leg.session if a.calls.find(each).leg else None
        for body in bodies:
            if session is not None:
                session.send_info("application/media_control+xml", body)
                session.send_message("application/confInfo+json", body)
                session.send_message("multipart/mixed;boundary=x", body)
    await asyncio.sleep(0.01)
    assert c.calls.find(call).word == "CURRENT"
    assert b.of(IncomingCallWithMedia)
