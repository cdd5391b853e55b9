"""Figures of the accounts, beside the real daemon's where it can be had.

python -m tests.bench.bench_accounts creation [RUNS]     from addAccount to announced, ours and the real 13.7.0
python -m tests.bench.bench_accounts request [RUNS]      from sendTrustRequest to incomingTrustRequest, four pairs
python -m tests.bench.bench_accounts many [COUNT]        memory, CPU and start of COUNT idle accounts in one daemon of ours
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.interop.driver import Driver
from tests.interop.lab import Lab, new_name

VCARD = b"BEGIN:VCARD\r\nVERSION:2.1\r\nFN:Alice\r\nEND:VCARD\r\n"


def lab_with(hosts: list[str], daemons: dict[str, Callable[[Lab, str], None]]) -> Lab:
    lab = Lab(new_name())
    lab.up(["d", *hosts])
    lab.start_dht("d")
    for host, start in daemons.items():
        start(lab, host)
    return lab


def ours(lab: Lab, host: str) -> None:
    lab.ours(host, "-c", "-p")


def real(lab: Lab, host: str) -> None:
    lab.start_jamid(host)


async def creation(runs: int) -> None:
    for name, start in (("ours", ours), ("real", real)):
        lab = lab_with(["a"], {"a": start})
        try:
            async with await Driver.connect(lab.bus("a"), name) as driver:
                seconds = []
                for _ in range(runs):
                    began = time.monotonic()
                    await driver.add_account(f"{lab.address('d')}:4222")
                    seconds.append(time.monotonic() - began)
                print(f"{name}: median {statistics.median(seconds):.2f} s, from {min(seconds):.2f} to {max(seconds):.2f}")
        finally:
            lab.down()


async def request(runs: int) -> None:
    for one, other in ((ours, ours), (ours, real), (real, ours), (real, real)):
        lab = lab_with(["a", "b"], {"a": one, "b": other})
        try:
            a, b = await Driver.connect(lab.bus("a"), "a"), await Driver.connect(lab.bus("b"), "b")
            bootstrap, seconds = f"{lab.address('d')}:4222", []
            account, _ = await a.add_account(bootstrap)
            for _ in range(runs):
                receiver, uri = await b.add_account(bootstrap)
                began = time.monotonic()
                await a.configuration.sendTrustRequest(account, uri, VCARD)
                await b.signal("incomingTrustRequest", lambda to, *_: to == receiver, 30)  # noqa: B023
                seconds.append(time.monotonic() - began)
            print(f"{one.__name__} -> {other.__name__}: median {statistics.median(seconds) * 1000:.0f} ms, worst {max(seconds) * 1000:.0f}")
        finally:
            lab.down()


def used(pid: int) -> tuple[float, float]:
    """Resident MiB and CPU seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/smaps_rollup").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Pss:"))
    return resident / 1024, (int(fields[11]) + int(fields[12])) / 100


async def many(count: int) -> None:
    lab = lab_with(["a"], {"a": ours})
    try:
        async with await Driver.connect(lab.bus("a"), "a") as driver:
            pid = lab.pid("a")
            bootstrap = f"{lab.address('d')}:4222"
            await driver.add_account(bootstrap)
            await asyncio.sleep(3)
            first, _ = used(pid)
            for _ in range(count - 1):
                await driver.add_account(bootstrap)
            await asyncio.sleep(10)
            memory, before = used(pid)
            await asyncio.sleep(60)
            _, after = used(pid)
            each, share = (memory - first) / (count - 1), (after - before) / 60 / count * 100
            print(f"{count} accounts: {memory:.1f} MiB, {each:.2f} MiB and {share:.3f} % of a core each")
        lab.stop("a")
        began = time.monotonic()
        ours(lab, "a")
        print(f"started again with them, first reply after {time.monotonic() - began:.2f} s")
    finally:
        lab.down()


if __name__ == "__main__":
    kinds = {"creation": (creation, 10), "request": (request, 5), "many": (many, 50)}
    run, default = kinds[sys.argv[1]]
    asyncio.run(run(int(sys.argv[2]) if len(sys.argv) > 2 else default))
