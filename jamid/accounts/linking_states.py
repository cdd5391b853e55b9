"""States and errors of linking, and the exchange of messages that both sides share (protocol: identity, section 14)."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from jamid.accounts.linking_wire import LinkReader, pack_message
from jamid.core.errors import LocalError, RemoteError

if TYPE_CHECKING:
    from jamid.net.channels import Channel


class LinkState(enum.IntEnum):
    """States as the signals carry them."""

    INIT = 0
    TOKEN_AVAILABLE = 1
    CONNECTING = 2
    AUTHENTICATING = 3
    IN_PROGRESS = 4
    DONE = 5


class LinkError(enum.StrEnum):
    """How a link can fail, as the signals say it; success is ""."""

    NETWORK = "network"
    TIMEOUT = "timeout"
    AUTHENTICATION = "auth_error"
    CANCELED = "canceled"
    UNKNOWN = "unknown"


CANCELED: Final = LinkError.CANCELED


class LinkEnded(LocalError):  # noqa: N818 - the other side's or the user's decision
    """Linking ended without an account; the frontend was told and removes the account."""


class Messages:
    """Payloads to and from the other device."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._reader = LinkReader()
        self._waiting: deque[dict[str, str]] = deque()

    async def send(self, payload: dict[str, str]) -> None:
        """Sends one message; raises ConnectionError."""
        await self._channel.write(pack_message(payload))

    def send_last(self, payload: dict[str, str]) -> None:
        """Sends one message without waiting, if the channel still takes it."""
        try:
            self._channel.write_nowait(pack_message(payload))
        except ConnectionError:
            return

    async def receive(self, wanted: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """The next payload that is WANTED, others being ignored; raises RemoteError when the channel ends before."""
        while True:
            while self._waiting:
                payload = self._waiting.popleft()
                if wanted(payload):
                    return payload
            data = await self._channel.read()
            if not data:
                raise RemoteError("the other device closed the channel")
            self._waiting.extend(self._reader.feed(data))
