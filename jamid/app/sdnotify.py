"""What systemd is told: ready, stopping, a status line, and the watchdog's beat as long as the event loop turns."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger(__name__)

LATE = 0.25
"""Seconds by which the loop may be late before it is said in the log."""


class Notifier:
    """The supervisor's socket; without one (NOTIFY_SOCKET unset) everything is a no-op."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._beat = _watchdog_interval(environment)

    @property
    def active(self) -> bool:
        return bool(self._address)

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={_line(status)}\nMAINPID={os.getpid()}")

    def status(self, text: str) -> None:
        self._send(f"STATUS={_line(text)}")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=stopping")

    async def watch(self) -> None:
        """Beats for ever, twice per watchdog interval; a loop that hangs stops the beat, and systemd restarts the daemon."""
        loop = asyncio.get_running_loop()
        while self._beat:
            due = loop.time() + self._beat
            await asyncio.sleep(self._beat)
            if (late := loop.time() - due) > LATE:
                _log.warning("the event loop was %.2f s late", late)
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(message.encode(), address)
        except OSError as error:
            _log.debug("systemd cannot be notified: %s", error)


def _watchdog_interval(environment: Mapping[str, str]) -> float:
    """Half the watchdog's time in seconds, 0 when systemd expects no beat of this process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0
    value = environment.get("WATCHDOG_USEC", "")
    return int(value) / 2e6 if value.isdigit() else 0


def _line(text: str) -> str:
    return " ".join(text.split())
