"""Calls: place, answer, record, end."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jamid.client.connection import Connection
from jamid.client.events import EventStream, FileOpened
from jamid.client.model import absolute, bare_id, flag, moment, number
from jamid.core.errors import LocalError, NotFoundError

_INTERFACE = "CallManager"
_PLAYERS = "VideoManager"
_OPENING_SECONDS = 10.0

ENDED = ("OVER", "FAILURE", "HUNGUP", "BUSY")


@dataclass(frozen=True, slots=True)
class Call:
    """One call."""

    id: str
    account: str
    peer: str
    incoming: bool
    state: str
    started: datetime | None
    recording: bool
    details: Mapping[str, str]


def audio(source: Path | None = None, muted: bool = False) -> dict[str, str]:
    """The media of an audio call; SOURCE is a sound file that is heard at the other end instead of the microphone."""
    return {
        "MEDIA_TYPE": "MEDIA_TYPE_AUDIO", "ENABLED": "true", "MUTED": "true" if muted else "false",
        "SOURCE": _address(source) if source else "", "LABEL": "audio_0",
    }  # fmt: skip


def _address(source: Path) -> str:
    return f"file://{absolute(source)}"


class Calls:
    """The calls of all accounts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def place(self, account: str, peer: str, media: Sequence[Mapping[str, str]] | None = None) -> str:
        """Calls PEER (a Jami id, `sip:…` or `swarm:…`); the call's id. What follows comes as events."""
        wanted = [dict(one) for one in (media if media is not None else [audio()])]
        call = str(await self._connection.call(_INTERFACE, "placeCallWithMedia", "ssaa{ss}", account, peer, wanted))
        if not call:
            raise LocalError(f"{peer} cannot be called: the account is offline, or that is no address")
        return call

    async def accept(self, account: str, call: str, media: Sequence[Mapping[str, str]]) -> None:
        """Answers with MEDIA, one entry per offered one; raises NotFoundError when nobody calls any more."""
        if not await self._connection.call(_INTERFACE, "acceptWithMedia", "ssaa{ss}", account, call, [dict(one) for one in media]):
            raise NotFoundError(f"call {call} is not there to be answered")

    async def refuse(self, account: str, call: str) -> bool:
        return bool(await self._connection.call(_INTERFACE, "refuse", "ss", account, call))

    async def hang_up(self, account: str, call: str) -> bool:
        """Ends a call; whether it was there."""
        return bool(await self._connection.call(_INTERFACE, "hangUp", "ss", account, call))

    async def hold(self, account: str, call: str, on: bool) -> bool:
        return bool(await self._connection.call(_INTERFACE, "hold" if on else await self._resume(), "ss", account, call))

    async def mute(self, account: str, call: str, on: bool) -> bool:
        return bool(await self._connection.call(_INTERFACE, "muteLocalMedia", "sssb", account, call, "MEDIA_TYPE_AUDIO", on))

    async def start_playing(self, source: Path) -> bool:
        """Lets SOURCE, which `audio` made a call's sound, be heard: 17 sends what a media player plays; False where it cannot be."""
        if not await self._connection.declares(_PLAYERS, "createMediaPlayer"):
            return False
        async with EventStream[FileOpened](self._connection, [FileOpened]) as events:
            player = await self._connection.call(_PLAYERS, "createMediaPlayer", "s", _address(source))
            # It begins paused, and stays so when it is told to go on before it has opened the file.
            with contextlib.suppress(TimeoutError):
                await events.wait(lambda event: event.path == absolute(source), _OPENING_SECONDS)
        await self._connection.call(_PLAYERS, "pausePlayer", "sb", player, False)
        return True

    async def stop_playing(self, source: Path) -> None:
        if await self._connection.declares(_PLAYERS, "closeMediaPlayer"):
            await self._connection.call(_PLAYERS, "closeMediaPlayer", "s", _address(source))

    async def toggle_recording(self, account: str, call: str) -> bool:
        """Starts or ends recording; whether it records now. The file comes as `RecordingFileChanged`."""
        return bool(await self._connection.call(_INTERFACE, "toggleRecording", "ss", account, call))

    async def set_recording_directory(self, directory: Path) -> None:
        await self._connection.call("ConfigurationManager", "setRecordPath", "s", absolute(directory))

    async def ids(self, account: str = "") -> list[str]:
        """The calls of an account, of all for ""."""
        return [str(one) for one in await self._connection.call(_INTERFACE, "getCallList", "s", account)]

    async def get(self, account: str, call: str) -> Call:
        """One call; raises NotFoundError."""
        details = await self._connection.call(_INTERFACE, "getCallDetails", "ss", account, call)
        if not details:
            raise NotFoundError(f"there is no call {call}")
        recording = await self._connection.call(_INTERFACE, "getIsRecording", "ss", account, call)
        return Call(
            call, account, bare_id(details.get("PEER_NUMBER", "")), details.get("CALL_TYPE") != "1", details.get("CALL_STATE", ""),
            moment(number(details, "TIMESTAMP_START")), bool(recording) or flag(details, "RECORDING"), details,
        )  # fmt: skip

    async def all(self, account: str) -> list[Call]:
        return [await self.get(account, call) for call in await self.ids(account)]

    async def _resume(self) -> str:
        return "resume" if await self._connection.declares(_INTERFACE, "resume") else "unhold"
