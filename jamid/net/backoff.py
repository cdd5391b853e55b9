"""When a device that could not be reached is asked again: later after each failure, until something says that it is worth it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from jamid.core import limits

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 120.0
"""an attempt puts its offer three times; whoever comes back is noticed by its presence or its own offer long before"""


@dataclass(slots=True)
class _Failures:
    reason: str
    pause: float
    until: float


class Backoff:
    """The failures of devices since they were reached last."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def failed(self, device_id: str, reason: str, now: float) -> None:
        """An attempt ended at NOW without a connection."""
        former = self._failures.get(device_id)
        pause = FIRST_PAUSE if former is None else min(2 * former.pause, LONGEST_PAUSE)
        self._failures[device_id] = _Failures(reason, pause, now + pause)
        self._failures.move_to_end(device_id)
        while len(self._failures) > limits.KNOWN_DEVICES:
            self._failures.popitem(last=False)

    def left(self, device_id: str, now: float) -> float:
        """The seconds after NOW until the device may be asked."""
        known = self._failures.get(device_id)
        return max(0.0, known.until - now) if known is not None else 0.0

    def reason(self, device_id: str) -> str:
        """Why the last attempt failed, "" when none did."""
        known = self._failures.get(device_id)
        return known.reason if known is not None else ""

    def forget(self, device_id: str | None = None) -> None:
        """The device, or every one, is worth asking at once."""
        if device_id is None:
            self._failures.clear()
        else:
            self._failures.pop(device_id, None)
