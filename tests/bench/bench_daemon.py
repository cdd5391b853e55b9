"""Every figure in one run, ours and the real daemon's: start, memory, stop, account, chat, file, call end to end, then the rooms' own.

Run it as root: `scripts/bench` (or `python -m tests.bench.bench_daemon [--write]`), ten minutes on a quiet machine. Two daemons of a
kind meet in a lab of network namespaces with a real DHT node and TURN server. `--write` puts the table into docs/performance.md. What
fails is said at the end, which then has exit code 1; the rest is in the table.
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

from tests.bench.parts import Parts
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
    "send": ("sendMessage, until it returns (median of 20)", "ms"),
    "chat": ("message, sender's call to receiver's signal (median of 20)", "s"),
    "burst": ("200 messages, until the last has arrived", "s"),
    "file": ("file of 200 MiB, until it is complete", "s"),
    "call": ("call, placed to CURRENT (median of 5)", "s"),
    "grown": ("resident memory after all that", "MiB"),
}
AIMS = {"start": 0.6, "idle": 45.0, "stop": 1.0, "friend": 0.4, "send": 5.0, "chat": 0.025, "burst": 0.8, "file": 2.0}


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
    """Seconds from the receiver's order to the complete file."""
    source = lab.dir / "bulk.bin"
    source.write_bytes(os.urandom(size))
    since = len(b.signals)
    await a.configuration.sendFile(account_a, conversation, str(source), "bulk.bin", "")
    _, _, message = await b.signal("messageReceived", lambda _, c, m: "fileId" in m, 60, since)
    began = time.perf_counter()
    await b.configuration.downloadFile(account_b, conversation, message["id"], message["fileId"], str(lab.dir / "copy.bin"))
    await b.signal("dataTransferEvent", lambda _, c, m, f, code: f == message["fileId"] and code == 6, 120, since)
    return time.perf_counter() - began


async def measure(ours: bool, figures: dict[str, float]) -> None:
    """Fills FIGURES; what comes after a failure is missing."""
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
            returns = []
            began = time.perf_counter()
            for i in range(200):
                asked = time.perf_counter()
                await a.configuration.sendMessage(account_a, conversation, f"burst {i}", "", 0)
                returns.append(time.perf_counter() - asked)
            figures["send"] = statistics.median(returns[:20]) * 1000
            figures["burst"] = await until_heard(b, {f"burst {i}" for i in range(200)}) - began
            figures["file"] = await send_file(a, account_a, b, account_b, conversation, lab, 200 << 20)
            setups = []
            for _ in range(5):
                setups.append(await audio_call(a, account_a, b, account_b, id_b, seconds=1))
                await asyncio.sleep(1)
            figures["call"] = statistics.median(setups)
            figures["grown"] = memory(processes[0])
    finally:
        lab.down()


async def until_heard(driver: Driver, wanted: set[str]) -> float:
    """When the last of the texts WANTED was announced; the real daemon announces a burst in any order."""
    for text in wanted:
        await driver.signal("messageReceived", lambda _, c, m, text=text: m.get("body") == text, 120)
    return time.perf_counter()


Line = tuple[str, str, float | None, float | None, float | None, bool]
"""What, unit, ours, the real one's, aim, whether more is better."""


def table(lines: list[Line]) -> str:
    rows = ["| what | ours | 13.7.0 | ratio | aim |", "|---|---|---|---|---|"]
    for what, unit, mine, other, aim, more in lines:
        ratio = f"{mine / other:.2f}" if mine is not None and other else ""
        bound = f"{'≥' if more else '≤'} {aim:g} {unit}" if aim is not None else ""
        missed = mine is not None and aim is not None and (mine < aim if more else mine > aim)
        shown = [
            f"{figure:,.0f} {unit}" if figure and figure >= 1000 else f"{figure:.3g} {unit}" if figure is not None else ""
            for figure in (mine, other)
        ]
        rows.append(f"| {what} | {shown[0]} | {shown[1]} | {ratio} | {bound}{' (missed)' if missed else ''} |")
    return "\n".join(rows)


def plot(lines: list[Line]) -> str:
    """An SVG of the ratios ours : real on a logarithmic scale; left of the line ours needs less."""
    rows = [(what, other / mine if more else mine / other) for what, _, mine, other, _, more in lines if mine and other]
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


def end_to_end(real: bool, failures: list[str]) -> list[Line]:
    """The daemon's own figures."""
    measured: dict[bool, dict[str, float]] = {True: {}, False: {}}
    for ours in (True, False) if real else (True,):
        began = time.monotonic()
        try:
            asyncio.run(measure(ours, measured[ours]))
        except Exception as error:
            failures.append(f"end to end, {'ours' if ours else 'the real daemon'}: {type(error).__name__} {error}")
        print(f"{time.monotonic() - began:6.0f} s  end to end, {'ours' if ours else 'the real daemon'}", file=sys.stderr, flush=True)
    return [
        (what, unit, measured[True].get(name), measured[False].get(name), AIMS.get(name), False) for name, (what, unit) in FIGURES.items()
    ]


def write(lines: list[Line], load: float) -> None:
    """Puts the table and the plot into docs."""
    head = "# Performance\n\nOurs and Debian's jami-daemon 13.7.0 (for the DHT: its dhtnode 2.4.12) in one run of `scripts/bench --write`"
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}; load before it: {load:.1f}"
    more = "More is in each room's own document: [dht](dht.md), [connections](connections.md), [calls](calls.md)."
    (REPOSITORY / "docs/performance.svg").write_text(plot(lines))
    text = f"{head} ({machine}).\n\n{table(lines)}\n\n![Ratios](performance.svg)\n\n{more}\n"
    (REPOSITORY / "docs/performance.md").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    parser.add_argument("--ours", action="store_true", help="ours only")
    parser.add_argument("--short", action="store_true", help="end to end only")
    arguments = parser.parse_args()
    if missing := missing_requirements():
        raise SystemExit(f"this bench needs {', '.join(missing)}")
    load, failures = os.getloadavg()[0], []
    lines = end_to_end(not arguments.ours, failures)
    if not arguments.short:
        parts = Parts()
        parts.run(with_real=not arguments.ours)
        lines += [
            (row.what, row.unit, ours, real, row.aim, row.more_is_better) for row, ours, real in parts.figures(with_real=not arguments.ours)
        ]
        failures += parts.failures
    print(table(lines))
    if arguments.write:
        write(lines, load)
    if failures:
        raise SystemExit("\n".join(["FAILED:", *failures]))


if __name__ == "__main__":
    main()
