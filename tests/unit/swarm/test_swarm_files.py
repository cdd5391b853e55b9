"""Files among accounts in memory: sizes, resuming, wrong content, names that try to escape, cancelling."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_world import FakeHome, World, world

from jamid.core.signals import DataTransferEvent, MessageReceived, SwarmMessageUpdated
from jamid.swarm.file_store import Incoming, local_name


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


async def half_way(a: FakeHome, b: FakeHome, conversation: str, path: Path, target: str = "") -> dict[str, str]:
    """An offer of A of which B has a part."""
    path.write_bytes(os.urandom(8_000_000))
    offer = await offered(a, b, conversation, path, path.name)
    assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], target)
    async with asyncio.timeout(20):
        while not 0 < (await b.conversations.file_transfer_info(b.id, conversation, offer["fileId"]))[3] < 8_000_000:
            await asyncio.sleep(0)
    return offer


async def test_a_cut_in_the_middle_is_made_good_when_the_peer_is_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        offer = await half_way(a, b, conversation, tmp_path / "file.bin")
        w.separate(a, b)
        await b.wait(lambda: 7 in events(b, offer["fileId"]))
        came = (kept(b, conversation) / f"{offer['fileId']}.tmp").stat().st_size
        assert 0 < came < 8_000_000
        w.heal(a, b)
        await b.wait(lambda: 6 in events(b, offer["fileId"]))
        assert events(b, offer["fileId"]) == [5, 7, 5, 6]
        assert any(f"start={came}" in channel.name for _, _, channel in w.channels)
        assert (kept(b, conversation) / offer["fileId"]).read_bytes() == (tmp_path / "file.bin").read_bytes()


async def test_a_download_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        offer = await half_way(a, b, conversation, tmp_path / "file.bin", str(tmp_path / "target.bin"))
        b.online = False
        w.separate(a, b)
        await b.conversations.close()
        w.homes.remove(b)
        w.cut.clear()
        again = await w.add(2)
        await again.wait(lambda: 6 in events(again, offer["fileId"]))
        assert (tmp_path / "target.bin").read_bytes() == (tmp_path / "file.bin").read_bytes()
        assert any("start=" in channel.name for _, _, channel in w.channels)


@pytest.mark.parametrize("changed", [False, True])
async def test_a_sender_that_was_restarted_checks_the_file_on_its_way(tmp_path: Path, changed: bool) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(os.urandom(3_000_000))
        offer = await offered(a, b, conversation, path, "a.bin")
        a.online = False
        w.separate(a, b)
        await a.conversations.close()
        w.homes.remove(a)
        w.cut.clear()
        if changed:
            with (kept(a, conversation) / offer["fileId"]).open("r+b") as file:
                file.seek(1_000_000)
                file.write(b"other")
        await w.add(1)
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        await b.wait(lambda: events(b, offer["fileId"])[-1:] not in ([], [5]))
        assert events(b, offer["fileId"])[-1] == (7 if changed else 6)
        assert (kept(b, conversation) / offer["fileId"]).exists() != changed


async def test_the_sender_may_cancel_in_the_middle(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        offer = await half_way(a, b, conversation, tmp_path / "file.bin")
        assert await a.conversations.cancel_data_transfer(a.id, conversation, offer["fileId"]) == 0
        await b.wait(lambda: 7 in events(b, offer["fileId"]))
        assert not (kept(b, conversation) / offer["fileId"]).exists()


async def test_the_receiver_may_cancel_in_the_middle(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        offer = await half_way(a, b, conversation, tmp_path / "file.bin")
        assert await b.conversations.cancel_data_transfer(b.id, conversation, offer["fileId"]) == 0
        assert events(b, offer["fileId"]) == [5, 8]
        assert list(kept(b, conversation).glob("*.tmp")) == []
        await a.wait(lambda: all(channel.closed for _, _, channel in w.channels if channel.name.startswith("data-transfer")))
        w.connect(a, b)
        await asyncio.sleep(0.1)
        assert events(b, offer["fileId"]) == [5, 8], "it stays cancelled"


async def test_a_full_disk_ends_a_download_and_what_came_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(os.urandom(3_000_000))
        offer = await offered(a, b, conversation, path, "a.bin")
        write = Incoming.write

        def full(incoming: Incoming, parts: Iterable[bytes]) -> None:
            if incoming.size:
                raise OSError(errno.ENOSPC, "No space left on device")
            write(incoming, parts)

        monkeypatch.setattr(Incoming, "write", full)
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        await b.wait(lambda: 9 in events(b, offer["fileId"]))
        monkeypatch.undo()
        w.connect(a, b)
        await b.wait(lambda: 6 in events(b, offer["fileId"]))
        assert (kept(b, conversation) / offer["fileId"]).read_bytes() == path.read_bytes()


async def test_what_the_sender_has_removed_is_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(b"content")
        offer = await offered(a, b, conversation, path, "a.bin")
        place = kept(a, conversation) / offer["fileId"]
        place.rename(tmp_path / "elsewhere")
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        await asyncio.sleep(0.1)
        assert events(b, offer["fileId"]) == []
        (tmp_path / "elsewhere").rename(place)
        await b.wait(lambda: 6 in events(b, offer["fileId"]))


async def test_one_file_at_two_places_and_two_files_at_one(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        one, two = tmp_path / "one.bin", tmp_path / "two.bin"
        first = await half_way(a, b, conversation, tmp_path / "file.bin", str(one))
        assert await b.conversations.download_file(b.id, conversation, first["id"], first["fileId"], str(two))
        path = tmp_path / "other.bin"
        path.write_bytes(b"other")
        second = await offered(a, b, conversation, path, "other.bin")
        if 6 not in events(b, first["fileId"]):
            assert not await b.conversations.download_file(b.id, conversation, second["id"], second["fileId"], str(one))
        await b.wait(lambda: events(b, first["fileId"]).count(6) == 2)
        assert one.read_bytes() == two.read_bytes() == (tmp_path / "file.bin").read_bytes()


async def test_a_shorter_file_of_the_user_at_the_place_is_no_beginning_of_the_download(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path, target = tmp_path / "file.bin", tmp_path / "target.bin"
        path.write_bytes(b"content")
        target.write_bytes(b"mine")
        offer = await offered(a, b, conversation, path, "a.bin")
        (kept(a, conversation) / offer["fileId"]).write_bytes(b"changed")
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], str(target))
        await b.wait(lambda: 7 in events(b, offer["fileId"]))
        assert target.read_bytes() == b"mine"


async def test_a_download_begun_again_outlives_the_end_of_the_cancelled_one(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        a, b, conversation = await pair(w)
        path = tmp_path / "file.bin"
        path.write_bytes(b"x" * 1000)
        offer = await offered(a, b, conversation, path, "name.txt")
        w.separate(a, b)
        assert await b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], "")
        cancelled, begun = await asyncio.gather(
            b.conversations.cancel_data_transfer(b.id, conversation, offer["fileId"]),
            b.conversations.download_file(b.id, conversation, offer["id"], offer["fileId"], ""),
        )
        assert (cancelled, begun) == (0, True)
        w.heal(a, b)
        await b.wait(lambda: 6 in events(b, offer["fileId"]))


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
