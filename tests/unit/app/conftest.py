"""A private session bus for tests that start the daemon as a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.lab import BUS_CONFIGURATION, REPOSITORY

StartDaemon = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a user with an empty home and a private bus; skips the test where there is no dbus-daemon."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("needs dbus-daemon (apt-get install dbus)")
    socket = tmp_path / "bus"
    (tmp_path / "bus.conf").write_text(BUS_CONFIGURATION.format(socket=socket))
    bus = subprocess.Popen(["dbus-daemon", f"--config-file={tmp_path / 'bus.conf'}", "--nofork", "--nopidfile"], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 10
    while not socket.exists() and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "DBUS_SESSION_BUS_ADDRESS": f"unix:path={socket}",
            "PYTHONPATH": str(REPOSITORY), "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONWARNINGS": "error::SyntaxWarning",
        }  # fmt: skip
    finally:
        bus.kill()
        bus.wait()


@pytest.fixture
def start_daemon(environment: dict[str, str]) -> Iterator[StartDaemon]:
    """Starts `jamid FLAGS` and waits until it serves; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*flags: str, wait: bool = True, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "jamid.app", *flags], env=environment | variables,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        started.append(process)
        end = time.monotonic() + 20
        while wait and process.poll() is None and time.monotonic() < end and not call_names(environment):
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def call_names(environment: dict[str, str]) -> bool:
    """Whether cx.ring.Ring is owned on the bus of ENVIRONMENT."""
    words = ["dbus-send", "--session", "--print-reply=literal", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner"]
    reply = subprocess.run([*words, "string:cx.ring.Ring"], env=environment, capture_output=True, text=True, check=False)
    return "true" in reply.stdout
