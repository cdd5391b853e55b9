"""The media of one call: its ICE session, its audio streams, and their replacement when a re-INVITE brings new ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from jamid.calls.media_maps import MediaType
from jamid.calls.negotiation import AgreedStream, RemoteIce
from jamid.calls.seams import CallAccount, CallAudio, MediaIce
from jamid.core.errors import JamidError
from jamid.core.tasks import Tasks
from jamid.media.audio_stream import AudioParameters, AudioStream
from jamid.sip.offers import IceDescription

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 30.0
"""How long a path is looked for; the reference gives up after about as long."""
GATHER_SECONDS = 10.0
"""How long servers may keep us from calling; what has been found by then is offered."""


class MediaSession:
    """The sound of one call. At most one ICE session carries media; the next one is prepared beside it."""

    def __init__(self, call_id: str, account: CallAccount, audio: CallAudio) -> None:
        self._call_id = call_id
        self._account = account
        self._audio = audio
        self._tasks = Tasks(f"media of call {call_id}")
        self._ice: MediaIce | None = None
        self._next: MediaIce | None = None
        self.streams: dict[str, AudioStream] = {}
        """by label"""
        self.agreed: list[AgreedStream] = []
        self._expected: list[str] = []
        self.connecting = False
        self.started = False
        """whether media has flowed or could have"""
        self.on_lost: Callable[[], None] = lambda: None
        """called when the path in use is gone"""
        self._room = ""
        self._peer_muted = False
        self._closed = False

    async def prepare(self, components: int, *, controlling: bool) -> IceDescription:
        """Gathers a new ICE session for the next offer or answer, which describes it; raises ConnectionError."""
        await self._discard_next()
        if self._closed:
            raise ConnectionError("the call is over")
        ice = self._account.ice(components, controlling=controlling)
        self._next = ice
        try:
            async with asyncio.timeout(GATHER_SECONDS):
                await ice.gather()
        except TimeoutError:
            _log.info("call %s: gathering candidates took too long, the call goes on with those found", self._call_id)
        except OSError as error:
            raise ConnectionError(f"no sockets for the media: {error}") from error
        return IceDescription(ice.ufrag, ice.pwd, {number: ice.candidates(number) for number in range(1, components + 1)})

    def start(
        self,
        agreed: Sequence[AgreedStream],
        remote: RemoteIce,
        *,
        muted: Callable[[str], bool],
        sources: Callable[[str], str],
        held: bool,
        done: Callable[[ConnectionError | None], None],
    ) -> None:
        """Connects the prepared ICE session and moves the media to it; DONE is told once with the error, if any."""
        self.connecting = True
        self._expected = [self._stream_id(each) for each in agreed if each.kind is MediaType.AUDIO]
        self._tasks.spawn(self._start(list(agreed), remote, muted, sources, held, done), "start")

    def set_held(self, held: bool) -> None:
        """Held: nothing is sent or heard."""
        for stream in self.streams.values():
            stream.set_held(held)

    def set_muted(self, label: str, muted: bool) -> None:
        stream = self.streams.get(label)
        if stream is not None:
            stream.set_muted(muted)

    def set_peer_muted(self, muted: bool) -> None:
        """Drops what the peer says before anybody hears it."""
        self._peer_muted = muted
        for stream in self.streams.values():
            stream.set_peer_muted(muted)

    def join(self, room: str) -> None:
        """Mixes the call's sound with that of a conference, also what comes after a re-INVITE."""
        self._room = room
        for stream in self.streams.values():
            stream.join(room)

    def leave(self) -> None:
        """Back to the local user alone."""
        self._room = ""
        self.set_peer_muted(False)
        for stream in self.streams.values():
            stream.leave()

    def set_source(self, label: str, source: str) -> None:
        stream = self.streams.get(label)
        if stream is not None:
            stream.set_source(source)

    def stream_ids(self) -> list[str]:
        """The audio streams, also while their path is still being found: a recording may begin before them."""
        return list(self._expected)

    def send_dtmf(self, key: str) -> None:
        """Sends KEY as an RFC 4733 event on the first line that negotiated them."""
        for stream in self.streams.values():
            stream.send_dtmf(key)
            return

    def pairs(self) -> list[tuple[int, str, str]]:
        """The paths in use."""
        return self._ice.pairs() if self._ice is not None else []

    async def close(self) -> None:
        """Ends everything."""
        self._closed = True
        await self._tasks.close()
        await self._discard_next()
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            figures = await stream.close()
            _log.info("call %s: stream %s ended: %s", self._call_id, stream.id, figures)
        if self._ice is not None:
            ice, self._ice = self._ice, None
            await ice.close()

    async def _start(
        self,
        agreed: list[AgreedStream],
        remote: RemoteIce,
        muted: Callable[[str], bool],
        sources: Callable[[str], str],
        held: bool,
        done: Callable[[ConnectionError | None], None],
    ) -> None:
        ice = self._next
        error: ConnectionError | None = None
        try:
            if ice is None:
                raise ConnectionError("no candidates were gathered")
            used = {component for each in agreed for component in each.components}
            candidates = [line for line in remote.candidates if _component(line) in used]
            async with asyncio.timeout(CONNECT_SECONDS):
                await ice.connect(remote.ufrag, remote.pwd, candidates)
            await self._move_to(ice, agreed, muted, sources, held)
        except (OSError, JamidError) as caught:
            error = caught if isinstance(caught, ConnectionError) else ConnectionError(str(caught) or "no media path was found in time")
            await self._discard_next()
        finally:
            self.connecting = False
        if not self._closed:
            done(error)

    async def _move_to(
        self, ice: MediaIce, agreed: list[AgreedStream], muted: Callable[[str], bool], sources: Callable[[str], str], held: bool
    ) -> None:
        old_streams, old_ice = self.streams, self._ice
        self._ice, self._next, self.agreed, self.streams = ice, None, agreed, {}
        ice.on_lost = self._lost
        for stream in old_streams.values():
            stream.close_soon()
        for each in agreed:
            if each.kind is not MediaType.AUDIO:
                continue
            before = old_streams.get(each.label)
            parameters = AudioParameters(
                stream_id=self._stream_id(each),
                codec=each.format.encoding,
                clock_rate=each.format.clock_rate,
                payload_type=each.format.payload_type,
                telephone_event=each.telephone_event,
                keys=each.keys,
                source=sources(each.label),
                muted=muted(each.label),
                held=held,
                first_sequence=before.next_sequence if before is not None else None,
            )
            self.streams[each.label] = self._open(ice, each, parameters)
        self.started = True
        if old_ice is not None:
            old_ice.on_lost = None
            await old_ice.close()

    def _lost(self) -> None:
        if not self._closed and not self.connecting:
            self.on_lost()

    def _open(self, ice: MediaIce, agreed: AgreedStream, parameters: AudioParameters) -> AudioStream:
        rtp, rtcp = agreed.components
        stream = self._audio.open_stream(parameters, ice.path(rtp) or partial(ice.send, rtp), partial(ice.send, rtcp))
        if self._room:
            stream.join(self._room)
        if self._peer_muted:
            stream.set_peer_muted(True)
        ice.on_data(rtp, stream.receive_rtp)
        ice.on_data(rtcp, stream.receive_rtcp)
        return stream

    def _stream_id(self, agreed: AgreedStream) -> str:
        return f"{self._call_id}_{agreed.label}"

    async def _discard_next(self) -> None:
        if self._next is not None:
            ice, self._next = self._next, None
            await ice.close()


def _component(candidate: str) -> int:
    """The component of a candidate line, 0 when it cannot be read."""
    parts = candidate.split()
    return int(parts[1]) if len(parts) > 1 and parts[1].isascii() and parts[1].isdigit() and len(parts[1]) < 4 else 0
