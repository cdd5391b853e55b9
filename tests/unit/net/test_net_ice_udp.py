from __future__ import annotations

import asyncio
import re
import time

import pytest

from jamid.net import ice_udp
from jamid.net.ice_udp import MediaIce

_LINE = re.compile(r"[HSR][0-9a-f]{1,30} \d+ UDP \d+ \S+ \d+ typ (host|srflx|relay)")


async def test_a_peer_is_gone_when_no_component_has_been_answered_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_udp, "_CONSENT_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(ice_udp, "_CONSENT_SECONDS", 2.5)
    offerer, answerer = MediaIce(2, controlling=True), MediaIce(2, controlling=False)
    await asyncio.gather(offerer.gather(), answerer.gather())
    lost: asyncio.Queue[float] = asyncio.Queue()
    offerer.on_lost = lambda: lost.put_nowait(time.monotonic())
    await asyncio.gather(
        offerer.connect(answerer.ufrag, answerer.pwd, [*answerer.candidates(1), *answerer.candidates(2)]),
        answerer.connect(offerer.ufrag, offerer.pwd, [*offerer.candidates(1), *offerer.candidates(2)]),
    )
    await asyncio.sleep(3)
    assert lost.empty()
    gone = time.monotonic()
    await answerer.close()
    assert 2 < await asyncio.wait_for(lost.get(), 6) - gone < 4.5  # not after six unanswered checks of either component
    await offerer.close()


async def test_two_sessions_find_a_path_for_each_component() -> None:
    offerer, answerer = MediaIce(4, controlling=True), MediaIce(4, controlling=False, public_addresses=lambda: ["198.51.100.7"])
    await asyncio.gather(offerer.gather(), answerer.gather())
    lines = {ice: [line for number in range(1, 5) for line in ice.candidates(number)] for ice in (offerer, answerer)}
    assert all(_LINE.fullmatch(line) for line in lines[offerer] + lines[answerer])
    assert any(" 198.51.100.7 " in line for line in lines[answerer])
    got: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
    for number in range(1, 5):
        answerer.on_data(number, lambda data, number=number: got.put_nowait((number, data)))  # type: ignore[misc]
    offerer.send(1, b"too early")
    await asyncio.gather(
        offerer.connect(answerer.ufrag, answerer.pwd, [*lines[answerer], "garbage", "x 1 UDP 5 host.local 9 typ host"]),
        answerer.connect(offerer.ufrag, offerer.pwd, lines[offerer]),
    )
    assert [component for component, _, _ in offerer.pairs()] == [1, 2, 3, 4]
    offerer.send(3, b"\x80packet")
    assert await asyncio.wait_for(got.get(), 2) == (3, b"\x80packet")
    path = offerer.path(4)
    assert path is not None
    await asyncio.get_running_loop().run_in_executor(None, path, b"\x80from a thread")
    assert await asyncio.wait_for(got.get(), 2) == (4, b"\x80from a thread")
    checks: asyncio.Queue[bytes] = asyncio.Queue()
    offerer.on_data(4, checks.put_nowait)
    before = time.monotonic()
    answerer.send(4, b"\x80to a thread")
    answerer.send(4, b"\x00no media")
    came: list[tuple[float, bytes]] = []
    while not came:
        await asyncio.sleep(0.01)
        came = path.arrived()
    assert [data for _, data in came] == [b"\x80to a thread"]
    assert before - 0.01 < came[0][0] <= time.monotonic()
    assert path.arrived() == []
    assert await asyncio.wait_for(checks.get(), 2) == b"\x00no media"
    await offerer.close()
    await answerer.close()
    path(b"too late")
    assert path.arrived() == []
    offerer.send(1, b"too late")
