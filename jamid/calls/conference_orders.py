"""Orders of a participant to the host of its conference, written and read (protocol: calls, section 12.3).

The host's infos say in `v` how it reads orders: version 1 names devices and streams, version 0 only accounts. The reference reads the
streams of an account only where it finds those of a device too, so both are written; read, they may stand in either place.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jamid.core.errors import RemoteError
from jamid.core.limits import CONFERENCE_ORDERS

CONFERENCE_VERSION = 1


class Action(enum.Enum):
    """What an order wants; the value is the key of version 1."""

    LAYOUT = "layout"
    ACTIVE = "active"
    MUTE = "muteAudio"
    HAND = "raiseHand"
    HANG_UP = "hangup"
    VOICE = "voiceActivity"


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `device` and `stream` are "" when it is for all of an account."""

    action: Action
    uri: str = ""
    device: str = ""
    stream: str = ""
    on: bool = True
    layout: int = 0


# -- writing ---------------------------------------------------------------------------------------------------------------
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


# -- reading ---------------------------------------------------------------------------------------------------------------
def parse_orders(text: str) -> list[Order]:
    """The orders in TEXT, what is not understood left out; raises RemoteError when it is no JSON object or holds too many."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise RemoteError("an order for a conference that is no JSON") from None
    if not isinstance(content, dict):
        raise RemoteError("an order for a conference that is no object")
    orders = list(dict.fromkeys(_orders(content)))
    if len(orders) > CONFERENCE_ORDERS:
        raise RemoteError(f"more than {CONFERENCE_ORDERS} orders in one message")
    return orders


def _orders(content: dict[str, Any]) -> Iterator[Order]:
    layout = content.get("layout")
    if isinstance(layout, int) and not isinstance(layout, bool):
        yield Order(Action.LAYOUT, layout=layout)
    active, muted = content.get("activeParticipant"), content.get("muteParticipant")
    if isinstance(active, str):
        yield Order(Action.ACTIVE, active, on=bool(active))
    if isinstance(muted, str):
        yield Order(Action.MUTE, muted, on=_flag(content.get("muteState")))
    hand, thrown = content.get("handRaised"), content.get("hangupParticipant")
    if isinstance(hand, str):
        yield Order(Action.HAND, hand, on=_flag(content.get("handState")))
    if isinstance(thrown, str):
        yield Order(Action.HANG_UP, thrown)
    for uri, wanted in content.items():
        if isinstance(wanted, dict):
            yield from _account_orders(uri, wanted)


def _account_orders(uri: str, wanted: dict[str, Any]) -> Iterator[Order]:
    devices = wanted.get("devices")
    named = {key: value for key, value in devices.items() if isinstance(value, dict)} if isinstance(devices, dict) else {}
    for device, own in named.items():
        # The streams may stand at the device, at the account, or at both.
        medias = {**_members(wanted, "medias"), **_members(own, "medias")}
        yield from _stream_orders(uri, device, medias)
        if "raiseHand" in own:
            yield Order(Action.HAND, uri, device, on=_flag(own["raiseHand"]))
        if _flag(own.get("hangup", False)):
            yield Order(Action.HANG_UP, uri, device)
    if not named:
        yield from _stream_orders(uri, "", _members(wanted, "medias"))
        if "raiseHand" in wanted:
            yield Order(Action.HAND, uri, on=_flag(wanted["raiseHand"]))
        if _flag(wanted.get("hangup", False)):
            yield Order(Action.HANG_UP, uri)


def _stream_orders(uri: str, device: str, medias: dict[str, Any]) -> Iterator[Order]:
    for stream, wanted in medias.items():
        if isinstance(wanted, dict):
            for action in (Action.MUTE, Action.ACTIVE, Action.VOICE):
                if action.value in wanted:
                    yield Order(action, uri, device, stream, _flag(wanted[action.value]))


def _members(content: dict[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _flag(value: object) -> bool:
    return value is True or value == "true"


def _write(order: dict[str, Any]) -> str:
    return json.dumps(order, separators=(",", ":"), sort_keys=True)


def _word(flag: bool) -> str:
    return "true" if flag else "false"
