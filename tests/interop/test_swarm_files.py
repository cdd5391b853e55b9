"""Files with the real daemon in both directions: tiny and large ones; empty ones, which it cannot send, between ours."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from pathlib import Path

import pytest

from tests.interop.driver import Driver
from tests.interop.lab import Lab
from tests.interop.swarm_lab import User, befriend, users

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

MIB = 1 << 20


async def transfer(sender: User, receiver: User, conversation: str, path: Path, name: str, target: Path) -> None:
    """SENDER offers the file, RECEIVER fetches it to TARGET."""
    await sender.api.sendFile(sender.account, conversation, str(path), name, "")
    offer = await receiver.get(conversation, displayName=name, author=sender.uri)
    assert offer["totalSize"] == str(path.stat().st_size)
    since = len(receiver.driver.signals)
    assert await receiver.api.downloadFile(receiver.account, conversation, offer["id"], offer["fileId"], str(target))
    wanted = (receiver.account, conversation, offer["id"], offer["fileId"], 6)
    await receiver.driver.signal("dataTransferEvent", lambda *body: body == wanted, 60, since)
    found = await receiver.api.fileTransferInfo(receiver.account, conversation, offer["fileId"])
    assert (found[0], found[2], found[3]) == (0, path.stat().st_size, path.stat().st_size)
    place = target if str(target) != "." else Path(found[1])
    assert digest(place) == digest(path)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def test_files_both_ways(lab: Lab, tmp_path: Path) -> None:
    ours, real = await users(lab, a="ours", b="real")
    conversation = await befriend(ours, real)
    for size in (1, 65535, 20 * MIB):
        for sender, receiver in ((ours, real), (real, ours)):
            path = tmp_path / f"{size}-{sender.driver.name}.bin"
            path.write_bytes(os.urandom(size))
            await transfer(sender, receiver, conversation, path, path.name, tmp_path / f"received-{path.name}")


async def test_an_empty_file_between_ours(lab: Lab, tmp_path: Path) -> None:
    a, b = await users(lab, a="ours", b="ours")
    conversation = await befriend(a, b)
    path = tmp_path / "empty.txt"
    path.touch()
    await transfer(a, b, conversation, path, "empty.txt", tmp_path / "received.txt")


async def test_a_download_goes_on_after_a_kill(lab: Lab, tmp_path: Path) -> None:
    ours, real = await users(lab, a="ours", b="real")
    conversation = await befriend(ours, real)
    path, target = tmp_path / "large.bin", tmp_path / "received.bin"
    path.write_bytes(os.urandom(64 * MIB))
    await real.api.sendFile(real.account, conversation, str(path), path.name, "")
    offer = await ours.get(conversation, displayName=path.name)
    assert await ours.api.downloadFile(ours.account, conversation, offer["id"], offer["fileId"], str(target))
    async with asyncio.timeout(30):
        while (await ours.api.fileTransferInfo(ours.account, conversation, offer["fileId"]))[3] < 4 * MIB:
            await asyncio.sleep(0.01)
    lab.stop("a", number=signal.SIGKILL)
    came = Path(f"{target}.tmp").stat().st_size
    assert came < path.stat().st_size
    before = received_bytes(lab)
    lab.ours("a", "-c", "-d", "-p")
    ours.driver = await Driver.connect(lab.bus("a"), "a-ours again")
    wanted = (ours.account, conversation, offer["id"], offer["fileId"], 6)
    await ours.driver.signal("dataTransferEvent", lambda *body: body == wanted, 90)
    assert digest(target) == digest(path)
    assert received_bytes(lab) - before < 1.1 * (path.stat().st_size - came) + MIB


def received_bytes(lab: Lab) -> int:
    return int(lab.run("a", "cat", "/sys/class/net/eth0/statistics/rx_bytes"))
