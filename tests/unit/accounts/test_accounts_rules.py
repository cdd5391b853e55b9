"""The rules of contacts, requests, devices, messages and trust, without any I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgpack
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from jamid.accounts.certificate_store import CertificateStore
from jamid.accounts.contacts import Change, Contact, ContactList
from jamid.accounts.declined import DeclinedRequests
from jamid.accounts.details import JAMI, AccountDetails
from jamid.accounts.dht_pool import NodeKey
from jamid.accounts.known_devices import KnownDevices
from jamid.accounts.linking_wire import LinkAddress
from jamid.accounts.message_store import MessageStatus, Outbox, OutgoingMessage, SeenTokens
from jamid.accounts.nearby import read_peer
from jamid.accounts.proxies import expand
from jamid.accounts.receipt import Announcement
from jamid.accounts.sync_wire import DeviceSync
from jamid.accounts.trust import Status, TrustStore, check_own_device, check_peer_device
from jamid.accounts.trust_requests import PendingRequest, PendingRequests
from jamid.accounts.vcards import Profile
from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError
from jamid.core.events import Events
from jamid.core.identifiers import LongId
from jamid.crypto.certificates import Certificate, create_account_certificate, create_ca, create_device_certificate
from jamid.crypto.revocations import RevocationList
from tests.support.accounts.world import new_archive, new_device, small_key

URI = "1" * 40
NOW = datetime.now(UTC) + timedelta(hours=1)


class TestContacts:
    def test_life_of_a_contact(self) -> None:
        contacts = ContactList()
        assert contacts.add(URI, 1000) == Change.STORED | Change.BECAME_ACTIVE
        assert contacts.add(URI, 2000) is Change.NONE
        assert contacts.add(URI, 2000, confirmed=True, conversation_id="c" * 40) == Change.STORED | Change.BECAME_CONFIRMED
        assert contacts.remove(URI, 3000, ban=True) == Change.STORED | Change.REMOVED | Change.BANNED
        assert contacts.remove(URI, 4000, ban=True) is Change.NONE
        assert contacts.is_banned(URI)
        assert contacts.remove(URI, 4000, ban=False) == Change.STORED | Change.REMOVED
        assert contacts.add(URI, 5000) & Change.BECAME_ACTIVE
        assert not contacts.is_banned(URI)

    def test_adding_after_a_removal_of_the_future_still_counts(self) -> None:
        contacts = ContactList({URI: Contact(added=1, removed=10**12)})
        contacts.add(URI, 5)
        assert contacts.is_active(URI)

    @pytest.mark.parametrize(
        ("ours", "theirs", "active", "confirmed"),
        [
            (Contact(added=5000), Contact(added=9000, confirmed=True), True, True),
            (Contact(added=9000, confirmed=True), Contact(added=5000, removed=6000), True, True),
            (Contact(added=5000, confirmed=True), Contact(added=5000, removed=9000), False, False),
            (Contact(added=5300), Contact(added=5000, removed=5000), False, False),  # seconds only, from an older version
            (Contact(added=5000), Contact(added=5000, confirmed=True), True, True),
            (Contact(added=5000, removed=5400), Contact(added=5000), False, False),
        ],
    )
    def test_merging_takes_the_later_entry(self, ours: Contact, theirs: Contact, active: bool, confirmed: bool) -> None:
        contacts = ContactList({URI: ours})
        contacts.merge(URI, theirs)
        merged = contacts.get(URI)
        assert merged is not None
        assert (merged.is_active, merged.is_active and merged.confirmed) == (active, confirmed)

    def test_too_many_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "CONTACTS", 2)
        contacts = ContactList()
        contacts.add("1" * 40, 1)
        contacts.add("2" * 40, 1)
        with pytest.raises(LimitError, match="at most 2"):
            contacts.add("3" * 40, 1)


class TestRequests:
    def test_newer_request_replaces_older(self) -> None:
        requests = PendingRequests()
        assert requests.store(URI, PendingRequest(b"", "a" * 40, 1000, b"x", 50))
        assert not requests.store(URI, PendingRequest(b"", "a" * 40, 2000, b"y", 40))
        assert requests.store(URI, PendingRequest(b"", "b" * 40, 3000, b"y", 60))
        assert not requests.store(URI, PendingRequest(b"", "b" * 40, 4000, b"y", 70))

    def test_full_store_takes_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "PENDING_TRUST_REQUESTS", 1)
        requests = PendingRequests()
        assert requests.store("1" * 40, PendingRequest(b"", "", 1, b""))
        assert not requests.store("2" * 40, PendingRequest(b"", "", 1, b""))

    def test_declined_requests_are_kept_in_their_file(self) -> None:
        declined = DeclinedRequests()
        declined.add(URI, "c" * 40, 70, 100)
        again = DeclinedRequests.from_bytes(declined.to_bytes())
        assert again.covers(URI, "c" * 40, 70, 200, new_since=0)
        assert not again.covers(URI, "c" * 40, 71, 200, new_since=200)
        assert not again.covers(URI, "d" * 40, 1, 200, new_since=200)

    def test_file_of_declined_requests_that_holds_dates_only(self) -> None:
        declined = DeclinedRequests.from_bytes(msgpack.packb({f"{URI}/{'c' * 40}": 70, "x": ["y"], "z": [1, 2]}))
        assert declined.covers(URI, "c" * 40, 70, 200, new_since=0)
        assert not declined.covers(URI, "c" * 40, 71, 200, new_since=0)

    def test_what_was_declined_before_the_clock_was_set_back_stays_declined_when_it_is_loaded(self) -> None:
        declined = DeclinedRequests()
        declined.add(URI, "c" * 40, 0, 7_200_000)
        again = DeclinedRequests.from_bytes(declined.to_bytes())
        started = 1_000_000
        again.loaded(started)
        assert again.covers(URI, "c" * 40, 0, started + 5000, new_since=started)
        assert not again.covers(URI, "c" * 40, 0, started + 600_000, new_since=0)

    def test_undated_request_is_heard_again_after_ever_longer_pauses(self) -> None:
        declined, minute = DeclinedRequests(), 60_000
        declined.add(URI, "c" * 40, 0, 1)
        assert declined.covers(URI, "c" * 40, 0, 100, new_since=0)
        assert not declined.covers(URI, "c" * 40, 0, 2000, new_since=0)
        assert declined.covers(URI, "c" * 40, 0, 99 * minute, new_since=2)
        declined.add(URI, "c" * 40, 0, minute)
        assert declined.covers(URI, "c" * 40, 0, 10 * minute, new_since=0)
        assert not declined.covers(URI, "c" * 40, 0, 12 * minute, new_since=0)
        declined.add(URI, "c" * 40, 0, 12 * minute)
        again = DeclinedRequests.from_bytes(declined.to_bytes())
        assert again.covers(URI, "c" * 40, 0, 71 * minute, new_since=0)
        assert not again.covers(URI, "c" * 40, 0, 73 * minute, new_since=0)

    def test_request_that_was_repeated_is_declined_as_a_whole(self) -> None:
        requests = PendingRequests()
        assert requests.store(URI, PendingRequest(b"", "a" * 40, 1000, b"x", 50))
        assert not requests.store(URI, PendingRequest(b"", "a" * 40, 2000, b"x", 60))
        request = requests.get(URI)
        assert request is not None
        assert (request.invited, request.received) == (60, 1000)


class TestDevices:
    def test_sync_dates_only_move_forward(self) -> None:
        devices = KnownDevices()
        assert devices.learn("a" * 64, "phone")
        assert not devices.learn("a" * 64)
        assert devices.synced("a" * 64, 5)
        assert not devices.synced("a" * 64, 5)
        assert not devices.synced("b" * 64, 5)
        assert devices.names() == {"a" * 64: "phone"}

    def test_large_sync_is_split_into_frames(self) -> None:
        sync = DeviceSync(1, contacts={f"{number:040x}": Contact(added=1000, conversation_id="c" * 40) for number in range(2000)})
        parts = list(sync.split())
        assert all(len(part.to_bytes()) < 65_000 for part in parts)
        assert sum(len(part.contacts) for part in parts) == 2000

    def test_link_address(self) -> None:
        address = LinkAddress.new(LongId(bytes(32)))
        assert LinkAddress.parse(str(address)) == address
        for bad in ("", "jami-auth://x/1", f"jami-auth://{'0' * 64}/12345", f"http://{'0' * 64}/123456"):
            with pytest.raises(RemoteError, match="looks like"):
                LinkAddress.parse(bad)


class TestMessages:
    def test_statuses_as_told(self) -> None:
        assert [status.told for status in MessageStatus] == [0, 1, 1, 2, 3, 4, 5]

    def test_unsent_messages_survive(self) -> None:
        outbox = Outbox()
        outbox.add(OutgoingMessage(5, URI, {"text/plain": "a"}, MessageStatus.SENDING, retried=3))
        outbox.add(OutgoingMessage(6, URI, {"text/plain": "b"}, MessageStatus.SENT))
        again = Outbox.from_bytes(outbox.to_bytes())
        assert [(message.token, message.retried) for message in again.waiting(URI)] == [(5, 3)]

    def test_too_many_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "WAITING_MESSAGES", 1)
        outbox = Outbox()
        outbox.add(OutgoingMessage(5, URI, {"text/plain": "a"}))
        with pytest.raises(LimitError, match="wait to be sent"):
            outbox.add(OutgoingMessage(6, URI, {"text/plain": "a"}))

    def test_tokens_are_seen_once_and_forgotten_after_a_day(self) -> None:
        seen = SeenTokens()
        assert seen.add(7, 1000)
        assert not seen.add(7, 1001)
        assert seen.add(0, 1000)
        assert seen.add(0, 1000)
        again = SeenTokens.from_bytes(seen.to_bytes())
        assert not again.add(7, 1002)
        assert again.add(8, 1000 + 100_000)
        assert again.add(7, 1000 + 100_001)


class TestTrust:
    def test_ban_beats_permission(self) -> None:
        archive = new_archive()
        certificate = new_device(archive).identity.certificate
        store = TrustStore()
        assert not store.is_allowed(certificate, allow_public=False)
        assert store.is_allowed(certificate, allow_public=True)
        store.set(certificate.account_uri, Status.ALLOWED)
        assert store.is_allowed(certificate, allow_public=False)
        store.set(certificate.long_id.hex(), Status.BANNED)
        assert not store.is_allowed(certificate, allow_public=True)
        assert Status.parse("nonsense") is Status.UNDEFINED

    def test_chains_that_do_not_hold(self) -> None:
        archive, stranger = new_archive(), new_archive()
        device = new_device(archive).identity.certificate
        assert archive.certificate is not None
        assert stranger.certificate is not None
        assert check_peer_device(device, NOW) == archive.account_key.public.id.hex()
        with pytest.raises(RemoteError, match="without its account"):
            check_peer_device(Certificate(device.native), NOW)
        with pytest.raises(RemoteError, match="valid from"):
            check_peer_device(device, NOW + timedelta(days=5000))
        with pytest.raises(RemoteError, match="not one of this account"):
            check_own_device(device, stranger.certificate, NOW)
        forged = Certificate(device.native, stranger.certificate)
        with pytest.raises(RemoteError, match="not signed by"):
            check_peer_device(forged, NOW)
        not_ca = new_device(archive).identity
        with pytest.raises(RemoteError, match="not a certificate authority"):
            check_peer_device(create_device_certificate(small_key(3).public, not_ca.key, not_ca.certificate), NOW)

    def test_revoked_device(self) -> None:
        archive = new_archive()
        device = new_device(archive).identity.certificate
        assert archive.certificate is not None
        revoked = RevocationList.create(archive.certificate, archive.account_key).with_revoked(
            device, archive.certificate, archive.account_key
        )
        with pytest.raises(RemoteError, match="revoked"):
            check_peer_device(device, NOW, (revoked,))
        check_peer_device(new_device(archive).identity.certificate, NOW, (revoked,))

    def test_two_devices_that_revoke_at_once_are_both_believed(self, tmp_path: Path) -> None:
        archive = new_archive()
        account, key = archive.certificate, archive.account_key
        assert account is not None
        first, second = (new_device(archive).identity.certificate for _ in range(2))
        empty = RevocationList.create(account, key)
        lists = [empty.with_revoked(device, account, key) for device in (first, second)]
        store = CertificateStore(tmp_path, Events())
        assert [store.learn_revocations(key.public, each) for each in lists] == [True, True]
        assert not store.learn_revocations(key.public, lists[0])
        known = store.revocations(key.public.id.hex())
        assert {serial for each in known for serial in each.serials} == {first.native.serial_number, second.native.serial_number}
        both = lists[0].with_revoked(second, account, key)
        third = both.with_revoked(new_device(archive).identity.certificate, account, key)
        assert store.learn_revocations(key.public, third)
        assert store.revocations(key.public.id.hex()) == (third,)

    async def test_certificate_shown_by_the_devices_owner_replaces_one_by_somebody_else(self, tmp_path: Path) -> None:
        archive, mallory = new_archive(), new_archive()
        assert mallory.certificate is not None
        device = new_device(archive).identity.certificate
        claimed = create_device_certificate(device.public_key, mallory.account_key, mallory.certificate)
        store = CertificateStore(tmp_path / "certificates", Events())
        await store.pin(claimed)
        await store.pin(device)
        assert store.get(device.long_id) == claimed
        await store.pin(device, proven=True)
        await store.pin(claimed)
        assert store.get(device.long_id) == device
        assert await CertificateStore(tmp_path / "certificates", Events()).find(device.long_id) == device

    def test_expired_account_certificate(self) -> None:
        key, ca_key = small_key(4), small_key(5)
        past = NOW - timedelta(days=4000)
        account = create_account_certificate(key, ca_key, create_ca(ca_key, past), past)
        device = create_device_certificate(small_key(6).public, key, account)
        with pytest.raises(RemoteError, match="valid from"):
            check_peer_device(device, NOW)


@pytest.mark.parametrize("bits", [512, 1024, 16384])
def test_keys_of_insane_size_are_refused(bits: int) -> None:
    modulus = (1 << bits) - 1 - 2 * 1234
    native = rsa.RSAPublicNumbers(65537, modulus).public_key()
    der = native.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    data = msgpack.packb({"dev": bytes(20), "pk": der})
    with pytest.raises(RemoteError, match=r"RSA keys have|not a public key"):
        Announcement.from_data(small_key(1).public, data)


def test_vcards_of_all_kinds() -> None:
    text = b"BEGIN:VCARD\r\nVERSION:2.1\r\nFN:Alice\r\nPHOTO;ENCODING=BASE64;TYPE=JPEG:QUJD\r\n REVG\r\nEND:VCARD\r\n"
    profile = Profile.from_vcard(text)
    assert (profile.name, profile.photo, profile.photo_type) == ("Alice", "QUJDREVG", "JPEG")
    assert Profile.from_vcard(profile.to_vcard()) == profile
    assert Profile.from_vcard(b"") == Profile()
    assert b"\nFN:a b\n" in Profile("a\nb").to_vcard()


def test_accounts_of_one_bootstrap_share_a_node() -> None:
    def key(**details: str) -> NodeKey:
        return NodeKey.from_details(AccountDetails(JAMI, {name.replace("_", "."): value for name, value in details.items()}))

    assert key(Account_hostname="a.example; b.example:5;[::1]:6;::1") == key(
        Account_hostname="a.example:4222;b.example:5;[::1]:6;[::1]:4222"
    )
    assert key(Account_hostname="a") != key(Account_hostname="a", DHT_port="5000")


def test_proxy_lists_are_expanded_within_bounds() -> None:
    assert expand("dhtproxy.jami.net:[80-82]") == ["dhtproxy.jami.net:80", "dhtproxy.jami.net:81", "dhtproxy.jami.net:82"]
    assert expand('["https://a.example", "b.example:5"]') == ["https://a.example", "b.example:5"]
    assert expand("") == expand("[]") == []
    assert len(expand("a:[1-99999] " * 50)) == limits.PROXY_SERVERS
    assert expand("a:[9-3]") == []


def test_accounts_nearby_are_read_or_refused() -> None:
    assert read_peer([bytes(20), "Ann\0"]) == ("0" * 40, "Ann")
    for bad in (None, [], [bytes(19), "x"], [bytes(20), 5], {"accountId": bytes(20)}):
        with pytest.raises(RemoteError, match=r"nearby|20 bytes"):
            read_peer(bad)
