"""Many calls, floods of calls, and calls that end at every moment: nothing is left and nobody else is harmed."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest

from jamid.calls.call import Call
from jamid.calls.legs import Leg
from jamid.core.signals import CallStateChanged, IncomingCallWithMedia
from jamid.sip.sessions import InviteSession
from tests.support.calls.lab import FakeIce

LAST = {"OVER"}


def alive(*kinds):
    gc.collect()
    return {kind.__name__: sum(isinstance(each, kind) for each in gc.get_objects()) for kind in kinds}


async def test_nothing_is_left_after_hundreds_of_calls(lab):
    a, b = lab.add("a", "a"), lab.add("b", "b")
    b.account.details["Account.autoAnswer"] = "true"

    async def talk():
        call = a.place(b)
        while not a.calls.find(call).current:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.015)
        a.calls.hang_up(a.account.id, call)

    for _ in range(15):
        await asyncio.gather(*(talk() for _ in range(4)))
    await asyncio.sleep(0.1)
    for node in (a, b):
        node.told.clear()
        node.audio.streams.clear()
        node.account.ices.clear()
    before = alive(Call, Leg, InviteSession, FakeIce)
    for _ in range(60):
        await asyncio.gather(*(talk() for _ in range(4)))
    await asyncio.sleep(0.1)
    for node in (a, b):
        assert node.states().count(("OVER", 0)) == 240
        node.told.clear()
        node.audio.streams.clear()
        node.account.ices.clear()
    after = alive(Call, Leg, InviteSession, FakeIce)
    # Transactions keep the sessions of the last 32 seconds; what was over before is gone.
    assert after["FakeIce"] == 0
    assert after["Call"] <= before["Call"] + 250
    assert len(a.calls) == len(b.calls) == 0


async def test_twenty_calls_at_once(lab, settle):
    center = lab.add("center", "0")
    center.account.details["Account.autoAnswer"] = "true"
    others = [lab.add(f"n{number}", format(number, "x")) for number in range(1, 11)]
    calls = [(node, node.place(center)) for node in others for _ in range(2)]
    await settle(0.3)
    assert all(node.calls.find(call).word == "CURRENT" for node, call in calls)
    assert len(center.calls) == 20
    for node, call in calls[::2]:
        node.calls.hang_up(node.account.id, call)
    await settle()
    assert len(center.calls) == 10
    assert all(node.calls.find(call).word == "CURRENT" for node, call in calls[1::2])


async def test_a_flood_of_invites_leaves_a_running_call_alone(lab, settle):
    a, b, c = lab.add("a", "a"), lab.add("b", "b"), lab.add("c", "c")
    call = c.place(b)
    await settle()
    b.calls.accept(b.account.id, b.incoming)
    await settle()
    exchange = await a.account.sip.get(b.account.device_id)
    for _ in range(1000):
        session = InviteSession.outgoing(exchange, b.account.uri)
        session.call(b"v=0\r\nm=audio 5 RTP/SAVP 104\r\n")
    for _ in range(40):
        a.place(b)
    await settle(0.5)
    assert c.calls.find(call).word == "CURRENT"
    assert len(b.of(IncomingCallWithMedia)) <= 5
    stream = c.audio.streams[-1]
    stream.send_rtp(b"x")
    assert b.audio.streams[-1].received[-1:] == [b"x"]


@pytest.mark.parametrize("seed", range(8))
async def test_ends_at_any_moment(lab, settle, seed):
    dice = random.Random(seed)
    nodes = [lab.add(name, name) for name in "abcd"]
    for _ in range(60):
        one, other = dice.sample(nodes, 2)
        kind = dice.randrange(9)
        call = dice.choice(one.calls.ids("") or [""])
        account = one.account.id
        if kind <= 1:
            one.place(other)
        elif kind == 2:
            one.calls.accept(account, call)
        elif kind == 3:
            one.calls.hang_up(account, call)
        elif kind == 4:
            one.calls.refuse(account, call)
        elif kind == 5:
            one.calls.hold(account, call)
        elif kind == 6:
            one.calls.resume(account, call)
        elif kind == 7:
            one.calls.send_text(account, call, {"text/plain": "x"})
        elif dice.random() < 0.1:
            for exchange in one.account.sip.open_to(other.account.uri):
                exchange.close()
        await asyncio.sleep(dice.choice([0, 0, 0.001, 0.01, 0.03]))
    for node in nodes:
        for call in node.calls.ids(""):
            node.calls.hang_up(node.account.id, call)
    await settle(0.3)
    for node in nodes:
        assert node.calls.ids("") == []
        last = {}
        for each in node.told:
            if isinstance(each, CallStateChanged):
                assert last.get(each.call_id) not in LAST, "something came after OVER"
                last[each.call_id] = each.state
        assert set(last.values()) <= LAST
        assert all(stream.closed for stream in node.audio.streams)
        assert node.audio.sounding == {}
