"""The life of the process: start everything, tell systemd, serve until somebody asks for the end, save, leave."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Mapping
from typing import Final

from jamid.app.options import Options
from jamid.app.sdnotify import Notifier
from jamid.app.wiring import Daemon
from jamid.core.signals import AccountsChanged, RegistrationStateChanged
from jamid.core.tasks import Tasks

_log = logging.getLogger(__name__)

STOP_SECONDS: Final = 0.8
"""What an orderly stop may take: whoever asks for the end expects it within a second."""

_END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopRequest:
    """Why and with which exit code the daemon is to end; the first reason counts."""

    def __init__(self) -> None:
        self._asked: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()

    def __call__(self, reason: str, code: int = 0) -> None:
        if not self._asked.done():
            self._asked.set_result((reason, code))

    async def wait(self) -> tuple[str, int]:
        """The reason and the exit code, once there is one."""
        return await self._asked


async def serve(options: Options, environment: Mapping[str, str]) -> int:
    """Runs the daemon until it is asked to stop; the exit code. Raises LocalError when it cannot start."""
    began = time.monotonic()
    notifier, background, request = Notifier(environment), Tasks("app"), StopRequest()
    _end_on_signals(request)
    background.spawn(notifier.watch(), "watchdog")
    daemon = Daemon(options, request_stop=request)
    gc.disable()  # nothing of what a start makes is garbage
    starting, stopping = asyncio.ensure_future(daemon.start()), asyncio.ensure_future(request.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            gc.freeze()  # looking through all that again and again would hold up the loop for 30 ms and more
            gc.enable()
            _log.info("started in %.2f s, %s", time.monotonic() - began, daemon.status())
            notifier.ready(daemon.status())
            _show_status(daemon, notifier)
        reason, code = await stopping
        _log.info("%s, terminating", reason)
        notifier.stopping()
        return code
    finally:
        gc.enable()
        for task in (starting, stopping):
            task.cancel()
        await asyncio.wait({starting, stopping})
        await daemon.stop(STOP_SECONDS)
        await background.close()


def _end_on_signals(request: StopRequest) -> None:
    loop = asyncio.get_running_loop()

    def caught(number: signal.Signals) -> None:
        for each in _END_SIGNALS:  # a second one kills
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        request(f"caught signal {signal.strsignal(number)}")

    for number in _END_SIGNALS:
        loop.add_signal_handler(number, caught, number)


def _show_status(daemon: Daemon, notifier: Notifier) -> None:
    """Keeps systemd's status line true: how many accounts there are and how many of them are online."""
    if not notifier.active:
        return

    def tell(_: object) -> None:
        notifier.status(daemon.status())

    daemon.events.subscribe(RegistrationStateChanged, tell)
    daemon.events.subscribe(AccountsChanged, tell)
