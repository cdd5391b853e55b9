"""Who is typing: told to clients, and forgotten when nothing more is heard (protocol: swarm, section 10.3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from jamid.core.signals import ComposingStatusChanged

if TYPE_CHECKING:
    from jamid.swarm.seams import Home, Publish

_SECONDS: Final = 12.0
_TYPISTS: Final = 1024
"""Those who are taken to type at one time; beyond them the one who began first is taken to have stopped."""


class ComposingPeers:
    """The typing peers of all conversations of an account."""

    def __init__(self, home: Home, publish: Publish) -> None:
        self._home = home
        self._publish = publish
        self._typing: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def received(self, conversation: str, uri: str, active: bool) -> None:
        """URI types in CONVERSATION ("" outside of any) or has stopped to."""
        key = conversation, uri
        timer = self._typing.pop(key, None)
        if timer is not None:
            timer.cancel()
        if active:
            if len(self._typing) >= _TYPISTS:
                self.received(*next(iter(self._typing)), False)
            self._typing[key] = asyncio.get_running_loop().call_later(_SECONDS, self.received, conversation, uri, False)
        if active == (timer is None):
            self._publish(ComposingStatusChanged(self._home.id, conversation, uri, 1 if active else 0))

    def close(self) -> None:
        for timer in self._typing.values():
            timer.cancel()
        self._typing.clear()
