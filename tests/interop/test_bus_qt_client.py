"""Debian's Qt client on our daemon: it starts, reads what it needs, is never answered with an error, and sees a new account."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.interop.lab import Lab, wait_until

pytestmark = pytest.mark.interop

PROGRAMS = ("jami", "Xvfb", "dbus-monitor")


def test_qt_client_starts_and_lives_with_us(lab: Lab) -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (apt install jami xvfb dbus)")
    lab.up(["a"])
    lab.ours("a", "-c", "-d", "-p")
    lab.spawn("a", "errors", ["dbus-monitor", "--address", lab.bus("a"), "type='error'"])
    display = f":{int(lab.name[-3:], 36) % 900 + 100}"
    screen = lab.spawn("a", "screen", ["Xvfb", display, "-screen", "0", "1280x900x24"])
    assert screen
    time.sleep(1)
    environment = {"DISPLAY": display, "QT_QUICK_BACKEND": "software", "LIBGL_ALWAYS_SOFTWARE": "1", "LANG": "C.UTF-8"}
    lab.spawn("a", "client", ["jami"], environment)
    wait_until(lambda: "registered, 1 now" in lab.log("a"), "the client's registration", seconds=30)
    wait_until(lambda: "Main window loaded" in lab.log("a", "client"), "the client's window", seconds=30)
    details = {"Account.type": "SIP", "Account.alias": "seen", "Account.hostname": "127.0.0.1"}
    lab.call("a", "ConfigurationManager", "addAccount", details)
    time.sleep(3)
    assert lab.run("a", "sh", "-c", f"kill -0 {lab.pid('a', 'client')} && echo alive").strip() == "alive"
    errors = [
        line for line in lab.log("a", "errors").splitlines() if line.startswith("error ") and "sender=org.freedesktop.DBus " not in line
    ]
    assert not errors
