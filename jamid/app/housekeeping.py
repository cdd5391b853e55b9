"""Gives free memory back to the system after what needed much of it: calls, files, conversations that arrive or are loaded."""

from __future__ import annotations

import asyncio
from typing import Final

from jamid.accounts.events import AccountLoaded
from jamid.core import memory
from jamid.core.events import Events
from jamid.core.signals import CallStateChanged, ConferenceRemoved, ConversationLoaded, ConversationReady, DataTransferEvent, SwarmLoaded
from jamid.core.tasks import Tasks, in_thread

SECONDS: Final = 10.0
"""How long memory that became free may be needed again before it is given back."""
_OCCASIONS: Final = (CallStateChanged, ConferenceRemoved, ConversationLoaded, ConversationReady, DataTransferEvent, SwarmLoaded)


class Housekeeping:
    """Keeps the memory of an hour of calls where that of the first was."""

    def __init__(self, events: Events) -> None:
        self._tasks = Tasks("housekeeping")
        self._timer: asyncio.TimerHandle | None = None
        # Not before: a daemon without account has no use for it.
        events.subscribe(AccountLoaded, lambda _: memory.keep_little())
        for occasion in _OCCASIONS:
            events.subscribe(occasion, self._later)

    async def close(self) -> None:
        """Ends it."""
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()

    def _later(self, _: object) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SECONDS, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._tasks.spawn(in_thread(memory.give_back), "memory")
