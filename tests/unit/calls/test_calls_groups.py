"""Calls of a group: hosted, joined, joined again, refused."""

from __future__ import annotations

import pytest

from jamid.calls.group_calls import GroupCallAddress
from jamid.core.errors import RemoteError
from jamid.core.signals import (
    CallStateChanged,
    ConferenceChanged,
    ConferenceCreated,
    ConferenceRemoved,
    IncomingCallWithMedia,
    NeedsHost,
    OnConferenceInfosUpdated,
)
from tests.support.calls.lab import AUDIO, GROUP


@pytest.fixture
async def group(lab, settle):
    """h hosts a call of the group, a joins it by `swarm:`."""
    h, a = lab.add("h", "0"), lab.add("a", "a")
    assert h.calls.place(h.account.id, f"swarm:{GROUP}", AUDIO) == ""
    await settle()
    call = a.calls.place(a.account.id, f"swarm:{GROUP}", AUDIO)
    await settle()
    return h, a, h.conferences.ids("")[0], call


async def test_a_call_is_hosted_and_joined(lab, group):
    h, a, conference, call = group
    assert h.of(ConferenceCreated) == [ConferenceCreated(h.account.id, GROUP, conference)]
    assert lab.groups.calls == [{"id": conference, "uri": h.account.uri, "device": h.account.device_id}]
    assert a.states() == [("CONNECTING", 0), ("RINGING", 0), ("CURRENT", 0)]
    assert a.calls.details(a.account.id, call)["PEER_NUMBER"] == f"{GROUP}/{h.account.uri}/{h.account.device_id}/{conference}"
    assert h.states() == [("CONNECTING", 0), ("INACTIVE", 0), ("INCOMING", 0), ("CURRENT", 0)]
    assert h.of(IncomingCallWithMedia) == []
    assert h.of(ConferenceChanged)[-1].state == "ACTIVE_ATTACHED"
    assert h.audio.streams[0].room == conference
    assert {each["uri"].partition("@")[0] for each in a.of(OnConferenceInfosUpdated)[-1].infos} == {"0" * 40, "a" * 40}
    assert h.audio.sounding == {}


async def test_it_goes_on_with_one_and_ends_with_the_host(lab, group, settle):
    h, a, conference, call = group
    a.calls.hang_up(a.account.id, call)
    await settle()
    assert h.conferences.ids("") == [conference]
    assert a.history.ended == []
    assert a.of(NeedsHost) == []
    b = lab.add("b", "b")
    assert b.calls.place(b.account.id, f"rdv:{GROUP}/{h.account.uri}/{h.account.device_id}/0", AUDIO)
    await settle()
    assert h.conferences.participants(h.account.id, conference) == [h.calls.ids("")[0]]
    assert h.conferences.hang_up(h.account.id, conference)
    await settle()
    assert b.states()[-1] == ("OVER", 0)
    assert h.of(ConferenceChanged)[-1].state == "ACTIVE_DETACHED"
    assert h.told.index(h.of(ConferenceRemoved)[0]) < h.told.index(h.of(CallStateChanged)[-1])
    assert lab.groups.calls == []
    assert [each for each, _ in lab.groups.ended] == [conference]


async def test_who_does_not_want_to_host_hosts_at_nobodys_wish(lab, settle):
    h, a = lab.add("h", "0"), lab.add("a", "a")
    lab.groups.unwilling.add(h.account.id)
    call = a.calls.place(a.account.id, f"rdv:{GROUP}/{h.account.uri}/{h.account.device_id}/0", AUDIO)
    await settle()
    assert call
    assert a.states()[-1][0] == "OVER"
    assert a.of(NeedsHost) == [NeedsHost(a.account.id, GROUP)]
    assert h.conferences.ids("") == []
    # The user's own wish is another matter, and what is hosted may be joined.
    h.calls.place(h.account.id, f"swarm:{GROUP}", AUDIO)
    await settle()
    a.calls.place(a.account.id, f"swarm:{GROUP}", AUDIO)
    await settle()
    assert a.states()[-1] == ("CURRENT", 0)


async def test_an_ended_call_is_opened_again(lab, group, settle):
    h, a, conference, _ = group
    h.conferences.hang_up(h.account.id, conference)
    await settle()
    again = a.calls.place(a.account.id, f"rdv:{GROUP}/{h.account.uri}/{h.account.device_id}/{conference}", AUDIO)
    await settle()
    assert a.states(again)[-1] == ("CURRENT", 0)
    assert h.conferences.ids("") == [conference]
    assert h.conferences.media(h.account.id, conference)[0]["MUTED"] == "true"


async def test_strangers_are_kept_out(lab, group, settle):
    h, _, conference, _ = group
    c = lab.add("c", "c")
    lab.groups.strangers.add(c.account.uri)
    assert c.calls.place(c.account.id, f"swarm:{GROUP}", AUDIO) == ""
    c.calls.place(c.account.id, f"rdv:{GROUP}/{h.account.uri}/{h.account.device_id}/{conference}", AUDIO)
    await settle()
    assert c.states()[-1] == ("OVER", 0)
    assert c.of(NeedsHost) == [NeedsHost(c.account.id, GROUP)]
    assert len(h.conferences.participants(h.account.id, conference)) == 1


async def test_the_host_comes_back_to_its_own_call(group, settle):
    h, _, conference, _ = group
    h.conferences.detach_host(h.account.id, conference)
    assert h.calls.place(h.account.id, f"swarm:{GROUP}", AUDIO) == ""
    await settle()
    assert h.conferences.ids("") == [conference]
    assert h.conferences.details(h.account.id, conference)["STATE"] == "ACTIVE_ATTACHED"


@pytest.mark.parametrize("text", ["", "a/b/c/d", f"{'9' * 40}/{'a' * 40}/{'b' * 64}", f"{'9' * 40}/{'a' * 40}/{'b' * 64}/x"])
async def test_addresses_that_are_none(lab, text):
    with pytest.raises(RemoteError, match="not the"):
        GroupCallAddress.parse(text)
    a = lab.add("a", "a")
    assert a.calls.place(a.account.id, f"rdv:{text}", AUDIO) == ""
    assert a.calls.place(a.account.id, f"swarm:{text}", AUDIO) == ""


async def test_nobody_hears_a_host_that_did_not_choose_to_speak(group, settle):
    h, a, conference, _ = group
    h.conferences.hang_up(h.account.id, conference)
    await settle()
    again = a.calls.place(a.account.id, f"rdv:{GROUP}/{h.account.uri}/{h.account.device_id}/{conference}", AUDIO)
    await settle()
    assert h.audio.streams[-1].room == conference
    assert h.audio.streams[-1].parameters.muted
    assert h.audio.streams[-1].muted
    # A participant's order may silence the host, never open its microphone.
    a.conferences.mute_participant(a.account.id, again, h.account.uri, False)
    await settle()
    assert h.audio.streams[-1].muted
    assert h.conferences.media(h.account.id, conference)[0]["MUTED"] == "true"
    assert h.conferences.mute(h.account.id, conference, "MEDIA_TYPE_AUDIO", False)
    assert not h.audio.streams[-1].muted
