"""Signals of `cx.ring.Ring.Instance`: what the daemon tells of the process."""

from __future__ import annotations

from jamid.core.signals.base import Signal, event


@event
class Started(Signal):
    """The daemon is ready: accounts are loaded and calls are answered."""
