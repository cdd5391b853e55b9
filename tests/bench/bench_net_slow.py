"""A short message beside bulk on slow links, which the kernel shapes between two hosts of a lab.

scripts/bench net_slow [RATE...]        as root; 2mbit 5mbit 10mbit 20mbit 100mbit when none is given

Each with the machine's congestion control, and with Reno, which fills every queue that it finds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.interop.lab import REPOSITORY, Lab, new_name
from tests.support.net.networks import shape

_SECONDS = 10


def _measure(rate: str, control: str) -> dict[str, float]:
    lab = Lab(new_name())
    try:
        lab.up(["a", "b"])
        for host in ("a", "b"):
            lab.run(host, "sysctl", "-qw", f"net.ipv4.tcp_congestion_control={control}")
        if not shape(lab, rate, "a", "b"):
            sys.exit("the kernel cannot shape traffic (sch_tbf)")
        size = str(max(1, int(rate.removesuffix("mbit")) * _SECONDS // 8))
        bench = [sys.executable, "-m", "tests.bench.bench_net", "--size", size, "--other", f"ip netns exec {lab.namespace('b')}"]
        figures: dict[str, float] = json.loads(lab.run("a", "env", f"PYTHONPATH={REPOSITORY}", *bench, timeout=120))
        return figures
    finally:
        lab.down()


def main() -> None:
    usual = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    print(f"{'rate':>10} {'control':>8} {'bulk MiB/s':>10} {'there and back: median':>24} {'95 %':>6} {'longest ms':>10}")
    for rate in sys.argv[1:] or ["2mbit", "5mbit", "10mbit", "20mbit", "100mbit"]:
        for control in dict.fromkeys((usual, "reno")):
            figures = _measure(rate, control)
            median, most, longest = (figures[f"round_trip_beside_bulk_{name}_ms"] for name in ("median", "p95", "max"))
            print(f"{rate:>10} {control:>8} {figures['bulk_mib_s']:>10.2f} {median:>24.1f} {most:>6.1f} {longest:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
