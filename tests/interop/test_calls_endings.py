"""Every way a call begins and ends between ours and the real daemon: our signals are those recorded of two real ones."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import pytest

from tests.interop.driver import AUDIO, VIDEO
from tests.interop.lab import Lab
from tests.support.calls.pair import End, answer, hang_up, join, ring

pytestmark = pytest.mark.interop

RINGS = [("CONNECTING", 0), ("RINGING", 0)]
RUNG = [("CONNECTING", 0), ("INACTIVE", 0), ("INCOMING", 0)]


@pytest.fixture
async def ends(lab: Lab):
    """The real daemon on a, ours on b."""
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_jamid("a")
    lab.ours("b", "-c", "-d", "-p", env={"JAMID_AUDIO_INPUT": "tone:440", "JAMID_AUDIO_OUTPUT": "null"})
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"))


@pytest.mark.parametrize("caller_is_ours", [True, False], ids=["ours-calls", "real-calls"])
async def test_endings(ends, caller_is_ours: bool) -> None:
    real, ours = ends
    caller, callee = (ours, real) if caller_is_ours else (real, ours)

    await ring(caller, callee)
    assert await callee.calls.refuse(callee.account, callee.call)
    await over(caller, callee)
    assert caller.states() == [*RINGS, ("HUNGUP", 103), ("OVER", 0)]
    assert callee.states() == [*RUNG, ("BUSY", 0), ("OVER", 0)]

    await ring(caller, callee)
    assert await callee.calls.hangUp(callee.account, callee.call)
    await over(caller, callee)
    assert caller.states() == [*RINGS, ("FAILURE", 5), ("OVER", 0)]
    assert callee.states() == [*RUNG, ("FAILURE", 481), ("OVER", 0)]

    await ring(caller, callee)
    assert await caller.calls.hangUp(caller.account, caller.call)
    await over(caller, callee)
    assert caller.states() == [*RINGS, ("HUNGUP", 0), ("OVER", 0)]
    assert callee.states() == [*RUNG, ("INACTIVE", 111), ("OVER", 0)]

    await ring(caller, callee)
    await caller.calls.sendTextMessage(caller.account, caller.call, {"text/plain": "early"}, True)
    await callee.driver.signal("incomingMessage", lambda _, call, __, got: call == callee.call and got == {"text/plain": "early"}, 10)
    await answer(caller, callee)
    await hang_up(callee, caller)
    assert caller.states() == [*RINGS, ("CURRENT", 0), ("HUNGUP", 103), ("OVER", 0)]
    assert callee.states() == [*RUNG, ("CURRENT", 0), ("HUNGUP", 0), ("OVER", 0)]

    await callee.driver.configuration.setRingingTimeout(2)
    await ring(caller, callee)
    await over(caller, callee)
    assert caller.states() == [*RINGS, ("HUNGUP", 103), ("OVER", 0)]
    assert callee.states() == [*RUNG, ("BUSY", 0), ("OVER", 0)]

    assert await ours.calls.getCallList(ours.account) == []
    assert await real.calls.getCallList(real.account) == []


async def test_video_offers_become_audio_calls(ends) -> None:
    real, ours = ends
    await ring(real, ours, media=[AUDIO, VIDEO])
    assert [each["LABEL"] for each in ours.media] == ["audio_0", "video_0"]
    await answer(real, ours)
    assert (await ours.details())["AUDIO_CODEC"] == "opus"
    await asyncio.sleep(1)
    await hang_up(real, ours)

    await ring(real, ours)
    await answer(real, ours)
    await asyncio.sleep(1)
    assert await real.calls.requestMediaChange(real.account, real.call, [AUDIO, VIDEO])
    _, _, offered = await ours.driver.signal("mediaChangeRequested", lambda _, call, __: call == ours.call, 10, ours.since)
    assert [each["MEDIA_TYPE"] for each in offered] == ["MEDIA_TYPE_AUDIO", "MEDIA_TYPE_VIDEO"]
    assert await ours.calls.answerMediaChangeRequest(ours.account, ours.call, offered)
    await ours.negotiated(2)
    await real.negotiated(2)
    assert ours.states()[-1] == real.states()[-1] == ("CURRENT", 0)
    await hang_up(ours, real)


async def test_nobody_there_and_automatic_answers(ends) -> None:
    real, ours = ends
    ours.since = len(ours.driver.signals)
    ours.call = await ours.calls.placeCallWithMedia(ours.account, "0" * 39 + "1", [AUDIO])
    await ours.state("OVER")
    assert ours.states() == [("FAILURE", 6), ("OVER", 0)]
    assert await ours.calls.placeCallWithMedia("unknown", real.uri, [AUDIO]) == ""

    await ours.driver.configuration.setAccountDetails(ours.account, {"Account.autoAnswer": "true"})
    await asyncio.sleep(0.5)
    await ours.driver.announced(ours.account)
    await ring(real, ours)
    await real.state("CURRENT")
    await ours.negotiated()
    assert ours.states() == [*RUNG, ("CURRENT", 0)]
    await asyncio.sleep(0.5)  # the real daemon may abort when it hangs up while its own media begin
    await hang_up(real, ours)


async def over(*all_ends: End) -> None:
    for end in all_ends:
        await end.state("OVER")
    # The next call must not meet the last one's farewells.
    await asyncio.sleep(0.3)


async def test_a_peer_that_dies(lab: Lab, ends) -> None:
    real, ours = ends
    await ring(ours, real)
    await answer(ours, real)
    lab.stop("a", number=signal.SIGKILL)
    await ours.state("OVER", 15)
    assert ours.states() == [*RINGS, ("CURRENT", 0), ("FAILURE", 104), ("OVER", 0)]
    assert await ours.calls.getCallList(ours.account) == []


async def test_a_peer_cut_off_from_the_network(lab: Lab, ends) -> None:
    real, ours = ends
    await ring(real, ours)
    await answer(real, ours)
    lab.loss("a", 100)
    lab.loss("b", 100)
    await ours.state("OVER", 45)
    assert ours.states()[-2:] == [("FAILURE", 104), ("OVER", 0)]


async def test_our_daemon_stops_in_a_call(lab: Lab, ends) -> None:
    real, ours = ends
    await ring(ours, real)
    await answer(ours, real)
    lab.stop("b")
    await real.state("OVER", 15)
    # What it says depends on whether it reads our BYE or the end of the connection first.
    assert real.states()[-2:] in ([("HUNGUP", 103), ("OVER", 0)], [("FAILURE", 104), ("OVER", 0)])
