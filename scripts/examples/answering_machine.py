#!/usr/bin/env python3
"""Answering machine: lets it ring a while, answers with a greeting, records, and sends the caller's recording to the owner.

    scripts/examples/answering_machine.py GREETING.wav DIRECTORY [OWNER]     OWNER: a contact who gets each recording as a file
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

from jamid.client import CallReceived, CallStateChanged, Jami, RecordingFileChanged
from jamid.client.calls import ENDED, audio
from jamid.core.errors import JamidError

RINGING, LONGEST = 10, 120  # seconds


async def treat(jami: Jami, call: CallReceived, greeting: Path, owner: str) -> None:
    try:
        await answer(jami, call, greeting, owner)
    except (JamidError, TimeoutError) as error:
        print(f"the call of {call.peer} went wrong: {error}")


async def answer(jami: Jami, call: CallReceived, greeting: Path, owner: str) -> None:
    async with jami.events(CallStateChanged) as states, jami.events(RecordingFileChanged) as files:
        try:
            await states.wait(lambda event: event.call == call.call and event.state in (*ENDED, "CURRENT"), RINGING)
            return  # somebody was quicker, or the caller gave up
        except TimeoutError:
            await jami.calls.accept(call.account, call.call, [audio(greeting)])
        await jami.calls.toggle_recording(call.account, call.call)
        recording = Path((await files.wait(lambda event: event.call == call.call and event.path.startswith("/"), 10)).path)
        with contextlib.suppress(TimeoutError):
            await states.wait(lambda event: event.call == call.call and event.state in ENDED, LONGEST)
        await jami.calls.hang_up(call.account, call.call)
        print(f"{call.peer} left a message: {recording}")
        if owner:
            await jami.files.send(call.account, await jami.conversation(call.account, owner), recording)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("greeting", type=Path)
    parser.add_argument("directory", type=Path, help="for the recordings")
    parser.add_argument("owner", nargs="?", default="")
    given = parser.parse_args()
    async with await Jami.connect() as jami, jami.events(CallReceived) as calls, asyncio.TaskGroup() as answers:
        await jami.calls.set_recording_directory(given.directory)
        async for call in calls:
            answers.create_task(treat(jami, call, given.greeting, given.owner))


if __name__ == "__main__":
    asyncio.run(main())
