"""What the two generations call the ends of a call: last words and codes on D-Bus (protocol: calls, sections 3, 10.3 and 15)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from jamid.calls.states import CallState
from jamid.core.generations import Generation


class Ending(enum.Enum):
    """Why a call ended."""

    HUNG_UP = "we hung up, or cancelled our own call"
    PEER_HUNG_UP = "the peer hung up an answered call"
    PEER_DECLINED = "the peer declined, or its phone rang too long"
    PEER_BUSY = "486 from a SIP peer"
    REFUSED = "we declined"
    HUNG_UP_RINGING = "we hung up while it rang"
    RANG_OUT = "nobody answered here in time"
    PEER_CANCELLED = "the caller gave up, or another device answered"
    PEER_FAILED = "every device answered with an error"
    NO_DEVICE = "no device is announced"
    UNREACHABLE = "no device of the account could be reached, or this is the only one"
    UNKNOWN_NAME = "no such name"
    NO_ANSWER = "the peer stopped answering"
    NOT_ACCEPTABLE = "no common codec"
    ICE_FAILED = "no media path"
    LOST = "the connection to the peer broke"


@dataclass(frozen=True, slots=True)
class LastWords:
    """What a client is told: the word of `state` in a disconnected call (ACTIVE: HUNGUP) with `code`, then OVER with `over_code`."""

    state: CallState
    code: int = 0
    over_code: int = 0


_EIO, _ENXIO, _ECONNABORTED, _ECONNRESET, _ECONNREFUSED, _ETIMEDOUT = 5, 6, 103, 104, 111, 110

LAST_WORDS: Final = {
    Generation.G13: {
        Ending.HUNG_UP: LastWords(CallState.ACTIVE),
        Ending.PEER_HUNG_UP: LastWords(CallState.ACTIVE, _ECONNABORTED),
        Ending.PEER_DECLINED: LastWords(CallState.ACTIVE, _ECONNABORTED),
        Ending.PEER_BUSY: LastWords(CallState.PEER_BUSY),
        Ending.REFUSED: LastWords(CallState.BUSY),
        Ending.HUNG_UP_RINGING: LastWords(CallState.FAILED, 481),
        Ending.RANG_OUT: LastWords(CallState.BUSY),
        Ending.PEER_CANCELLED: LastWords(CallState.INACTIVE, _ECONNREFUSED),
        Ending.PEER_FAILED: LastWords(CallState.FAILED, _EIO),
        Ending.NO_DEVICE: LastWords(CallState.FAILED, _ENXIO),
        Ending.UNREACHABLE: LastWords(CallState.FAILED, _EIO),
        Ending.UNKNOWN_NAME: LastWords(CallState.FAILED, _ENXIO),
        Ending.NO_ANSWER: LastWords(CallState.FAILED, _ETIMEDOUT),
        Ending.NOT_ACCEPTABLE: LastWords(CallState.FAILED, 488),
        Ending.ICE_FAILED: LastWords(CallState.FAILED, _EIO),
        Ending.LOST: LastWords(CallState.FAILED, _ECONNRESET),
    },
    Generation.G17: {
        Ending.HUNG_UP: LastWords(CallState.ACTIVE),
        Ending.PEER_HUNG_UP: LastWords(CallState.ACTIVE, 487),
        Ending.PEER_DECLINED: LastWords(CallState.ACTIVE, 487),
        Ending.PEER_BUSY: LastWords(CallState.PEER_BUSY),
        Ending.REFUSED: LastWords(CallState.INACTIVE, 603),
        Ending.HUNG_UP_RINGING: LastWords(CallState.FAILED, 481),
        Ending.RANG_OUT: LastWords(CallState.BUSY, 0, 486),
        Ending.PEER_CANCELLED: LastWords(CallState.INACTIVE, 603),
        Ending.PEER_FAILED: LastWords(CallState.FAILED, 500, 481),
        Ending.NO_DEVICE: LastWords(CallState.FAILED, 480, 480),
        Ending.UNREACHABLE: LastWords(CallState.FAILED, 500, 480),
        Ending.UNKNOWN_NAME: LastWords(CallState.FAILED, 404, 404),
        Ending.NO_ANSWER: LastWords(CallState.FAILED, 408, 408),
        Ending.NOT_ACCEPTABLE: LastWords(CallState.FAILED, 488, 488),
        Ending.ICE_FAILED: LastWords(CallState.FAILED, 488, 488),
        Ending.LOST: LastWords(CallState.FAILED, 503, 503),
    },
}

HISTORY_REASONS: Final = {
    Ending.NO_DEVICE: "no_device",
    Ending.UNREACHABLE: "no_device",
    Ending.PEER_BUSY: "busy",
    Ending.PEER_DECLINED: "declined",
}
"""The `reason` of a call-history commit; other ends have none."""
REFUSAL_STATUS: Final = 603
"""What we answer when the user declines; the older generation takes it for a decline as well."""
RANG_OUT_STATUS: Final = 486
"""What we answer when nobody here answers."""


def told_path(generation: Generation, path: str) -> str:
    """How clients of GENERATION hear of a recording that was stopped by hand: the older one forgets its name."""
    return path if generation is Generation.G17 else ".webm"


def last_words(generation: Generation, ending: Ending) -> LastWords:
    """What clients of GENERATION expect to hear at ENDING."""
    return LAST_WORDS[generation][ending]
