"""The example scripts do what they promise, between two of our daemons; and each stays short."""

from __future__ import annotations

import asyncio
import math
import struct
import sys
import wave
from pathlib import Path

import pytest

from jamid.client import Jami, MessageReceived
from jamid.client.messages import FILE
from tests.interop.lab import REPOSITORY, Lab

pytestmark = pytest.mark.interop

EXAMPLES = REPOSITORY / "scripts/examples"
RUN = {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}


async def account(jami: Jami, name: str, dht: str) -> tuple[str, str]:
    details = {"Account.hostname": dht, "Account.upnpEnabled": "false", "TURN.enable": "false"}
    account_id = await jami.accounts.add(name, details=details)
    return account_id, (await jami.accounts.wait_ready(account_id, 30)).uri


def greeting(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(index / 10))) for index in range(24000)))
    return path


async def test_examples_work_together(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.ours("a")
    lab.ours("b")
    dht = f"{lab.address('d')}:4222"
    async with await Jami.connect(lab.bus("a")) as user, await Jami.connect(lab.bus("b")) as machine:
        user_account, user_uri = await account(user, "user", dht)
        _, machine_uri = await account(machine, "machine", dht)
        lab.spawn("b", "echo", [sys.executable, str(EXAMPLES / "echo_bot.py")], RUN)

        async with user.events(MessageReceived) as messages:
            await user.contacts.request(user_account, machine_uri)
            async with asyncio.timeout(30):
                while not (known := [one for one in await user.contacts.all(user_account) if one.confirmed]):
                    await asyncio.sleep(0.1)
            conversation = known[0].conversation
            await messages.wait(lambda event: event.message.type == "member", 30)
            await user.conversations.send(user_account, conversation, "is there an echo?")
            echo = await messages.wait(lambda event: event.message.author == machine_uri and event.message.body != "", 30)
            assert echo.message.body == "is there an echo?"
            lab.stop("b", "echo")

            notify = [sys.executable, str(EXAMPLES / "cron_notifier.py"), user_uri, "--", "sh", "-c", "echo disk full; exit 3"]
            lab.spawn("b", "notifier", notify, RUN)
            told = (await messages.wait(lambda event: "disk full" in event.message.body, 30)).message.body
            assert "failed with 3" in told

            words = [str(greeting(lab.dir / "greeting.wav")), str(lab.dir / "recordings"), user_uri]
            lab.spawn("b", "machine", [sys.executable, str(EXAMPLES / "answering_machine.py"), *words], RUN)
            await asyncio.sleep(1)
            place = ["-m", "jamid.client.commands", "call", "place", machine_uri, "--play", words[0], "--seconds", "3", "--timeout", "30"]
            lab.spawn("a", "place", [sys.executable, *place], RUN)
            recording = await messages.wait(lambda event: event.message.type == FILE, 40)
            assert recording.message.fields["displayName"].endswith(".ogg")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60
