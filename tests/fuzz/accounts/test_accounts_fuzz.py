"""Every parser of foreign bytes in the accounts: a result or a RemoteError, nothing else."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jamid.accounts.archive import Archive, open_archive
from jamid.accounts.config_file import load_yaml_map, parse_config
from jamid.accounts.contacts import ContactList, parse_contacts
from jamid.accounts.declined import DeclinedRequests
from jamid.accounts.json_reader import read_json
from jamid.accounts.known_devices import KnownDevices
from jamid.accounts.linking_wire import LinkAddress, LinkReader
from jamid.accounts.managed_client import Enrolment, _prescribed, _token
from jamid.accounts.message_store import Outbox, SeenTokens
from jamid.accounts.message_wire import ChannelMessageReader, ImMessage
from jamid.accounts.names import _read_record
from jamid.accounts.nameserver.registration import read_registration
from jamid.accounts.peers import read_revocation_value
from jamid.accounts.receipt import Announcement, Receipt
from jamid.accounts.sync_wire import DeviceSync, SyncReader
from jamid.accounts.trust_requests import PendingRequests, TrustRequest
from jamid.accounts.vcards import Profile
from jamid.core import limits
from jamid.core.errors import LimitError, RemoteError

DATA = Path(__file__).resolve().parents[2] / "data/accounts"
SEEDS = [bytes.fromhex(entry["data_hex"]) for entry in json.loads((DATA / "dht_values.json").read_text()) if "data_hex" in entry] + [
    path.read_bytes() for folder in ("files13", "files17") for path in sorted((DATA / folder).iterdir())
]

PARSERS: dict[str, Callable[[bytes], Any]] = {
    "archive": lambda data: open_archive(gzip.compress(data)),
    "archive file": open_archive,
    "announcement": Announcement.from_packed,
    "config.yml": lambda data: parse_config(data, Path("/x")),
    "contacts": ContactList.from_bytes,
    "declined": DeclinedRequests.from_bytes,
    "device sync": DeviceSync.from_bytes,
    "instant message": ImMessage.from_bytes,
    "known devices": KnownDevices.from_bytes,
    "link": lambda data: LinkReader().feed(data),
    "link address": lambda data: LinkAddress.parse(data.decode("latin-1")),
    "msg channel": lambda data: ChannelMessageReader().feed(data),
    "outbox": Outbox.from_bytes,
    "pending requests": PendingRequests.from_bytes,
    "profile": Profile.from_vcard,
    "receipt": lambda data: Receipt.parse(data.decode("latin-1"), b""),
    "revocation value": read_revocation_value,
    "seen": SeenTokens.from_bytes,
    "sync channel": lambda data: SyncReader().feed(data),
    "trust request": TrustRequest.from_bytes,
    "yaml": load_yaml_map,
}

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=40) | st.binary(max_size=40)
_NAMES = (
    "service conversationId payload confirm invitedMs id msg date datatype dev pk added removed devices peers trust_requests device_name "
    "name sha1 dat body sig owner seq type data t c"
)
known_names = st.sampled_from(_NAMES.split())
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(known_names | st.binary(min_size=20, max_size=32), inner, max_size=6),
    max_leaves=20,
)
mutated = st.builds(
    lambda seed, place, new, cut: seed[: place % (len(seed) + 1)] + new + seed[place % (len(seed) + 1) + cut :],
    st.sampled_from(SEEDS), st.integers(0, 5000), st.binary(max_size=8), st.integers(0, 12),
)  # fmt: skip
inputs = st.binary(max_size=200) | trees.map(lambda tree: msgpack.packb(tree, strict_types=False)) | mutated


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=inputs)
def test_a_result_or_a_remote_error(name: str, data: bytes) -> None:
    try:
        PARSERS[name](data)
    except RemoteError:
        pass


_JSON_NAMES = (
    "ringAccountKey addr owner signature publickey name x certificateChain deviceReceipt receiptSignature nameServer userPhoto "
    "Account.displayName Account.ringtoneEnabled TLS.password access_token expires_in uri added conversationId id dev eth announce"
)
json_names = st.sampled_from(_JSON_NAMES.split())
json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from(["1" * 40, "bob", "\ud83d"])
json_trees = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(json_names, inner, max_size=6),
    max_leaves=10,
)
JSON_PARSERS: dict[str, Callable[[Any], Any]] = {
    "archive": lambda tree: Archive.from_json(json.dumps(tree).encode()),
    "contacts": parse_contacts,
    "enrolment": lambda tree: Enrolment.from_json(tree, "https://example.org"),
    "names": _read_record,
    "prescribed details": _prescribed,
    "receipt": lambda tree: Receipt.parse(json.dumps(tree), b""),
    "registration": lambda tree: read_registration("name", tree, 0),
    "token": _token,
}


@pytest.mark.parametrize("name", JSON_PARSERS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=json_trees)
def test_json_of_any_shape(name: str, tree: Any) -> None:
    tree = read_json(json.dumps(tree))
    if name in ("contacts", "prescribed details") and not isinstance(tree, dict):
        return
    try:
        JSON_PARSERS[name](tree)
    except RemoteError:
        pass


def test_half_a_surrogate_pair_never_gets_further() -> None:
    assert read_json(b'{"a\\ud83d": ["\\uDE00", "\\ud83d\\ude00"]}') == {"a?": ["?", "\U0001f600"]}
    with pytest.raises(RemoteError, match="not JSON"):
        read_json(b"[" * 100_000)


def test_archive_that_inflates_to_gigabytes_is_refused() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(limits.INFLATED_ARCHIVE_BYTES // (1 << 20) + 8)) + bomb.flush()
    assert len(packed) < 200_000
    with pytest.raises(LimitError, match="inflates to more than"):
        open_archive(packed)


def test_yaml_bomb_is_refused() -> None:
    bomb = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    with pytest.raises(RemoteError, match="aliases"):
        load_yaml_map(bomb)


def test_messages_without_end_are_refused() -> None:
    reader = ChannelMessageReader()
    for _ in range(15):
        reader.feed(b"\xdb\x7f\xff\xff\xff" + bytes(64 * 1024))
    with pytest.raises(LimitError, match="more than"):
        reader.feed(bytes(128 * 1024))
