"""What a daemon without accounts must not carry: each of these costs it memory and start-up time for nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

UNNEEDED = [
    "OpenSSL",
    "aiohttp",
    "aioice",
    "av",
    "ctypes",
    "dbus_fast.message_bus",
    "dbus_fast.service",
    "dulwich",
    "http.client",
    "numpy",
    "opuslib",
    "pickle",
    "pygit2",
    "pylibsrtp",
    "shutil",
    "sounddevice",
    "urllib.request",
    "uuid",
    "xml.etree",
    "yaml",
]

CODE = """
import sys
import jamid.app.cli, jamid.app.daemon
from jamid.bus import library
library.load()
print(*sys.modules)
"""


def test_idle_daemon_is_lean() -> None:
    output = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]).stdout
    assert sorted(set(output.split()) & set(UNNEEDED)) == []
