"""A short message beside bulk on a slow link, shaped by the kernel."""

from __future__ import annotations

import json
import sys

import pytest

from tests.interop.lab import REPOSITORY, Lab
from tests.support.net.networks import shape


@pytest.mark.interop
def test_a_short_message_is_not_late_beside_bulk_at_5_megabits(lab: Lab) -> None:
    lab.up(["a", "b"])
    if not shape(lab, "5mbit", "a", "b"):
        pytest.skip("the kernel cannot shape traffic (sch_tbf)")
    bench = [sys.executable, "-m", "tests.bench.bench_net", "--size", "2", "--other", f"ip netns exec {lab.namespace('b')}"]
    figures = json.loads(lab.run("a", "env", f"PYTHONPATH={REPOSITORY}", *bench, timeout=120))
    assert figures["bulk_mib_s"] > 0.5  # of 0.59
    assert figures["round_trip_beside_bulk_median_ms"] < 50
