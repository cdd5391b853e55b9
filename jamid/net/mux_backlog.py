"""What came on the channels of one connection and was not read yet: when no more may be taken, and by whose fault."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from jamid.core import limits

if TYPE_CHECKING:
    from jamid.net.channels import Channel


class Backlog:
    """The unread bytes of a connection. ON_CHANGE is called when `stalled` changes: a stalled connection must not be read."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.stalled = False
        self.total = 0
        """unread bytes; too many once somebody has dropped a channel without reading it, until they are counted again"""
        self._on_change = on_change
        self._holders: weakref.WeakSet[Channel] = weakref.WeakSet()
        """channels with unread bytes"""
        self._ended: weakref.WeakSet[Channel] = weakref.WeakSet()
        """those of them that the peer has ended"""
        self._over: set[Channel] = set()
        """those of them that are stalled by themselves"""
        self._full = False
        self._read_before: weakref.WeakKeyDictionary[Channel, int] = weakref.WeakKeyDictionary()

    @property
    def ended(self) -> int:
        """How many channels the peer has ended whose last bytes somebody may still read."""
        return len(self._ended)

    def came(self, channel: Channel, size: int) -> None:
        """SIZE more bytes of CHANNEL are unread."""
        self.total += size
        if channel.unread == size:
            self._holders.add(channel)
        if channel.unread > limits.CHANNEL_RECEIVE_HIGH:
            self._over.add(channel)
        if self.total > limits.CONNECTION_RECEIVE_HIGH and not self._full:
            self._count()
            self._full = self.total > limits.CONNECTION_RECEIVE_HIGH
        self._judge()

    def taken(self, channel: Channel, size: int) -> None:
        """SIZE bytes of CHANNEL were read, or thrown away."""
        if channel not in self._holders:
            return
        self.total -= size
        if channel.unread <= limits.CHANNEL_RECEIVE_LOW:
            self._over.discard(channel)
        if not channel.unread:
            self._holders.discard(channel)
            self._ended.discard(channel)
        self._judge()

    def forget(self, channel: Channel, *, readable: bool) -> None:
        """CHANNEL ended; READABLE: what is unread will still be asked for."""
        self._over.discard(channel)
        if readable and channel.unread:
            self._ended.add(channel)
        elif channel in self._holders:
            self._holders.discard(channel)
            self.total -= channel.unread
        self._judge()

    def overdue(self) -> list[Channel]:
        """The channels of which nothing was read since the stall began or this was called, as few as it takes to end the stall."""
        self._count()
        idle = [channel for channel in self._holders if channel.received - channel.unread == self._read_before.get(channel)]
        found = [channel for channel in idle if channel in self._over]
        left = self.total - sum(channel.unread for channel in found)
        for channel in sorted(idle, key=lambda channel: channel.unread, reverse=True) if self._full else ():
            if left <= limits.CONNECTION_RECEIVE_LOW:
                break
            if channel not in found:
                found.append(channel)
                left -= channel.unread
        self._note()
        self._judge()
        return found

    def _count(self) -> None:
        self.total = sum(channel.unread for channel in self._holders)

    def _note(self) -> None:
        self._read_before = weakref.WeakKeyDictionary({channel: channel.received - channel.unread for channel in self._holders})

    def _judge(self) -> None:
        if self._full and self.total <= limits.CONNECTION_RECEIVE_LOW:
            self._full = False
        stalled = self._full or bool(self._over)
        if stalled != self.stalled:
            self.stalled = stalled
            if stalled:
                self._note()
            self._on_change()
