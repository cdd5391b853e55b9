"""Calls that concern more than two daemons: several devices ring, and a call is handed on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.interop.driver import Driver, befriend
from tests.interop.lab import Lab
from tests.support.calls.pair import STRANGERS, End, answer, hang_up, join, ring

pytestmark = pytest.mark.interop

SILENT = {"JAMID_AUDIO_INPUT": "tone:440", "JAMID_AUDIO_OUTPUT": "null"}
RINGS = [("CONNECTING", 0), ("RINGING", 0)]
RUNG = [("CONNECTING", 0), ("INACTIVE", 0), ("INCOMING", 0)]


async def second_device(stack: AsyncExitStack, lab: Lab, first: End, host: str, *, ours: bool) -> End:
    """A device of FIRST's account on HOST, made from its archive."""
    archive = lab.home(host) / "account.gz"
    assert await first.driver.configuration.exportToFile(first.account, str(archive), "")
    driver = await stack.enter_async_context(await Driver.connect(lab.bus(host), host))
    account = await driver.configuration.addAccount({
        "Account.type": "RING", "Account.alias": host, "Account.archivePath": str(archive), "Account.archivePassword": "",
        "Account.hostname": f"{lab.address('d')}:4222", "Account.upnpEnabled": "false", "TURN.enable": "false", **STRANGERS,
    })  # fmt: skip
    await driver.announced(account)
    return End(driver, account, first.uri)


async def test_two_real_devices_ring(lab: Lab) -> None:
    """Ours calls an account with two devices: both ring, one answers, the other stops; one refuses for both."""
    lab.up(["d", "a", "b", "c"])
    lab.start_dht("d")
    lab.start_jamid("a")
    lab.start_jamid("c")
    lab.ours("b", "-c", "-d", "-p", env=SILENT)
    async with AsyncExitStack() as stack:
        first, ours = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"))
        second = await second_device(stack, lab, first, "c", ours=False)
        await asyncio.sleep(1)
        await ring(ours, first, second)
        await answer(ours, second)
        await first.state("OVER")
        assert first.states() == [*RUNG, ("INACTIVE", 111), ("OVER", 0)]
        assert ours.states() == [*RINGS, ("CURRENT", 0)]
        await hang_up(ours, second)

        await asyncio.sleep(0.5)
        await ring(ours, first, second)
        assert await first.calls.refuse(first.account, first.call)
        for end in (ours, first, second):
            await end.state("OVER")
        assert ours.states() == [*RINGS, ("HUNGUP", 103), ("OVER", 0)]
        assert second.states() == [*RUNG, ("INACTIVE", 111), ("OVER", 0)]


async def test_two_devices_of_ours_ring(lab: Lab) -> None:
    """The real one calls an account with two devices of ours."""
    lab.up(["d", "a", "b", "c"])
    lab.start_dht("d")
    lab.start_jamid("a")
    lab.ours("b", "-c", "-d", "-p", env=SILENT)
    lab.ours("c", "-c", "-d", "-p", env=SILENT)
    async with AsyncExitStack() as stack:
        real, first = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"))
        second = await second_device(stack, lab, first, "c", ours=True)
        await asyncio.sleep(1)
        await ring(real, first, second)
        await answer(real, first)
        await second.state("OVER")
        assert second.states() == [*RUNG, ("INACTIVE", 111), ("OVER", 0)]
        await hang_up(first, real)
        assert first.states() == [*RUNG, ("CURRENT", 0), ("HUNGUP", 0), ("OVER", 0)]


async def test_transfers(lab: Lab) -> None:
    """The real one hands ours on to a third, and ours hands the real one on to another of ours."""
    lab.up(["d", "a", "b", "c"])
    lab.start_dht("d")
    lab.start_jamid("a")
    lab.ours("b", "-c", "-d", "-p", env=SILENT)
    lab.ours("c", "-c", "-d", "-p", env=SILENT)
    async with AsyncExitStack() as stack:
        real, ours, third = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"), join(stack, lab, "c"))
        await ring(real, ours)
        await answer(real, ours)
        third.since, since = len(third.driver.signals), len(ours.driver.signals)
        assert await real.calls.transfer(real.account, real.call, third.uri)
        _, third.call, peer, third.media = await third.driver.signal("incomingCallWithMedia", since=third.since)
        assert peer == f"{ours.uri}@ring.dht"
        await real.state("OVER")
        await ours.state("OVER")
        assert ours.states()[-2:] == [("HUNGUP", 0), ("OVER", 0)]
        ours.since = since
        _, ours.call, _, _ = await ours.driver.signal("callStateChanged", lambda _, __, state, ___: state == "RINGING", 10, since)
        await answer(ours, third)
        await hang_up(third, ours)

        await asyncio.sleep(0.5)
        await ring(ours, third)
        await answer(ours, third)
        assert await ours.calls.transfer(ours.account, ours.call, real.uri)
        real.since = len(real.driver.signals)
        _, real.call, peer, _ = await real.driver.signal("incomingCallWithMedia", lambda _, __, peer, ___: third.uri in peer, 20)
        await ours.state("OVER")
        assert ours.states()[-2:] == [("HUNGUP", 103), ("OVER", 0)]
        assert await real.calls.hangUp(real.account, real.call)


async def test_calls_are_written_into_the_conversation(lab: Lab) -> None:
    """After a call of ours both ends have its length in their conversation; after a refused one a zero."""
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_jamid("a")
    lab.ours("b", "-c", "-d", "-p", env=SILENT)
    async with AsyncExitStack() as stack:
        real, ours = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"))
        conversation = await befriend(ours.driver, ours.account, ours.uri, real.driver, real.account, real.uri)
        await ring(ours, real)
        await answer(ours, real)
        await asyncio.sleep(1)
        await hang_up(real, ours)
        for end in (ours, real):
            _, _, message = await end.driver.signal(
                "messageReceived", lambda _, c, m: c == conversation and m.get("type") == "application/call-history+json", 30, end.since
            )
            assert 900 < int(message["duration"]) < 20000
            assert message["to"] == real.uri
