"""For all tests: time is UTC, nothing of the user's session is reached, and a blocked event loop is an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster

os.environ["TZ"] = "UTC"

_PRIVATE = ("DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS", "NOTIFY_SOCKET", "WATCHDOG_USEC", "JAMI_LOG_FILE", "PULSE_SERVER")

# Small state files are written and read in the loop at rare moments, see `jamid.core.files`; what must never happen there is waiting.
_probe = BlockBuster("jamid")
_WAITS = {
    "time.sleep", "socket.socket.connect", "socket.socket.recv", "socket.socket.recvfrom", "socket.socket.sendall", "socket.socket.accept",
    "ssl.SSLSocket.recv", "ssl.SSLSocket.send", "sqlite3.Cursor.execute",
}  # fmt: skip
_probe.functions = {name: function for name, function in _probe.functions.items() if name in _WAITS}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps tests with real peers in one process: two labs at once would starve each other's sound."""
    for item in items:
        if item.get_closest_marker("interop"):
            item.add_marker(pytest.mark.xdist_group("interop"))


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees or changes the home, the buses or the sockets of whoever runs it."""
    for name in (*_PRIVATE, *(name for name in os.environ if name.startswith(("XDG_", "JAMID_API", "JAMID_GEN")))):
        monkeypatch.delenv(name, raising=False)
    home: Path = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))


@pytest.fixture(autouse=True)
def _loop_never_waits(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test when code of ours waits in the event loop; benchmarks and interop tests run without the probe's cost."""
    if {"interop", "bench"} & set(request.path.parts):
        yield
        return
    _probe.activate()
    try:
        yield
    finally:
        _probe.deactivate()
