"""One scenario on every mix of daemons: accounts, a contact, chat both ways, a file, an audio call."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest

from tests.interop.driver import Driver, audio_call, befriend, chat
from tests.interop.lab import Lab

pytestmark = [pytest.mark.interop, pytest.mark.slow]

OURS, AS_17, REAL = "ours", "ours as 17", "real"
OPEN, NAT = (), ("b",)
MIXES = [
    *((a, b, nat) for nat in (OPEN, NAT) for a, b in ((OURS, OURS), (OURS, REAL), (REAL, OURS))),
    (OURS, AS_17, OPEN),
]


def start(lab: Lab, host: str, kind: str) -> None:
    if kind == REAL:
        lab.start_jamid(host, pulse=True)
    else:
        lab.ours(host, "-c", "-d", "-p", *(("--generations", "17") if kind == AS_17 else ()), pulse=True)


async def send_file(sender: Driver, account: str, receiver: Driver, receiver_account: str, conversation: str, lab: Lab) -> None:
    """SENDER offers a file, RECEIVER fetches it; both copies are the same."""
    content = os.urandom(300_000)
    source, target = lab.dir / "offered.bin", lab.dir / f"fetched-{receiver.name}.bin"
    source.write_bytes(content)
    since = len(receiver.signals)
    await sender.configuration.sendFile(account, conversation, str(source), "offered.bin", "")
    _, _, message = await receiver.signal(
        "messageReceived", lambda _, c, m: c == conversation and m.get("type") == "application/data-transfer+json", 30, since
    )
    assert await receiver.configuration.downloadFile(receiver_account, conversation, message["id"], message["fileId"], str(target))
    await receiver.signal("dataTransferEvent", lambda _, c, m, f, code: f == message["fileId"] and code == 6, 30, since)
    async with asyncio.timeout(5):
        while not target.exists() or target.stat().st_size < len(content):
            await asyncio.sleep(0.05)
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize(("kind_a", "kind_b", "nat"), MIXES, ids=[f"{a}/{b}{' behind a NAT' * bool(nat)}" for a, b, nat in MIXES])
async def test_two_daemons_meet_chat_and_talk(lab: Lab, kind_a: str, kind_b: str, nat: tuple[str, ...]) -> None:
    lab.up(["d", "a", "b"], nat=nat)
    lab.start_dht("d")
    lab.start_turn("d")
    start(lab, "a", kind_a)
    start(lab, "b", kind_b)
    bootstrap, turn = f"{lab.address('d')}:4222", lab.address("d")
    async with await Driver.connect(lab.bus("a"), "a") as a, await Driver.connect(lab.bus("b"), "b") as b:
        account_a, id_a = await a.add_account(bootstrap, turn)
        account_b, id_b = await b.add_account(bootstrap, turn)
        conversation = await befriend(a, account_a, id_a, b, account_b, id_b, seconds=40)
        assert await chat(a, account_a, b, conversation, "ping", 20) < 20
        assert await chat(b, account_b, a, conversation, "pong", 20) < 20
        await send_file(a, account_a, b, account_b, conversation, lab)
        await send_file(b, account_b, a, account_a, conversation, lab)
        assert await audio_call(a, account_a, b, account_b, id_b, seconds=1) < 20
        assert await audio_call(b, account_b, a, account_a, id_a, seconds=1) < 20
