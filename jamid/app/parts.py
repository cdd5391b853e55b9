"""Starting in order and stopping in reverse order, so that whatever runs has what it needs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

_log = logging.getLogger(__name__)

LEAST_STOP_SECONDS: Final = 0.05
"""What each part may take to stop although an earlier one used up the time."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is started and stopped."""

    name: str
    start: Callable[[], Awaitable[None]] | None = None
    stop: Callable[[], Awaitable[None]] | None = None


class Running:
    """Parts that have been started."""

    def __init__(self) -> None:
        self._started: list[Part] = []

    async def start(self, parts: Iterable[Part]) -> None:
        """Starts PARTS in order; raises what the first that cannot start raises, those before it remain started."""
        for part in parts:
            if part.start:
                began = time.monotonic()
                await part.start()
                _log.debug("%s started in %.3f s", part.name, time.monotonic() - began)
            self._started.append(part)

    async def stop(self, seconds: float) -> None:
        """Stops what has been started, in reverse order, within about SECONDS; a part that fails or hangs does not keep the others."""
        end = time.monotonic() + seconds
        while self._started:
            part = self._started.pop()
            if part.stop:
                try:
                    async with asyncio.timeout(max(end - time.monotonic(), LEAST_STOP_SECONDS)):
                        await part.stop()
                except TimeoutError:
                    _log.warning("%s did not end in time; what was confirmed is saved", part.name)
                except Exception:
                    _log.exception("%s failed while stopping", part.name)
