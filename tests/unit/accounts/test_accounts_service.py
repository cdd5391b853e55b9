"""Adding, ordering, saving, importing and losing accounts; files that survive a kill; what the bus is told."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jamid.accounts import creation, origin
from jamid.accounts.account import State
from jamid.accounts.archive import ArchiveKey, open_archive, seal_archive
from jamid.accounts.config_file import CONFIG_FILE
from jamid.accounts.profile import AVATAR_BASE64, AVATAR_PATH, AVATAR_REMOVED
from jamid.accounts.sip_account import SipAccount
from jamid.accounts.vcards import Profile
from jamid.core.clock import ManualClock
from jamid.core.signals import AccountsChanged, RegistrationStateChanged
from jamid.crypto.certificates import create_account_certificate, create_ca
from jamid.crypto.keys import PrivateKey
from jamid.crypto.revocations import RevocationList
from tests.support.accounts.world import Machine, MemoryDht, new_archive, settle


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    async def generate() -> PrivateKey:
        return await asyncio.to_thread(PrivateKey.generate, 2048)

    monkeypatch.setattr(creation, "generate_key", generate)


@pytest.fixture
def memory() -> MemoryDht:
    return MemoryDht()


@pytest.fixture
async def machine(tmp_path: Path, memory: MemoryDht) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path, memory, ManualClock(time.time() + 5))
    yield machine
    await machine.accounts.close()


async def ready(machine: Machine, account_id: str) -> None:
    """Waits until an account that was added is registered or gone."""
    for _ in range(400):
        account = machine.accounts.get(account_id)
        if account is None or account.state is State.REGISTERED:
            break
        await asyncio.sleep(0.02)
    await settle()


class TestAdding:
    async def test_new_account_has_all_its_files(self, machine: Machine) -> None:
        account_id = await machine.accounts.add(
            {"Account.type": "RING", "Account.displayName": "Ann", "Account.archivePassword": "not in base64"}
        )
        assert machine.names()[:3] == ["RegistrationStateChanged", "VolatileAccountDetailsChanged", "AccountsChanged"]
        assert machine.accounts.get(account_id) is not None
        await ready(machine, account_id)
        account = machine.accounts.jami(account_id)
        assert account is not None
        names = {path.name for path in account.data_path.iterdir()}
        assert {"archive.gz", "config.yml", "ring_device.crt", "ring_device.key", "knownDevices", "profile.vcf"} <= names
        for name in ("archive.gz", "config.yml", "ring_device.key"):
            assert (account.data_path / name).stat().st_mode & 0o077 == 0
        archive, key = open_archive((account.data_path / "archive.gz").read_bytes(), "not in base64")
        assert key is not None
        assert archive.account_key.public.id.hex() == account.uri
        assert account.details["Account.archiveHasPassword"] == "true"
        assert "not in base64" not in (account.data_path / CONFIG_FILE).read_text()
        assert Profile.from_vcard(await account.profile.read()).name == "Ann"

    async def test_unknown_type_and_bad_id(self, machine: Machine) -> None:
        assert await machine.accounts.add({"Account.type": "IAX"}) == ""
        assert await machine.accounts.add({"Account.type": "RING"}, "../../etc") == ""
        assert machine.published == []

    async def test_order(self, machine: Machine) -> None:
        first, second = await machine.account(), await machine.account()
        await machine.accounts.set_order(f"{second.id}/{first.id}/")
        assert machine.accounts.ids() == [second.id, first.id]
        await machine.accounts.set_order("nonsense/")
        assert set(machine.accounts.ids()) == {first.id, second.id}
        assert len(machine.signals(AccountsChanged)) == 2

    async def test_unknown_ids_do_nothing(self, machine: Machine) -> None:
        await machine.accounts.set_details("f" * 16, {"Account.alias": "x"})
        await machine.accounts.set_active("f" * 16, True)
        await machine.accounts.send_register("f" * 16, True)
        await machine.accounts.remove("f" * 16)
        assert [type(event) for event in machine.published] == [AccountsChanged]

    async def test_switching_off_for_now_is_not_saved(self, machine: Machine, tmp_path: Path, memory: MemoryDht) -> None:
        account = await machine.account()
        await machine.accounts.set_active(account.id, False)
        assert account.state is State.UNREGISTERED
        assert account.volatile_details()["Account.active"] == "false"
        again = Machine(tmp_path, memory, ManualClock(time.time() + 5))
        await again.accounts.load()
        loaded = again.accounts.get(account.id)
        assert loaded is not None
        assert loaded.enabled


class TestImporting:
    @pytest.mark.parametrize("password", ["", "s3cret"])
    async def test_from_a_file(self, machine: Machine, tmp_path: Path, password: str) -> None:
        archive = new_archive()
        archive.details = {"Account.alias": "from the archive", "Account.deviceName": "never"}
        archive.contacts = {"1" * 40: {"added": 5, "confirmed": True}}
        file = tmp_path / "export.gz"
        file.write_bytes(seal_archive(archive, ArchiveKey.from_password(password) if password else None))
        account_id = await machine.accounts.add(
            {"Account.type": "RING", "Account.alias": "x", "Account.archivePath": str(file), "Account.archivePassword": password}
        )
        await ready(machine, account_id)
        account = machine.accounts.jami(account_id)
        assert account is not None
        assert account.uri == archive.account_key.public.id.hex()
        assert account.details["Account.alias"] == "from the archive"
        assert account.contacts.contacts.is_active("1" * 40)
        assert open_archive((account.data_path / "archive.gz").read_bytes(), password)[0].to_json()

    @pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x1f\x8b\x08" + bytes(40), b"x" * 44, None])
    async def test_useless_files_end_in_an_error_and_leave_nothing(
        self, machine: Machine, tmp_path: Path, content: bytes | None
    ) -> None:  # fmt: skip
        file = tmp_path / "export.gz"
        if content is not None:
            file.write_bytes(content)
        account_id = await machine.accounts.add({"Account.type": "RING", "Account.archivePath": str(file), "Account.archivePassword": "x"})
        for _ in range(200):
            if machine.accounts.get(account_id) is None:
                break
            await asyncio.sleep(0.02)
        await settle(0.3)
        states = [event.registration_state for event in machine.signals(RegistrationStateChanged)]
        assert states == ["INITIALIZING", "ERROR_GENERIC"]
        assert machine.names()[-1] == "AccountsChanged"
        assert not machine.paths.account_data(account_id).exists()

    async def test_broken_config_is_set_aside_and_others_load(self, machine: Machine, tmp_path: Path, memory: MemoryDht) -> None:
        good, bad = await machine.account(), await machine.account()
        (bad.data_path / CONFIG_FILE).write_bytes(b"\x00{[")
        (good.data_path / "contacts").write_bytes(b"\xc1\xc1")
        again = Machine(tmp_path, memory, ManualClock(time.time() + 5))
        await again.accounts.load()
        assert again.accounts.ids() == [good.id]
        assert list(bad.data_path.glob("config.yml.broken-*"))
        assert list(good.data_path.glob("contacts.broken-*"))

    async def test_device_without_its_key_is_certified_anew_from_the_archive(
        self, machine: Machine, tmp_path: Path, memory: MemoryDht
    ) -> None:  # fmt: skip
        archive = new_archive()
        account = await machine.account(archive)
        account.files.write_archive("archive.gz", seal_archive(archive, None))
        (account.data_path / "ring_device.key").unlink()
        again = Machine(tmp_path, memory, ManualClock(time.time() + 5))
        await again.accounts.load()
        await again.accounts.start()
        await ready(again, account.id)
        restored = again.accounts.jami(account.id)
        assert restored is not None
        assert restored.uri == account.uri
        assert restored.device_id != account.device_id
        await again.accounts.close()


class TestVault:
    async def test_password_changes(self, machine: Machine) -> None:
        archive = new_archive()
        account = await machine.account(archive)
        account.files.write_archive("archive.gz", seal_archive(archive, None))
        assert await account.vault.change_password("", "one")
        assert not await account.vault.change_password("", "two")
        assert not await account.vault.change_password("wrong", "two")
        assert await account.vault.change_password("one", "")
        assert account.details["Account.archiveHasPassword"] == "false"

    async def test_export_with_every_kind_of_secret(self, machine: Machine, tmp_path: Path) -> None:
        import base64

        archive, key = new_archive(), ArchiveKey.from_password("pw")
        account = await machine.account(archive)
        account.files.write_archive("archive.gz", seal_archive(archive, key))
        target = tmp_path / "out" / "export"
        assert await account.vault.export(str(target), "pw", "password")
        assert await account.vault.export(str(target), base64.b64encode(key.key).decode(), "key")
        assert target.read_bytes() == (account.data_path / "archive.gz").read_bytes()
        assert target.read_bytes()[:16] == key.salt
        for secret, scheme in (("pw", ""), ("no", "password"), ("bm8=", "key"), ("", ""), ("pw", "nonsense")):
            assert not await account.vault.export(str(target), secret, scheme)
        assert not await account.vault.export("/proc/nowhere/x", "pw", "password")
        exported, _ = open_archive(target.read_bytes(), "pw")
        assert exported.details["Account.archiveHasPassword"] == "true"
        assert not {"TLS.certificateFile", "TLS.privateKeyFile", "Account.deviceName", "DHT.port"} & exported.details.keys()


class TestProfile:
    async def test_updates_write_the_files_of_both_generations(self, machine: Machine, tmp_path: Path) -> None:
        account = await machine.account()
        await account.profile.update("Ann", "QUJD", "PNG", AVATAR_BASE64)
        assert Profile.from_vcard(account.profile.path.read_bytes()) == Profile("Ann", "QUJD")
        assert account.profile.path.is_symlink()
        picture = tmp_path / "picture"
        picture.write_bytes(b"DEF")
        await account.profile.update("Ann", str(picture), "JPEG", AVATAR_PATH)
        assert Profile.from_vcard(account.profile.path.read_bytes()) == Profile("Ann", "REVG", "JPEG")
        await account.profile.update("Bea", "/nowhere", "JPEG", AVATAR_PATH)
        assert Profile.from_vcard(account.profile.path.read_bytes()).photo == "REVG"
        await account.profile.update("Bea", "", "", AVATAR_REMOVED)
        assert Profile.from_vcard(account.profile.path.read_bytes()) == Profile("Bea", "", "PNG")
        assert Profile.from_vcard(account.profile.path.read_bytes()).photo == ""
        assert account.display_name == "Bea"

    async def test_newer_profiles_of_other_devices_are_taken(self, machine: Machine) -> None:
        account = await machine.account()
        await account.profile.set_if_absent("first", "")
        await account.profile.receive(b"BEGIN:VCARD\nFN:Ann\nEND:VCARD\n", 2000)
        await account.profile.receive(b"BEGIN:VCARD\nFN:old\nEND:VCARD\n", 1000)
        assert Profile.from_vcard(await account.profile.read()).name == "Ann"
        assert account.profile.path.is_symlink()
        await account.profile.receive(b"BEGIN:VCARD\nFN:Bea\nEND:VCARD\n", 3000)
        assert Profile.from_vcard(await account.profile.read()).name == "Bea"


class TestSip:
    async def test_sip_account_is_kept_in_the_settings(self, machine: Machine, tmp_path: Path, memory: MemoryDht) -> None:
        account_id = await machine.accounts.add(
            {
                "Account.type": "SIP",
                "Account.alias": "office",
                "Account.hostname": "sip.example",
                "Account.username": "u",
                "Account.password": "p",
            }
        )
        again = Machine(tmp_path, memory, ManualClock(time.time()))
        await again.accounts.load()
        account = again.accounts.sip(account_id)
        assert isinstance(account, SipAccount)
        assert account.told_details()["Account.password"] == "p"
        assert account.credentials == [{"Account.username": "u", "Account.password": "p", "Account.realm": "*"}]
        await again.accounts.remove(account_id)
        await settle()
        once_more = Machine(tmp_path, memory, ManualClock(time.time()))
        await once_more.accounts.load()
        assert once_more.accounts.ids() == []


_KILLED = """
import asyncio, sys
from pathlib import Path
from jamid.accounts.account_files import AccountFiles
from jamid.accounts.archive import ArchiveKey, open_archive, seal_archive
from jamid.accounts.contacts import ContactList
from jamid.core.files import write_atomically
from jamid.core.paths import Paths

root = Path(sys.argv[1])
files = AccountFiles(Paths(root, root, root), "a" * 16)
archive, _ = open_archive((files.data / "archive.gz").read_bytes())
keys = [None, ArchiveKey(bytes(16), bytes(32))]
contacts = ContactList()
print("ready", flush=True)
for number in range(10**9):
    files.write_archive("archive.gz", seal_archive(archive, keys[number % 2]))
    contacts.add(f"{number % 500:040x}", number + 1)
    write_atomically(files.data / "contacts", contacts.to_bytes())
"""


@pytest.mark.parametrize("delay", [0.0, 0.013, 0.05, 0.11])
def test_kill_at_any_moment_leaves_the_old_or_the_new_file(tmp_path: Path, delay: float) -> None:
    from jamid.accounts.archive import open_archive as read
    from jamid.accounts.contacts import ContactList

    directory = tmp_path / ("a" * 16)
    directory.mkdir()
    (directory / "archive.gz").write_bytes(seal_archive(new_archive(), None))
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    data = (directory / "archive.gz").read_bytes()
    if data.startswith(b"\x1f\x8b"):
        read(data)
    else:
        import base64

        read(data, base64.b64encode(bytes(32)).decode(), "key")
    contacts = directory / "contacts"
    if contacts.exists():
        ContactList.from_bytes(contacts.read_bytes())


async def test_origin_reads_the_write_only_keys() -> None:
    given = origin.Origin.from_details(
        {
            "Account.archivePIN": " ab12cd34 ",
            "Account.archivePassword": "x",
            "Account.archivePath": "file:///a",
            "Account.archiveURL": "jami-auth",
        }
    )
    assert (given.pin, given.password, given.path, given.link) == ("AB12CD34", "x", "/a", True)


class TestMigration:
    async def test_expired_account_with_a_password_waits_for_it(self, machine: Machine, tmp_path: Path, memory: MemoryDht) -> None:
        from jamid.core.signals import MigrationEnded

        archive, key = new_archive(), ArchiveKey.from_password("pw")
        account = await machine.account(archive)
        account.files.write_archive("archive.gz", seal_archive(archive, key))
        later = Machine(tmp_path, memory, ManualClock(time.time() + 11 * 365 * 86400))
        await later.accounts.load()
        await later.accounts.start()
        await settle(0.3)
        expired = later.accounts.jami(account.id)
        assert expired is not None
        assert expired.state is State.ERROR_NEED_MIGRATION
        await later.accounts.set_details(account.id, {"Account.archivePassword": "wrong"})
        async with asyncio.timeout(60):
            while not later.signals(MigrationEnded):
                await settle()
        assert later.signals(MigrationEnded) == [MigrationEnded(account.id, "INVALID")]
        assert expired.state is State.ERROR_NEED_MIGRATION
        await later.accounts.close()

    @pytest.mark.parametrize("revoked", [False, True])
    async def test_device_of_an_expired_account_is_renewed_and_stays_the_same(
        self, machine: Machine, tmp_path: Path, memory: MemoryDht, revoked: bool
    ) -> None:  # fmt: skip
        archive, long_ago = new_archive(), datetime.now(UTC) - timedelta(days=11 * 365)
        ca = create_ca(archive.ca_key, long_ago)
        archive.certificate = create_account_certificate(archive.account_key, archive.ca_key, ca, long_ago)
        account = await machine.account(archive)
        assert account.identity is not None
        old = account.identity.certificate
        if revoked:
            empty = RevocationList.create(archive.certificate, archive.account_key)
            archive.revocations = empty.with_revoked(old, archive.certificate, archive.account_key)
        account.files.write_archive("archive.gz", seal_archive(archive, None))
        peer = await machine.account()
        assert await peer.peers.devices_of(account.uri) == []
        await machine.accounts.close()
        again = Machine(tmp_path, memory, ManualClock(time.time() + 5))
        await again.accounts.load()
        await again.accounts.start()
        await ready(again, account.id)
        renewed = again.accounts.jami(account.id)
        assert renewed is not None
        assert renewed.uri == account.uri
        assert (renewed.device_id == account.device_id) is not revoked
        if not revoked:
            friend = again.accounts.jami(peer.id)
            assert friend is not None
            assert await friend.peers.devices_of(account.uri) == [renewed.identity.certificate]  # type: ignore[union-attr]
        await again.accounts.close()

    async def test_daemon_killed_while_keys_are_made_makes_them_at_the_next_start(
        self, machine: Machine, tmp_path: Path, memory: MemoryDht, monkeypatch: pytest.MonkeyPatch
    ) -> None:  # fmt: skip
        started = asyncio.Event()

        async def endless() -> None:
            started.set()
            await asyncio.Event().wait()

        quick = origin.create_account
        monkeypatch.setattr(origin, "create_account", endless)
        account_id = await machine.accounts.add({"Account.type": "RING", "Account.alias": "survivor"})
        await started.wait()
        monkeypatch.setattr(origin, "create_account", quick)
        again = Machine(tmp_path, memory, ManualClock(time.time() + 5))
        await again.accounts.load()
        assert again.accounts.ids() == [account_id]
        await again.accounts.start()
        await ready(again, account_id)
        account = again.accounts.jami(account_id)
        assert account is not None
        assert account.state is State.REGISTERED
        assert account.details["Account.alias"] == "survivor"
        await again.accounts.close()


class TestPool:
    async def test_taken_port_is_told_and_tried_again(self, tmp_path: Path) -> None:
        import socket

        from jamid.accounts.certificate_store import CertificateStore
        from jamid.accounts.details import JAMI, AccountDetails
        from jamid.accounts.dht_pool import DhtPool
        from jamid.core.clock import SystemClock
        from jamid.core.errors import LocalError
        from jamid.core.events import Events
        from jamid.core.generations import BOTH

        pool = DhtPool(tmp_path, CertificateStore(tmp_path, Events()), SystemClock(), BOTH)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken6:
            taken.bind(("0.0.0.0", 0))
            port = taken.getsockname()[1]
            taken6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            taken6.bind(("::", port))
            lease = pool.lease(AccountDetails(JAMI, {"DHT.port": str(port), "Account.hostname": ""}), None)
            with pytest.raises(LocalError, match=str(port)):
                await lease.start()
        await lease.start()
        assert lease.port == port
        shared = pool.lease(AccountDetails(JAMI, {"DHT.port": str(port), "Account.hostname": ""}), None)
        await shared.start()
        assert shared.port == port
        await lease.close()
        assert shared.port == port
        await shared.close()
        await pool.close()
