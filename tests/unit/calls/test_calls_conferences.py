"""Conferences hosted here: who hears whom, what everybody is told, who may order what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jamid.calls.conference import info_body
from jamid.calls.conference_orders import Action, Order, parse_orders
from jamid.core.errors import RemoteError
from jamid.core.limits import CONFERENCE_INFO_BYTES
from jamid.core.signals import (
    AudioMuted,
    CallStateChanged,
    ConferenceChanged,
    ConferenceCreated,
    ConferenceRemoved,
    IncomingMessage,
    MediaNegotiationStatus,
    OnConferenceInfosUpdated,
    RecordPlaybackStopped,
    RemoteRecordingChanged,
    VideoMuted,
)

DATA = Path(__file__).parents[2] / "data" / "calls"


@pytest.fixture
async def party(lab, settle):
    """h hosts a conference with a and b; the fixture gives the three, the conference's id and the host's two calls."""
    h, a, b = lab.add("h", "0"), lab.add("a", "a"), lab.add("b", "b")
    calls = [h.place(a), h.place(b)]
    await settle()
    for node in (a, b):
        node.calls.accept(node.account.id, node.incoming)
    await settle()
    for node in (h, a, b):
        node.told.clear()
    assert h.conferences.join(h.account.id, calls[0], h.account.id, calls[1])
    await settle()
    (conference,) = h.conferences.ids(h.account.id)
    return h, a, b, conference, calls


def entries(node):
    """The newest infos a node was told, by the user part of uri."""
    return {each["uri"].partition("@")[0]: each for each in node.of(OnConferenceInfosUpdated)[-1].infos}


async def test_the_signals_are_in_the_recorded_order(party):
    h, a, _, conference, calls = party
    entered = [(AudioMuted, conference), (VideoMuted, conference)]
    kinds = [
        (MediaNegotiationStatus, conference),
        (ConferenceCreated, h.account.id),
        (MediaNegotiationStatus, calls[0]),
        *entered,
        (MediaNegotiationStatus, calls[1]),
        *entered,
        (ConferenceChanged, h.account.id),
        (OnConferenceInfosUpdated, conference),
    ]
    assert [(type(each), getattr(each, "call_id", "") or getattr(each, "account_id", "") or each.conference_id) for each in h.told] == kinds
    assert h.of(ConferenceCreated) == [ConferenceCreated(h.account.id, "", conference)]
    assert h.of(ConferenceChanged) == [ConferenceChanged(h.account.id, conference, "ACTIVE_ATTACHED")]
    assert [each.room for each in h.audio.streams] == [conference, conference]
    assert h.audio.hosts == {conference: True}
    assert h.calls.details(h.account.id, calls[0])["CONF_ID"] == conference
    assert h.conferences.details(h.account.id, conference) == {
        "ID": conference, "RECORDING": "false", "STATE": "ACTIVE_ATTACHED", "VIDEO_SOURCE": ""
    }  # fmt: skip
    assert h.conferences.participants(h.account.id, conference) == calls
    theirs = a.of(OnConferenceInfosUpdated)[-1]
    assert theirs.conference_id == a.calls.ids("")[0]


async def test_infos_have_the_fifteen_keys_and_every_stream(party):
    h, a, b, conference, calls = party
    recorded = json.loads((DATA / "g17" / "dbus" / "conference_add_video.json").read_text())
    example = next(entry[4][1][0] for entry in recorded if entry[3] == "onConferenceInfosUpdated")
    for node in (h, a, b):
        assert all(each.keys() == example.keys() for each in entries(node).values())
    assert set(entries(a)) == {"0" * 40, "a" * 40, "b" * 40}
    assert set(entries(h)) == {"", "a" * 40, "b" * 40}
    assert entries(h)[""]["sinkId"] == "host_video_0"
    assert entries(a)["b" * 40]["sinkId"] == f"{calls[1]}_audio_0"
    assert entries(a)["b" * 40]["device"] == b.account.device_id
    assert h.conferences.infos(h.account.id, conference) == h.of(OnConferenceInfosUpdated)[-1].infos
    assert a.conferences.infos(a.account.id, a.calls.ids("")[0]) == a.of(OnConferenceInfosUpdated)[-1].infos


async def test_participants_order(party, settle):
    h, a, b, conference, _ = party
    mine, uri = a.calls.ids("")[0], b.account.uri
    a.conferences.raise_hand(a.account.id, mine, "", "", True)
    await settle()
    assert entries(b)["a" * 40]["handRaised"] == "true"
    a.conferences.raise_hand(a.account.id, mine, "", "", False, version=0)
    a.conferences.mute_stream(a.account.id, mine, uri, b.account.device_id, entries(a)[uri]["sinkId"], True)
    await settle()
    assert entries(h)["a" * 40]["handRaised"] == "false"
    assert entries(a)[uri]["audioModeratorMuted"] == "true"
    assert [each.peer_muted for each in h.audio.streams] == [False, True]
    a.conferences.mute_participant(a.account.id, mine, uri, False)
    a.conferences.set_active_stream(a.account.id, mine, uri, b.account.device_id, entries(a)[uri]["sinkId"], True)
    a.conferences.set_layout(a.account.id, mine, 2)
    await settle()
    assert [each.peer_muted for each in h.audio.streams] == [False, False]
    assert entries(b)[uri]["active"] == "true"
    assert h.conferences.find(h.account.id, conference).layout == 2
    a.conferences.hang_up_participant(a.account.id, mine, uri, b.account.device_id)
    await settle()
    assert b.states()[-1] == ("OVER", 0)
    assert h.of(ConferenceRemoved) == [ConferenceRemoved(h.account.id, conference)]
    assert a.of(OnConferenceInfosUpdated)[-1].infos == []
    assert len(h.calls) == 1
    assert h.audio.streams[0].room == ""


async def test_who_may_order(party, settle):
    h, a, b, conference, _ = party
    h.account.details["Account.allModeratorEnabled"] = "false"
    mine, uri = a.calls.ids("")[0], b.account.uri
    a.conferences.mute_participant(a.account.id, mine, uri, True)
    a.conferences.raise_hand(a.account.id, mine, uri, b.account.device_id, True)
    a.conferences.raise_hand(a.account.id, mine, "", "", True)
    await settle()
    assert entries(h)[uri]["audioModeratorMuted"] == "false"
    assert entries(h)[uri]["handRaised"] == "false"
    assert entries(h)["a" * 40]["handRaised"] == "true"
    assert entries(h)["a" * 40]["isModerator"] == "false"
    h.conferences.set_moderator(h.account.id, conference, a.account.uri, True)
    a.conferences.mute_participant(a.account.id, mine, uri, True)
    await settle()
    assert entries(h)[uri]["audioModeratorMuted"] == "true"


async def test_mutes_recordings_and_texts(party, settle):
    h, a, b, conference, _ = party
    a.calls.mute(a.account.id, a.calls.ids("")[0], "MEDIA_TYPE_AUDIO", True)
    await a.calls.toggle_recording(a.account.id, a.calls.ids("")[0])
    await settle()
    assert entries(b)["a" * 40]["audioLocalMuted"] == "true"
    assert entries(b)["a" * 40]["recording"] == "true"
    assert h.of(RemoteRecordingChanged) == [RemoteRecordingChanged(conference, "a" * 40, True)]
    assert h.conferences.mute(h.account.id, conference, "MEDIA_TYPE_AUDIO", True)
    await settle()
    assert all(each.muted for each in h.audio.streams)
    assert entries(b)["0" * 40]["audioLocalMuted"] == "true"
    assert h.of(AudioMuted)[-1] == AudioMuted(conference, True)
    assert h.conferences.media(h.account.id, conference)[0]["MUTED"] == "true"
    a.calls.send_text(a.account.id, a.calls.ids("")[0], {"text/plain": "hello"})
    await settle()
    for node in (a, b):
        assert [each.messages for each in node.of(IncomingMessage)] == [{"text/plain": "hello"}]
    assert [(each.call_id, each.sender) for each in h.of(IncomingMessage)] == [(conference, "a" * 40)]
    h.conferences.send_text(h.account.id, conference, {"text/plain": "to all"})
    await settle()
    assert a.of(IncomingMessage)[-1].messages == b.of(IncomingMessage)[-1].messages == {"text/plain": "to all"}
    assert await h.conferences.toggle_recording(h.account.id, conference)
    assert h.audio.recordings[conference]
    assert not await h.conferences.toggle_recording(h.account.id, conference)


async def test_the_host_stays_muted_in_new_streams_and_by_either_hand(party, settle):
    h, a, _, conference, calls = party
    mine = a.calls.ids("")[0]
    h.conferences.mute(h.account.id, conference, "MEDIA_TYPE_AUDIO", True)
    a.calls.hold(a.account.id, mine)
    await settle()
    a.calls.resume(a.account.id, mine)
    await settle()
    assert len(h.audio.streams) == 3
    assert h.audio.streams[-1].muted
    assert h.calls.switch_input(h.account.id, calls[0], "file:///tmp/a.ogg")
    assert h.audio.streams[-1].muted
    h.conferences.mute(h.account.id, conference, "MEDIA_TYPE_AUDIO", False)
    assert not h.audio.streams[-1].muted
    a.conferences.mute_participant(a.account.id, mine, h.account.uri, True)
    await settle()
    assert h.audio.streams[-1].muted
    assert entries(a)["0" * 40]["audioModeratorMuted"] == "true"
    assert entries(a)["0" * 40]["audioLocalMuted"] == "false"
    a.conferences.mute_participant(a.account.id, mine, h.account.uri, False)
    await settle()
    assert not h.audio.streams[-1].muted


async def test_a_text_does_not_circle_between_two_hosts(lab, party, settle):
    h, a, *_ = party
    c = lab.add("c", "c")
    mine = a.calls.ids("")[0]
    second = a.place(c)
    await settle()
    c.calls.accept(c.account.id, c.incoming)
    await settle()
    assert a.conferences.join(a.account.id, mine, a.account.id, second)
    await settle()
    c.calls.send_text(c.account.id, c.calls.ids("")[0], {"text/plain": "once"})
    await settle(0.2)
    assert [each.messages for each in h.of(IncomingMessage)] == [{"text/plain": "once"}]
    assert len(c.of(IncomingMessage)) == 1


@pytest.mark.parametrize("by", ["hang up", "leave"])
async def test_a_recording_ends_with_its_conference(party, settle, by):
    h, a, b, conference, _ = party
    assert await h.conferences.toggle_recording(h.account.id, conference)
    await settle()
    path = h.audio.recordings[conference]
    h.told.clear()
    if by == "hang up":
        assert h.conferences.hang_up(h.account.id, conference)
    else:
        a.calls.hang_up(a.account.id, a.calls.ids("")[0])
    await settle()
    await h.conferences.close()
    assert h.audio.recordings == {}
    # The reference says no more than that the file is complete; who is still there hears that nobody records any more.
    told = [type(each).__name__ for each in h.told if "Record" in type(each).__name__ or "Removed" in type(each).__name__]
    assert told == ["ConferenceRemoved", "RecordPlaybackStopped"]
    assert h.of(RecordPlaybackStopped) == [RecordPlaybackStopped(path)]
    first = next(each for each in h.told if isinstance(each, CallStateChanged))
    assert first.state == "HUNGUP"
    assert h.told.index(h.of(RecordPlaybackStopped)[0]) < h.told.index(first)
    assert [each.remote_recording_state for each in b.of(RemoteRecordingChanged)] == [True, False]


async def test_the_host_leaves_and_comes_back(party, settle):
    h, a, *_, conference, _ = party
    assert h.conferences.detach_host(h.account.id, conference)
    await settle()
    assert h.audio.hosts == {conference: False}
    assert "0" * 40 not in entries(a)
    assert h.of(ConferenceChanged)[-1].state == "ACTIVE_DETACHED"
    assert h.conferences.attach_host(h.account.id, conference)
    await settle()
    assert "0" * 40 in entries(a)
    assert h.of(ConferenceChanged)[-1].state == "ACTIVE_ATTACHED"


async def test_a_third_joins_one_is_detached_and_all_are_hung_up(lab, party, settle):
    h, a, b, conference, _calls = party
    c = lab.add("c", "c")
    third = h.place(c)
    await settle()
    c.calls.accept(c.account.id, c.incoming)
    await settle()
    assert h.conferences.add(h.account.id, third, h.account.id, conference)
    await settle()
    assert set(entries(b)) == {"0" * 40, "a" * 40, "b" * 40, "c" * 40}
    assert h.conferences.detach(h.account.id, third)
    await settle()
    assert h.calls.find(third).word == "HOLD"
    assert c.of(OnConferenceInfosUpdated)[-1].infos == []
    assert set(entries(b)) == {"0" * 40, "a" * 40, "b" * 40}
    assert h.conferences.hang_up(h.account.id, conference)
    await settle()
    assert a.states()[-1] == b.states()[-1] == ("OVER", 0)
    assert h.calls.ids("") == [third]
    assert h.conferences.ids("") == []


async def test_streams_of_a_resumed_call_stay_in_the_conference(party, settle):
    h, a, _, conference, _ = party
    mine = a.calls.ids("")[0]
    a.calls.hold(a.account.id, mine)
    await settle()
    a.calls.resume(a.account.id, mine)
    await settle()
    assert h.audio.streams[-1].room == conference
    assert len(h.audio.streams) == 3


async def test_a_rendezvous_puts_its_callers_together(lab, settle):
    r, a, b = lab.add("r", "0"), lab.add("a", "a"), lab.add("b", "b")
    r.account.details["Account.rendezVous"] = "true"
    mine = a.place(r)
    await settle()
    (conference,) = r.conferences.ids("")
    assert r.conferences.details(r.account.id, conference)["STATE"] == "ACTIVE_DETACHED"
    b.place(r)
    await settle()
    assert [each.room for each in r.audio.streams] == [conference, conference]
    assert set(entries(a)) == {"a" * 40, "b" * 40}
    a.calls.hang_up(a.account.id, mine)
    await settle()
    assert r.conferences.ids("") == [conference]
    b.calls.hang_up(b.account.id, b.calls.ids("")[0])
    await settle()
    assert r.conferences.ids("") == []


async def test_a_conference_from_a_list(lab, settle):
    h, a, b = lab.add("h", "0"), lab.add("a", "a"), lab.add("b", "b")
    h.conferences.create_from(h.account.id, [a.account.uri, f"{b.account.uri},{h.account.id}"])
    await settle()
    for node in (a, b):
        node.calls.accept(node.account.id, node.incoming)
    await settle()
    (conference,) = h.conferences.ids("")
    assert len(h.conferences.participants(h.account.id, conference)) == 2


def test_every_recorded_order_is_understood():
    texts = {
        entry["raw"].partition("\r\n\r\n")[2]
        for name in ("g13/sip/conference_three.json", "g17/sip/conference_three.json")
        for entry in json.loads((DATA / name).read_text())
        if "application/confOrder+json" in entry.get("raw", "")
    }
    assert len(texts) > 10
    for text in texts:
        assert parse_orders(text), text
    order = parse_orders('{"A":{"devices":{"D":{"medias":{"S":{"muteAudio":true}}}},"medias":{"S":{"muteAudio":true}}},"version":1}')
    assert order == [Order(Action.MUTE, "A", "D", "S", True)]


@pytest.mark.parametrize("text", ["", "[]", "1", "{", "[" * 5000])
def test_nonsense_is_no_order(text):
    with pytest.raises(RemoteError, match="order"):
        parse_orders(text)


def test_infos_of_many_fit_into_one_message():
    entry = {"active": False, "device": "d" * 64, "h": 10, "sinkId": "s" * 24, "uri": "u" * 49, "videoMuted": True, "w": 10, "x": 0, "y": 0}
    flags = dict.fromkeys(("audioLocalMuted", "audioModeratorMuted", "handRaised", "isModerator", "recording", "voiceActivity"), False)
    small = json.loads(info_body(0, [entry | flags] * 3))
    assert (small["v"], small["p"]) == (1, [entry | flags] * 3)
    for count, told in ((30, 30), (200, 34)):
        body = info_body(0, [entry | flags] * count)
        assert len(body) <= CONFERENCE_INFO_BYTES
        assert len(json.loads(body)["p"]) >= min(count, told)
        assert all(each["uri"] == "u" * 49 for each in json.loads(body)["p"])
