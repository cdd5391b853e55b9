"""Files among accounts in memory: sizes, resuming, wrong content, names that try to escape, cancelling."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import FakeHome, World, world

from jamid.core.signals import DataTransferEvent, MessageReceived, SwarmMessageUpdated
from jamid.swarm.file_store import local_name


async def offered(sender: FakeHome, receiver: FakeHome, conversation: str, path: Path, name: str) -> dict[str, str]:
    before = len(receiver.of(MessageReceived))
    sender.conversations.send_file(sender.id, conversation, str(path), name, "")
    await receiver.wait(lambda: len(receiver.of(MessageReceived)) > before)
    return dict(receiver.of(MessageReceived)[-1].message)


def events(home: FakeHome, file_id: str) -> list[int]:
    return [event.code for event in home.of(DataTransferEvent) if event.file_id == file_id]


def kept(home: FakeHome, conversation: str) -> Path:
    return home.data_path / "conversation_data" / conversation


async def pair(w: World) -> tuple[FakeHome, FakeHome, str]:
    a, b = await w.add(1), await w.add(2)
    return a, b, await w.befriend(a, b)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 3_000_000])
async def test_a_file_arrives_whole(tmp_path: Path, size: int) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(os.urandom(size))
        offer = await offered(a, b, conversation, path, "name.txt")
        assert offer["fileId"] == f"{offer['id']}_{offer['tid']}.txt"
        assert offer["sha3sum"] == hashlib.sha3_512(path.read_bytes()).hexdigest()
        assert await b.conversations.file_transfer_info(b.id, conversation, offer["fileId"]) == (
            3,
            str(kept(b, conversation) / offer["fileId"]),
            size,
            0,
        )
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        await b.wait(lambda: 6 in events(b, offer["fileId"]))
        assert events(b, offer["fileId"]) == [5, 6]
        assert (kept(b, conversation) / offer["fileId"]).read_bytes() == path.read_bytes()
        assert (await b.conversations.file_transfer_info(b.id, conversation, offer["fileId"]))[0] == 0
        await a.wait(lambda: 6 in events(a, offer["fileId"]))
        assert a.of(DataTransferEvent)[0].file_id == str(path)


async def test_a_cut_download_is_resumed_where_it_ended(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(os.urandom(1_000_000))
        offer = await offered(a, b, conversation, path, "a.bin")
        target = tmp_path / "target.bin"
        target.with_name("target.bin.tmp").write_bytes(path.read_bytes()[:600_000])
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], str(target))
        await b.wait(lambda: 6 in events(b, offer["fileId"]))
        assert target.read_bytes() == path.read_bytes()
        assert any("start=600000" in channel.name for _, _, channel in w.channels)
        assert (kept(b, conversation) / offer["fileId"]).resolve() == target.resolve()


async def test_a_download_begun_again_outlives_the_end_of_the_cancelled_one(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(b"x" * 1000)
        offer = await offered(a, b, conversation, path, "name.txt")
        account = b.conversations.account(b.id)
        assert account is not None
        w.separate(a, b)
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        await asyncio.sleep(0)
        first = account.transfers._downloads[conversation, offer["fileId"]]
        ended = asyncio.ensure_future(asyncio.wait([first]))
        assert await b.conversations.cancel_data_transfer(b.id, conversation, offer["fileId"]) == 0
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        second = account.transfers._downloads[conversation, offer["fileId"]]
        account.transfers._ended((conversation, offer["fileId"]), first)
        assert account.transfers._downloads[conversation, offer["fileId"]] is second
        await ended


async def test_downloads_begun_at_once_are_all_noted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        offers = []
        for number in range(5):
            path = tmp_path / f"file{number}.bin"
            path.write_bytes(b"x" * number)
            offers.append(await offered(a, b, conversation, path, path.name))
        w.separate(a, b)
        await asyncio.gather(*(b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "") for offer in offers))
        account = b.conversations.account(b.id)
        assert account is not None
        assert account.store.read_waiting(conversation).keys() == {offer["fileId"] for offer in offers}


async def test_a_download_waits_for_somebody_who_has_the_file(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(b"content")
        offer = await offered(a, b, conversation, path, "a.bin")
        w.separate(a, b)
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        w.heal(a, b)
        await b.wait(lambda: 6 in events(b, offer["fileId"]))


async def test_what_is_not_what_was_offered_is_not_kept(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(b"content")
        offer = await offered(a, b, conversation, path, "a.bin")
        place = kept(a, conversation) / offer["fileId"]
        times = place.stat()
        place.write_bytes(b"changed and longer")
        # An honest server does not even send it, and the download waits.
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        await b.wait(lambda: 7 in events(b, offer["fileId"]))
        assert await b.conversations.cancel_data_transfer(b.id, conversation, offer["fileId"]) == 0
        place.write_bytes(b"CONTENT")
        os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        await b.wait(lambda: events(b, offer["fileId"]).count(7) == 2)
        assert not (kept(b, conversation) / offer["fileId"]).exists()
        assert not (kept(b, conversation) / f"{offer['fileId']}.tmp").exists()


async def test_unknown_files_and_names_that_escape(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(b"content")
        offer = await offered(a, b, conversation, path, "../../x/./../a")
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        await b.wait(lambda: 6 in events(b, offer["fileId"]))
        inside = {entry.name for entry in kept(b, conversation).iterdir()}
        assert local_name(offer["fileId"]) in inside
        outside = [p for p in tmp_path.rglob("*") if p.is_file() and p.read_bytes() == b"content" and p != path]
        assert all(p.parent.name == conversation for p in outside)
        assert not await b.conversations.download_file(b.id, conversation, "0" * 40, f"{'0' * 40}_1.txt", "")
        assert await b.conversations.cancel_data_transfer(b.id, conversation, "nothing") == 3
        assert local_name("..") == ""
        assert "/" not in local_name("a/../../b")


async def test_a_deleted_file_goes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(b"content")
        offer = await offered(a, b, conversation, path, "a.bin")
        place = kept(a, conversation) / offer["fileId"]
        assert place.exists()
        a.conversations.send_message(a.id, conversation, "", offer["id"], 1)
        await b.wait(lambda: b.of(SwarmMessageUpdated))
        updated = b.of(SwarmMessageUpdated)[-1].message
        assert (updated.id, updated.body["tid"], updated.body["fileId"]) == (offer["id"], "", "")
        await a.wait(lambda: not place.exists())
        assert path.exists()
