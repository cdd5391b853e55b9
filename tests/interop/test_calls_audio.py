"""Calls with sound between ours and the real daemon: tones both ways, hold, mute, messages, keys, recording."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.interop.lab import Lab
from tests.support.calls.hearing import Host, loudness_of
from tests.support.calls.pair import End, answer, hang_up, join, ring

pytestmark = pytest.mark.interop

REAL_HZ, OURS_HZ = 700, 1100
CALLER = [("CONNECTING", 0), ("RINGING", 0), ("CURRENT", 0)]
CALLEE = [("CONNECTING", 0), ("INACTIVE", 0), ("INCOMING", 0), ("CURRENT", 0)]


@pytest.fixture
async def meeting(lab: Lab):
    """The real daemon on a, ours on b, each saying a tone of its own."""
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_jamid("a", pulse=True)
    lab.ours("b", "-c", "-d", "-p", pulse=True)
    async with AsyncExitStack() as stack:
        real, ours = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"))
        yield real, ours, Host(lab, "a", REAL_HZ), Host(lab, "b", OURS_HZ)


async def hears(host: Host, frequency: int, *, heard: bool = True) -> None:
    await asyncio.to_thread(host.wait_for, frequency, heard=heard)


async def test_a_call_of_ours(meeting) -> None:
    real, ours, at_real, at_ours = meeting
    await ring(ours, real)
    await answer(ours, real)
    await hears(at_real, OURS_HZ)
    await hears(at_ours, REAL_HZ)
    await hold_and_resume(ours, real, at_real, at_ours, OURS_HZ, REAL_HZ)
    await hold_and_resume(real, ours, at_ours, at_real, REAL_HZ, OURS_HZ)
    await mute(ours, at_real, OURS_HZ)
    await mute(real, at_ours, REAL_HZ)
    await record(ours, real)
    await hang_up(ours, real)
    assert ours.states() == [*CALLER, ("HOLD", 0), ("CURRENT", 0), ("HUNGUP", 0), ("OVER", 0)]
    assert real.states() == [*CALLEE, ("HOLD", 0), ("CURRENT", 0), ("HUNGUP", 103), ("OVER", 0)]


async def test_a_call_of_the_real_one(meeting) -> None:
    real, ours, at_real, at_ours = meeting
    await ring(real, ours)
    await answer(real, ours)
    await hears(at_real, OURS_HZ)
    await hears(at_ours, REAL_HZ)
    await texts(real, ours)
    await ours.calls.playDTMF("5")
    await real.calls.playDTMF("7")
    await hold_and_resume(ours, real, at_real, at_ours, OURS_HZ, REAL_HZ)
    assert (await ours.details())["AUDIO_CODEC"] == "opus"
    await hang_up(ours, real)
    assert ours.states() == [*CALLEE, ("HOLD", 0), ("CURRENT", 0), ("HUNGUP", 0), ("OVER", 0)]
    assert real.states() == [*CALLER, ("HUNGUP", 103), ("OVER", 0)]
    assert await ours.details() == {}


async def hold_and_resume(holder: End, other: End, at_other: Host, at_holder: Host, holder_hz: int, other_hz: int) -> None:
    """A held call is silent at both ends, a resumed one is heard again."""
    # The real daemon drops a change that comes before it has read the ACK of the one before, up to half a second later.
    await asyncio.sleep(1)
    counts = [sum(call == end.call for call, *_ in end.got("mediaNegotiationStatus")) for end in (holder, other)]
    assert await holder.calls.hold(holder.account, holder.call)
    await holder.state("HOLD")
    for end, count in zip((holder, other), counts, strict=True):
        await end.negotiated(count + 1)
    await hears(at_other, holder_hz, heard=False)
    await hears(at_holder, other_hz, heard=False)
    (media,) = await holder.calls.currentMediaList(holder.account, holder.call)
    assert media["ON_HOLD"] == "true"
    assert await holder.calls.unhold(holder.account, holder.call)
    for end, count in zip((holder, other), counts, strict=True):
        await end.negotiated(count + 2)
    await hears(at_other, holder_hz)
    await hears(at_holder, other_hz)


async def mute(end: End, at_other: Host, frequency: int) -> None:
    """A muted voice is not heard, an un-muted one is."""
    assert await end.calls.muteLocalMedia(end.account, end.call, "MEDIA_TYPE_AUDIO", True)
    await end.driver.signal("audioMuted", lambda call, muted: call == end.call and muted, 5, end.since)
    await hears(at_other, frequency, heard=False)
    assert await end.calls.muteLocalMedia(end.account, end.call, "MEDIA_TYPE_AUDIO", False)
    await hears(at_other, frequency)


async def texts(one: End, other: End) -> None:
    """Messages in the call, single and of several parts."""
    for sender, receiver in ((one, other), (other, one)):
        for payloads in ({"text/plain": "grüß dich"}, {"text/plain": "one", "application/x-test;k=v": "two"}):
            await sender.calls.sendTextMessage(sender.account, sender.call, payloads, True)
            _, _, _, messages = await receiver.driver.signal(
                "incomingMessage", lambda _, call, __, got, r=receiver, p=payloads: call == r.call and got == p, 10, receiver.since
            )
            assert messages == payloads


async def record(ours: End, real: End) -> None:
    """A recording of ours contains both tones, and the peer is told."""
    assert await ours.calls.toggleRecording(ours.account, ours.call)
    await real.driver.signal("remoteRecordingChanged", lambda call, _, on: call == real.call and on, 10, real.since)
    await asyncio.sleep(2)
    assert not await ours.calls.toggleRecording(ours.account, ours.call)
    await real.driver.signal("remoteRecordingChanged", lambda call, _, on: call == real.call and not on, 10, real.since)
    path = next(path for call, path in ours.got("recordPlaybackFilepath") if call == ours.call and path != ".webm")
    assert loudness_of(path, OURS_HZ) > 100
    assert loudness_of(path, REAL_HZ) > 100
