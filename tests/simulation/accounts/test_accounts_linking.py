"""Both sides of linking a device over a channel in memory: right and wrong passwords, users who give up, hostile peers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jamid.accounts import linking_source
from jamid.accounts.archive import Archive, ArchiveKey, seal_archive
from jamid.accounts.jami import JamiAccount
from jamid.accounts.linking_new import LinkTarget
from jamid.accounts.linking_source import LinkSource
from jamid.accounts.linking_states import LinkEnded
from jamid.accounts.linking_wire import LinkAddress, pack_message
from jamid.core.clock import ManualClock
from jamid.core.errors import RemoteError
from jamid.core.identifiers import LongId
from jamid.core.signals import AddDeviceStateChanged, DeviceAuthStateChanged
from tests.support.accounts.world import Machine, MemoryDht, new_archive

PASSWORD = "s3cret"


class MemoryChannel:
    """One end of a channel in memory."""

    def __init__(self, account_uri: str) -> None:
        self.peer = SimpleNamespace(account_uri=account_uri, device_id="d" * 64)
        self.connection = SimpleNamespace(remote_endpoint="10.0.0.9:1")
        self.closed = False
        self.other: MemoryChannel
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self, limit: int = 65536) -> bytes:
        return b"" if self.closed and self._incoming.empty() else await self._incoming.get()

    async def write(self, data: bytes) -> None:
        self.write_nowait(data)

    def write_nowait(self, data: bytes) -> None:
        if self.closed:
            raise ConnectionError("closed")
        self.other._incoming.put_nowait(data)

    def close(self) -> None:
        for end in (self, self.other):
            if not end.closed:
                end.closed = True
                end._incoming.put_nowait(b"")


def channel_pair(source_uri: str) -> tuple[MemoryChannel, MemoryChannel]:
    """The source's end and the new device's end."""
    one, other = MemoryChannel("temporary"), MemoryChannel(source_uri)
    one.other, other.other = other, one
    return one, other


@pytest.fixture
def archive() -> Archive:
    return new_archive()


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path, MemoryDht(), ManualClock(time.time() + 5))
    yield machine
    await machine.accounts.close()


async def source_account(machine: Machine, archive: Archive, password: str, channel: MemoryChannel) -> JamiAccount:
    account = await machine.account(archive)
    account.files.write_archive("archive.gz", seal_archive(archive, ArchiveKey.from_password(password) if password else None))
    account.details.set("Account.archiveHasPassword", bool(password))

    async def open_channel(device: LongId, name: str) -> MemoryChannel:
        assert name.startswith("auth:")
        return channel

    assert account.session is not None
    account.session.connections = SimpleNamespace(open=open_channel, close=_nothing)  # type: ignore[assignment]
    return account


async def _nothing() -> None: ...


def states(machine: Machine, kind: type[Any]) -> list[tuple[int, dict[str, str]]]:
    return [(event.state, dict(event.detail)) for event in machine.signals(kind)]


async def link(
    machine: Machine, archive: Archive, password: str, typed: list[str]
) -> tuple[LinkSource, asyncio.Task[Any], asyncio.Task[None]]:
    """Both sides under way, the user of the new device typing one password after the other."""
    uri = archive.account_key.public.id.hex()
    ours, theirs = channel_pair(uri)
    account = await source_account(machine, archive, password, ours)
    source = LinkSource(account, 7, LinkAddress.new(LongId(bytes(32))))
    target = LinkTarget(account)
    taking = asyncio.create_task(target._take(theirs))  # type: ignore[arg-type]
    serving = asyncio.create_task(source.run())

    def type_next(event: DeviceAuthStateChanged) -> None:
        if event.state == 3 and typed:
            target.authenticate(typed.pop(0), "password")

    machine.events.subscribe(DeviceAuthStateChanged, type_next)
    return source, taking, serving


@pytest.mark.parametrize(("password", "typed"), [("", [""]), (PASSWORD, [PASSWORD]), (PASSWORD, ["a", "b", PASSWORD])])
async def test_account_is_handed_over(machine: Machine, archive: Archive, password: str, typed: list[str]) -> None:
    source, taking, serving = await link(machine, archive, password, list(typed))
    source.confirm()
    received, key = await taking
    await serving
    assert received.account_key.public == archive.account_key.public
    assert (key is not None) is bool(password)
    assert states(machine, AddDeviceStateChanged) == [(2, {}), (3, {"peer_address": "10.0.0.9:1"}), (4, {}), (5, {"error": ""})]
    told = states(machine, DeviceAuthStateChanged)
    assert told[0] == (3, {"auth_scheme": "password" if password else "", "peer_id": archive.account_key.public.id.hex()})
    assert [state for state, _ in told] == [3, 4] * len(typed) + [4]
    assert all(detail.get("auth_error") == "invalid_credentials" for state, detail in told[1:] if state == 3)


async def test_three_wrong_passwords_end_it(machine: Machine, archive: Archive) -> None:
    source, taking, serving = await link(machine, archive, PASSWORD, ["a", "b", "c", PASSWORD])
    source.confirm()
    with pytest.raises(LinkEnded, match="three times"):
        await taking
    await serving
    assert states(machine, AddDeviceStateChanged)[-1] == (5, {"error": "auth_error"})
    assert states(machine, DeviceAuthStateChanged)[-1] == (5, {"error": "auth_error"})


async def test_source_gives_up(machine: Machine, archive: Archive) -> None:
    source, taking, serving = await link(machine, archive, "", [""])
    await asyncio.sleep(0.1)
    source.cancel()
    with pytest.raises(LinkEnded, match="gave up"):
        await taking
    await serving
    assert states(machine, AddDeviceStateChanged)[-1] == (5, {"error": "canceled"})
    assert states(machine, DeviceAuthStateChanged)[-1] == (5, {"error": "canceled"})


async def test_nobody_confirms(machine: Machine, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking_source, "_LINK_SECONDS", 0.1)
    _, taking, serving = await link(machine, archive, "", [""])
    with pytest.raises(LinkEnded, match="gave up"):
        await taking
    await serving
    assert states(machine, AddDeviceStateChanged)[-1] == (5, {"error": "timeout"})
    assert states(machine, DeviceAuthStateChanged)[-1] == (5, {"error": "timeout"})


@pytest.mark.parametrize(
    "answer",
    [b"\xc1", b"\x80", b"\x82\xa8schemeId\x01\xa7payload\x80", pack_message({"accData": "{}"}), pack_message({"accData": "garbage"}), b""],
)
async def test_hostile_source(machine: Machine, archive: Archive, answer: bytes) -> None:
    account = await machine.account()
    ours, theirs = channel_pair(archive.account_key.public.id.hex())
    target = LinkTarget(account)
    target.authenticate("x", "password")
    taking = asyncio.create_task(target._take(theirs))  # type: ignore[arg-type]
    await ours.write(pack_message({"authScheme": "password"}))
    await ours.write(answer)
    await asyncio.sleep(0.2)
    ours.close()
    with pytest.raises(RemoteError):
        await taking


async def test_source_that_sends_another_account_than_its_own(machine: Machine, archive: Archive) -> None:
    account = await machine.account()
    ours, theirs = channel_pair("1" * 40)
    target = LinkTarget(account)
    target.authenticate("", "")
    taking = asyncio.create_task(target._take(theirs))  # type: ignore[arg-type]
    await ours.write(pack_message({"authScheme": ""}))
    await ours.write(pack_message({"accData": archive.to_json().decode()}))
    with pytest.raises(RemoteError, match="another account"):
        await taking
