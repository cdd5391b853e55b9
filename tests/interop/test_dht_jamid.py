"""Real Jami daemons whose whole network is one `jami-dht` bootstrap server of ours."""

from __future__ import annotations

import sys

import pytest

from tests.interop.driver import Driver, befriend
from tests.interop.lab import Lab

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]


async def test_real_daemons_register_and_meet_through_our_node(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.spawn("d", "dht", [sys.executable, "-m", "jamid.dht.cli", "--port", "4222", "-v", "node"])
    lab.start_jamid("a")
    lab.start_jamid("b")
    bootstrap = f"{lab.address('d')}:4222"
    async with await Driver.connect(lab.bus("a"), "a") as a, await Driver.connect(lab.bus("b"), "b") as b:
        account_a, id_a = await a.add_account(bootstrap)
        account_b, id_b = await b.add_account(bootstrap)
        assert await befriend(a, account_a, id_a, b, account_b, id_b)
