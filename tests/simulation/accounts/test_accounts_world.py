"""Accounts among themselves on an in-memory DHT: requests, presence, devices, messages, and what hostile peers try."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from jamid.accounts import inbox
from jamid.accounts.account import State
from jamid.accounts.archive import Archive
from jamid.accounts.contacts import Contact
from jamid.accounts.generations import inbox_key
from jamid.accounts.jami import JamiAccount
from jamid.accounts.message_wire import ImMessage
from jamid.accounts.peers import revocation_value
from jamid.accounts.receipt import sign_announcement
from jamid.accounts.session import announcement_value
from jamid.accounts.trust_requests import PendingRequest, TrustRequest
from jamid.core import limits
from jamid.core.clock import ManualClock
from jamid.core.errors import LimitError, RemoteError
from jamid.core.identifiers import InfoHash
from jamid.core.signals import (
    AccountMessageStatusChanged,
    ContactAdded,
    ContactRemoved,
    IncomingAccountMessage,
    IncomingTrustRequest,
    KnownDevicesChanged,
    NewBuddyNotification,
    RegistrationStateChanged,
)
from jamid.crypto.certificates import Certificate, create_device_certificate
from jamid.crypto.revocations import RevocationList
from jamid.dht.values import Value
from tests.support.accounts.world import FakeDht, Machine, MemoryDht, new_archive, new_device, settle, small_key


def revocation_of(archive: Archive, device: Certificate) -> Value:
    """The list that revokes DEVICE, as the account in ARCHIVE publishes it."""
    revoked = RevocationList.create(archive.certificate, archive.account_key)
    return revocation_value(revoked.with_revoked(device, archive.certificate, archive.account_key))


VCARD = b"BEGIN:VCARD\nFN:Alice\nEND:VCARD\n"


@pytest.fixture
def memory() -> MemoryDht:
    return MemoryDht()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(time.time() + 5)  # certificates are valid from now on


@pytest.fixture
async def one(tmp_path: Path, memory: MemoryDht, clock: ManualClock) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path / "one", memory, clock)
    yield machine
    await machine.accounts.close()


@pytest.fixture
async def other(tmp_path: Path, memory: MemoryDht, clock: ManualClock) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path / "other", memory, clock)
    yield machine
    await machine.accounts.close()


async def put_in_inbox(memory: MemoryDht, sender: JamiAccount, receiver: JamiAccount, value: Value) -> None:
    assert receiver.identity is not None
    dht = FakeDht(memory, sender.identity)
    await dht.put_encrypted(inbox_key(receiver.identity.certificate.public_key), receiver.identity.certificate.public_key, value)


async def ask_undated(memory: MemoryDht, sender: JamiAccount, receiver: JamiAccount, value_id: int) -> int:
    """A request without date; how many wait at the receiver then."""
    await put_in_inbox(memory, sender, receiver, Value(id=value_id, type=4, data=TrustRequest("c" * 40, VCARD).to_bytes()))
    await settle()
    return len(receiver.contacts.pending)


class TestRegistration:
    async def test_signals_come_in_the_real_order(self, one: Machine) -> None:
        account = await one.account(Account_displayName="Ann")
        names = one.names()
        assert names[:6] == ["CertificatePinned"] * 6
        assert names[6:] == [
            "KnownDevicesChanged",
            "CertificateStateChanged",
            "RegistrationStateChanged",
            "VolatileAccountDetailsChanged",
            "RegistrationStateChanged",
            "VolatileAccountDetailsChanged",
            "VolatileAccountDetailsChanged",
        ]
        assert [signal.registration_state for signal in one.signals(RegistrationStateChanged)] == ["TRYING", "REGISTERED"]
        assert account.volatile_details()["Account.deviceAnnounced"] == "true"

    async def test_details_change_registers_anew_and_nothing_happens_without_change(self, one: Machine) -> None:
        account = await one.account()
        one.published.clear()
        assert not await account.apply_details(account.told_details())
        assert one.published == []
        assert await account.apply_details({"Account.alias": "new"})
        await settle()
        states = [signal.registration_state for signal in one.signals(RegistrationStateChanged)]
        assert states == ["UNREGISTERED", "TRYING", "REGISTERED"]
        assert "AccountDetailsChanged" in one.names()

    async def test_unreachable_network_keeps_trying(self, one: Machine, memory: MemoryDht) -> None:
        memory.up = False
        account = await one.account()
        assert account.state is State.TRYING
        assert account.volatile_details()["Account.deviceAnnounced"] == "false"

    async def test_disabled_account_stays_off(self, one: Machine) -> None:
        account = await one.account()
        await one.accounts.send_register(account.id, False)
        assert account.state is State.UNREGISTERED
        assert not account.is_online
        await one.accounts.send_register(account.id, True)
        await settle()
        assert account.state is State.REGISTERED

    async def test_account_is_loaded_again(self, one: Machine, tmp_path: Path, memory: MemoryDht, clock: ManualClock) -> None:
        account = await one.account(Account_alias="true")
        await account.contacts.add("1" * 40)
        await one.accounts.close()
        again = Machine(tmp_path / "one", memory, clock)
        await again.accounts.load()
        loaded = again.accounts.jami(account.id)
        assert loaded is not None
        assert loaded.device_id == account.device_id
        assert loaded.details["Account.alias"] == "true"
        await again.accounts.start()
        await settle()
        assert again.signals(ContactAdded) == [ContactAdded(account.id, "1" * 40, False)]
        assert loaded.state is State.REGISTERED
        await again.accounts.close()

    async def test_removed_account_leaves_nothing(self, one: Machine) -> None:
        account = await one.account()
        await one.accounts.remove(account.id)
        await settle(0.3)
        assert not account.data_path.exists()
        assert one.accounts.ids() == []
        assert one.names()[-1] == "AccountsChanged"


class TestContacts:
    async def test_request_and_acceptance(self, one: Machine, other: Machine) -> None:
        a, b = await one.account(), await other.account()
        await a.contacts.send_request(b.uri, VCARD)
        await settle()
        (request,) = other.signals(IncomingTrustRequest)
        assert (request.sender, request.payload) == (a.uri, VCARD)
        assert await b.contacts.accept(a.uri) is True
        await settle()
        assert other.signals(ContactAdded) == [ContactAdded(b.id, a.uri, True)]
        assert one.signals(ContactAdded) == [ContactAdded(a.id, b.uri, False), ContactAdded(a.id, b.uri, True)]
        assert len(b.contacts.pending) == 0

    async def test_both_ask_at_once(self, one: Machine, other: Machine) -> None:
        a, b = await one.account(), await other.account()
        await asyncio.gather(a.contacts.send_request(b.uri, VCARD), b.contacts.send_request(a.uri, VCARD))
        await settle(0.3)
        for account, peer in ((a, b), (b, a)):
            contact = account.contacts.contacts.get(peer.uri)
            assert contact is not None
            assert contact.confirmed
            assert len(account.contacts.pending) == 0

    async def test_request_waits_for_the_peer_to_come(self, one: Machine, other: Machine) -> None:
        a = await one.account()
        archive = new_archive()
        uri = archive.account_key.public.id.hex()
        await a.contacts.send_request(uri, VCARD)
        await settle()
        b = await other.account(archive)
        await settle()
        assert b.uri == uri
        assert [request.sender for request in other.signals(IncomingTrustRequest)] == [a.uri]

    async def test_declined_request_is_not_shown_again_but_a_newer_one_is(self, one: Machine, other: Machine, memory: MemoryDht) -> None:
        a, b = await one.account(), await other.account()
        conversation = "c" * 40
        await put_in_inbox(memory, a, b, Value(type=4, data=TrustRequest(conversation, VCARD, invited=1000).to_bytes()))
        await settle()
        assert await b.contacts.discard(a.uri)
        await put_in_inbox(memory, a, b, Value(type=4, data=TrustRequest(conversation, VCARD, invited=1000).to_bytes()))
        await settle()
        assert len(b.contacts.pending) == 0
        await put_in_inbox(memory, a, b, Value(type=4, data=TrustRequest(conversation, VCARD, invited=2000).to_bytes()))
        await settle()
        assert len(b.contacts.pending) == 1

    async def test_undated_request_after_a_refusal_is_shown_when_it_is_surely_new(
        self, one: Machine, other: Machine, memory: MemoryDht, clock: ManualClock
    ) -> None:
        a, b = await one.account(), await other.account()
        ask = partial(ask_undated, memory, a, b)
        assert await ask(1) == 1
        assert await b.contacts.discard(a.uri)
        assert await ask(2) == 0  # put at once with the first one
        clock.advance(1)
        assert await ask(1) == 0
        assert await ask(3) == 1
        assert await b.contacts.discard(a.uri)
        clock.advance(240)
        assert await ask(4) == 0
        clock.advance(3600)
        assert await ask(4) == 0
        assert await ask(5) == 1

    async def test_undated_request_is_heard_again_after_the_clock_was_set_back(
        self, one: Machine, other: Machine, memory: MemoryDht, clock: ManualClock
    ) -> None:
        a, b = await one.account(), await other.account()
        ask = partial(ask_undated, memory, a, b)
        assert await ask(1) == 1
        clock.advance(10)
        assert await b.contacts.discard(a.uri)
        clock.jump(-7200)
        assert await ask(2) == 0  # put at once with the first one
        clock.advance(1)
        assert await ask(1) == 0
        assert await ask(3) == 1
        assert await b.contacts.discard(a.uri)
        clock.advance(601)
        assert await ask(4) == 1

    async def test_asking_again_is_a_newer_request_although_the_clock_was_set_back(
        self, one: Machine, other: Machine, clock: ManualClock
    ) -> None:
        a, b = await one.account(), await other.account()
        clock.advance(10_800)
        await a.contacts.send_request(b.uri, VCARD)
        await settle()
        assert await b.contacts.discard(a.uri)
        clock.jump(-7200)
        clock.advance(3700)
        assert b.identity is not None
        await a.contacts.peer_announced(b.uri, b.identity.certificate)
        await settle()
        assert len(b.contacts.pending) == 0
        await a.contacts.send_request(b.uri, VCARD)
        await settle()
        assert len(b.contacts.pending) == 1

    async def test_asking_whoever_asks_is_to_accept(self, one: Machine, other: Machine, memory: MemoryDht) -> None:
        a, b = await one.account(), await other.account()
        await put_in_inbox(memory, a, b, Value(id=1, type=4, data=TrustRequest("c" * 40, VCARD).to_bytes()))
        await settle()
        await b.contacts.send_request(a.uri, VCARD)
        await settle()
        contact = b.contacts.contacts.get(a.uri)
        assert contact is not None
        assert (contact.confirmed, contact.conversation_id) == (True, "c" * 40)
        assert len(b.contacts.pending) == 0
        assert one.signals(IncomingTrustRequest) == []

    async def test_request_that_comes_while_ours_is_being_made_is_settled_as_a_crossing(
        self, one: Machine, other: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a, b = await one.account(), await other.account()
        crossings: list[tuple[str, bool]] = []

        async def one_to_one(account_id: str, uri: str) -> str:
            b.contacts.pending.store(uri, PendingRequest(b"", "c" * 40, b.now_ms(), VCARD))
            return "d" * 40

        async def crossed(account_id: str, uri: str, conversation_id: str, *, dated: bool) -> str:
            crossings.append((conversation_id, dated))
            return conversation_id

        monkeypatch.setattr(b.seams.conversations, "one_to_one", one_to_one, raising=False)
        monkeypatch.setattr(b.seams.conversations, "crossed", crossed, raising=False)
        await b.contacts.send_request(a.uri, VCARD)
        await settle()
        assert crossings == [("c" * 40, False)]
        contact = b.contacts.contacts.get(a.uri)
        assert contact is not None
        assert contact.confirmed
        assert len(b.contacts.pending) == 0

    async def test_asking_again_is_a_newer_request_and_repeating_is_not(self, one: Machine, other: Machine, clock: ManualClock) -> None:
        a, b = await one.account(), await other.account()
        await a.contacts.send_request(b.uri, VCARD)
        await settle()
        assert await b.contacts.discard(a.uri)
        clock.advance(7200)
        assert b.identity is not None
        await a.contacts.peer_announced(b.uri, b.identity.certificate)
        await settle()
        assert len(b.contacts.pending) == 0
        await a.contacts.send_request(b.uri, VCARD)
        await settle()
        assert len(b.contacts.pending) == 1

    async def test_declining_one_invitation_leaves_the_request_for_another(self, one: Machine, other: Machine, memory: MemoryDht) -> None:
        a, b = await one.account(), await other.account()
        await put_in_inbox(memory, a, b, Value(type=4, data=TrustRequest("c" * 40, VCARD).to_bytes()))
        await settle()
        await b.contacts.declined_by_user(a.uri, "d" * 40)
        assert len(b.contacts.pending) == 1

    async def test_request_declined_on_another_device_stays_declined_here(self, one: Machine, other: Machine, memory: MemoryDht) -> None:
        a, b = await one.account(), await other.account()
        await b.contacts.declined_elsewhere(a.uri, "c" * 40, b.now_ms())
        await put_in_inbox(memory, a, b, Value(id=1, type=4, data=TrustRequest("c" * 40, VCARD).to_bytes()))
        await put_in_inbox(memory, a, b, Value(id=2, type=4, data=TrustRequest("d" * 40, VCARD).to_bytes()))
        await settle()
        assert [request.conversation_id for _, request in b.contacts.pending.items()] == ["d" * 40]
        await b.contacts.declined_elsewhere(a.uri, "d" * 40, b.now_ms())
        assert len(b.contacts.pending) == 0

    async def test_ban_by_another_device_ends_connections(self, one: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        a = await one.account()
        dropped: list[str] = []
        monkeypatch.setattr(a, "drop_peer", dropped.append)
        await a.contacts.add("1" * 40)
        await a.contacts.merge({"1" * 40: Contact(added=1000, removed=a.now_ms() + 5000, banned=True)}, {})
        assert dropped == ["1" * 40]

    async def test_banned_account_is_not_heard(self, one: Machine, other: Machine) -> None:
        a, b = await one.account(), await other.account()
        await b.contacts.remove(a.uri, ban=True)
        assert other.signals(ContactRemoved) == [ContactRemoved(b.id, a.uri, True)]
        await a.contacts.send_request(b.uri, VCARD)
        await settle()
        assert other.signals(IncomingTrustRequest) == []
        await b.contacts.add(a.uri)
        assert b.contacts.contacts.is_active(a.uri)

    async def test_removed_contact_can_be_added_again(self, one: Machine) -> None:
        a = await one.account()
        await a.contacts.add("1" * 40)
        await a.contacts.remove("1" * 40, ban=False)
        await a.contacts.add("1" * 40)
        assert a.contacts.contacts.is_active("1" * 40)
        assert [type(signal).__name__ for signal in one.published if isinstance(signal, ContactAdded | ContactRemoved)] == [
            "ContactAdded", "ContactRemoved", "ContactAdded",
        ]  # fmt: skip

    async def test_accepted_request_of_a_removed_contact_is_not_shown_again(
        self, one: Machine, other: Machine, tmp_path: Path, memory: MemoryDht, clock: ManualClock
    ) -> None:  # fmt: skip
        a, b = await one.account(), await other.account()
        b.contacts.contacts.add(a.uri, 1, conversation_id="c" * 40)
        await b.contacts.send_request(a.uri, VCARD)
        await settle()
        assert await a.contacts.accept(b.uri)
        await settle()
        clock.advance(1000)
        await a.contacts.remove(b.uri, ban=False)
        await one.accounts.close()
        again = Machine(tmp_path / "one", memory, clock)
        await again.accounts.load()
        await again.accounts.start()
        await settle()
        assert not again.signals(IncomingTrustRequest)
        clock.advance(1000)
        await b.contacts.remove(a.uri, ban=False)
        b.contacts.contacts.add(a.uri, b.now_ms(), conversation_id="d" * 40)
        await b.contacts.send_request(a.uri, VCARD)
        await settle()
        assert [request.conversation_id for request in again.signals(IncomingTrustRequest)] == ["d" * 40], "asking anew is a new request"
        await again.accounts.close()

    async def test_request_that_cannot_be_accepted_stays(self, one: Machine, other: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        a, b = await one.account(), await other.account()
        await b.contacts.send_request(a.uri, VCARD)
        await settle()
        monkeypatch.setattr(limits, "CONTACTS", 0)
        with pytest.raises(LimitError, match="at most 0 contacts"):
            await a.contacts.accept(b.uri)
        assert a.contacts.pending.get(b.uri) is not None

    async def test_own_account_and_nonsense_are_no_contacts(self, one: Machine) -> None:
        a = await one.account()
        for uri in (a.uri, "", "bob", "1" * 39):
            await a.contacts.add(uri)
        assert list(a.contacts.contacts.items()) == []


class TestPresence:
    async def test_comes_and_goes(self, one: Machine, other: Machine, memory: MemoryDht) -> None:
        a, b = await one.account(), await other.account()
        a.presence.subscribe(b.uri, True)
        await settle()
        assert one.signals(NewBuddyNotification) == [NewBuddyNotification(a.id, b.uri, 1, "")]
        a.presence.peer_connected(b.uri, b.device_id)
        a.presence.peer_disconnected(b.uri, b.device_id)
        memory.expire(InfoHash.from_hex(b.uri))
        assert [signal.status for signal in one.signals(NewBuddyNotification)] == [1, 2, 1, 0]

    async def test_strangers_announcement_at_a_contacts_key_does_not_count(self, one: Machine, memory: MemoryDht) -> None:
        a = await one.account()
        victim, stranger = new_archive(), new_archive()
        device = new_device(stranger)
        key = victim.account_key.public.id
        memory.store(key, announcement_value(sign_announcement(stranger.account_key, device.identity.key.public)))
        memory.store(key, Value(type=0, data=b"junk"))
        memory.store(key, Value(type=0, data=b"\x81\xa3dev\xc4\x14" + bytes(20), owner=victim.account_key.public))
        a.presence.subscribe(key.hex(), True)
        await settle()
        assert one.signals(NewBuddyNotification) == []

    async def test_unsubscribing_ends_the_listening(self, one: Machine, memory: MemoryDht) -> None:
        a = await one.account()
        a.presence.subscribe("1" * 40, True)
        assert memory.listeners[bytes.fromhex("1" * 40)]
        a.presence.subscribe("1" * 40, False)
        assert not memory.listeners[bytes.fromhex("1" * 40)]
        assert a.presence.subscriptions() == []


class TestDevices:
    async def test_two_devices_learn_each_other_and_share_contacts(self, one: Machine, other: Machine, clock: ManualClock) -> None:
        archive = new_archive()
        a, b = await one.account(archive), await other.account(archive)
        await settle()
        assert set(a.devices.known) == set(b.devices.known) == {a.device_id, b.device_id}
        assert one.signals(KnownDevicesChanged)[-1].devices.keys() == {a.device_id, b.device_id}
        clock.advance(1)
        await a.contacts.add("1" * 40)
        await settle(0.6)
        assert b.contacts.contacts.is_active("1" * 40)
        clock.advance(1)
        await b.contacts.remove("1" * 40, ban=True)
        await settle(0.6)
        assert a.contacts.contacts.is_banned("1" * 40)

    async def test_device_certified_by_another_account_is_refused(self, one: Machine, memory: MemoryDht) -> None:
        archive, stranger = new_archive(), new_archive()
        a = await one.account(archive)
        assert stranger.certificate is not None
        key = small_key(77).public
        certificate = create_device_certificate(key, stranger.account_key, stranger.certificate)
        memory.certificates |= {bytes(certificate.id): certificate, bytes(certificate.long_id): certificate}
        memory.store(archive.account_key.public.id, announcement_value(sign_announcement(archive.account_key, key)))
        await settle()
        assert list(a.devices.known) == [a.device_id]

    async def test_revoked_device_is_forgotten_and_refused_by_peers(self, one: Machine, other: Machine, memory: MemoryDht) -> None:
        archive = new_archive()
        a, b = await one.account(archive), await other.account(archive)
        peer = await one.account()
        await settle()
        from jamid.accounts.archive import seal_archive

        a.files.write_archive("archive.gz", seal_archive(archive, None))
        await a.vault.revoke(b.device_id, "", "")
        await settle()
        assert list(a.devices.known) == [a.device_id]
        devices = await peer.peers.devices_of(a.uri)
        assert [device.long_id.hex() for device in devices] == [a.device_id]

    async def test_peer_forgets_a_revoked_device_and_ends_its_connections(
        self, one: Machine, other: Machine, memory: MemoryDht, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive = new_archive()
        a, b = await one.account(archive), await other.account(archive)
        peer = await one.account()
        peer.presence.subscribe(a.uri, True)
        await settle()
        assert {device.long_id.hex() for device in peer.presence.devices(a.uri) or []} == {a.device_id, b.device_id}
        certificates = {account.device_id: account.identity.certificate for account in (a, b) if account.identity is not None}
        ended: list[str] = []
        connections = SimpleNamespace(
            devices_of=lambda uri: list(certificates),
            newest=lambda device: SimpleNamespace(peer=SimpleNamespace(certificate=certificates[device])),
            close_device=ended.append,
        )
        with monkeypatch.context() as patch:
            patch.setattr(JamiAccount, "connections", property(lambda account: connections if account is peer else None))
            memory.store(a.identity.certificate.issuer.id, revocation_of(archive, certificates[b.device_id]))  # type: ignore[union-attr]
            await settle()
        assert ended == [b.device_id]
        assert [device.long_id.hex() for device in peer.presence.devices(a.uri) or []] == [a.device_id]

    async def test_revocation_that_comes_before_the_devices_counts(self, one: Machine, other: Machine, memory: MemoryDht) -> None:
        archive = new_archive()
        a, b = await one.account(archive), await other.account(archive)
        assert b.identity is not None
        values = memory.values[InfoHash.from_hex(a.uri)]
        values |= {0: revocation_of(archive, b.identity.certificate)} | {key: values.pop(key) for key in tuple(values)}
        assert next(iter(values)) == 0, "the list is the first to be delivered"
        peer = await one.account()
        peer.presence.subscribe(a.uri, True)
        await settle()
        assert [device.long_id.hex() for device in peer.presence.devices(a.uri) or []] == [a.device_id]

    async def test_what_a_peer_revoked_is_known_after_a_restart(
        self, one: Machine, other: Machine, tmp_path: Path, memory: MemoryDht, clock: ManualClock
    ) -> None:  # fmt: skip
        archive = new_archive()
        devices = [new_device(archive).identity.certificate for _ in range(3)]
        a = await other.account(archive)
        peer = await one.account()
        empty = RevocationList.create(archive.certificate, archive.account_key)
        at_once = [empty.with_revoked(device, archive.certificate, archive.account_key) for device in devices[:2]]
        for revoked in at_once:  # two lists of the same number
            memory.store(InfoHash.from_hex(a.uri), revocation_value(revoked))
        assert await peer.peers.devices_of(a.uri)
        await settle()
        await one.accounts.close()
        again = Machine(tmp_path / "one", memory, clock)
        await again.accounts.load()
        peer = next(account for account in again.accounts if isinstance(account, JamiAccount))
        for device in devices[:2]:
            with pytest.raises(RemoteError, match="was revoked"):
                await peer.peers.check(device)
        assert await peer.peers.check(devices[2]) == a.uri
        both = at_once[0].with_revoked(devices[1], archive.certificate, archive.account_key)
        memory.values[InfoHash.from_hex(a.uri)][99] = revocation_value(both)
        peer.peers.learn_revocations(archive.account_key.public, [revocation_value(both)])
        assert len(list((one.paths.data / "crls" / a.uri).iterdir())) == 2, "nothing new, nothing written"
        three = both.with_revoked(devices[2], archive.certificate, archive.account_key)
        peer.peers.learn_revocations(archive.account_key.public, [revocation_value(three)])
        await settle()
        for directory in (one.paths.data, peer.files.data):
            assert [path.read_bytes() for path in (directory / "crls" / a.uri).iterdir()] == [three.to_der()]
        await again.accounts.close()


class TestMessages:
    async def test_message_is_delivered_once_and_confirmed(self, one: Machine, other: Machine) -> None:
        a, b = await one.account(), await other.account(DHT_PublicInCalls="true")
        token = await a.messages.send(b.uri, {"text/plain": "hello"})
        await settle(0.4)
        (received,) = other.signals(IncomingAccountMessage)
        assert (received.sender, received.payloads) == (a.uri, {"text/plain": "hello"})
        assert [signal.status for signal in one.signals(AccountMessageStatusChanged)] == [1, 2]
        assert a.messages.status(token) == 2

    async def test_members_of_our_groups_are_answered_though_no_contacts(
        self, one: Machine, other: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:  # fmt: skip
        a, b = await one.account(), await other.account(DHT_PublicInCalls="false")
        refused = await a.messages.send(b.uri, {"text/plain": "hello"})
        await settle(0.4)
        assert (a.messages.status(refused), other.signals(IncomingAccountMessage)) == (1, [])
        monkeypatch.setattr(b.seams.conversations, "is_member", lambda account, uri: (account, uri) == (b.id, a.uri), raising=False)
        heard = await a.messages.send(b.uri, {"text/plain": "hello again"})
        await settle(0.4)
        assert a.messages.status(heard) == 2

    async def test_no_status_is_told_of_typing_and_receipts(self, one: Machine, other: Machine) -> None:
        a, b = await one.account(), await other.account()
        for mime in ("application/im-iscomposing+xml", "message/imdn+xml"):
            await a.messages.send(b.uri, {mime: "<x/>"})
        await settle(0.4)
        assert one.signals(AccountMessageStatusChanged) == []

    async def test_message_waits_and_survives_a_restart(
        self, one: Machine, other: Machine, tmp_path: Path, memory: MemoryDht, clock: ManualClock
    ) -> None:  # fmt: skip
        a = await one.account()
        archive = new_archive()
        token = await a.messages.send(archive.account_key.public.id.hex(), {"text/plain": "later"})
        await settle()
        await one.accounts.close()
        again = Machine(tmp_path / "one", memory, clock)
        await again.accounts.load()
        await again.accounts.start()
        await settle()
        restarted = again.accounts.jami(a.id)
        assert restarted is not None
        assert restarted.messages.status(token) == 1
        await other.account(archive, DHT_PublicInCalls="true")
        restarted.messages.retry_all()
        await settle(0.4)
        assert [message.payloads for message in other.signals(IncomingAccountMessage)] == [{"text/plain": "later"}]
        await again.accounts.close()

    async def test_strangers_message_is_refused_unless_public_calls_are_allowed(
        self, one: Machine, other: Machine, memory: MemoryDht
    ) -> None:  # fmt: skip
        a, b = await one.account(), await other.account()
        await put_in_inbox(memory, a, b, Value(type=3, data=ImMessage(5, "hi", 0).to_bytes()))
        await settle()
        assert other.signals(IncomingAccountMessage) == []
        await b.contacts.add(a.uri)
        await put_in_inbox(memory, a, b, Value(type=3, data=ImMessage(5, "hi", 0).to_bytes()))
        await put_in_inbox(memory, a, b, Value(type=3, data=ImMessage(5, "hi", 0).to_bytes()))
        await settle()
        assert len(other.signals(IncomingAccountMessage)) == 1

    async def test_nonsense_addressees(self, one: Machine) -> None:
        a = await one.account()
        assert await a.messages.send("bob", {"text/plain": "x"}) == 0
        assert await a.messages.send("1" * 40, {}) == 0
        assert a.messages.status(12345) == 0
        assert a.messages.cancel(12345) is False


class TestHostilePeers:
    async def test_flood_of_requests_is_bounded(self, one: Machine, memory: MemoryDht) -> None:
        victim = await one.account()
        assert victim.identity is not None
        account = new_archive()
        payload = bytes(60_000)
        for number in range(limits.INBOX_BACKLOG + 200):
            key = small_key(0).public if number % 2 else account.account_key.public
            request = TrustRequest(f"{number:040x}", payload, invited=number + 1)
            memory.store(
                inbox_key(victim.identity.certificate.public_key),
                Value(type=4, data=request.to_bytes(), owner=key, recipient=victim.identity.certificate.id),
            )
        await settle(0.5)
        assert len(victim.contacts.pending) <= 1
        assert victim.state is State.REGISTERED

    async def test_requests_of_wrong_shape_are_ignored(self, one: Machine, other: Machine, memory: MemoryDht) -> None:
        a, b = await one.account(), await other.account()
        for data in (b"", b"\xc1", b"\x80", b"\x81\xa7service\xa1x", bytes(70_000)):
            await put_in_inbox(memory, a, b, Value(type=4, data=data))
            await put_in_inbox(memory, a, b, Value(type=3, data=data))
            await put_in_inbox(memory, a, b, Value(type=0, data=data))
        await put_in_inbox(memory, a, b, Value(type=4, data=TrustRequest("c" * 40, VCARD).to_bytes()))
        await settle(0.3)
        assert [uri for uri, _ in b.contacts.pending.items()] == [a.uri]

    async def test_sync_message_of_another_account_is_ignored(self, one: Machine, other: Machine, memory: MemoryDht) -> None:
        from jamid.accounts.contacts import Contact
        from jamid.accounts.sync_wire import DeviceSync

        a, b = await one.account(), await other.account()
        message = DeviceSync(date=10**18, contacts={"1" * 40: Contact(added=5)})
        await put_in_inbox(memory, a, b, Value(type=0, data=message.to_bytes()))
        await settle()
        assert list(b.contacts.contacts.items()) == []

    async def test_strangers_without_certificates_do_not_keep_contacts_waiting(
        self, one: Machine, other: Machine, memory: MemoryDht, monkeypatch: pytest.MonkeyPatch
    ) -> None:  # fmt: skip
        a, b = await one.account(), await other.account(DHT_PublicInCalls="true")
        await a.contacts.add(b.uri)
        await b.contacts.add(a.uri)
        await settle()
        assert b.identity is not None

        async def never(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        assert b.dht is not None
        monkeypatch.setattr(b.dht, "find_certificate", never)
        for number in range(limits.INBOX_WORKERS * 2):
            value = Value(type=3, data=ImMessage(number + 1, "spam", 0).to_bytes(), owner=small_key(500 + number % 3).public)
            memory.store(inbox_key(b.identity.certificate.public_key), value)
        await put_in_inbox(memory, a, b, Value(type=3, data=ImMessage(99, "hello", 0).to_bytes()))
        await settle()
        assert [message.payloads for message in other.signals(IncomingAccountMessage)] == [{"text/plain": "hello"}]

    async def test_sender_whose_certificate_comes_late_is_heard(
        self, one: Machine, other: Machine, memory: MemoryDht, monkeypatch: pytest.MonkeyPatch
    ) -> None:  # fmt: skip
        monkeypatch.setattr(inbox, "_RETRIES", (0.3,))
        a, b = await one.account(), await other.account()
        hidden, memory.certificates = memory.certificates, {}
        await put_in_inbox(memory, a, b, Value(type=4, data=TrustRequest("c" * 40, VCARD).to_bytes()))
        await asyncio.sleep(0.1)
        memory.certificates = hidden
        await settle(0.5)
        assert [uri for uri, _ in b.contacts.pending.items()] == [a.uri]


async def test_any_storm_of_orders_ends_in_the_last_state(one: Machine) -> None:
    account = await one.account()
    orders = []
    for number in range(12):
        orders.append(one.accounts.send_register(account.id, bool(number % 2)))
        orders.append(one.accounts.set_details(account.id, {"Account.alias": str(number)}))
    await asyncio.gather(*orders)
    await one.accounts.send_register(account.id, True)
    await settle()
    assert account.state is State.REGISTERED
    await one.accounts.send_register(account.id, False)
    await settle()
    assert account.state is State.UNREGISTERED
    assert account.session is None


async def test_group_members_are_tracked_until_they_leave(one: Machine, other: Machine) -> None:
    a, b = await one.account(), await other.account()
    a.presence.set_members([b.uri, a.uri, "nonsense"])
    await settle()
    assert one.signals(NewBuddyNotification) == [NewBuddyNotification(a.id, b.uri, 1, "")]
    await a.contacts.add(b.uri)
    a.presence.set_members([])
    assert a.presence.status(b.uri) == 1, "a contact is tracked without a group"
    await a.contacts.remove(b.uri, ban=False)
    assert a.presence.status(b.uri) == 0
