"""Files: send, fetch, follow their transfer."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jamid.client.connection import Connection
from jamid.client.events import EventStream, FileProgressed, MessageReceived
from jamid.client.messages import FILE, Message
from jamid.client.model import absolute
from jamid.core.errors import LocalError

_INTERFACE = "ConfigurationManager"


class FileState(enum.IntEnum):
    """The codes of a transfer's events."""

    INVALID = 0
    CREATED = 1
    UNSUPPORTED = 2
    WAIT_PEER = 3
    WAIT_HOST = 4
    ONGOING = 5
    FINISHED = 6
    CLOSED_BY_HOST = 7
    CLOSED_BY_PEER = 8
    INVALID_PATH = 9
    UNJOINABLE_PEER = 10
    TIMEOUT = 11

    @property
    def failed(self) -> bool:
        return self in (FileState.INVALID, FileState.UNSUPPORTED) or self > FileState.FINISHED


@dataclass(frozen=True, slots=True)
class Transfer:
    """How far a file is."""

    path: Path
    total: int
    """bytes"""
    done: int


class Files:
    """Files in conversations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, account: str, conversation: str, path: Path, *, name: str = "", seconds: float = 30) -> Message:
        """Offers a file to everybody in the conversation; its message, once stored. Raises TimeoutError when the daemon cannot read it."""
        shown = name or path.name
        async with EventStream[MessageReceived](self._connection, [MessageReceived]) as events:
            await self._connection.call(_INTERFACE, "sendFile", "sssss", account, conversation, absolute(path), shown, "")
            event = await events.wait(
                lambda event: (event.account, event.conversation, event.message.type) == (account, conversation, FILE)
                and event.message.fields.get("displayName") == shown,
                seconds,
            )
        return event.message

    async def state(self, account: str, conversation: str, file: str) -> Transfer | None:
        """How far a file is; None when nothing is known of it."""
        error, path, total, done = await self._connection.call(_INTERFACE, "fileTransferInfo", "sss", account, conversation, file)
        return None if error else Transfer(Path(path), total, done)

    async def fetch(self, account: str, conversation: str, message: str, file: str, path: Path | None = None) -> None:
        """Asks for a file; to PATH, or to the daemon's own place. Raises LocalError when it is not accepted."""
        target = absolute(path) if path else ""
        if not await self._connection.call(_INTERFACE, "downloadFile", "sssss", account, conversation, message, file, target):
            raise LocalError(f"the file {file} cannot be fetched: nobody who has it is known, or it is here already")

    async def fetch_all(
        self,
        account: str,
        conversation: str,
        message: str,
        file: str,
        path: Path | None = None,
        seconds: float = 600,
        progress: Callable[[Transfer], None] | None = None,
    ) -> Path:
        """Fetches a file to its end; where it is. PROGRESS is told how far it is. Raises LocalError, TimeoutError."""
        async with EventStream[FileProgressed](self._connection, [FileProgressed]) as events:
            known = await self.state(account, conversation, file)
            if path is None and known and known.total and known.done == known.total:
                return known.path
            await self.fetch(account, conversation, message, file, path)
            telling = asyncio.ensure_future(self._tell(account, conversation, file, progress)) if progress else None
            try:
                event = await events.wait(
                    lambda event: (event.account, event.file) == (account, file) and event.code >= FileState.FINISHED,
                    seconds,
                )
            finally:
                if telling:
                    telling.cancel()
        if event.code != FileState.FINISHED:
            raise LocalError(f"the transfer of {file} ended: {FileState(event.code).name.lower().replace('_', ' ')}")
        known = await self.state(account, conversation, file)
        return path or (known.path if known else Path())

    async def _tell(self, account: str, conversation: str, file: str, progress: Callable[[Transfer], None]) -> None:
        while True:
            if state := await self.state(account, conversation, file):
                progress(state)
            await asyncio.sleep(0.3)

    async def cancel(self, account: str, conversation: str, file: str) -> bool:
        """Ends a transfer; whether it was there."""
        return not await self._connection.call(_INTERFACE, "cancelDataTransfer", "sss", account, conversation, file)
