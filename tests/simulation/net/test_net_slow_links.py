"""Bulk on narrow links of every length: a short message is never late, and the link is used."""

from __future__ import annotations

import random

import pytest

from tests.support.net.bottleneck import Bottleneck, send_bulk

_MBIT = 125_000
_SECONDS = 4.0


@pytest.mark.parametrize("megabits", [5, 10, 20, 100])
@pytest.mark.parametrize("milliseconds", [0.2, 20, 100])
def test_bulk_never_delays_a_short_message_by_more_than_50_ms(megabits: int, milliseconds: float) -> None:
    link = Bottleneck(lambda now: megabits * _MBIT, milliseconds / 1000)
    delays = send_bulk(link, _SECONDS)
    assert max(delays) < 0.055 if milliseconds == 100 else max(delays) < 0.035
    assert link.acked > (0.75 if milliseconds == 100 else 0.93) * _SECONDS * megabits * _MBIT


def test_congestion_control_alone_fills_the_queue() -> None:
    """Which shows that the simulation has what the test above is about."""
    delays = send_bulk(Bottleneck(lambda now: 5 * _MBIT, 0.0002), _SECONDS, paced=False)
    assert max(delays) > 0.15


def test_a_loaded_machine_wakes_up_late() -> None:
    link = Bottleneck(lambda now: 5 * _MBIT, 0.0002)
    assert max(send_bulk(link, _SECONDS, late=0.01)) < 0.035
    assert link.acked > 0.9 * _SECONDS * 5 * _MBIT


@pytest.mark.parametrize(("before", "after"), [(20, 5), (5, 20)])
def test_a_rate_that_changes_is_followed(before: int, after: int) -> None:
    link = Bottleneck(lambda now: (before if now < 2 else after) * _MBIT, 0.02)
    delays = send_bulk(link, _SECONDS)
    assert max(delays[-len(delays) // 4 :]) < 0.035
    assert link.acked > 0.93 * (2 * before + 2 * after) * _MBIT


@pytest.mark.parametrize("since", [0.0, 2.0])
def test_the_queue_of_others_does_not_starve_bulk(since: float) -> None:
    link = Bottleneck(lambda now: 10 * _MBIT, 0.02, others=lambda now: 0.15 if now >= since else 0.0)
    send_bulk(link, 8)
    assert link.acked > 0.7 * 8 * 10 * _MBIT


def test_delays_that_nobody_makes_do_not_starve_bulk() -> None:
    """As of a radio link, whose shortest round trip is rarely seen."""
    rng = random.Random(1)
    link = Bottleneck(lambda now: 50 * _MBIT, 0.005, others=lambda now: rng.random() * 0.05)
    send_bulk(link, 8)
    assert link.acked > 0.3 * 8 * 50 * _MBIT
