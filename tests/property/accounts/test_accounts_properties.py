"""What must hold for any contacts, details and profiles, not only for those somebody thought of."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from jamid.accounts.config_file import (
    StoredConfig,
    load_yaml_map,
    parse_config,
    parse_sip_account,
    render_config,
    render_sip_account,
    render_yaml,
)
from jamid.accounts.contacts import Contact, ContactList
from jamid.accounts.details import ALIASES, JAMI, SIP, TABLES, AccountDetails
from jamid.accounts.known_devices import KnownDevice, KnownDevices
from jamid.accounts.linking_wire import LinkReader, pack_message
from jamid.accounts.message_store import Outbox, OutgoingMessage
from jamid.accounts.message_wire import ChannelMessage, ChannelMessageReader, ImMessage
from jamid.accounts.sync_wire import DeviceSync, SyncMessage, SyncReader
from jamid.accounts.trust_requests import PendingRequest, TrustRequest
from jamid.accounts.vcards import Profile

DIRECTORY = Path("/somewhere/account")

# What D-Bus can carry: no NUL, no surrogates; YAML writers are hard put to it by the rest.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
uris = st.binary(min_size=20, max_size=20).map(bytes.hex)
devices = st.binary(min_size=32, max_size=32).map(bytes.hex)
moments = st.integers(0, 2**41)
conversations = st.just("") | uris
contacts = st.builds(Contact, moments, moments, st.booleans(), st.booleans(), conversations)
tokens = st.integers(1, 2**53)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(TABLES[JAMI])), texts), st.lists(st.integers(0, 2**31)))
def test_any_details_survive_config_yml(values: dict[str, str], codecs: list[int]) -> None:
    config = StoredConfig(AccountDetails(JAMI, values), receipt="{}", receipt_signature=b"\x00\xff", active_codecs=tuple(codecs) or None)
    for key in ("TLS.certificateFile", "TLS.privateKeyFile", "TLS.certificateListFile"):
        config.details.set(key, "")
    again = parse_config(render_config(config, DIRECTORY), DIRECTORY)
    assert dict(again.details) == dict(config.details)
    assert (again.active_codecs, again.receipt, again.receipt_signature) == (config.active_codecs, "{}", b"\x00\xff")


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(TABLES[SIP])), texts), texts)
def test_any_sip_account_survives_dring_yml(values: dict[str, str], password: str) -> None:
    config = StoredConfig(AccountDetails(SIP, values))
    config.credentials = [{"Account.username": "u", "Account.password": password, "Account.realm": "*"}]
    config.details.set("Account.password", password)
    written = load_yaml_map(render_yaml({"accounts": [render_sip_account("a" * 16, config)]}))
    name, again = parse_sip_account(written["accounts"][0])
    assert name == "a" * 16
    assert dict(again.details) == dict(config.details)
    assert again.credentials == config.credentials


@given(st.dictionaries(st.sampled_from([*TABLES[JAMI], *ALIASES, "Account.type", "nonsense"]), texts))
def test_setting_details_twice_changes_nothing_more(values: dict[str, str]) -> None:
    details = AccountDetails(JAMI)
    details.update(values)
    assert not details.update(details.as_given())
    assert details.type == JAMI
    assert all(details[key] in ("true", "false") for key in ("Account.enable", "TURN.enable", "DHT.PublicInCalls"))


@given(st.dictionaries(uris, contacts, max_size=8))
def test_contacts_survive_their_file_and_json(entries: dict[str, Contact]) -> None:
    stored = ContactList(entries)
    again = ContactList.from_bytes(stored.to_bytes())
    assert dict(again.items()) == dict(stored.items())
    assert again.to_json() == stored.to_json()


@given(st.lists(st.tuples(st.sampled_from(["1" * 40, "2" * 40]), contacts), max_size=6))
def test_merging_again_changes_nothing(entries: list[tuple[str, Contact]]) -> None:
    merged = ContactList()
    for uri, contact in entries:
        merged.merge(uri, contact)
    before = merged.to_bytes()
    for uri, contact in merged.items():
        merged.merge(uri, contact)
    assert merged.to_bytes() == before


@given(contacts, contacts)
def test_devices_that_exchange_a_contact_agree(ours: Contact, theirs: Contact) -> None:
    uri = "1" * 40
    one, other = ContactList({uri: ours}), ContactList({uri: theirs})
    for _ in range(3):
        one.merge(uri, other.get(uri) or Contact())
        other.merge(uri, one.get(uri) or Contact())
    mine, yours = one.get(uri), other.get(uri)
    assert mine is not None
    assert yours is not None
    assert (mine.is_active, mine.is_banned) == (yours.is_active, yours.is_banned)


@given(st.dictionaries(devices, st.builds(KnownDevice, texts, moments.map(lambda ms: ms // 1000 * 1000)), max_size=5))
def test_known_devices_survive_their_file(known: dict[str, KnownDevice]) -> None:
    assert KnownDevices.from_bytes(KnownDevices(known).to_bytes()).to_bytes() == KnownDevices(known).to_bytes()


@given(st.builds(TrustRequest, conversations, st.binary(max_size=200), st.booleans(), moments))
def test_trust_requests_survive_the_wire(request: TrustRequest) -> None:
    assert TrustRequest.from_bytes(request.to_bytes()) == request


@given(st.builds(ImMessage, st.integers(0, 2**64 - 1), texts, moments, texts))
def test_instant_messages_survive_the_wire(message: ImMessage) -> None:
    assert ImMessage.from_bytes(message.to_bytes()) == message


@given(st.lists(st.builds(ChannelMessage, tokens, texts, texts), max_size=4), st.integers(1, 40))
def test_channel_messages_may_come_in_any_pieces(messages: list[ChannelMessage], size: int) -> None:
    data = b"".join(message.to_bytes() for message in messages)
    reader = ChannelMessageReader()
    assert [message for start in range(0, len(data), size) for message in reader.feed(data[start : start + size])] == messages


@given(st.lists(st.dictionaries(texts, texts, max_size=3), max_size=4), st.integers(1, 40))
def test_link_messages_may_come_in_any_pieces(payloads: list[dict[str, str]], size: int) -> None:
    data = b"".join(map(pack_message, payloads))
    reader = LinkReader()
    assert [payload for start in range(0, len(data), size) for payload in reader.feed(data[start : start + size])] == payloads


requests = st.builds(PendingRequest, st.binary(max_size=9), conversations, moments, st.just(b""), moments)


@given(st.dictionaries(uris, contacts, max_size=5), st.dictionaries(uris, requests, max_size=3))
def test_sync_messages_survive_the_wire(peers: dict[str, Contact], waiting: dict[str, PendingRequest]) -> None:
    sync = DeviceSync(date=7, device_name="d", contacts=peers, requests=waiting)
    (again,) = SyncReader().feed(SyncMessage(sync).to_bytes())
    assert again.device.contacts == peers
    assert again.device.requests.keys() == waiting.keys()


@given(st.lists(st.builds(OutgoingMessage, tokens, uris, st.dictionaries(texts, texts, min_size=1, max_size=2)), max_size=4))
def test_waiting_messages_survive_their_file(messages: list[OutgoingMessage]) -> None:
    outbox = Outbox()
    for message in messages:
        outbox.add(message)
    again = Outbox.from_bytes(outbox.to_bytes())
    assert {message.token: message.payloads for message in again.waiting()} == {m.token: m.payloads for m in outbox.waiting()}


@given(texts, st.binary(max_size=60))
def test_profiles_survive_their_vcard(name: str, photo: bytes) -> None:
    import base64

    profile = Profile(" ".join(name.split()), base64.b64encode(photo).decode())
    assert Profile.from_vcard(profile.to_vcard()) == profile
