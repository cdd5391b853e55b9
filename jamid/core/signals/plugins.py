"""Signals of `cx.ring.Ring.PluginManagerInterface`: what the daemon tells of plugins."""

from __future__ import annotations

from jamid.core.signals.base import Signal, event


@event
class WebViewMessageReceived(Signal):
    """A plugin has something to tell its web view."""

    plugin_id: str
    web_view_id: str
    message_id: str
    payload: str
