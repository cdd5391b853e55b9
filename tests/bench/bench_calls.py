"""What calls cost, whole daemons in a lab: time to the answer and to the media, CPU of one call and of twenty.

As root: `python -m tests.bench.bench_calls [ours|devices|real|mixed] [--calls 20]`. `ours` runs without sound devices, `devices` with those
of a sound server; `real` measures two daemons of the reference beside it, `mixed` ours calling a real one.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.interop.driver import AUDIO
from tests.interop.lab import Lab, new_name
from tests.support.calls.pair import End, hang_up, join, ring

SILENT = {"JAMID_AUDIO_INPUT": "tone:440", "JAMID_AUDIO_OUTPUT": "null"}
ROUNDS = 8


def when(end: End, member: str, matches: object) -> float:
    """When the daemon's signal MEMBER arrived for the call of END."""
    for moment, name, body in end.driver.signals[end.since :]:
        if name == member and end.call in body and (matches is None or matches in body):
            return moment
    raise LookupError(member)


async def times(caller: End, callee: End) -> tuple[float, float, float]:
    """Seconds from the call to RINGING, from the answer to CURRENT at the caller, from the answer to media at both."""
    began = time.monotonic()
    await ring(caller, callee)
    rings = when(caller, "callStateChanged", "RINGING") - began
    await asyncio.sleep(0.7)
    answered = time.monotonic()
    assert await callee.calls.acceptWithMedia(callee.account, callee.call, callee.media)
    await caller.state("CURRENT")
    await caller.negotiated()
    await callee.negotiated()
    media = max(when(end, "mediaNegotiationStatus", "NEGOTIATION_SUCCESS") for end in (caller, callee)) - answered
    current = when(caller, "callStateChanged", "CURRENT") - answered
    await asyncio.sleep(1)
    await hang_up(caller, callee)
    return rings, current, media


async def cpu(pid: int, seconds: float) -> float:
    """Per cent of one core that a process uses."""
    process = psutil.Process(pid)
    begin = sum(process.cpu_times()[:2])
    await asyncio.sleep(seconds)
    return 100 * (sum(process.cpu_times()[:2]) - begin) / seconds


async def load(caller: End, callee: End, pids: dict[str, int], count: int) -> dict[str, float]:
    """CPU of each daemon during COUNT calls at once."""
    since = len(caller.driver.signals)
    calls = [await caller.calls.placeCallWithMedia(caller.account, callee.uri, [AUDIO]) for _ in range(1)]
    for _ in range(count - 1):
        calls.append(await caller.calls.placeCallWithMedia(caller.account, callee.uri, [AUDIO]))
        await asyncio.sleep(0.3)
    for call in calls:
        await caller.driver.signal("mediaNegotiationStatus", lambda c, *_, own=call: c == own, 30, since)
    await asyncio.sleep(2)
    used = await asyncio.gather(*(cpu(pid, 8) for pid in pids.values()))
    for call in calls:
        await caller.calls.hangUp(caller.account, call)
    await asyncio.sleep(1)
    return dict(zip(pids, used, strict=True))


async def main(kind: str, count: int) -> None:
    lab = Lab(new_name())
    lab.up(["d", "a", "b"])
    try:
        lab.start_dht("d")
        for host in ("a", "b"):
            if kind == "devices":
                lab.ours(host, "-c", "-p", pulse=True)
            elif kind == "ours" or (kind == "mixed" and host == "a"):
                lab.ours(host, "-c", "-p", env=SILENT)
            else:
                lab.start_jamid(host, pulse=True)
        async with AsyncExitStack() as stack:
            a, b = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"))
            pids = {host: lab.pid(host) for host in ("a", "b")}
            first, *others = [await times(a, b) for _ in range(ROUNDS + 1)]
            print(f"first call: RINGING {first[0]:.3f} s (connection made)")
            for name, values in zip(("RINGING", "answer to CURRENT", "answer to media"), zip(*others, strict=True), strict=True):
                print(f"{name:18} median {statistics.median(values) * 1000:6.0f} ms, worst {max(values) * 1000:6.0f} ms")
            await b.driver.configuration.setAccountDetails(b.account, {"Account.autoAnswer": "true"})
            await asyncio.sleep(3)
            for number in dict.fromkeys((1, count)):
                used = await load(a, b, pids, number)
                print(f"{number:2} calls: " + ", ".join(f"{host} {value:.1f} %" for host, value in used.items()))
            print("memory: " + ", ".join(f"{host} {psutil.Process(pid).memory_info().rss / 2**20:.0f} MiB" for host, pid in pids.items()))
    finally:
        lab.down()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="?", default="ours", choices=["ours", "devices", "real", "mixed"])
    parser.add_argument("--calls", type=int, default=20)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.kind, arguments.calls))
