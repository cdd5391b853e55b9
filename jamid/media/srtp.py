"""SRTP keyed by SDES (RFC 3711, RFC 4568) as the reference uses it: RTP only, RTCP stays in the clear.

The key in a side's own SDP encrypts what that side sends (protocol: calls, section 7.2).
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from jamid.core import limits
from jamid.core.errors import RemoteError

if TYPE_CHECKING:
    import pylibsrtp

KEY_BYTES: Final = 30
"""16 of master key and 14 of salt."""
SUITES: Final = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
"""Suites we can use, best first; only the first is offered."""
REPLAY_WINDOW: Final = 1024
"""Packets within which late ones still count as new."""
RESTART_AFTER: Final = 25
"""Authentic packets refused as replayed, in a row, after which the peer's sender has started anew (half a second)."""

_REPLAYED = ("replay check failed", "packet index is too old")


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """The two master keys of one media line."""

    local: bytes = field(repr=False)
    """From our SDP: protects what we send."""
    remote: bytes = field(repr=False)
    """From the peer's SDP: opens what we receive."""
    suite: str = SUITES[0]


def create_key() -> bytes:
    """A fresh master key with its salt."""
    return os.urandom(KEY_BYTES)


def write_inline(key: bytes) -> str:
    """KEY as the `inline:` parameter of an `a=crypto` line."""
    return "inline:" + base64.b64encode(key).decode()


def parse_inline(text: str) -> bytes:
    """The key of an `inline:` parameter; lifetime and MKI after `|` are ignored. Raises `RemoteError`."""
    method, _, rest = text.partition(":")
    if method != "inline":
        raise RemoteError("key method of a crypto line is not 'inline'")
    try:
        key = base64.b64decode(rest.partition("|")[0], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RemoteError("key of a crypto line is not base64") from error
    if len(key) != KEY_BYTES:
        raise RemoteError(f"key of a crypto line has {len(key)} bytes instead of {KEY_BYTES}")
    return key


class SrtpSender:
    """Protects outgoing packets; one per key, kept across restarts of the encoder so that the packet index goes on."""

    def __init__(self, key: bytes, suite: str = SUITES[0]) -> None:
        import pylibsrtp

        self._session = pylibsrtp.Session(_policy(key, suite, outbound=True))

    def protect(self, packet: bytes) -> bytes:
        """The encrypted and authenticated packet."""
        protected: bytes = self._session.protect(packet)
        return protected


class SrtpReceiver:
    """Opens incoming packets of any SSRC; refuses forged, replayed and unencrypted ones with `RemoteError`."""

    def __init__(self, key: bytes, suite: str = SUITES[0]) -> None:
        import pylibsrtp

        self._key, self._suite = key, suite
        self._error: type[Exception] = pylibsrtp.Error
        self._session = pylibsrtp.Session(_policy(key, suite, outbound=False))
        self._refused = 0

    def unprotect(self, data: bytes) -> bytes:
        """The packet in the clear."""
        if len(data) > limits.RTP_PACKET_BYTES:
            raise RemoteError(f"SRTP packet of {len(data)} bytes")
        try:
            packet: bytes = self._session.unprotect(data)
        except (self._error, TypeError, ValueError) as error:
            packet = self._after_restart(data, str(error))
        self._refused = 0
        return packet

    def _after_restart(self, data: bytes, reason: str) -> bytes:
        # A peer that restarts its sender under the same key and SSRC counts from a lower number: libsrtp calls that a replay.
        # Nothing but replays for half a second is such a restart; an attacker's copies come between good packets.
        if not reason.startswith(_REPLAYED):
            raise RemoteError(f"SRTP packet refused: {reason}")
        self._refused += 1
        if self._refused < RESTART_AFTER:
            raise RemoteError(f"SRTP packet refused: {reason}")
        import pylibsrtp

        session = pylibsrtp.Session(_policy(self._key, self._suite, outbound=False))
        try:
            packet: bytes = session.unprotect(data)
        except self._error as error:
            raise RemoteError(f"SRTP packet refused: {error}") from error
        self._session = session
        return packet


def _policy(key: bytes, suite: str, *, outbound: bool) -> pylibsrtp.Policy:
    import pylibsrtp

    profiles: dict[str, Any] = {
        "AES_CM_128_HMAC_SHA1_80": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
        "AES_CM_128_HMAC_SHA1_32": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    }
    policy = pylibsrtp.Policy(
        key=key,
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND if outbound else pylibsrtp.Policy.SSRC_ANY_INBOUND,
        srtp_profile=profiles[suite],
    )
    policy.window_size = REPLAY_WINDOW
    policy.allow_repeat_tx = False
    return policy
