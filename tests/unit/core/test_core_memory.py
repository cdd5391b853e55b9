"""What is freed goes back to the system: looked at from within a process of its own, whose heap nobody else uses."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in other ways")

_MEASURE = """
import os
from jamid.core import memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

def hole(size):
    held = [(b"x" * size, b"y" * 5000) for _ in range(20_000_000 // size)]  # a small block stays behind each large one
    return [small for _, small in held]
"""


def _run(program: str) -> float:
    done = subprocess.run([sys.executable, "-c", _MEASURE + program], capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)


def test_large_blocks_go_back_when_they_are_freed() -> None:
    program = "first = b'x' * 300_000; del first; before = resident(); kept = hole(300_000); print(resident() - before)"
    assert _run(program) > 15, "once a block of its size was freed, the heap keeps what comes next"
    assert _run("memory.keep_little(); " + program) < 3


def test_free_pages_within_the_heap_are_given_back() -> None:
    program = "before = resident(); kept = hole(100_000); {}; print(resident() - before)"
    assert _run(program.format("pass")) > 15
    assert _run(program.format("memory.give_back()")) < 3
