"""The figures of single rooms: which bench prints each, and where in its output."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.interop.lab import REPOSITORY

TIMEOUT = 240


@dataclass(frozen=True)
class Row:
    """One figure; `ours` and `real` are patterns with one group for the number, "" where there is none."""

    bench: str
    what: str
    unit: str
    ours: str
    real: str = ""
    aim: float | None = None
    more_is_better: bool = False


_NUMBER = r"([\d.]+)"
_ONE_CALL = rf"(?m)^ 1 calls: a {_NUMBER}"
_KINDS = {"calls": ("calls ours", "calls real --calls 1"), "calls_sound": ("calls_sound ours", "calls_sound real")}
ROWS = (
    Row("bus", "a page of 1,000 messages, encoded", "ms", rf"dbus_fast: 1000 messages encoded in {_NUMBER} ms", aim=6),
    Row("bus", "20,000 signals in one turn, until a listener has all", "s", rf"quick listener after {_NUMBER} s"),
    Row("dht requests", "DHT: gets answered", "/s", r"\| jamid \| \d+ \| (\d+)", r"\| dhtnode 2.4.12 \| \d+ \| (\d+)", 8000, True),
    Row("dht requests", "DHT: puts answered", "/s", r"\| jamid \| (\d+)", r"\| dhtnode 2.4.12 \| (\d+)", 8000, True),
    Row("dht latency", "DHT: put among 16 real nodes", "ms", rf"\| jamid \| {_NUMBER}", rf"\| dhtnode 2.4.12 \| {_NUMBER}"),
    Row("dht latency", "DHT: get among 16 real nodes", "ms", rf"\| jamid \|(?: [\d.]+ \|){{2}} {_NUMBER}",
        rf"\| dhtnode 2.4.12 \|(?: [\d.]+ \|){{2}} {_NUMBER}"),
    Row("dht delivery", "DHT: put to listen, a process each", "/s", rf"a process each, 2 in ours\) \| {_NUMBER}", "", 300, True),
    Row("dht memory", "DHT: node with 100,000 values of 200 bytes", "MiB", rf"\| 100000 \| {_NUMBER}", aim=150),
    Row("dht idle", "DHT: idle node among 30, processor", "%", rf"\| jamid \| {_NUMBER}", rf"\| dhtnode 2.4.12 \| {_NUMBER}", 1),
    Row("accounts many 20", "each of 20 idle accounts, memory", "MiB", rf"MiB, {_NUMBER} MiB and", aim=4),
    Row("accounts many 20", "each of 20 idle accounts, processor", "%", rf"and {_NUMBER} % of a core", aim=0.2),
    Row("net --idle 200", "channel opened, both ends on this machine", "ms", rf'"setup_median_ms": {_NUMBER}'),
    Row("net --idle 200", "400 bytes there and back through a channel", "ms", rf'"round_trip_median_ms": {_NUMBER}', aim=2),
    Row("net --idle 200", "bulk through a channel", "MiB/s", rf'"bulk_mib_s": {_NUMBER}', aim=120, more_is_better=True),
    Row("net --idle 200", "idle connection, memory", "KiB", rf'"idle_kib": {_NUMBER}', aim=100),
    Row("swarm_history", "10,000 messages: the last 50 loaded", "ms", rf"load +50 more: +50 messages +{_NUMBER} ms", aim=50),
    Row("swarm_history", "10,000 messages: a clone checked and kept", "ms", rf"taking a clone\) +{_NUMBER} ms"),
    Row("swarm_history", "10,000 messages: memory with all loaded", "MiB", rf"with all loaded +{_NUMBER} MiB", aim=20),
    Row("swarm_history", "10,000 messages: memory for a moment, all over D-Bus", "MiB", rf"SwarmLoaded .*moment {_NUMBER} MiB", aim=20),
    Row("calls", "answer to CURRENT", "ms", rf"answer to CURRENT +median +{_NUMBER}", rf"answer to CURRENT +median +{_NUMBER}", 30),
    Row("calls", "answer to sound at both ends", "ms", rf"answer to media +median +{_NUMBER}", rf"answer to media +median +{_NUMBER}", 250),
    Row("calls", "processor of a call without devices (13.7.0: with)", "%", _ONE_CALL, _ONE_CALL, 2.5),
    Row("calls devices --calls 1", "processor of a call with devices", "%", _ONE_CALL, aim=4),
    Row("calls", "processor of 20 calls", "%", rf"(?m)^20 calls: a {_NUMBER}"),
    Row("calls_sound", "a tone at 5 % loss: its share of what is heard", "%", rf"loss: {_NUMBER} %", rf"loss: {_NUMBER} %", 95, True),
    Row("calls_sound", "longest gap in sound beside a file of 200 MiB", "ms", rf"MiB: .* gap {_NUMBER}", rf"MiB: .* gap {_NUMBER}", 60),
    Row("media", "mouth to ear without devices", "ms", rf"mouth to ear without devices: {_NUMBER}", aim=100),
    Row("media", "longest gap in sound beside a busy loop", "ms", rf"80 % of the time: {_NUMBER} ms", aim=60),
)  # fmt: skip


class Parts:
    """The benches that ran, and what they printed."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._outputs: dict[str, str] = {}

    def run(self, *, with_real: bool) -> None:
        """Runs every bench that a row names: the idle ones beside each other, all others alone."""
        wanted = list(dict.fromkeys(bench for row in ROWS for bench in self._benches(row, with_real) if bench))
        idle = [bench for bench in wanted if bench in ("dht idle", "accounts many 20")]
        for bench in wanted:
            if bench not in idle:
                self._run(bench)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._run, idle))

    def figures(self, *, with_real: bool) -> Iterator[tuple[Row, float | None, float | None]]:
        """Each row with ours and the real daemon's figure, as far as they were found."""
        for row in ROWS:
            ours, real = self._benches(row, with_real)
            yield row, self._find(ours, row.ours), self._find(real, row.real) if row.real and real else None

    def _benches(self, row: Row, with_real: bool) -> tuple[str, str]:
        """What prints our figure and the real one's."""
        ours, real = _KINDS.get(row.bench, (row.bench, row.bench))
        return ours, real if with_real and row.real else ""

    def _find(self, bench: str, pattern: str) -> float | None:
        found = re.search(pattern, self._outputs.get(bench, ""))
        if found is None and bench in self._outputs:
            self.failures.append(f"bench {bench}: nothing like {pattern!r} in its output")
        return float(found[1]) if found else None

    def _run(self, bench: str) -> None:
        name, *arguments = bench.split()
        began = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, "-m", f"tests.bench.bench_{name}", *arguments],
                cwd=REPOSITORY, capture_output=True, text=True, timeout=TIMEOUT, check=True,
            )  # fmt: skip
            self._outputs[bench] = done.stdout
        except subprocess.TimeoutExpired:
            self.failures.append(f"bench {bench}: not done after {TIMEOUT} s")
        except subprocess.CalledProcessError as error:
            self.failures.append(f"bench {bench}: ended with {error.returncode}: {error.stderr.strip()[-400:]}")
        print(f"{time.monotonic() - began:6.0f} s  {bench}", file=sys.stderr, flush=True)
