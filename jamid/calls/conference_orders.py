"""Orders of a participant to the host of its conference (protocol: calls, section 12.3).

The host's infos say in `v` how it reads orders: version 1 names devices and streams, version 0 only accounts. The reference reads the
streams of an account only where it finds those of a device too, so both are written.
"""

from __future__ import annotations

import json
from typing import Any


def layout_order(layout: int) -> str:
    """0 grid, 1 one big with small, 2 one big; the same in both versions."""
    return _write({"layout": layout})


def active_order(uri: str) -> str:
    """Makes an account the active one, "" nobody."""
    return _write({"activeParticipant": uri})


def mute_order(uri: str, muted: bool) -> str:
    """Mutes an account for everybody."""
    return _write({"muteParticipant": uri, "muteState": _word(muted)})


def stream_order(uri: str, device: str, stream: str, action: str, value: bool) -> str:
    """ACTION is `muteAudio` or `active`, for one stream of one device."""
    medias = {stream: {action: value}}
    return _write({uri: {"devices": {device: {"medias": medias}}, "medias": medias}, "version": 1})


def hand_order(uri: str, device: str, raised: bool, *, version: int) -> str:
    """Raises or lowers a hand."""
    if version == 0:
        return _write({"handRaised": uri, "handState": _word(raised)})
    return _write({uri: {"devices": {device: {"raiseHand": raised}}, "raiseHand": raised}, "version": 1})


def hang_up_order(uri: str, device: str, *, version: int) -> str:
    """Throws a participant out."""
    if version == 0:
        return _write({"hangupParticipant": uri})
    return _write({uri: {"devices": {device: {"hangup": "true"}}, "hangup": "true"}, "version": 1})


def _write(order: dict[str, Any]) -> str:
    return json.dumps(order, separators=(",", ":"), sort_keys=True)


def _word(flag: bool) -> str:
    return "true" if flag else "false"
