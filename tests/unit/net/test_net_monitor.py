from __future__ import annotations

import asyncio

import pytest

from jamid.net import network_monitor
from jamid.net.network_monitor import NetworkMonitor


async def test_only_a_real_change_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    state: list[tuple[frozenset[str], str | None]] = [(frozenset({"10.0.0.1"}), "10.0.0.254")]
    monkeypatch.setattr(network_monitor, "_snapshot", lambda: state[0])
    monkeypatch.setattr(network_monitor, "SETTLE_SECONDS", 0.05)
    told: list[bool] = []
    monitor = NetworkMonitor(lambda: told.append(True))
    await monitor.start()
    await asyncio.sleep(0.05)
    monitor._event.set()
    await asyncio.sleep(0.2)
    assert told == []
    state[0] = frozenset({"10.0.0.2"}), "10.0.0.254"
    monitor._event.set()
    await asyncio.sleep(0.2)
    assert told == [True]
    await monitor.close()


async def test_sleep_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = [0.0]
    monkeypatch.setattr(network_monitor, "_slept", lambda: slept[0])
    monkeypatch.setattr(network_monitor, "SLEEP_CHECK_SECONDS", 0.02)
    told: list[bool] = []
    monitor = NetworkMonitor(lambda: told.append(True))
    await monitor.start()
    await asyncio.sleep(0.05)
    assert told == []
    slept[0] = 600.0
    await asyncio.sleep(0.1)
    assert told == [True]
    await monitor.close()
