"""The main loop's handle on one audio line of a call; the work is done by the media thread (`jamid.media.worker`)."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jamid.core import limits
from jamid.core.errors import LocalError
from jamid.media.srtp import SrtpKeys
from jamid.media.statistics import AudioStatistics

Send = Callable[[bytes], Any]
"""Puts one packet on its way to the peer; must not block. What it raises is counted as a lost packet and logged once."""


@runtime_checkable
class Path(Protocol):
    """A way to the peer that the media thread uses alone: it sends there and asks for what came, so that no packet wakes the main loop."""

    thread_safe: bool

    def __call__(self, data: bytes) -> None: ...

    def arrived(self) -> list[tuple[float, bytes]]:
        """What came since the last time: arrival (`time.monotonic`) and bytes of each packet."""
        ...

    def stop(self) -> None:
        """Nobody asks any more."""
        ...


@dataclass(frozen=True, slots=True)
class AudioParameters:
    """What was negotiated for one audio line."""

    stream_id: str
    """`<call id>_audio_<n>`: names the stream's buffer on D-Bus, in conferences and in the log."""
    codec: str
    """Encoding name of the rtpmap line: `opus`, `G722`, `PCMA`, `PCMU`, `G726-32`, `speex`; see `jamid.media.codec_table`."""
    clock_rate: int
    """Clock of the rtpmap line."""
    payload_type: int
    """What we send with and expect; the number of the answer."""
    telephone_event: int | None = None
    """Payload type of telephone-event/8000, if both sides listed it."""
    keys: SrtpKeys | None = None
    """None for a line with profile RTP/AVP."""
    source: str = ""
    """Where the sound that we send comes from: "" = the selected input, or an input string (`file://…`)."""
    muted: bool = False
    held: bool = False
    first_sequence: int | None = None
    """`next_sequence` of the stream that this one goes on from after a re-INVITE; None for a random one."""


class Worker(Protocol):
    """What the handle needs of the media thread."""

    def post(self, command: Callable[[], None]) -> None:
        """Runs COMMAND on the media thread before its next tick."""
        ...

    async def call(self, command: Callable[[], Any]) -> Any:
        """Runs COMMAND on the media thread and waits for its result."""
        ...


class StreamSession(Protocol):
    """The media thread's side of a stream; touched only through commands, except for what is said otherwise."""

    statistics: AudioStatistics
    """Replaced as a whole by the media thread once a second; may be read from anywhere."""

    @property
    def next_sequence(self) -> int: ...
    def set_muted(self, muted: bool) -> None: ...
    def set_peer_muted(self, muted: bool) -> None: ...
    def set_held(self, held: bool) -> None: ...
    def set_source(self, source: str) -> None: ...
    def send_dtmf(self, digits: str, duration_ms: int) -> None: ...
    def join(self, room: str) -> None: ...
    def leave(self) -> None: ...
    def close(self) -> None: ...


class AudioStream:
    """One audio line. Methods may be called from the main loop at any time, also before the media thread is up, and after `close`."""

    def __init__(self, parameters: AudioParameters, worker: Worker, on_close: Callable[[], Any] | None = None) -> None:
        self.parameters = parameters
        self.muted = parameters.muted
        self.held = parameters.held
        self.room = ""
        self._worker = worker
        self._session: StreamSession | None = None
        self._closed = False
        self._on_close = on_close
        self.rtp_inbox: deque[tuple[float, bytes]] = deque(maxlen=limits.RTP_INBOX_PACKETS)
        """Arrival time and bytes of packets that wait for the media thread."""
        self.rtcp_inbox: deque[tuple[float, bytes]] = deque(maxlen=limits.RTP_INBOX_PACKETS)

    @property
    def id(self) -> str:
        """The stream's id."""
        return self.parameters.stream_id

    def attach(self, session: StreamSession) -> None:
        """Called by the media thread once the stream runs there."""
        self._session = session

    def receive_rtp(self, data: bytes) -> None:
        """Takes one datagram of the RTP component as it came from the network; never fails. Callable from any thread."""
        self.rtp_inbox.append((time.monotonic(), data))

    def receive_rtcp(self, data: bytes) -> None:
        """Takes one datagram of the RTCP component as it came from the network; never fails. Callable from any thread."""
        self.rtcp_inbox.append((time.monotonic(), data))

    def set_muted(self, muted: bool) -> None:
        """Muted: encoded silence goes on being sent, as the reference does."""
        self.muted = muted
        self._command(lambda session: session.set_muted(muted))

    def set_peer_muted(self, muted: bool) -> None:
        """Drops what comes from the peer before it is mixed or heard (a moderator's mute)."""
        self._command(lambda session: session.set_peer_muted(muted))

    def set_held(self, held: bool) -> None:
        """Held: nothing is sent, nothing that comes is heard; packets still count in the statistics."""
        self.held = held
        self._command(lambda session: session.set_held(held))

    def set_source(self, source: str) -> None:
        """Changes where the sound we send comes from; "" is the selected input."""
        self._command(lambda session: session.set_source(source))

    def send_dtmf(self, digits: str, duration_ms: int = 250) -> None:
        """Sends DIGITS (0-9 A-D * # !) one after the other as telephone events; nothing if the line has no payload type for them."""
        self._command(lambda session: session.send_dtmf(digits, duration_ms))

    def join(self, room: str) -> None:
        """Mixes this stream with every other stream of ROOM (a conference), each hearing all but itself."""
        self.room = room
        self._command(lambda session: session.join(room))

    def leave(self) -> None:
        """Back to a call of its own with the local user."""
        self.room = ""
        self._command(lambda session: session.leave())

    def statistics(self) -> AudioStatistics:
        """The newest figures, at most a second old."""
        return self._session.statistics if self._session is not None else AudioStatistics()

    @property
    def next_sequence(self) -> int | None:
        """The RTP sequence number that a stream which goes on from this one starts with."""
        return self._session.next_sequence if self._session is not None else self.parameters.first_sequence

    async def close(self) -> AudioStatistics:
        """Ends the stream and returns its final figures; a second call does nothing but return them."""
        if self._close_once():
            with contextlib.suppress(LocalError):  # the media thread has ended, and the stream with it
                await self._worker.call(self._end)
        return self.statistics()

    def close_soon(self) -> None:
        """As `close`, without waiting."""
        if self._close_once():
            self._worker.post(self._end)

    def _close_once(self) -> bool:
        if self._closed:
            return False
        self._closed = True
        if self._on_close is not None:
            self._on_close()
        return True

    def _end(self) -> None:
        if self._session is not None:
            self._session.close()

    def _command(self, command: Callable[[StreamSession], None]) -> None:
        def run() -> None:
            if self._session is not None:
                command(self._session)

        if not self._closed:
            self._worker.post(run)
