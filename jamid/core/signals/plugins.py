"""Signals of `cx.ring.Ring.PluginManagerInterface`: what the daemon tells of plugins."""

from __future__ import annotations

from dataclasses import dataclass

from jamid.core.signals.base import Signal


@dataclass(frozen=True, slots=True)
class WebViewMessageReceived(Signal):
    """plugin web views."""

    plugin_id: str
    web_view_id: str
    message_id: str
    payload: str
