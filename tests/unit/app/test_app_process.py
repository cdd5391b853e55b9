"""The process as a service manager and a user see it: starts, exit codes, one clear line when it cannot run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

StartDaemon = Callable[..., "subprocess.Popen[str]"]

BUS = "org.freedesktop.DBus"
SEND = ["dbus-send", "--session", "--print-reply", "--reply-timeout=5000", "--dest=cx.ring.Ring", "/cx/ring/Ring/Instance"]


def test_a_second_instance_says_so_and_leaves_with_1(start_daemon: StartDaemon) -> None:
    start_daemon("-c", "-p")
    second = start_daemon("-c", wait=False)
    _, errors = second.communicate(timeout=10)
    assert second.returncode == 1
    complaint = [line for line in errors.splitlines() if line.startswith("jamid: ")]
    assert len(complaint) == 1
    assert "another daemon" in complaint[0].lower()
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_end_signals_end_it_within_a_second_and_with_0(start_daemon: StartDaemon, number: signal.Signals) -> None:
    process = start_daemon("-c", "-p")
    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert time.monotonic() - began < 1.0
    assert "Traceback" not in errors


def test_last_client_ends_a_daemon_that_is_not_persistent(start_daemon: StartDaemon, environment: dict[str, str]) -> None:
    process = start_daemon("-c")
    for words in (["Register", "int32:1", "string:"], ["Register", "int32:1", "string:"], ["Unregister", "int32:1"]):
        subprocess.run([*SEND, f"cx.ring.Ring.Instance.{words[0]}", *words[1:]], env=environment, capture_output=True, check=True)
    time.sleep(0.2)
    assert process.poll() is None, "one registration is left"
    subprocess.run([*SEND, "cx.ring.Ring.Instance.Unregister", "int32:1"], env=environment, capture_output=True, check=True)
    assert process.wait(timeout=5) == 0


def test_persistent_daemon_stays(start_daemon: StartDaemon, environment: dict[str, str]) -> None:
    process = start_daemon("-c", "-p")
    subprocess.run([*SEND, "cx.ring.Ring.Instance.Unregister", "int32:1"], env=environment, capture_output=True, check=True)
    time.sleep(0.3)
    assert process.poll() is None


def test_no_bus_is_one_clear_line_and_1(start_daemon: StartDaemon, environment: dict[str, str]) -> None:
    process = start_daemon("-c", "--bus", "unix:path=/nonexistent/bus", wait=False)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "/nonexistent/bus" in errors.splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.parametrize(("flag", "code"), [("--help", 0), ("--version", 0), ("--nonsense", 0), ("--bus=nonsense", 1)])
def test_exit_codes_of_the_command_line(start_daemon: StartDaemon, flag: str, code: int) -> None:
    process = start_daemon(flag, wait=False)
    process.communicate(timeout=10)
    assert process.returncode == code


def test_end_of_the_bus_ends_it_with_1(start_daemon: StartDaemon, environment: dict[str, str]) -> None:
    process = start_daemon("-c", "-p")
    reply = subprocess.run(
        [*SEND[:2], "--print-reply=literal", "--dest=org.freedesktop.DBus", "/", f"{BUS}.GetConnectionUnixProcessID", f"string:{BUS}"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    os.kill(int(reply.stdout.split()[-1]), signal.SIGTERM)
    assert process.wait(timeout=10) == 1
