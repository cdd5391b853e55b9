"""The daemon end to end, ours and the real one in one run: start, memory, stop, account, chat, file, call.

Run it as root: `scripts/bench` (or `python -m tests.bench.bench_daemon [--write]`). Two daemons of a kind meet in a lab of network
namespaces with a real DHT node and TURN server. `--write` puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil

from tests.interop.driver import Driver, audio_call, befriend, chat
from tests.interop.lab import REPOSITORY, Lab, missing_requirements, new_name

FIGURES = {
    "start": ("from exec to the first D-Bus reply", "s"),
    "idle": ("resident memory, no account", "MiB"),
    "stop": ("from SIGTERM to the end", "s"),
    "account": ("new account announced on the DHT", "s"),
    "memory": ("resident memory, one account online", "MiB"),
    "call_list": ("getAccountList, round trip", "ms"),
    "details": ("getAccountDetails, round trip", "ms"),
    "friend": ("request to shared conversation", "s"),
    "chat": ("message, sender's call to receiver's signal (median of 20)", "s"),
    "burst": ("100 messages, until the last has arrived", "s"),
    "file": ("file of 50 MB", "MB/s"),
    "call": ("call, placed to CURRENT (median of 5)", "s"),
    "talking": ("processor while talking, each daemon", "%"),
    "grown": ("resident memory after all that", "MiB"),
}
AIMS = {"start": 0.6, "idle": 45.0, "stop": 1.0}


def start(lab: Lab, host: str, ours: bool) -> psutil.Process:
    if ours:
        lab.ours(host, "-c", "-p")
    else:
        lab.start_jamid(host)
    return psutil.Process(lab.pid(host))


def memory(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20


def first_reply(lab: Lab, host: str, ours: bool) -> float:
    """Seconds from exec to the first reply; calls wait in the daemon's socket as soon as it owns the name."""
    lab.start_bus(host)
    environment = {} if ours else {"LD_PRELOAD": ""}
    command = [sys.executable, "-m", "jamid.app", "-c", "-p"] if ours else ["/usr/libexec/jamid", "-c", "-p"]
    call = ["dbus-send", "--session", "--print-reply", "--dest=cx.ring.Ring", "/cx/ring/Ring/ConfigurationManager",
            "cx.ring.Ring.ConfigurationManager.getAccountList"]  # fmt: skip
    began = time.perf_counter()
    lab.spawn(host, "jamid", command, {"PYTHONPATH": str(REPOSITORY)} | environment)
    in_namespace = ["ip", "netns", "exec", lab.namespace(host), *call]
    while subprocess.run(in_namespace, env=lab.environment(host), capture_output=True, check=False).returncode:
        pass
    return time.perf_counter() - began


async def round_trip(call: Callable[..., Any], *arguments: Any) -> float:
    """Milliseconds of one call, the median of 300."""
    times = []
    for _ in range(300):
        began = time.perf_counter()
        await call(*arguments)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


async def send_file(a: Driver, account_a: str, b: Driver, account_b: str, conversation: str, lab: Lab, size: int) -> float:
    """MB per second from the receiver's order to the complete file."""
    source = lab.dir / "bulk.bin"
    source.write_bytes(os.urandom(size))
    since = len(b.signals)
    await a.configuration.sendFile(account_a, conversation, str(source), "bulk.bin", "")
    _, _, message = await b.signal("messageReceived", lambda _, c, m: "fileId" in m, 60, since)
    began = time.perf_counter()
    await b.configuration.downloadFile(account_b, conversation, message["id"], message["fileId"], str(lab.dir / "copy.bin"))
    await b.signal("dataTransferEvent", lambda _, c, m, f, code: f == message["fileId"] and code == 6, 120, since)
    return size / 1e6 / (time.perf_counter() - began)


async def measure(ours: bool) -> dict[str, float]:
    figures: dict[str, float] = {}
    lab = Lab(new_name())
    try:
        lab.up(["d", "a", "b", "c"])
        lab.start_dht("d")
        lab.start_turn("d")
        times = []
        for _ in range(5):
            times.append(first_reply(lab, "c", ours))
            time.sleep(1)
            figures["idle"] = memory(psutil.Process(lab.pid("c")))
            began = time.perf_counter()
            lab.stop("c", "jamid", signal.SIGTERM)
            figures["stop"] = time.perf_counter() - began
        figures["start"] = statistics.median(times)
        processes = [start(lab, host, ours) for host in ("a", "b")]
        bootstrap, turn = f"{lab.address('d')}:4222", lab.address("d")
        async with await Driver.connect(lab.bus("a"), "a") as a, await Driver.connect(lab.bus("b"), "b") as b:
            began = time.perf_counter()
            account_a, id_a = await a.add_account(bootstrap, turn)
            figures["account"] = time.perf_counter() - began
            account_b, id_b = await b.add_account(bootstrap, turn)
            figures["memory"] = memory(processes[0])
            figures["call_list"] = await round_trip(a.configuration.getAccountList)
            figures["details"] = await round_trip(a.configuration.getAccountDetails, account_a)
            began = time.perf_counter()
            conversation = await befriend(a, account_a, id_a, b, account_b, id_b)
            figures["friend"] = time.perf_counter() - began
            await asyncio.sleep(2)
            pairs = [(a, account_a, b), (b, account_b, a)] * 10
            figures["chat"] = statistics.median([await chat(*pair, conversation, f"text {i}") for i, pair in enumerate(pairs)])
            began = time.perf_counter()
            for i in range(100):
                await a.configuration.sendMessage(account_a, conversation, f"burst {i}", "", 0)
            await b.signal("messageReceived", lambda _, c, m: m.get("body") == "burst 99", 120)
            figures["burst"] = time.perf_counter() - began
            figures["file"] = await send_file(a, account_a, b, account_b, conversation, lab, 50_000_000)
            setups, used = [], []
            for _ in range(5):
                before = [process.cpu_times() for process in processes]
                setups.append(await audio_call(a, account_a, b, account_b, id_b, seconds=4))
                after = [process.cpu_times() for process in processes]
                used += [end.user + end.system - begin.user - begin.system for begin, end in zip(before, after, strict=True)]
                await asyncio.sleep(1)
            figures["call"] = statistics.median(setups)
            figures["talking"] = statistics.median(used) / (4 + figures["call"]) * 100
            figures["grown"] = memory(processes[0])
    finally:
        lab.down()
    return figures


def table(ours: dict[str, float], real: dict[str, float]) -> str:
    lines = ["| what | ours | 13.7.0 | ratio | aim |", "|---|---|---|---|---|"]
    for name, (what, unit) in FIGURES.items():
        mine, other = ours.get(name), real.get(name)
        ratio = f"{mine / other:.2f}" if mine is not None and other else ""
        aim = f"{AIMS[name]:g} {unit}" if name in AIMS else ""
        shown = [f"{figure:.3g} {unit}" if figure is not None else "" for figure in (mine, other)]
        lines.append(f"| {what} | {shown[0]} | {shown[1]} | {ratio} | {aim} |")
    return "\n".join(lines)


def plot(ours: dict[str, float], real: dict[str, float]) -> str:
    """An SVG of the ratios ours : real on a logarithmic scale; left of the line ours needs less."""
    rows = [(what, ours[name] / real[name] if unit != "MB/s" else real[name] / ours[name])
            for name, (what, unit) in FIGURES.items() if name in ours and real.get(name)]  # fmt: skip
    left, middle, row, scale = 430, 700, 22, 120
    bars = []
    for number, (what, ratio) in enumerate(rows):
        length = max(-middle + left + 20, min(math.log10(ratio) * scale, 200))
        y, colour = 30 + number * row, "#2a7" if ratio <= 1 else "#c73"
        shape = f'x="{middle + min(length, 0):.0f}" y="{y}" width="{max(abs(length), 1):.0f}" height="15"'
        bars.append(f'<text x="{left - 10}" y="{y + 12}" text-anchor="end">{html.escape(what)}</text><rect {shape} fill="{colour}"/>'
                    f'<text x="{middle + max(length, 0) + 6:.0f}" y="{y + 12}">{ratio:.2f}</text>')  # fmt: skip
    height = 40 + len(rows) * row
    title = f'<text x="{middle}" y="18" text-anchor="middle">cost of ours : cost of 13.7.0</text>'
    line = f'<line x1="{middle}" y1="24" x2="{middle}" y2="{height}" stroke="black"/>'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="980" height="{height}" font-family="sans-serif" font-size="12">'
            f'<rect width="980" height="{height}" fill="white"/>{title}{line}{"".join(bars)}</svg>\n')  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    parser.add_argument("--ours", action="store_true", help="ours only")
    arguments = parser.parse_args()
    if missing := missing_requirements():
        raise SystemExit(f"this bench needs {', '.join(missing)}")
    load = os.getloadavg()[0]
    ours = asyncio.run(measure(ours=True))
    real = {} if arguments.ours else asyncio.run(measure(ours=False))
    text = table(ours, real)
    print(text)
    if arguments.write:
        head = "# Performance\n\nOurs and Debian's jami-daemon 13.7.0 in one run of `scripts/bench --write`"
        machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}; load before it: {load:.1f}"
        more = "Each room's figures are in its own document: [dht](dht.md), [connections](connections.md), [calls](calls.md)."
        picture = "![Ratios](performance.svg)" if real else ""
        (REPOSITORY / "docs/performance.md").write_text(f"{head} ({machine}).\n\n{text}\n\n{picture}\n\n{more}\n")
        if real:
            (REPOSITORY / "docs/performance.svg").write_text(plot(ours, real))


if __name__ == "__main__":
    main()
