"""Connections with the real 13.7.0: both roles, in the networks that matter most."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from tests.interop.driver import Driver
from tests.interop.lab import Lab
from tests.support.net.networks import NETWORKS, Player, build, enter, path, send

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


async def test_connection_survives_loss_and_a_cut(lab: Lab) -> None:
    network = _BY_NAME["one network"]
    build(lab, network, "real", "ours")
    real, ours = await enter(lab, network)
    await send(ours, real, 20)
    await path(network, ours)
    lab.loss("b", 5)
    for _ in range(5):
        await send(ours, real, 20)
        await send(real, ours, 20)
    lab.loss("b", 0)
    before = await ours.driver.configuration.getConnectionList(ours.account, "")
    lab.loss("b", 100)
    sending = asyncio.create_task(send(ours, real, 50))
    await asyncio.sleep(20)
    lab.loss("b", 0)
    await sending
    after = await ours.driver.configuration.getConnectionList(ours.account, "")
    assert {entry["id"] for entry in after} & {entry["id"] for entry in before}


async def test_reconnects_after_a_kill_of_either_side(lab: Lab) -> None:
    network = _BY_NAME["one network"]
    build(lab, network, "real", "ours")
    real, ours = await enter(lab, network)
    await send(ours, real, 20)
    await path(network, ours)
    lab.stop("a", "jamid", signal.SIGKILL)
    end = time.monotonic() + 10
    while any(entry["status"] == "0" for entry in await ours.driver.configuration.getConnectionList(ours.account, "")):
        assert time.monotonic() < end, "the killed peer is still shown as connected"
        await asyncio.sleep(0.05)
    lab.start_jamid("a")
    back = await Driver.connect(lab.bus("a"), "a")
    await back.signal("volatileAccountDetailsChanged", lambda account, details: details.get("Account.deviceAnnounced") == "true")
    real = Player(back, real.account, real.uri)
    await send(real, ours, 20)
    await send(ours, real, 20)
    await path(network, ours)


@pytest.mark.parametrize(("a", "b", "meet"), [("ours", "ours 13", True), ("ours 17", "ours", True), ("ours 13", "ours 17", False)])
async def test_daemons_of_one_generation(lab: Lab, a: str, b: str, meet: bool) -> None:
    network = _BY_NAME["one network"]
    build(lab, network, a, b)
    one, other = await enter(lab, network)
    sending = [asyncio.create_task(send(one, other, 12)), asyncio.create_task(send(other, one, 12))]
    if meet:
        assert await path(network, one) == "direct"
    else:
        with pytest.raises(TimeoutError, match="no connection"):
            await path(network, one, other, seconds=8)
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)


async def test_follows_a_change_of_our_address(lab: Lab) -> None:
    network = _BY_NAME["one network"]
    build(lab, network, "real", "ours")
    real, ours = await enter(lab, network)
    await send(ours, real, 20)
    await path(network, ours)
    (before, *_) = await ours.driver.configuration.getConnectionList(ours.account, "")
    lab.run("b", "ip", "addr", "del", "10.77.0.3/24", "dev", "eth0")
    lab.run("b", "ip", "addr", "add", "10.77.0.33/24", "dev", "eth0")
    lab.run("b", "ip", "route", "replace", "default", "via", "10.77.0.254")
    end = time.monotonic() + 15
    while before["id"] in {entry["id"] for entry in await ours.driver.configuration.getConnectionList(ours.account, "")}:
        assert time.monotonic() < end, "the dead connection is still shown"
        await asyncio.sleep(0.1)
    await send(ours, real, 30)
    await path(network, ours)
