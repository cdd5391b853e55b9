"""Declined trust requests: the DHT keeps and delivers each for seven days, the user declined it once."""

from __future__ import annotations

from typing import Any

import msgpack

from jamid.accounts.receipt import unpack_map
from jamid.core import limits


class DeclinedRequests:
    """(Jami id, conversation id) -> date of the request that was declined, milliseconds; the oldest go when it is full."""

    def __init__(self) -> None:
        self._dates: dict[tuple[str, str], int] = {}

    def add(self, uri: str, conversation_id: str, invited: int) -> None:
        """Remembers that a request was declined."""
        self._dates.pop((uri, conversation_id), None)
        self._dates[uri, conversation_id] = invited
        while len(self._dates) > limits.DECLINED_REQUESTS:
            del self._dates[next(iter(self._dates))]

    def covers(self, uri: str, conversation_id: str, invited: int) -> bool:
        """Whether a request is the one that was declined, and not a newer one."""
        declined = self._dates.get((uri, conversation_id))
        return declined is not None and invited <= declined

    def to_bytes(self) -> bytes:
        packed: bytes = msgpack.packb({f"{uri}/{conversation}": date for (uri, conversation), date in self._dates.items()})
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> DeclinedRequests:
        """Parses the file; raises RemoteError when it is no such map."""
        declined = cls()
        fields: dict[Any, Any] = unpack_map(data, limits.STATE_FILE_BYTES)
        for key, date in fields.items():
            if isinstance(key, str) and isinstance(date, int):
                uri, _, conversation = key.partition("/")
                declined.add(uri, conversation, date)
        return declined
