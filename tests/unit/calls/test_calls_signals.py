"""The signals of both ends of a call are those of the recorded real daemons, in order and code."""

from __future__ import annotations

import asyncio

import pytest

from jamid.calls.generations import LAST_WORDS, Ending
from jamid.core.clock import SystemClock
from jamid.core.generations import Generation
from jamid.core.signals import CallStateChanged, IncomingCallWithMedia, IncomingMessage, MediaNegotiationStatus

BOTH = pytest.mark.parametrize("generation", list(Generation))
RUNG = [("CONNECTING", 0), ("INACTIVE", 0), ("INCOMING", 0)]
RINGS = [("CONNECTING", 0), ("RINGING", 0)]


async def ringing(lab, settle, generation=Generation.G13):
    a, b = lab.add("a", "a", generation), lab.add("b", "b", generation)
    call = a.place(b)
    assert a.states() == []
    await settle()
    return a, b, call, b.incoming


async def talking(lab, settle, generation=Generation.G13):
    a, b, call, theirs = await ringing(lab, settle, generation)
    assert b.calls.accept(b.account.id, theirs)
    await settle()
    return a, b, call, theirs


async def test_ringing(lab, settle):
    a, b, call, theirs = await ringing(lab, settle)
    assert a.states() == RINGS
    assert b.states() == RUNG
    (told,) = b.of(IncomingCallWithMedia)
    assert (told.account_id, told.call_id, told.peer) == (b.account.id, theirs, f"{'a' * 40}@ring.dht")
    assert [each["LABEL"] for each in told.media] == ["audio_0"]
    assert b.told.index(told) > b.told.index(b.of(CallStateChanged)[2])
    assert a.audio.sounding == {call: "ringback"}
    assert b.audio.sounding == {theirs: "ringtone"}


@BOTH
async def test_answered_and_ended_by_the_caller(lab, settle, generation):
    a, b, call, _theirs = await talking(lab, settle, generation)
    assert a.of(MediaNegotiationStatus)[0].event == "NEGOTIATION_SUCCESS"
    assert len(a.of(MediaNegotiationStatus)) == len(b.of(MediaNegotiationStatus)) == 1
    assert a.audio.sounding == b.audio.sounding == {}
    assert a.calls.hang_up(a.account.id, call)
    await settle()
    assert a.states() == [*RINGS, ("CURRENT", 0), ("HUNGUP", 0), ("OVER", 0)]
    assert b.states() == [*RUNG, ("CURRENT", 0), ("HUNGUP", 103 if generation is Generation.G13 else 487), ("OVER", 0)]
    assert a.calls.ids("") == b.calls.ids("") == []
    assert a.calls.details(a.account.id, call) == {}
    ((account, peer, duration, reason),) = a.history.ended
    assert (account, peer, reason) == (a.account.id, "b" * 40, "")
    assert 10 < duration < 2000
    assert b.history.ended == []


async def test_a_clock_set_during_a_call_does_not_change_how_long_it_was(lab, settle, monkeypatch):
    a, _b, call, _theirs = await talking(lab, settle)
    monkeypatch.setattr(SystemClock, "time", lambda self: 1_000_000.0)
    assert a.calls.hang_up(a.account.id, call)
    await settle()
    ((_, _, duration, _),) = a.history.ended
    assert 0 < duration < 2000


@BOTH
async def test_ended_by_the_callee(lab, settle, generation):
    a, b, _call, theirs = await talking(lab, settle, generation)
    assert b.calls.hang_up(b.account.id, theirs)
    await settle()
    assert b.states()[-2:] == [("HUNGUP", 0), ("OVER", 0)]
    assert a.states()[-2:] == [("HUNGUP", 103 if generation is Generation.G13 else 487), ("OVER", 0)]


@BOTH
async def test_refused(lab, settle, generation):
    a, b, _call, theirs = await ringing(lab, settle, generation)
    assert b.calls.refuse(b.account.id, theirs)
    await settle()
    assert b.states()[3:] == ([("BUSY", 0), ("OVER", 0)] if generation is Generation.G13 else [("INACTIVE", 603), ("OVER", 0)])
    assert a.states()[2:] == [("HUNGUP", 103 if generation is Generation.G13 else 487), ("OVER", 0)]
    assert a.history.ended == [(a.account.id, "b" * 40, 0, "declined")]


@BOTH
async def test_hung_up_while_ringing(lab, settle, generation):
    a, b, _call, theirs = await ringing(lab, settle, generation)
    assert b.calls.hang_up(b.account.id, theirs)
    await settle()
    assert b.states()[3:] == [("FAILURE", 481), ("OVER", 0)]
    assert a.states()[2:] == ([("FAILURE", 5), ("OVER", 0)] if generation is Generation.G13 else [("FAILURE", 500), ("OVER", 481)])


@BOTH
async def test_cancelled(lab, settle, generation):
    a, b, call, _theirs = await ringing(lab, settle, generation)
    assert a.calls.hang_up(a.account.id, call)
    await settle()
    assert a.states()[2:] == [("HUNGUP", 0), ("OVER", 0)]
    assert b.states()[3:] == [("INACTIVE", 111 if generation is Generation.G13 else 603), ("OVER", 0)]


@BOTH
async def test_nobody_answers(lab, settle, generation):
    a = lab.add("a", "a", generation)
    b = lab.add("b", "b", generation, ringing_seconds=lambda: 0.05)
    a.place(b)
    await settle(0.15)
    assert b.states()[3:] == [("BUSY", 0), ("OVER", 0 if generation is Generation.G13 else 486)]
    assert a.states()[2:] == [("HUNGUP", 103 if generation is Generation.G13 else 487), ("OVER", 0)]


@BOTH
async def test_no_device(lab, settle, generation):
    a = lab.add("a", "a", generation)
    call = a.calls.place(a.account.id, "c" * 40, [])
    assert call.isdigit()
    await settle()
    code, last = (6, 0) if generation is Generation.G13 else (480, 480)
    assert a.states() == [("FAILURE", code), ("OVER", last)]
    assert a.history.ended == [(a.account.id, "c" * 40, 0, "no_device")]


@BOTH
async def test_unknown_name(lab, settle, generation):
    a = lab.add("a", "a", generation)
    a.calls.place(a.account.id, "nobody", [])
    await settle()
    assert a.states() == ([("FAILURE", 6), ("OVER", 0)] if generation is Generation.G13 else [("FAILURE", 404), ("OVER", 404)])


async def test_a_registered_name_is_called(lab, settle):
    a, _b = lab.add("a", "a"), lab.add("b", "b")
    a.calls.place(a.account.id, "b", [])
    await settle()
    assert a.states() == RINGS


@BOTH
async def test_no_media_path(lab, settle, generation):
    a, b = lab.add("a", "a", generation), lab.add("b", "b", generation)
    a.account.ice_fails = True
    a.place(b)
    await settle()
    b.calls.accept(b.account.id, b.incoming)
    await settle()
    end = [("FAILURE", 5), ("OVER", 0)] if generation is Generation.G13 else [("FAILURE", 488), ("OVER", 488)]
    assert a.states()[2:] == [("CURRENT", 0), *end]
    assert b.states()[-2][0] == "HUNGUP"


@BOTH
async def test_the_connection_breaks(lab, settle, generation):
    a, b, _call, _theirs = await talking(lab, settle, generation)
    a.account.sip.open_to(b.account.uri)[0].close()
    await settle()
    code = 104 if generation is Generation.G13 else 503
    assert a.states()[-2] == b.states()[-2] == ("FAILURE", code)


async def test_two_devices_ring_and_one_answers(lab, settle):
    a, b, d = lab.add("a", "a"), lab.add("b", "b"), lab.add("d", "b")
    call = a.place(b)
    await settle()
    assert b.states() == d.states() == RUNG
    assert a.states() == RINGS
    d.calls.accept(d.account.id, d.incoming)
    await settle()
    assert a.states() == [*RINGS, ("CURRENT", 0)]
    assert d.states() == [*RUNG, ("CURRENT", 0)]
    assert b.states() == [*RUNG, ("INACTIVE", 111), ("OVER", 0)]
    assert len(a.audio.streams) == 1
    assert a.calls.details(a.account.id, call)["PEER_NUMBER"] == "b" * 40


async def test_one_of_two_devices_refuses_for_both(lab, settle):
    a, b, d = lab.add("a", "a"), lab.add("b", "b"), lab.add("d", "b")
    a.place(b)
    await settle()
    d.calls.refuse(d.account.id, d.incoming)
    await settle()
    assert a.states()[2:] == [("HUNGUP", 103), ("OVER", 0)]
    assert b.states()[3:] == [("INACTIVE", 111), ("OVER", 0)]


async def test_an_error_of_one_device_leaves_the_other_ringing(lab, settle):
    a, b, d = lab.add("a", "a"), lab.add("b", "b"), lab.add("d", "b")
    a.place(b)
    await settle()
    d.calls.hang_up(d.account.id, d.incoming)
    await settle()
    assert a.states() == RINGS
    b.calls.accept(b.account.id, b.incoming)
    await settle()
    assert a.states()[-1] == ("CURRENT", 0)


async def test_an_unreachable_device_does_not_delay_the_other(lab, settle):
    a, b, d = lab.add("a", "a"), lab.add("b", "b"), lab.add("d", "b")
    a.connections.unreachable.add(d.account.device_id)
    a.place(b)
    await settle()
    assert a.states() == RINGS


@BOTH
async def test_crossing_calls_become_one(lab, settle, generation):
    a, b = lab.add("a", "a", generation), lab.add("b", "b", generation)
    mine, theirs = a.place(b), b.place(a)
    await settle(0.2)
    coming = next(each.call_id for each in a.of(IncomingCallWithMedia))
    assert a.states(coming) == [*RUNG, ("CURRENT", 0)]
    assert a.states(mine)[-2:] == [("HUNGUP", 0), ("OVER", 0)]
    assert b.states(theirs)[-1] == ("CURRENT", 0)
    assert b.states(b.of(IncomingCallWithMedia)[0].call_id)[-1] == ("OVER", 0)


async def test_a_second_call_rings_and_is_denied_on_wish(lab, settle):
    a, b, c = lab.add("a", "a"), lab.add("b", "b"), lab.add("c", "c")
    a.place(b)
    await settle()
    b.calls.accept(b.account.id, b.incoming)
    await settle()
    c.place(b)
    await settle()
    assert c.states() == RINGS
    assert b.calls.accept(b.account.id, b.incoming)
    await settle()
    assert [b.calls.find(each).word for each in b.calls.ids("")] == ["CURRENT", "CURRENT"]
    b.account.details["Account.denySecondCall"] = "true"
    c.place(b)
    await settle()
    assert c.states()[-2:] == [("HUNGUP", 103), ("OVER", 0)]
    assert len(b.of(IncomingCallWithMedia)) == 3


@pytest.mark.parametrize("key", ["Account.autoAnswer", "Account.rendezVous"])
async def test_calls_are_answered_by_themselves(lab, settle, key):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    b.account.details[key] = "true"
    a.place(b)
    await settle()
    assert b.states() == [*RUNG, ("CURRENT", 0)]
    assert b.of(IncomingCallWithMedia)
    assert a.states() == [*RINGS, ("CURRENT", 0)]
    assert b.audio.sounding == {}


async def test_texts_before_and_after_the_answer(lab, settle):
    a, b, call, theirs = await ringing(lab, settle)
    a.calls.send_text(a.account.id, call, {"text/plain": "while ringing"})
    await settle()
    b.calls.accept(b.account.id, theirs)
    await settle()
    a.calls.send_text(a.account.id, call, {"text/plain": "one", "application/x-test;k=v": "two"})
    b.calls.send_text(b.account.id, theirs, {"x-ring/ring.profile.vcard; id=12,part=1,of=2": "BEGIN"})
    await settle()
    assert [each.messages for each in b.of(IncomingMessage)] == [
        {"text/plain": "while ringing"},
        {"text/plain": "one", "application/x-test;k=v": "two"},
    ]
    assert b.of(IncomingMessage)[0].sender == f"{'a' * 40}@ring.dht"
    assert [(each.sender, each.messages) for each in a.of(IncomingMessage)] == [
        ("b" * 40, {"x-ring/ring.profile.vcard;id=12,part=1,of=2": "BEGIN"})
    ]


async def test_strangers_and_impostors_do_not_ring(lab, settle):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    b.account.banned.add(a.account.uri)
    a.place(b)
    await settle()
    assert b.told == []
    assert a.states()[-2:] == [("HUNGUP", 103), ("OVER", 0)]


async def test_a_flood_of_calls_rings_four_times(lab, settle):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    for _ in range(20):
        a.place(b)
    await settle(0.2)
    assert len(b.of(IncomingCallWithMedia)) == 4
    assert len(a.calls) == 4


async def test_nothing_is_left_of_many_calls(lab, settle):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    b.account.details["Account.autoAnswer"] = "true"
    for _ in range(30):
        call = a.place(b)
        await asyncio.sleep(0.03)
        a.calls.hang_up(a.account.id, call)
    await settle()
    assert len(a.calls) == len(b.calls) == 0
    exchange = a.account.sip.open_to(b.account.uri)[0]
    assert exchange.sessions == 0
    assert all(stream.closed for stream in [*a.audio.streams, *b.audio.streams])


@pytest.mark.parametrize("self_call", [True, False])
@pytest.mark.parametrize(("generation", "codes"), [(Generation.G13, (5, 0)), (Generation.G17, (500, 480))])
async def test_an_account_whose_devices_cannot_be_reached(lab, settle, generation, codes, self_call):
    a, b = lab.add("a", "a", generation), lab.add("b", "b", generation)
    a.connections.unreachable.add(b.account.device_id)
    a.place(a if self_call else b)
    await settle()
    assert a.states() == [("FAILURE", codes[0]), ("OVER", codes[1])]
    assert [reason for _, _, _, reason in a.history.ended] == ["no_device"]


@pytest.mark.parametrize("generation", list(Generation))
async def test_a_recording_that_ends_with_its_call_is_told_as_by_the_reference(lab, settle, generation):
    a, b = lab.add("a", "a", generation), lab.add("b", "b", generation)
    call = a.place(b)
    await settle()
    b.calls.accept(b.account.id, b.incoming)
    await settle()
    assert await a.calls.toggle_recording(a.account.id, call)
    a.told.clear()
    a.calls.hang_up(a.account.id, call)
    await settle()
    kinds = [each.state if isinstance(each, CallStateChanged) else type(each).__name__ for each in a.told]
    stopped = "RecordPlaybackStopped"
    assert kinds == ([stopped, "HUNGUP", "OVER"] if generation is Generation.G13 else ["HUNGUP", "OVER", stopped])
    assert a.audio.recordings == {}


async def test_a_call_that_reached_nobody_yet_is_just_over(lab, settle):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    searching = asyncio.Event()

    async def devices_of(uri):
        await searching.wait()
        return []

    a.account.devices_of = devices_of
    call = a.place(b)
    await settle()
    assert a.calls.hang_up(a.account.id, call)
    await settle()
    assert a.states() == [("OVER", 0)]
    searching.set()


def test_every_ending_has_words_for_every_generation():
    assert all(set(LAST_WORDS[generation]) == set(Ending) for generation in Generation)
