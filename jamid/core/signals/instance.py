"""Signals of `cx.ring.Ring.Instance`: what the daemon tells of the process."""

from __future__ import annotations

from dataclasses import dataclass

from jamid.core.signals.base import Signal


@dataclass(frozen=True, slots=True)
class Started(Signal):
    """once, after initialisation, when calls are answered. On a non-activated start nobody may be listening yet."""
