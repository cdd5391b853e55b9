"""Putting fragmented values together, in whatever order their pieces come (protocol: opendht, section 5)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.dht.addresses import rate_group
from jamid.dht.values import WireValue, unpack_value
from jamid.dht.wire import Put, Reply, Update, ValueData

PIECE_TIMEOUT: Final = 3.0
MESSAGE_TIMEOUT: Final = 10.0
_VALUE_BYTES = limits.DHT_VALUE_BYTES + 32
_PIECE_OVERHEAD: Final = 128
"""What every piece is charged beside its bytes: tiny ones cost memory too."""
_ASSEMBLY_OVERHEAD: Final = 256
"""What every value that begins is charged."""

Fragmented = Put | Reply | Update
_Key = tuple[tuple[str, int], int]


class _Assembly:
    """One value: the bytes so far without a gap, and later pieces waiting. The first piece to come for an offset counts."""

    __slots__ = ("data", "size", "waiting")

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray()
        self.waiting: dict[int, bytes] = {}

    def add(self, offset: int, piece: bytes) -> int:
        """Takes in a piece; returns the bytes it adds to memory."""
        if offset < len(self.data) or offset in self.waiting or offset + len(piece) > self.size or not piece:
            return 0
        self.waiting[offset] = piece
        while (following := self.waiting.pop(len(self.data), None)) is not None:
            self.data += following
        return len(piece)

    @property
    def complete(self) -> bool:
        return len(self.data) == self.size


class _Partial:
    __slots__ = ("bytes", "heard", "message", "missing", "started", "values")

    def __init__(self, now: float) -> None:
        self.started = self.heard = now
        self.message: Fragmented | None = None
        self.missing = 0
        """values still incomplete, once the header is here"""
        self.values: dict[int, _Assembly] = {}
        self.bytes = 0

    def add(self, index: int, offset: int, piece: bytes) -> int:
        """Takes in a piece; returns what it is charged."""
        if not piece:
            return 0
        charge = 0
        assembly = self.values.get(index)
        if assembly is None:
            charge = _ASSEMBLY_OVERHEAD
            if self.message is None:
                assembly = self.values[index] = _Assembly(_VALUE_BYTES)
            elif index < len(self.message.sizes) and 0 < self.message.sizes[index] <= _VALUE_BYTES:
                assembly = self.values[index] = _Assembly(self.message.sizes[index])
            else:
                return 0
        if self.message is None:
            if offset in assembly.waiting:
                return charge
            assembly.waiting[offset] = piece
            return charge + len(piece) + _PIECE_OVERHEAD
        if assembly.complete:
            return charge
        added = assembly.add(offset, piece)
        self.missing -= assembly.complete
        return charge + added + _PIECE_OVERHEAD if added else charge


class Fragments:
    """Unfinished messages by sender and transaction; bounded in number, bytes and time."""

    def __init__(self) -> None:
        self._partials: dict[_Key, _Partial] = {}
        self._of_host: Counter[bytes] = Counter()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._partials)

    def expects(self, address: tuple[str, int], tid: int) -> bool:
        """Whether a message of that sender is being put together under TID."""
        return (address, tid) in self._partials

    def announce(self, message: Fragmented, address: tuple[str, int], now: float) -> Fragmented | None:
        """Takes the header of a fragmented message; returns the message if its pieces are here already."""
        partial = self._partial((address, message.tid), now)
        if partial is None or partial.message is not None:
            return None
        early, partial.values = partial.values, {}
        partial.message = message
        partial.missing = sum(0 < size <= _VALUE_BYTES for size in message.sizes)
        header = 8 * len(message.sizes)
        partial.bytes += header
        self._bytes += header
        for index, assembly in early.items():
            for offset, piece in assembly.waiting.items():
                partial.add(index, offset, piece)
        return self._finish((address, message.tid), partial)

    def add(self, data: ValueData, address: tuple[str, int], now: float) -> Fragmented | None:
        """Takes pieces; returns the message that they complete."""
        key = (address, data.tid)
        partial = self._partial(key, now)
        if partial is None:
            return None
        partial.heard = now
        for index, offset, piece in data.chunks:
            if self._bytes >= limits.DHT_PARTIAL_BYTES:
                break  # what is under way must not grow without end either; the message is asked for again
            added = partial.add(index, offset, piece)
            partial.bytes += added
            self._bytes += added
        return self._finish(key, partial)

    def purge(self, now: float) -> None:
        """Drops what waited too long."""
        late = [key for key, one in self._partials.items() if now - one.heard > PIECE_TIMEOUT or now - one.started > MESSAGE_TIMEOUT]
        for key in late:
            self._drop(key)

    def _partial(self, key: _Key, now: float) -> _Partial | None:
        partial = self._partials.get(key)
        if partial is not None and (now - partial.heard > PIECE_TIMEOUT or now - partial.started > MESSAGE_TIMEOUT):
            self._drop(key)
            partial = None
        if partial is None:
            host = rate_group(key[0][0])
            if self._is_full(host):
                self.purge(now)
                if self._is_full(host):
                    return None
            self._of_host[host] += 1
            partial = self._partials[key] = _Partial(now)
        return partial

    def _is_full(self, host: bytes) -> bool:
        few = len(self._partials) < limits.DHT_PARTIAL_MESSAGES and self._bytes < limits.DHT_PARTIAL_BYTES
        return not few or self._of_host[host] >= limits.DHT_PARTIAL_MESSAGES_PER_HOST

    def _finish(self, key: _Key, partial: _Partial) -> Fragmented | None:
        message = partial.message
        if message is None:
            if partial.bytes > limits.DHT_MESSAGE_BYTES:
                self._drop(key)
            return None
        if partial.missing:
            return None
        self._drop(key)
        values: list[WireValue] = []
        for index in sorted(partial.values):
            try:
                values.append(unpack_value(bytes(partial.values[index].data)))
            except RemoteError:
                continue
        return replace(message, values=tuple(values), sizes=())

    def _drop(self, key: _Key) -> None:
        self._bytes -= self._partials.pop(key).bytes
        host = rate_group(key[0][0])
        self._of_host[host] -= 1
        if not self._of_host[host]:
            del self._of_host[host]
