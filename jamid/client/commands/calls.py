"""`jami call …`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jamid.client.calls import ENDED, audio
from jamid.client.commands.topics import topic
from jamid.client.events import CallReceived, CallStateChanged, EventStream, RecordingFileChanged
from jamid.core.errors import LocalError, NotFoundError

if TYPE_CHECKING:
    from jamid.client.commands.main import Context

CallEvents = EventStream[CallStateChanged | RecordingFileChanged]

_VOICE = {
    "__play": dict(type=Path, default=None, metavar="FILE", help="a sound file to be heard at the other end, instead of the microphone"),
    "__record": dict(type=Path, default=None, metavar="DIRECTORY", help="record the call into this directory; its file is printed"),
    "__seconds": dict(type=float, default=0, help="hang up after so many seconds"),
}


def add_commands(topics: Any) -> None:
    verb = topic(topics, "call", "calls: place, answer, list, hang up")
    verb("place", place, "call somebody and stay until the call ends", peer=dict(help="Jami id, registered name or sip: address"), **_VOICE)
    verb("answer", answer, "answer the next call and stay until it ends", __from=dict(default="", metavar="PEER", dest="peer"),
         __forever=dict(action="store_true", help="and then the next one"), **_VOICE)  # fmt: skip
    verb("list", show_all, "list the calls")
    verb("hangup", hang_up, "end a call, or all", call=dict(nargs="?", default=""))


async def place(context: Context) -> int:
    account = await context.account()
    peer = context.arguments.peer
    if not peer.startswith(("sip:", "sips:", "swarm:")):
        peer = await context.jami.peer(account, peer)
    _check_voice(context)
    async with CallEvents(context.jami.connection, [CallStateChanged, RecordingFileChanged]) as events:
        call = await context.jami.calls.place(account, peer, [audio(context.arguments.play)])
        return await _stay(context, account, call, events)


async def answer(context: Context) -> int:
    account = await context.account()
    peer = await context.jami.peer(account, context.arguments.peer) if context.arguments.peer else ""
    _check_voice(context)
    code = 0
    async with context.jami.events(CallReceived) as calls:
        while True:
            wanted = await calls.wait(lambda one: one.account == account and peer in ("", one.peer))
            async with CallEvents(context.jami.connection, [CallStateChanged, RecordingFileChanged]) as events:
                media = [audio(context.arguments.play) if i == 0 else dict(one) | {"MUTED": "true"} for i, one in enumerate(wanted.media)]
                try:
                    await context.jami.calls.accept(account, wanted.call, media)
                except NotFoundError as error:  # whoever called gave up
                    if not context.arguments.forever:
                        raise
                    context.output.note(str(error))
                    continue
                code = await _stay(context, account, wanted.call, events, current=True)
            if not context.arguments.forever:
                return code


async def show_all(context: Context) -> None:
    calls = await context.jami.calls.all(await context.account())
    rows = [(one.id, one.peer, "in" if one.incoming else "out", one.state, "recording" if one.recording else "") for one in calls]
    context.output.rows(calls, ("CALL", "PEER", "WAY", "STATE", ""), rows)


async def hang_up(context: Context) -> None:
    account = await context.account()
    wanted = context.arguments.call
    for call in [wanted] if wanted else await context.jami.calls.ids(account):
        if not await context.jami.calls.hang_up(account, call) and wanted:  # of all, one may have ended by itself
            raise LocalError(f"there is no call {call}")


async def _stay(context: Context, account: str, call: str, events: CallEvents, current: bool = False) -> int:
    """Follows a call to its end; 0 when it was answered, 1 when not."""
    answered, since = 0.0, time.time()
    recording: Path | None = None
    hang_up_at: float | None = None
    try:
        while True:
            left = None if hang_up_at is None else max(hang_up_at - time.monotonic(), 0)
            try:
                event = await events.wait(lambda one: one.call == call, left if answered or current else context.arguments.timeout)
            except TimeoutError:
                await context.jami.calls.hang_up(account, call)
                if not answered:
                    raise
                hang_up_at = None
                continue
            if isinstance(event, RecordingFileChanged):
                if Path(event.path).is_absolute() and event.path.count(".") and Path(event.path).stem:
                    recording = Path(event.path)
                continue
            context.output.progress(f"{call} {event.state.lower()}")
            if event.state == "CURRENT" and not answered:
                answered = time.monotonic()
                if context.arguments.seconds:
                    hang_up_at = answered + context.arguments.seconds
                if context.arguments.play and not await context.jami.calls.start_playing(context.arguments.play):
                    context.output.note("this daemon sends its microphone all the same: 13.7 plays files to its own user only")
                if context.arguments.record:
                    await context.jami.calls.set_recording_directory(context.arguments.record)
                    await context.jami.calls.toggle_recording(account, call)
            if event.state in ENDED:
                seconds = round(time.monotonic() - answered, 1) if answered else 0
                recording = recording or _newest_in(context.arguments.record, since)
                file = str(recording or "")
                result = {"call": call, "answered": bool(answered), "seconds": seconds, "code": event.code, "recording": file}
                said = f"talked for {seconds} s" if answered else f"not answered ({event.state.lower()}, code {event.code})"
                context.output.one(result, f"{said}{f', recorded to {file}' if file else ''}")
                return 0 if answered else 1
    except asyncio.CancelledError:
        await context.jami.calls.hang_up(account, call)
        raise
    finally:
        if answered and context.arguments.play:
            await context.jami.calls.stop_playing(context.arguments.play)


def _newest_in(directory: Path | None, since: float) -> Path | None:
    """The real daemon does not always tell the name of its recording."""
    files = [path for path in directory.iterdir() if path.stat().st_mtime >= since] if directory is not None else []
    return max(files, key=lambda path: path.stat().st_mtime, default=None)


def _check_voice(context: Context) -> None:
    if context.arguments.play and not context.arguments.play.is_file():
        raise LocalError(f"{context.arguments.play} is no file")
    if context.arguments.record:
        context.arguments.record.mkdir(parents=True, exist_ok=True)
