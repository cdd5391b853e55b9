"""The demo runs to its end without root or sound card, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory for sockets, whose paths may have no more than 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="demo-") as directory:
        yield Path(directory)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon (apt-get install dbus)")
def test_demo_does_what_it_says(short_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(short_path), "TMPDIR": str(short_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, REPOSITORY / "scripts/demo.py"], env=environment, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("Bob accepts", "Bob reads", "Alice reads", "byte for byte"):
        assert what in done.stdout
    heard = re.search(r"the tone in it has (\d+) Hz", done.stdout)
    assert heard is not None, done.stdout
    assert 435 < int(heard[1]) < 445, done.stdout
    assert list(short_path.glob("jamid-demo-*")) == []
    mine = str(short_path).encode()
    left = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if mine in read(path)]
    assert left == [], "processes of the demo still run"


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
