"""Calls through a router and a relay, with other codecs than Opus, and with loss."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.interop.lab import Lab
from tests.support.calls.hearing import Host
from tests.support.calls.pair import answer, hang_up, join, ring

pytestmark = pytest.mark.interop

REAL_HZ, OURS_HZ = 700, 1100
RELAY = {"TURN.enable": "true", "TURN.username": "ring", "TURN.password": "ring", "TURN.realm": "ring"}


async def hears(host: Host, frequency: int) -> None:
    await asyncio.to_thread(host.wait_for, frequency)


@pytest.mark.parametrize("behind", ["a", "b"], ids=["real-behind-router", "ours-behind-router"])
async def test_a_call_through_a_router(lab: Lab, behind: str) -> None:
    """One of the two can only be reached through a TURN server."""
    lab.up(["d", "a", "b"], nat=[behind])
    lab.start_dht("d")
    lab.start_turn("d")
    lab.start_jamid("a", pulse=True)
    lab.ours("b", "-c", "-d", "-p", pulse=True)
    relay = RELAY | {"TURN.server": lab.address("d")}
    async with AsyncExitStack() as stack:
        real, ours = await asyncio.gather(join(stack, lab, "a", **relay), join(stack, lab, "b", **relay))
        at_real, at_ours = Host(lab, "a", REAL_HZ), Host(lab, "b", OURS_HZ)
        for caller, callee in ((ours, real), (real, ours)):
            await ring(caller, callee)
            await answer(caller, callee)
            await hears(at_real, OURS_HZ)
            await hears(at_ours, REAL_HZ)
            await hang_up(caller, callee)
            await asyncio.sleep(0.5)


@pytest.mark.parametrize(("codec", "name"), [(69660, "G722"), (65543, "PCMA"), (65542, "PCMU")])
async def test_other_codecs(lab: Lab, codec: int, name: str) -> None:
    """Where Opus is not wanted the other codecs of both sides do."""
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_jamid("a", pulse=True)
    lab.ours("b", "-c", "-d", "-p", pulse=True)
    async with AsyncExitStack() as stack:
        real, ours = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"))
        at_real, at_ours = Host(lab, "a", REAL_HZ), Host(lab, "b", OURS_HZ)
        await ours.driver.configuration.setActiveCodecList(ours.account, [codec, 27])
        await real.driver.configuration.setActiveCodecList(real.account, [codec, 27])
        for caller, callee in ((ours, real), (real, ours)):
            await ring(caller, callee)
            await answer(caller, callee)
            assert (await ours.details())["AUDIO_CODEC"] == name
            await hears(at_real, OURS_HZ)
            await hears(at_ours, REAL_HZ)
            await hang_up(caller, callee)
            await asyncio.sleep(0.5)


async def test_no_common_codec(lab: Lab) -> None:
    """Without a common codec the call fails at once, at whoever has to say so."""
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_jamid("a")
    lab.ours("b", "-c", "-d", "-p", env={"JAMID_AUDIO_INPUT": "null", "JAMID_AUDIO_OUTPUT": "null"})
    async with AsyncExitStack() as stack:
        real, ours = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"))
        await ours.driver.configuration.setActiveCodecList(ours.account, [65543, 27])
        real.since = ours.since = len(real.driver.signals)
        ours.since = len(ours.driver.signals)
        real.call = await real.calls.placeCallWithMedia(real.account, ours.uri, [])
        # The real daemon gets our 488 and goes on looking for other devices for half a minute.
        await real.state("CONNECTING")
        await asyncio.sleep(2)
        assert ours.got("incomingCallWithMedia") == []
        await real.calls.hangUp(real.account, real.call)
        ours.call = await ours.calls.placeCallWithMedia(ours.account, real.uri, [])
        async with asyncio.timeout(10):
            while not any(state == "OVER" for state, _ in ours.states()):
                await asyncio.sleep(0.1)
                ringing = real.got("incomingCallWithMedia")
                if ringing:
                    await real.calls.acceptWithMedia(real.account, ringing[0][1], ringing[0][3])
        assert ours.states()[-2][0] == "FAILURE"
