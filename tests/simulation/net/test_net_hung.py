"""A peer that hangs is noticed, whatever was under way at that moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from jamid.net import connection
from jamid.net.channels import Channel
from jamid.net.mux import Multiplexer
from tests.support.net.world import MemoryDht, make_account, opened

_BEACON_SECONDS = 0.15


class Answers:
    """When a peer answers beacons: late, and not at all once it hangs."""

    def __init__(self, rng: random.Random) -> None:
        self.hung = False
        self._rng = rng

    def wrap(self, mux: Multiplexer) -> None:
        answer = mux.beacon

        def beacon(*, ask: bool) -> None:
            if not self.hung:
                asyncio.get_running_loop().call_later(self._rng.random() * _BEACON_SECONDS / 2, self._unless_hung, answer, ask)

        mux.beacon = beacon  # type: ignore[method-assign]

    def _unless_hung(self, answer: Callable[..., None], ask: bool) -> None:
        if not self.hung:
            answer(ask=ask)


@pytest.mark.parametrize("seed", range(6))
async def test_a_hung_peer_is_noticed_after_two_beacons_at_most(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The asker may have asked a moment ago, a second connection may come up, or the answer may still be on its way."""
    rng = random.Random(seed)
    monkeypatch.setattr(connection, "BEACON_SECONDS", _BEACON_SECONDS)
    dht = MemoryDht()
    pair = a, b = await make_account("a", dht, tmp_path), await make_account("b", dht, tmp_path)
    answers = Answers(rng)
    channels: list[Channel] = []
    for _ in range(2):
        mine, served = await opened(pair)
        answers.wrap(served.connection.mux)
        channels.append(mine)
        if rng.random() < 0.7:
            mine = await a.connections.open(b.certificate, "test", new_socket=True)
            answers.wrap((await b.handler.opened_channels.get()).connection.mux)
            channels.append(mine)
    for _ in range(rng.randrange(4)):
        a.connections.connectivity_changed()
        await asyncio.sleep(rng.random() * _BEACON_SECONDS)
    answers.hung = True
    a.connections.connectivity_changed()
    async with asyncio.timeout(2 * _BEACON_SECONDS + 0.5):
        for channel in channels:
            await channel.wait_closed()
    assert not a.connections.connected_devices()
    await a.connections.close()
    await b.connections.close()
