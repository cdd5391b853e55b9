"""Two daemons that speak IPv6 only and cannot reach each other, with a real TURN server."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.lab import Lab
from tests.support.net.networks import NETWORKS, build, enter, path, send

pytestmark = pytest.mark.interop


async def test_two_of_ours_meet_at_a_relayed_ipv6_address(lab: Lab) -> None:
    (network,) = (network for network in NETWORKS if network.name == "TURN only, IPv6 only")
    build(lab, network, "ours", "ours")
    a, b = await enter(lab, network)
    sending = asyncio.create_task(send(a, b, 25))
    assert await path(network, a, b, seconds=25) == "relayed"
    await sending
    assert "Local relay addr: fd77::1" in lab.log("d", "turn")
    shown = [entry for player in (a, b) for entry in await player.driver.configuration.getConnectionList(player.account, "")]
    standing = [entry["remoteAddress"] for entry in shown if entry["status"] == "0"]
    assert standing
    assert all(":" in address for address in standing)
