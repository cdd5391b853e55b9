"""Declined trust requests: the DHT keeps and delivers each for seven days, the user declined it once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import msgpack

from jamid.accounts.receipt import unpack_map
from jamid.core import limits

_ECHO_MS: Final = 200
"""17 may put a request twice at once, so what comes so soon after a refusal is still the same one."""
_PAUSE_MS: Final = 600_000
"""So long after it was declined for the second time a request without a date stays declined, whatever comes."""
_PAUSE_FACTOR: Final = 6
"""Each further time it was declined makes the pause longer: 17 repeats an unanswered request whenever it starts."""
_LONGEST_MS: Final = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class _Declined:
    """A request that was declined; times in milliseconds since 1970 (AT by a clock that is not set back while we run)."""

    invited: int
    """date of the request, or of its coming when it had none"""
    at: int
    times: int = 1

    @property
    def pause(self) -> int:
        if self.times == 1:
            return _ECHO_MS
        pause: int = _PAUSE_MS * _PAUSE_FACTOR ** (min(self.times, 16) - 2)
        return min(_LONGEST_MS, pause)


class DeclinedRequests:
    """(Jami id, conversation id) -> the request that was declined; the oldest go when it is full."""

    def __init__(self) -> None:
        self._declined: dict[tuple[str, str], _Declined] = {}

    def add(self, uri: str, conversation_id: str, invited: int, now: int) -> None:
        """Remembers that a request was declined."""
        before = self._declined.pop((uri, conversation_id), None)
        times = before.times + 1 if before is not None else 1
        self._put(uri, conversation_id, _Declined(max(invited, before.invited if before is not None else 0), now, times))

    def covers(self, uri: str, conversation_id: str, invited: int, now: int, *, new_since: int) -> bool:
        """Whether a request is the one that was declined, and not a newer one.

        13 and 17 do not date theirs (INVITED 0): it is newer when it was declined in the time NEW_SINCE which it is surely new, and a
        pause has passed.
        """
        declined = self._declined.get((uri, conversation_id))
        if declined is None:
            return False
        if invited:
            return invited <= declined.invited
        return declined.at < new_since or now - declined.at < declined.pause

    def loaded(self, now: int) -> None:
        """All of it was declined before NOW, whatever the clock said then."""
        self._declined = {key: replace(each, at=min(each.at, now - 1)) for key, each in self._declined.items()}

    def to_bytes(self) -> bytes:
        packed: bytes = msgpack.packb(
            {f"{uri}/{conversation}": [each.invited, each.at, each.times] for (uri, conversation), each in self._declined.items()}
        )
        return packed

    def _put(self, uri: str, conversation_id: str, declined: _Declined) -> None:
        self._declined[uri, conversation_id] = declined
        while len(self._declined) > limits.DECLINED_REQUESTS:
            del self._declined[next(iter(self._declined))]

    @classmethod
    def from_bytes(cls, data: bytes) -> DeclinedRequests:
        """Parses the file; raises RemoteError when it is no such map."""
        declined = cls()
        fields: dict[Any, Any] = unpack_map(data, limits.STATE_FILE_BYTES)
        for key, entry in fields.items():
            # Earlier files hold nothing but the date.
            numbers = [entry, entry, 1] if isinstance(entry, int) else entry
            if isinstance(key, str) and isinstance(numbers, list) and len(numbers) == 3 and all(isinstance(each, int) for each in numbers):
                uri, _, conversation = key.partition("/")
                declined._put(uri, conversation, _Declined(numbers[0], numbers[1], max(1, numbers[2])))
        return declined
