"""Conferences with real daemons: ours as the host and ours as a participant."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.interop.driver import AUDIO, befriend
from tests.interop.lab import Lab
from tests.support.calls.hearing import Host
from tests.support.calls.pair import End, answer, join, ring

pytestmark = pytest.mark.interop

A_HZ, B_HZ, C_HZ = 700, 1100, 1500


async def hears(host: Host, frequency: int, *, heard: bool = True) -> None:
    await asyncio.to_thread(host.wait_for, frequency, heard=heard)


async def infos(end: End, matches) -> dict[str, dict[str, str]]:
    """The first infos of END's call or conference that match, by account."""

    def fits(where: str, entries: list[dict[str, str]]) -> bool:
        return bool(where == end.call and matches({each["uri"].partition("@")[0]: each for each in entries}))

    _, entries = await end.driver.signal("onConferenceInfosUpdated", fits, 15, end.since)
    return {each["uri"].partition("@")[0]: each for each in entries}


async def test_ours_hosts(lab: Lab) -> None:
    """Two real participants hear each other and the host; infos, hands and mutes work."""
    lab.up(["d", "a", "b", "c"])
    lab.start_dht("d")
    lab.start_jamid("a", pulse=True)
    lab.ours("b", "-c", "-d", "-p", pulse=True)
    lab.start_jamid("c", pulse=True)
    async with AsyncExitStack() as stack:
        a, host, c = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"), join(stack, lab, "c"))
        at_a, at_host, at_c = Host(lab, "a", A_HZ), Host(lab, "b", B_HZ), Host(lab, "c", C_HZ)
        calls = []
        for end in (a, c):
            await ring(host, end)
            await answer(host, end)
            calls.append(host.call)
        assert await host.calls.joinParticipant(host.account, calls[0], host.account, calls[1])
        _, host.call = (await host.driver.signal("conferenceCreated"))[0], (await host.calls.getConferenceList(host.account))[0]
        host.since = 0
        await hears(at_a, C_HZ)
        await hears(at_a, B_HZ)
        await hears(at_c, A_HZ)
        await hears(at_c, B_HZ)
        await hears(at_host, A_HZ)
        await hears(at_host, C_HZ)
        for end, others in ((a, {host.uri, a.uri, c.uri}), (c, {host.uri, a.uri, c.uri}), (host, {"", a.uri, c.uri})):
            await infos(end, lambda found, wanted=others: set(found) == wanted)

        await a.calls.raiseHand(a.account, a.call, "", "", True)
        seen = await infos(c, lambda found: found.get(a.uri, {}).get("handRaised") == "true")
        await a.calls.muteStream(a.account, a.call, c.uri, seen[c.uri]["device"], seen[c.uri]["sinkId"], True)
        await infos(host, lambda found: found.get(c.uri, {}).get("audioModeratorMuted") == "true")
        await hears(at_a, C_HZ, heard=False)
        await hears(at_c, A_HZ)

        text = {"text/plain": "to all"}
        await host.calls.sendTextMessage(host.account, host.call, text, True)
        for end in (a, c):
            await end.driver.signal("incomingMessage", lambda _, call, __, got, own=end.call: call == own and got == text, 10)
        assert await host.calls.hangUpConference(host.account, host.call)
        for end in (a, c):
            await end.state("OVER")
        assert await host.calls.getConferenceList(host.account) == []


async def test_ours_takes_part(lab: Lab) -> None:
    """In a conference of a real host ours hears everybody, is shown the infos and its orders are followed."""
    lab.up(["d", "a", "b", "c"])
    lab.start_dht("d")
    lab.start_jamid("a", pulse=True)
    lab.ours("b", "-c", "-d", "-p", pulse=True)
    lab.ours("c", "-c", "-d", "-p", env={"JAMID_AUDIO_INPUT": f"tone:{C_HZ}", "JAMID_AUDIO_OUTPUT": "null"})
    async with AsyncExitStack() as stack:
        host, ours, other = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"), join(stack, lab, "c"))
        at_ours = Host(lab, "b", B_HZ)
        calls = []
        for end in (ours, other):
            await ring(host, end)
            await answer(host, end)
            calls.append(host.call)
        await asyncio.sleep(1)
        assert await host.calls.joinParticipant(host.account, calls[0], host.account, calls[1])
        seen = await infos(ours, lambda found: set(found) == {host.uri, ours.uri, other.uri})
        await hears(at_ours, C_HZ)
        await ours.calls.muteStream(ours.account, ours.call, other.uri, seen[other.uri]["device"], seen[other.uri]["sinkId"], True)
        await infos(other, lambda found: found.get(other.uri, {}).get("audioModeratorMuted") == "true")
        await hears(at_ours, C_HZ, heard=False)
        await ours.calls.raiseHand(ours.account, ours.call, "", "", True)
        await infos(other, lambda found: found.get(ours.uri, {}).get("handRaised") == "true")
        assert await ours.calls.getConferenceInfos(ours.account, ours.call)
        await ours.calls.hangupParticipant(ours.account, ours.call, other.uri, seen[other.uri]["device"])
        await other.state("OVER")
        await host.calls.hangUp(host.account, calls[0])
        await ours.state("OVER")


async def group_of(one: End, other: End) -> str:
    """A group conversation of two."""
    conversation = await one.driver.configuration.startConversation(one.account)
    since = len(other.driver.signals)
    await one.driver.configuration.addConversationMember(one.account, conversation, other.uri)
    await other.driver.signal("conversationRequestReceived", lambda _, found, __: found == conversation, 30, since)
    await other.driver.configuration.acceptConversationRequest(other.account, conversation)
    await other.driver.signal("conversationReady", lambda _, found: found == conversation, 30, since)
    await one.driver.signal("conversationMemberEvent", lambda _, found, who, what: (found, who, what) == (conversation, other.uri, 1), 30)
    return str(conversation)


@pytest.mark.parametrize("host_is_ours", [True, False], ids=["ours-hosts", "real-hosts"])
async def test_a_call_of_a_group(lab: Lab, host_is_ours: bool) -> None:
    """One hosts a call of the group, the other is told and joins, both hear each other, the end is told."""
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_jamid("a", pulse=True)
    lab.ours("b", "-c", "-d", "-p", pulse=True)
    async with AsyncExitStack() as stack:
        real, ours = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"))
        sounds = {"a": Host(lab, "a", A_HZ), "b": Host(lab, "b", B_HZ)}
        await befriend(ours.driver, ours.account, ours.uri, real.driver, real.account, real.uri)
        group = await group_of(ours, real)
        host, guest = (ours, real) if host_is_ours else (real, ours)
        host.since, guest.since = len(host.driver.signals), len(guest.driver.signals)
        await host.calls.placeCallWithMedia(host.account, f"swarm:{group}", [AUDIO])
        _, _, (active,) = await guest.driver.signal("activeCallsChanged", lambda _, found, calls: found == group and calls, 30, guest.since)
        assert active["uri"] == host.uri
        address = f"rdv:{group}/{active['uri']}/{active['device']}/{active['id']}"
        guest.call = await guest.calls.placeCallWithMedia(guest.account, address, [AUDIO])
        await guest.state("CURRENT")
        await guest.negotiated()
        await hears(sounds["a"], B_HZ)
        await hears(sounds["b"], A_HZ)
        await infos(guest, lambda found: {real.uri, ours.uri} <= set(found))
        await guest.calls.hangUp(guest.account, guest.call)
        await guest.state("OVER")
        conference = (await host.calls.getConferenceList(host.account))[0]
        assert await host.calls.hangUpConference(host.account, conference)
        await guest.driver.signal("activeCallsChanged", lambda _, found, calls: found == group and not calls, 30, guest.since)
