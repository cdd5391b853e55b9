"""What a call is, as two variables and one table (protocol: calls, section 10.1).

* `CallState` says what the user does with the call, `Link` how far the signalling is.
* Together they give the one word clients see; it is told when the word changes, never otherwise.
* OVER is always last; after it nobody knows the call.
"""

from __future__ import annotations

import enum
from typing import Final


class CallState(enum.Enum):
    """What the call is to its user."""

    INACTIVE = "INACTIVE"
    ACTIVE = "ACTIVE"
    HOLD = "HOLD"
    BUSY = "BUSY"
    PEER_BUSY = "PEER_BUSY"
    FAILED = "FAILED"
    OVER = "OVER"


class Link(enum.Enum):
    """How far the signalling is."""

    DISCONNECTED = "DISCONNECTED"
    TRYING = "TRYING"
    PROGRESSING = "PROGRESSING"
    RINGING = "RINGING"
    CONNECTED = "CONNECTED"


TRANSITIONS: Final = {
    CallState.INACTIVE: {CallState.ACTIVE, CallState.BUSY, CallState.PEER_BUSY, CallState.FAILED, CallState.OVER},
    CallState.ACTIVE: {CallState.BUSY, CallState.PEER_BUSY, CallState.HOLD, CallState.FAILED, CallState.OVER},
    CallState.HOLD: {CallState.ACTIVE, CallState.FAILED, CallState.OVER},
    CallState.BUSY: {CallState.FAILED, CallState.OVER},
    CallState.PEER_BUSY: {CallState.OVER},
    CallState.FAILED: {CallState.OVER},
    CallState.OVER: set(),
}
"""Which states may follow which."""

_FIXED: Final = {CallState.BUSY: "BUSY", CallState.PEER_BUSY: "PEER_BUSY", CallState.FAILED: "FAILURE", CallState.OVER: "OVER"}
_WORDS: Final = {
    (CallState.INACTIVE, Link.DISCONNECTED): "INACTIVE",
    (CallState.INACTIVE, Link.TRYING): "INACTIVE",
    (CallState.INACTIVE, Link.PROGRESSING): "CONNECTING",
    (CallState.INACTIVE, Link.CONNECTED): "CURRENT",
    (CallState.ACTIVE, Link.DISCONNECTED): "HUNGUP",
    (CallState.ACTIVE, Link.TRYING): "CURRENT",
    (CallState.ACTIVE, Link.PROGRESSING): "CONNECTING",
    (CallState.ACTIVE, Link.CONNECTED): "CURRENT",
    (CallState.HOLD, Link.DISCONNECTED): "HUNGUP",
}


def word(state: CallState, link: Link, *, incoming: bool) -> str:
    """The state as clients see it."""
    if state in _FIXED:
        return _FIXED[state]
    if state is CallState.HOLD and link is not Link.DISCONNECTED:
        return "HOLD"
    if link is Link.RINGING:
        return "INCOMING" if incoming else "RINGING"
    return _WORDS[(state, link)]


def may_follow(old: CallState, new: CallState) -> bool:
    """Whether NEW may come after OLD; a state may repeat itself."""
    return new is old or new in TRANSITIONS[old]
