"""What systemd hears: ready with a status, a beat while the loop turns, and nothing where nobody listens."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from jamid.app.sdnotify import Notifier


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(2)
        yield listener, path


def test_ready_names_status_and_process(supervisor: tuple[socket.socket, str]) -> None:
    listener, path = supervisor
    Notifier({"NOTIFY_SOCKET": path}).ready("2 accounts,\n1 online")
    assert listener.recv(4096).decode().splitlines() == ["READY=1", "STATUS=2 accounts, 1 online", f"MAINPID={os.getpid()}"]


async def test_watchdog_beats_twice_per_interval(supervisor: tuple[socket.socket, str]) -> None:
    listener, path = supervisor
    notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(os.getpid())})
    watching = asyncio.ensure_future(notifier.watch())
    await asyncio.sleep(0.15)
    watching.cancel()
    listener.setblocking(False)
    beats = 0
    while True:
        try:
            beats += listener.recv(4096) == b"WATCHDOG=1"
        except BlockingIOError:
            break
    assert beats >= 3


async def test_watchdog_of_another_process_is_not_ours(supervisor: tuple[socket.socket, str]) -> None:
    _, path = supervisor
    await asyncio.wait_for(Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}).watch(), 1)


def test_absent_supervisor_is_no_error(tmp_path: Path) -> None:
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).stopping()
