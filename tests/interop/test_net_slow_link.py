"""A short message beside bulk on a slow link, shaped by the kernel."""

from __future__ import annotations

import json
import sys

import pytest

from tests.interop.lab import REPOSITORY, Lab


@pytest.mark.interop
def test_a_short_message_is_not_late_beside_bulk_at_5_megabits(lab: Lab) -> None:
    lab.up(["a", "b"])
    for host in ("a", "b"):
        shape = ["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "5mbit", "burst", "5kb", "latency", "100ms"]
        lab.run(host, *shape, check=False)
        if "tbf" not in lab.run(host, "tc", "qdisc", "show", "dev", "eth0"):
            pytest.skip("the kernel cannot shape traffic (sch_tbf)")
    bench = [sys.executable, "-m", "tests.bench.bench_net", "--size", "2", "--other", f"ip netns exec {lab.namespace('b')}"]
    figures = json.loads(lab.run("a", "env", f"PYTHONPATH={REPOSITORY}", *bench))
    assert figures["bulk_mib_s"] > 0.5  # of 0.59
    assert figures["round_trip_beside_bulk_median_ms"] < 50
