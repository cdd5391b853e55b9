"""Time and timers as the core needs them: an asyncio loop in the daemon, a virtual clock in simulations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """Where a core gets the time from and whom it asks to be called."""

    def now(self) -> float:
        """Seconds that never go backwards."""
        ...

    def wall(self) -> float:
        """Seconds since 1970."""
        ...

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Calls CALLBACK(*ARGS) at WHEN on the scale of `now`; never from inside this call."""
        ...


class Network(Protocol):
    """What carries a core's packets."""

    def send(self, packets: list[bytes], address: tuple[str, int]) -> bool:
        """Sends each packet in order; False when the address cannot be reached from here (lost packets are no error)."""
        ...
