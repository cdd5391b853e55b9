"""Connections with the real 13.7.0: both roles, in the networks that matter most."""

from __future__ import annotations

import pytest

from tests.interop.lab import Lab
from tests.support.net.networks import NETWORKS, build, enter, path, send

pytestmark = pytest.mark.interop

_BY_NAME = {network.name: network for network in NETWORKS}


@pytest.mark.parametrize("name", ["one network, TURN configured", "both behind NATs, TURN"])
async def test_real_daemon_reaches_us_and_we_reach_it(lab: Lab, name: str) -> None:
    network = _BY_NAME[name]
    build(lab, network, "real", "ours")
    real, ours = await enter(lab, network)
    await send(ours, real, 20)
    await send(real, ours, 20)
    assert await path(network, ours)


async def test_real_daemon_opens_the_connection(lab: Lab) -> None:
    network = _BY_NAME["one network"]
    build(lab, network, "real", "ours")
    real, ours = await enter(lab, network)
    await send(real, ours, 20)
    await send(ours, real, 20)
