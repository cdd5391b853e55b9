"""What the real daemons of both generations wrote: read by us, and written again to the same bytes where that matters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jamid.accounts.archive import Archive, open_archive, open_from_pin, seal_archive
from jamid.accounts.config_file import load_yaml_map, parse_config, parse_sip_account, render_config, render_sip_account, render_yaml
from jamid.accounts.contacts import ContactList
from jamid.accounts.details import AccountDetails, template
from jamid.accounts.keccak import keccak_256
from jamid.accounts.known_devices import KnownDevices
from jamid.accounts.linking_wire import LinkReader, pack_message
from jamid.accounts.message_wire import ChannelMessage, ChannelMessageReader, ImMessage
from jamid.accounts.names import _registration_body
from jamid.accounts.pin import derive_key
from jamid.accounts.receipt import Announcement, Receipt, eth_address, sign_announcement
from jamid.accounts.sync_wire import DeviceSync, SyncReader
from jamid.accounts.trust_requests import PendingRequests, TrustRequest
from jamid.core.identifiers import InfoHash
from jamid.crypto.certificates import Certificate
from jamid.crypto.keys import PrivateKey

DATA = Path(__file__).resolve().parents[2] / "data/accounts"
DIRECTORY = Path("/nowhere/account")


def load(name: str) -> Any:
    return json.loads((DATA / name).read_text())


@pytest.fixture(scope="module")
def archive() -> Archive:
    return open_archive((DATA / "real13/archive.gz").read_bytes())[0]


class TestTemplates:
    @pytest.mark.parametrize("kind", ["RING", "SIP"])
    @pytest.mark.parametrize("file", ["templates.json", "templates17.json"])
    def test_template_holds_the_keys_of_both_generations(self, kind: str, file: str) -> None:
        ours, theirs = template(kind), load(file)[kind]
        differing = {key for key, value in theirs.items() if ours.get(key) != value}
        assert differing <= {"DHT.PublicInCalls"}, "only the default on which the generations disagree"

    def test_unknown_type_has_none(self) -> None:
        assert template("IAX") == {}

    def test_details_of_a_sip_account(self) -> None:
        details, _volatile, credentials = load("sip_details.json")
        name, config = parse_sip_account(load_yaml_map((DATA / "dring_sip.yml").read_bytes())["accounts"][0])
        assert name == "a4ad96593f20570e"
        assert config.credentials == credentials
        assert {key: value for key, value in config.details.as_given().items() if key in details} == details


class TestArchive:
    def test_without_password(self, archive: Archive) -> None:
        assert json.loads(archive.to_json()) == load("real13/archive.json")

    @pytest.mark.parametrize(
        ("file", "password", "plain"),
        [
            ("archive_real_password_b0bpass.gz", "b0bpass", "archive_real_password_b0bpass.json"),
            ("real17/archive_a_password_s3cret.gz", "s3cret", "real17/archive_a_plain.json"),
        ],
    )
    def test_with_password(self, file: str, password: str, plain: str) -> None:
        opened, key = open_archive((DATA / file).read_bytes(), password)
        expected = load(plain)
        for name in ("ringAccountKey", "ringCaKey", "ringAccountCert", "ethKey"):
            assert json.loads(opened.to_json()).get(name) == expected.get(name)
        later = Archive.from_json(json.dumps(expected).encode())
        assert later.revocations is not None
        assert later.certificate is not None
        assert later.revocations.is_signed_by(later.certificate.public_key)
        assert opened.contacts.keys() <= later.contacts.keys() == expected["ringAccountContacts"].keys()
        assert opened.conversations.keys() <= expected["conversations"].keys()
        assert open_archive(seal_archive(opened, key), password)[0].to_json() == opened.to_json()

    def test_pin(self) -> None:
        vector = load("pin.json")
        key = derive_key(vector["pin"].lower(), vector["password"], vector["unix_time"])
        assert key.hex() == vector["key_hex"]
        assert InfoHash.of(key).hex() == vector["dht_location"]
        assert open_from_pin((DATA / "value_data.bin").read_bytes(), key).account_key.public.id.hex()


class TestReceipt:
    def test_announcement_and_receipt_are_the_very_bytes(self, archive: Archive) -> None:
        ids = load("real13/ids.json")
        certificate = Certificate.from_pem((DATA / "real13/ring_device.crt").read_bytes())
        stored = Receipt.parse((DATA / "real13/receipt.txt").read_text(), (DATA / "real13/receipt_signature.bin").read_bytes())
        stored.verify(certificate)
        ours = sign_announcement(archive.account_key, certificate.public_key)
        assert b"\x82" + ours[1:-3] == (DATA / "real13/announcement.bin").read_bytes()
        assert ours[-3:] == b"\xa1p\x01"
        assert archive.account_key.sign(stored.text.encode()) == stored.signature
        made = Receipt.create(archive.account_key, certificate.public_key, archive.eth_key)
        made.verify(certificate)
        assert made.text[:150] == stored.text[:150]
        assert made.eth_address in json.dumps(ids)

    def test_receipt_of_17_is_the_very_bytes(self) -> None:
        config = parse_config((DATA / "files17/a_config.yml").read_bytes(), DIRECTORY)
        opened, _ = open_archive((DATA / "real17/archive_a_password_s3cret.gz").read_bytes(), "s3cret")
        certificate = Certificate.from_pem((DATA / "real17/a_ring_device.crt").read_bytes())
        made = Receipt.create(opened.account_key, certificate.public_key, opened.eth_key)
        assert (made.text, made.signature) == (config.receipt, config.receipt_signature)

    def test_both_forms_of_the_announcement_are_read(self) -> None:
        for packed in ((DATA / "real13/announcement.bin").read_bytes(), _announcement_of_17()):
            assert Announcement.from_packed(packed).device_key is not None

    def test_eth_address(self) -> None:
        assert keccak_256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        assert keccak_256(bytes(range(200))).hex() == keccak_256(bytes(range(200))).hex()
        assert eth_address((1).to_bytes(32, "big")) == "7e5f4552091a69125d5dfcb7b8c2659029395bdf"


def _announcement_of_17() -> bytes:
    config = parse_config((DATA / "files17/a_config.yml").read_bytes(), DIRECTORY)
    return Receipt.parse(config.receipt, config.receipt_signature).announcement


class TestFiles:
    @pytest.mark.parametrize("name", ["real13/config.yml", "files17/a_config.yml", "files17/b_config.yml", "files17/c_config.yml"])
    def test_config_survives_a_round_trip(self, name: str) -> None:
        config = parse_config((DATA / name).read_bytes(), DIRECTORY)
        again = parse_config(render_config(config, DIRECTORY), DIRECTORY)
        assert again == config or (dict(again.details), again.receipt) == (dict(config.details), config.receipt)
        assert config.details["TLS.privateKeyFile"] == "/nowhere/account/ring_device.key"
        assert config.unknown == {}

    def test_sip_account_survives_a_round_trip(self) -> None:
        name, config = parse_sip_account(load_yaml_map((DATA / "dring_sip.yml").read_bytes())["accounts"][0])
        written = load_yaml_map(render_yaml({"accounts": [render_sip_account(name, config)]}))
        assert parse_sip_account(written["accounts"][0])[1].credentials == config.credentials
        assert dict(parse_sip_account(written["accounts"][0])[1].details) == dict(config.details)

    @pytest.mark.parametrize("name", ["files17/a_contacts", "files17/b_contacts", "files17/c_contacts"])
    def test_contacts_of_17_are_written_as_they_were(self, name: str) -> None:
        data = (DATA / name).read_bytes()
        assert ContactList.from_bytes(data).to_bytes() == data

    def test_contacts_of_13(self) -> None:
        contacts = ContactList.from_bytes((DATA / "files13/contacts_13").read_bytes())
        banned = contacts.get("1" * 40)
        assert banned is not None
        assert banned.is_banned
        assert not banned.is_active
        assert ContactList.from_bytes(contacts.to_bytes()).to_json() == contacts.to_json()

    @pytest.mark.parametrize("name", ["files13/knownDevices_13", "files13/knownDevices_13_c"])
    def test_known_devices_of_13_are_written_as_they_were(self, name: str) -> None:
        data = (DATA / name).read_bytes()
        assert KnownDevices.from_bytes(data).to_bytes() == data

    def test_known_devices_of_17(self) -> None:
        devices = KnownDevices.from_bytes((DATA / "files17/a_knownDevices").read_bytes())
        assert set(devices.names().values()) == {"vm"}

    def test_pending_requests(self) -> None:
        requests = PendingRequests.from_bytes((DATA / "files13/incomingTrustRequests_13").read_bytes())
        ((uri, request),) = requests.items()
        assert request.payload.startswith(b"BEGIN:VCARD")
        assert PendingRequests.from_bytes(requests.to_bytes()).get(uri) == request
        assert len(PendingRequests.from_bytes((DATA / "files17/b_incomingTrustRequests").read_bytes())) == 0


class TestMessages:
    @pytest.mark.parametrize("entry", load("dht_values.json"), ids=lambda entry: entry["kind"])
    def test_dht_values(self, entry: dict[str, str]) -> None:
        if "data_hex" not in entry:
            return
        data = bytes.fromhex(entry["data_hex"])
        match entry["kind"]:
            case "trust_request" | "trust_request_confirm" as kind:
                request = TrustRequest.from_bytes(data)
                assert request.confirm is (kind == "trust_request_confirm")
                assert len(request.conversation_id) == 40
            case "im_message" | "im_message_confirm" as kind:
                message = ImMessage.from_bytes(data)
                assert message.to_bytes() == data
                assert bool(message.text) is (kind == "im_message")
            case "device_sync":
                sync = DeviceSync.from_bytes(data)
                assert sync.devices
                assert DeviceSync.from_bytes(sync.to_bytes()) == sync
            case kind:
                pytest.fail(f"nobody reads {kind}")

    def test_trust_request_of_17(self) -> None:
        vector = load("real17/trust_request.json")
        for name in ("request", "confirmation"):
            entry = vector.get(name) or vector.get("confirm")
            if entry and "data" in entry:
                assert TrustRequest.from_bytes(bytes.fromhex(entry["data"])).conversation_id

    def test_channel_messages_of_17_are_written_as_they_were(self) -> None:
        for frame in load("real17/msg_frames.json"):
            data = bytes.fromhex(frame["hex"])
            (message,) = ChannelMessageReader().feed(data)
            assert isinstance(message, ChannelMessage)
            assert message.to_bytes() == data

    def test_sync_messages_of_17(self) -> None:
        reader = SyncReader()
        for entry in load("real17/sync_channel.json")["messages"]:
            (message,) = reader.feed(bytes.fromhex(entry["data"]))
            assert message.device.date >= 0

    def test_linking_messages_of_17_are_written_as_they_were(self) -> None:
        seen = 0
        for run in load("real17/link_channels.json")["runs"]:
            for entry in run:
                data = bytes.fromhex(entry["data"])
                if data.startswith(b"\x82\xa8schemeId"):
                    payloads = LinkReader().feed(data)
                    assert b"".join(map(pack_message, payloads)) == data
                    seen += len(payloads)
        assert seen > 10

    def test_name_registration(self, archive: Archive) -> None:
        text = (DATA / "nameserver_register_request.txt").read_text()
        theirs = json.loads(text[text.index("{") :])
        ours = json.loads(
            _registration_body("bobby", archive.account_key.public.id.hex(), eth_address(archive.eth_key), archive.account_key)
        )
        assert list(ours) == list(theirs)
        assert {name: len(value) for name, value in ours.items() if name != "publickey"} == {
            name: len(value) for name, value in theirs.items() if name != "publickey"
        }


def test_device_key_reads_what_was_encrypted_to_it() -> None:
    key = PrivateKey.from_pem((DATA / "real13/ring_device.key").read_bytes())
    entry = next(entry for entry in load("dht_values.json") if entry.get("recipient_device_short_id") == key.public.id.hex())
    assert bytes.fromhex(entry["data_hex"]) in bytes.fromhex(entry["decrypted_hex"])


def test_details_take_either_name() -> None:
    details = AccountDetails("RING")
    assert details.update({"Account.dhtPort": "5000", "DHT.port": "0"})
    assert details.as_given()["DHT.port"] == "5000"
    assert details.update({"Account.dhtPort": "5000", "DHT.port": "6000"})
    assert details.as_given()["Account.dhtPort"] == "6000"
