"""Hold, mute, media requests, keys and paths of running calls."""

from __future__ import annotations

import asyncio

import pytest

from jamid.calls.media_maps import MediaAttribute, MediaType
from jamid.calls.negotiation import Formats, Negotiator
from jamid.core.errors import LocalError
from jamid.core.signals import (
    AudioMuted,
    IncomingMessage,
    MediaChangeRequested,
    MediaNegotiationStatus,
    RecordingStateChanged,
    RecordPlaybackFilepath,
    RemoteRecordingChanged,
)
from jamid.sip.messages import Request
from jamid.sip.offers import IceDescription, SdpAuthor
from jamid.sip.sdp import parse_sdp
from jamid.sip.sessions import InviteSession
from tests.support.calls.lab import FakeIce

AUDIO = [{"MEDIA_TYPE": "MEDIA_TYPE_AUDIO", "ENABLED": "true", "MUTED": "false", "SOURCE": "", "LABEL": "audio_0"}]
VIDEO = {"MEDIA_TYPE": "MEDIA_TYPE_VIDEO", "ENABLED": "true", "MUTED": "false", "SOURCE": "", "LABEL": "video_0"}


@pytest.fixture
async def talk(lab, settle):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    call = a.place(b)
    await settle()
    theirs = b.incoming
    b.calls.accept(b.account.id, theirs)
    await settle()
    a.told.clear()
    b.told.clear()
    return a, b, call, theirs


def leg(node, call):
    return node.calls.find(call).leg.session


def flows(node, other):
    stream = node.audio.streams[-1]
    before = len(other.audio.streams[-1].received)
    stream.send_rtp(b"packet")
    return len(other.audio.streams[-1].received) == before + 1


async def test_keys_and_codec_of_both_ends_fit(talk):
    a, b, call, _theirs = talk
    ours, other = a.audio.streams[0].parameters, b.audio.streams[0].parameters
    assert (ours.keys.local, ours.keys.remote) == (other.keys.remote, other.keys.local)
    assert ours.keys.local != ours.keys.remote
    assert (ours.codec, ours.payload_type, ours.telephone_event, ours.clock_rate) == ("opus", 104, 101, 48000)
    assert ours.stream_id == f"{call}_audio_0"
    assert flows(a, b)
    assert flows(b, a)


async def test_hold_keeps_the_path_and_resume_makes_a_new_one(talk, settle):
    a, b, call, _theirs = talk
    assert a.calls.hold(a.account.id, call)
    # Once more changes nothing.
    assert a.calls.hold(a.account.id, call)
    await settle()
    assert a.states() == [("HOLD", 0)]
    assert [each["HOLD"] for each in a.of(MediaNegotiationStatus)[-1].media_list] == ["true"]
    assert [each["ON_HOLD"] for each in b.of(MediaNegotiationStatus)[-1].media_list] == ["false"]
    assert a.audio.streams[0].held
    assert not b.audio.streams[0].held
    assert len(a.audio.streams) == len(b.audio.streams) == 1
    assert a.calls.resume(a.account.id, call)
    await settle()
    assert a.states() == [("HOLD", 0), ("CURRENT", 0)]
    assert len(a.audio.streams) == len(b.audio.streams) == 2
    assert a.audio.streams[0].closed
    assert a.audio.streams[1].parameters.keys.local == b.audio.streams[1].parameters.keys.remote
    assert a.audio.streams[1].parameters.keys.local != a.audio.streams[0].parameters.keys.local
    assert a.audio.streams[1].parameters.first_sequence == 1000
    assert not a.audio.streams[1].held
    assert flows(a, b)
    assert flows(b, a)
    assert len(a.of(MediaNegotiationStatus)) == len(b.of(MediaNegotiationStatus)) == 2


async def test_the_callee_holds_and_resumes(talk, settle):
    a, b, _call, theirs = talk
    assert b.calls.hold(b.account.id, theirs)
    await settle()
    assert b.calls.resume(b.account.id, theirs)
    await settle()
    assert b.states() == [("HOLD", 0), ("CURRENT", 0)]
    assert flows(b, a)


async def test_hold_and_resume_in_one_breath(talk, settle):
    a, b, call, _theirs = talk
    a.calls.hold(a.account.id, call)
    a.calls.resume(a.account.id, call)
    a.calls.hold(a.account.id, call)
    await settle(0.2)
    assert a.states() == [("HOLD", 0), ("CURRENT", 0), ("HOLD", 0)]
    assert a.audio.streams[-1].held
    a.calls.resume(a.account.id, call)
    await settle(0.2)
    assert not a.audio.streams[-1].held
    assert flows(a, b)


async def test_both_hold_and_one_resumes(talk, settle):
    a, b, call, theirs = talk
    a.calls.hold(a.account.id, call)
    await settle()
    b.calls.hold(b.account.id, theirs)
    await settle()
    a.calls.resume(a.account.id, call)
    await settle()
    assert b.states() == [("HOLD", 0)]
    assert b.audio.streams[-1].held
    assert not a.audio.streams[-1].held


async def test_descriptions_rise_in_version_and_keep_ice_only_where_they_should(talk, settle):
    a, _b, call, _theirs = talk
    written = []
    exchange = leg(a, call).exchange
    plain = exchange._transport.send
    exchange._transport.send = lambda data: (written.append(data), plain(data))
    a.calls.hold(a.account.id, call)
    await settle()
    a.calls.resume(a.account.id, call)
    await settle()
    offers = [parse_sdp(data.partition(b"\r\n\r\n")[2]) for data in written if data.startswith(b"INVITE")]
    assert [offer.version for offer in offers] == [1, 2]
    assert [bool(offer.ice_credentials[0]) for offer in offers] == [False, True]
    assert [offer.media[0].direction.value for offer in offers] == ["sendrecv", "sendrecv"]


async def test_mute_is_told_to_client_and_peer(talk, settle):
    a, b, call, theirs = talk
    assert a.calls.mute(a.account.id, call, "MEDIA_TYPE_AUDIO", True)
    await settle()
    assert a.audio.streams[0].muted
    assert a.of(AudioMuted) == [AudioMuted(call, True)]
    assert a.told.index(a.of(AudioMuted)[0]) < a.told.index(a.of(MediaNegotiationStatus)[0])
    assert a.of(MediaNegotiationStatus)[0].media_list[0]["MUTED"] == "true"
    assert b.calls.find(theirs).peer_muted
    assert b.told == []
    assert a.calls.details(a.account.id, call)["AUDIO_MUTED"] == "true"
    assert a.calls.mute(a.account.id, call, "MEDIA_TYPE_AUDIO", False)
    await settle()
    assert not a.audio.streams[0].muted
    assert not b.calls.find(theirs).peer_muted
    # Nobody sends video: the media are told as they are.
    told = len(a.of(MediaNegotiationStatus))
    assert a.calls.mute(a.account.id, call, "MEDIA_TYPE_VIDEO", True)
    assert len(a.of(MediaNegotiationStatus)) == told + 1
    assert a.calls.media(a.account.id, call)[0]["MUTED"] == "false"


async def test_a_mute_lasts_over_hold_and_resume(talk, settle):
    a, _b, call, _theirs = talk
    a.calls.mute(a.account.id, call, "MEDIA_TYPE_AUDIO", True)
    a.calls.hold(a.account.id, call)
    await settle()
    a.calls.resume(a.account.id, call)
    await settle()
    assert a.audio.streams[-1].parameters.muted


async def test_a_media_request_mutes_and_changes_the_source(talk, settle):
    a, _b, call, _theirs = talk
    assert a.calls.request_media_change(a.account.id, call, [AUDIO[0] | {"MUTED": "true", "SOURCE": "file:///tmp/x.wav"}])
    assert a.audio.streams[0].muted
    assert a.audio.streams[0].source == "file:///tmp/x.wav"
    assert a.of(AudioMuted) == [AudioMuted(call, True)]
    assert not a.calls.request_media_change(a.account.id, call, [*AUDIO, VIDEO])
    assert not a.calls.request_media_change(a.account.id, "1", AUDIO)
    assert a.calls.media(a.account.id, call)[0]["SOURCE"] == "file:///tmp/x.wav"


def with_video(sdp, port=49526):
    crypto = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}\r\n"
    video = f"m=video {port} RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\na=sendrecv\r\n{crypto}"
    candidates = "".join(f"a=candidate:Ha4d0002 {number} UDP 2130706431 10.77.0.2 40001 typ host\r\n" for number in (3, 4))
    return sdp + (video + candidates).encode()


async def test_a_peer_that_adds_video_gets_audio_only(talk, settle):
    a, b, call, theirs = talk
    caller = a.calls.find(call)
    ice = await caller.sound.prepare(4, controlling=True)
    caller.changes._offering_ice = True
    leg(a, call).offer(with_video(caller.leg.negotiator.offer(caller.media, ice)))
    await settle()
    (asked,) = b.of(MediaChangeRequested)
    assert [(each["LABEL"], each["ENABLED"]) for each in asked.media_list] == [("audio_0", "true"), ("video_0", "true")]
    assert leg(b, theirs).offering
    assert b.calls.answer_media_change(b.account.id, theirs, asked.media_list)
    await settle()
    assert [(each["LABEL"], each["MUTED"]) for each in b.calls.media(b.account.id, theirs)] == [("audio_0", "false"), ("video_0", "true")]
    assert not leg(a, call).offering
    assert flows(a, b)
    assert b.calls.answer_media_change(b.account.id, theirs, asked.media_list) is False


async def test_an_empty_answer_leaves_the_request_unanswered_until_it_lapses(talk, settle, monkeypatch):
    monkeypatch.setattr("jamid.sip.reinvites.OFFER_SECONDS", 0.5)
    a, b, call, theirs = talk
    caller = a.calls.find(call)
    leg(a, call).offer(with_video(caller.leg.negotiator.offer(caller.media, None)))
    await settle()
    assert b.calls.answer_media_change(b.account.id, theirs, [])
    await settle()
    assert leg(a, call).offering
    assert b.calls.hold(b.account.id, theirs)
    await settle(1)
    assert a.of(MediaNegotiationStatus)[0].event == "NEGOTIATION_FAIL"
    assert not leg(a, call).offering
    # What waited for the answer is done now.
    assert a.calls.find(call).peer_holds is b.calls.find(theirs).peer_holds
    assert [state for state, _ in b.states()] == ["HOLD"]
    assert b.calls.answer_media_change(b.account.id, theirs, AUDIO) is False
    b.calls.hang_up(b.account.id, theirs)
    await settle()
    assert a.states()[-2:] == [("HUNGUP", 103), ("OVER", 0)]


MANY_LINES = b"v=0\r\n" + b"m=audio 5 RTP/SAVP 0\r\n" * 1000
NONSENSE = [b"nonsense", b"v=0\r\nm=audio x\r\n", b"v=0\r\nm=audio 1 RTP/SAVP 0\r\n", MANY_LINES, b"v=0\r\n" + b"a=x" * 21000]


@pytest.mark.parametrize("sdp", NONSENSE, ids=range(len(NONSENSE)))
async def test_nonsense_is_refused_and_the_call_goes_on(talk, settle, sdp, monkeypatch):
    monkeypatch.setattr("jamid.sip.exchange.SIP_MESSAGE_BYTES_SENT", 1_000_000)
    a, b, call, theirs = talk
    leg(a, call).offer(sdp)
    await settle()
    assert a.of(MediaNegotiationStatus)[-1].event == "NEGOTIATION_FAIL"
    assert a.calls.find(call).word == b.calls.find(theirs).word == "CURRENT"
    assert flows(a, b)


@pytest.mark.parametrize("change", [(b"", b""), (b"opus", b"siren")], ids=["answer", "nonsense"])
async def test_a_request_without_description_gets_an_offer_of_the_same_path(talk, settle, change):
    a, b, call, theirs = talk
    session, negotiator = leg(a, call), a.calls.find(call).leg.negotiator
    offers = []
    plain = session.exchange.send_ack

    def acknowledge(request):
        answer, _ = negotiator.answer(parse_sdp(offers[-1]), a.calls.find(call).media, None, keep_closed=False)
        plain(Request(request.headers, answer.replace(*change), method="ACK", uri=request.uri))

    arrive = session.response
    session.response = lambda transaction, response: (offers.append(response.body), arrive(transaction, response))
    session.exchange.send_ack = acknowledge
    session.offer(b"")
    await settle()
    offer = parse_sdp(offers[-1])
    assert [line.kind for line in offer.media] == ["audio"]
    assert offer.ice_credentials == ("", "")
    assert b.of(MediaNegotiationStatus)[-1].event == "NEGOTIATION_SUCCESS"
    assert not leg(b, theirs).offering
    assert b.calls.find(theirs).word == "CURRENT"
    assert flows(a, b)
    session.exchange.send_ack = plain
    assert b.calls.hold(b.account.id, theirs)
    await settle()
    assert a.of(MediaNegotiationStatus)[-1].event == "NEGOTIATION_SUCCESS"


async def test_offers_of_both_sides_at_once(talk, settle):
    a, b, call, theirs = talk
    a.calls.hold(a.account.id, call)
    b.calls.hold(b.account.id, theirs)
    await settle(4.5)
    assert a.calls.find(call).word == b.calls.find(theirs).word == "HOLD"
    assert not leg(a, call).offering
    assert not leg(b, theirs).offering


async def test_dtmf_goes_to_the_current_call(talk, settle):
    a, b, _call, theirs = talk
    infos = []
    b.calls.find(theirs).talk.info = lambda leg, kind, body: infos.append((kind, body))
    a.calls.play_dtmf("5")
    a.calls.play_dtmf("")
    a.calls.play_dtmf("x")
    await settle()
    assert infos == [("application/dtmf-relay", b"Signal=5\r\nDuration=250\r\n")]
    assert a.audio.digits == a.audio.streams[0].digits == "5"


async def test_transfer(lab, talk, settle):
    a, b, call, theirs = talk
    c = lab.add("c", "c")
    assert a.calls.transfer(a.account.id, call, f"jami:{'c' * 40}")
    await settle(0.1)
    assert a.states() == [("HUNGUP", 103), ("OVER", 0)]
    assert b.states(theirs) == [("HUNGUP", 0), ("OVER", 0)]
    c.calls.accept(c.account.id, c.incoming)
    await settle()
    assert c.states()[-1] == ("CURRENT", 0)
    assert b.states()[-1] == ("CURRENT", 0)
    assert flows(b, c)


async def test_recording_is_told_to_both(talk, settle):
    a, b, call, theirs = talk
    assert await a.calls.toggle_recording(a.account.id, call)
    await settle()
    assert a.of(RecordPlaybackFilepath) == [RecordPlaybackFilepath(call, f"/tmp/{call}.ogg")]
    assert a.of(RecordingStateChanged) == [RecordingStateChanged(call, True)]
    assert b.of(RemoteRecordingChanged) == [RemoteRecordingChanged(theirs, f"{'a' * 40}@ring.dht", True)]
    assert a.calls.is_recording(a.account.id, call)
    assert not await a.calls.toggle_recording(a.account.id, call)
    await settle()
    assert not a.audio.recordings
    assert b.of(RemoteRecordingChanged)[-1].remote_recording_state is False


async def test_details(talk):
    a, b, call, theirs = talk
    details = a.calls.details(a.account.id, call)
    assert details["CALL_STATE"] == "CURRENT"
    assert details["CALL_TYPE"] == "1"
    assert details["REGISTERED_NAME"] == "b"
    assert details["AUDIO_CODEC"] == "opus"
    assert details["AUDIO_SAMPLE_RATE"] == "48000"
    assert details["AUDIO_ONLY"] == details["VIDEO_MUTED"] == "true"
    assert details["SOCKETS"] == " [1] 10.77.0.2:40001 [host]  <-> 10.77.0.3:40001 [host] \n"
    assert int(details["TIMESTAMP_START"]) > 0
    theirs_details = b.calls.details(b.account.id, theirs)
    assert theirs_details["CALL_TYPE"] == "0"
    assert theirs_details["PEER_NUMBER"] == f"{'a' * 40}@ring.dht"
    assert theirs_details["DISPLAY_NAME"] == "a"
    assert theirs_details["TO_USERNAME"] == "b" * 40
    assert a.calls.details("unknown", call) == {}


async def test_an_offered_video_is_declined_and_audio_answered(lab, settle):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    call = a.place(b)
    exchange = await a.account.sip.get(b.account.device_id)
    await settle()
    caller = a.calls.find(call)
    dialing = a.calls._dialing[call]
    session = InviteSession.outgoing(exchange, b.account.uri)
    heard = []

    class Listener:
        def __getattr__(self, name):
            return lambda *arguments: heard.append((name, arguments))

    session.listener = Listener()
    session.call(with_video(dialing._legs[0].negotiator.offer(caller.media, dialing._ice)))
    await settle()
    theirs = b.incoming
    media = b.calls.media(b.account.id, theirs)
    assert [each["LABEL"] for each in media] == ["audio_0", "video_0"]
    assert b.calls.accept(b.account.id, theirs, media[:1])
    await settle()
    assert b.states()[-1] == ("INCOMING", 0)
    assert b.calls.accept(b.account.id, theirs, media)
    await settle()
    answer = parse_sdp(next(arguments[1] for name, arguments in heard if name == "answered"))
    assert [line.enabled for line in answer.media] == [True, False]
    assert answer.media[1].lines == ()
    assert answer.media[1].payload_types == ("96",)
    session.hang_up()
    await settle()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"opus/48000/2", b"siren/48000/2"), 488),
        ((b"a=crypto", b"a=xcrypto"), 488),
        ((b"RTP/SAVP", b"RTP/AVP"), 488),
        ((b"a=ice-pwd", b"a=xice-pwd"), 488),
        ((b"m=audio", b"m=text"), 488),
    ],
)
async def test_impossible_offers_are_refused(lab, settle, change, status):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    exchange = await a.account.sip.get(b.account.device_id)
    plain = exchange._transport.send
    sent = []

    def send(data):
        _head, _, body = data.partition(b"\r\n\r\n")
        if data.startswith(b"INVITE"):
            from jamid.sip.messages import parse_message

            message = parse_message(data)
            data = bytes(Request(message.headers, body.replace(*change), method=message.method, uri=message.uri))
        sent.append(data)
        plain(data)

    exchange._transport.send = send
    a.place(b)
    await settle()
    if b.calls.ids(""):
        assert b.calls.accept(b.account.id, b.incoming)
        await settle()
    assert a.states()[-2:] == [("FAILURE", 488), ("OVER", 0)]
    assert b.calls.ids("") == []




async def test_a_vanished_peer_ends_the_call(talk, settle):
    a, b, *_ = talk
    a.account.ices[-1].on_lost()
    await settle()
    assert a.states() == [("FAILURE", 104), ("OVER", 0)]
    assert b.states() == [("HUNGUP", 103), ("OVER", 0)]


async def test_a_text_too_long_for_peers_is_not_sent_and_harms_nothing(talk, settle):
    a, b, call, _ = talk
    a.calls.send_text(a.account.id, call, {"text/plain": "x" * 10_000})
    a.calls.send_text(a.account.id, call, {"text/plain": "short"})
    await settle()
    assert [each.messages for each in b.of(IncomingMessage)] == [{"text/plain": "short"}]
    assert a.calls.find(call).word == "CURRENT"


async def test_an_empty_list_accepts_as_offered(lab, settle):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    a.place(b)
    await settle()
    assert b.calls.accept(b.account.id, b.incoming, [])
    await settle()
    assert b.states()[-1] == ("CURRENT", 0)


async def test_no_sockets_no_call(lab, settle):
    a, b = lab.add("a", "a"), lab.add("b", "b")

    async def gather(self):
        raise OSError(24, "too many open files")

    a.account.ice = lambda components, controlling: type("NoIce", (FakeIce,), {"gather": gather})(components, controlling=controlling)
    a.place(b)
    await settle()
    assert a.states() == [("FAILURE", 5), ("OVER", 0)]


async def test_a_running_call_is_not_taken_out_of_encryption(talk, settle):
    a, b, call, theirs = talk
    caller = a.calls.find(call)
    ice = await caller.sound.prepare(2, controlling=True)
    leg(a, call).offer(caller.leg.negotiator.offer(caller.media, ice).replace(b"RTP/SAVP", b"RTP/AVP"))
    await settle()
    assert a.of(MediaNegotiationStatus)[-1].event == "NEGOTIATION_FAIL"
    assert b.calls.find(theirs).word == "CURRENT"
    assert b.audio.streams[-1].parameters.keys is not None
    assert flows(a, b)


async def test_a_request_that_was_taken_back_harms_nothing(talk, settle):
    a, b, call, theirs = talk
    caller, callee = a.calls.find(call), b.calls.find(theirs)
    ice = await caller.sound.prepare(4, controlling=True)
    leg(a, call).offer(with_video(caller.leg.negotiator.offer(caller.media, ice)))
    await settle()
    (asked,) = b.of(MediaChangeRequested)
    session = leg(b, theirs)
    assert b.calls.answer_media_change(b.account.id, theirs, asked.media_list)
    session.cancelled(session.reinvites.received)
    await settle()
    assert not callee.sound.connecting
    assert [each.label for each in callee.media] == ["audio_0"]
    assert callee.word == "CURRENT"
    assert flows(a, b)


async def test_a_call_whose_offer_is_too_long_fails(lab, settle, monkeypatch):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    exchange = await a.account.sip.get(b.account.device_id)
    monkeypatch.setattr("jamid.sip.exchange.SIP_MESSAGE_BYTES_SENT", 100)
    a.place(b)
    await settle()
    assert a.states()[-1][0] == "OVER"
    assert exchange.sessions == 0


async def test_devices_that_cannot_be_looked_up_end_the_call(lab, settle):
    a, b = lab.add("a", "a"), lab.add("b", "b")

    async def devices_of(uri):
        raise LocalError("offline")

    a.account.devices_of = devices_of
    a.place(b)
    await settle()
    assert a.states()[-1][0] == "OVER"


async def test_one_transfer_is_enough(lab, talk, settle):
    a, b, call, _ = talk
    lab.add("c", "c")
    for _ in range(3):
        assert a.calls.transfer(a.account.id, call, "c" * 40)
    await settle(0.1)
    assert len(b.calls) == 1


async def test_no_sockets_for_a_resume_leaves_the_call(talk, settle):
    a, _, call, _ = talk
    a.calls.hold(a.account.id, call)
    await settle()

    async def gather(self):
        raise OSError(24, "too many open files")

    working, a.account.ice = a.account.ice, lambda components, controlling: type("NoIce", (FakeIce,), {"gather": gather})(
        components, controlling=controlling
    )
    a.calls.resume(a.account.id, call)
    await settle()
    assert a.of(MediaNegotiationStatus)[-1].event == "NEGOTIATION_FAIL"
    a.account.ice = working
    assert a.calls.hold(a.account.id, call)
    await settle()
    assert a.calls.resume(a.account.id, call)
    await settle()
    assert a.of(MediaNegotiationStatus)[-1].event == "NEGOTIATION_SUCCESS"


async def test_a_recording_that_begins_after_the_end_is_closed(talk, settle):
    a, _, call, _ = talk
    plain = a.audio.start_recording

    async def slow(call_id, streams):
        await settle()
        return await plain(call_id, streams)

    a.audio.start_recording = slow
    toggling = asyncio.ensure_future(a.calls.toggle_recording(a.account.id, call))
    await asyncio.sleep(0)
    a.calls.hang_up(a.account.id, call)
    assert await toggling is False
    assert a.audio.recordings == {}
    assert a.of(RecordingStateChanged) == []


async def call_without_offer(lab, settle, change=(b"", b"")):
    """b answers an INVITE of a without description; a's ACK answers b's offer, changed by CHANGE."""
    a, b = lab.add("a", "a"), lab.add("b", "b")
    exchange = await a.account.sip.get(b.account.device_id)
    ice = a.account.ice(2, controlling=False)
    await ice.gather()
    heard = []

    class Listener:
        def __getattr__(self, name):
            return lambda *arguments: heard.append((name, *arguments[1:]))

    session = InviteSession.outgoing(exchange, b.account.uri)
    session.listener = Listener()
    plain = exchange.send_ack

    def acknowledge(request):
        offer = parse_sdp(next(message for message in offers if message))
        author = SdpAuthor("1", "10.77.0.2", answering=True, now=0.0)
        negotiator = Negotiator(author, Formats.of_account(a.account.codecs))
        described = IceDescription(ice.ufrag, ice.pwd, {number: ice.candidates(number) for number in (1, 2)})
        answer, _ = negotiator.answer(offer, [MediaAttribute(MediaType.AUDIO, label="audio_0")], described)
        plain(Request(request.headers, answer.replace(*change), method="ACK", uri=request.uri))

    offers = []
    arrive = session.response
    session.response = lambda transaction, response: (offers.append(response.body), arrive(transaction, response))
    exchange.send_ack = acknowledge
    session.call(b"")
    await settle()
    assert b.calls.accept(b.account.id, b.incoming)
    await settle()
    return a, b, session, ice, parse_sdp(offers[-1])


async def test_an_invite_without_offer_gets_ours(lab, settle):
    _a, b, session, ice, offer = await call_without_offer(lab, settle)
    assert [line.kind for line in offer.media] == ["audio"]
    assert offer.media[0].cryptos
    assert b.states()[-1] == ("CURRENT", 0)
    assert b.account.ices[-1].controlling
    await ice.connect(*offer.ice_credentials, offer.media[0].candidates)
    await settle()
    assert b.of(MediaNegotiationStatus)[-1].event == "NEGOTIATION_SUCCESS"
    assert b.audio.streams[-1].parameters.codec == "opus"
    session.hang_up()
    await ice.close()
    await settle()
    assert b.states()[-2:] == [("HUNGUP", 103), ("OVER", 0)]


async def test_an_answer_to_our_offer_that_cannot_be_used_ends_the_call(lab, settle):
    _a, b, session, ice, _ = await call_without_offer(lab, settle, (b"opus", b"siren"))
    await ice.close()
    await settle()
    assert b.states()[-1][0] == "OVER"
    assert session.exchange.sessions == 0
    assert b.audio.streams == []


async def test_both_resume_at_once(talk, settle):
    a, b, call, theirs = talk
    a.calls.hold(a.account.id, call)
    await settle()
    b.calls.hold(b.account.id, theirs)
    await settle()
    a.calls.resume(a.account.id, call)
    b.calls.resume(b.account.id, theirs)
    await settle(5)
    assert a.calls.find(call).word == b.calls.find(theirs).word == "CURRENT"
    assert not leg(a, call).offering
    assert not leg(b, theirs).offering
    assert flows(a, b)
    assert flows(b, a)
