"""Whatever peers send: a message or a RemoteError, nothing else."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from jamid.core.errors import RemoteError
from jamid.swarm import instant, records
from jamid.swarm.commits import parse_commit, parse_message
from jamid.swarm.fetch_pack import FetchPack, Step
from jamid.swarm.generations import unix_time
from jamid.swarm.objects import parse_tree
from jamid.swarm.packs import apply_delta, read_bundle, read_pack
from jamid.swarm.pktline import PktReader
from jamid.swarm.profile import parse_profile
from jamid.swarm.routing import MessageReader
from jamid.swarm.upload_pack import UploadPack

sys.path.insert(0, str(Path(__file__).parents[2] / "vectors" / "swarm"))
from swarm_bundles import DATA

PACK = read_bundle((DATA / "gen13/one_to_one.bundle").read_bytes())[1]


def mutations(original: bytes) -> st.SearchStrategy[bytes]:
    """ORIGINAL with a few bytes changed, cut or doubled."""

    def apply(changes: list[tuple[int, bytes]]) -> bytes:
        data = bytearray(original)
        for position, piece in changes:
            place = position % (len(data) + 1)
            data[place : place + len(piece)] = piece
        return bytes(data)

    return st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(max_size=4)), min_size=1, max_size=4).map(apply)


@given(data=st.one_of(st.binary(max_size=300), mutations(b"tree " + b"a" * 40 + b"\nauthor x <y> 1 +0000\ncommitter x <y> 1 +0000\n\n{}")))
@settings(max_examples=300, deadline=None)
def test_commits(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        parse_commit(data).json()


@given(data=st.one_of(st.binary(max_size=200), st.text().map(str.encode), mutations(b'{"a":[{"b":{}}],"type":"x"}')))
@settings(max_examples=300, deadline=None)
def test_commit_messages(data: bytes) -> None:
    assert isinstance(parse_message(data), dict)
    assert parse_message(b'{"a":' * 5000 + data) == {}


@given(data=st.one_of(st.binary(max_size=200), mutations(b"100644 name\0" + b"x" * 20 + b"40000 d\0" + b"y" * 20)))
@settings(max_examples=300, deadline=None)
def test_trees(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        for name in parse_tree(data):
            assert "/" not in name
            assert name not in (".", "..", ".git")


@given(data=st.one_of(st.binary(max_size=100), mutations(PACK), mutations(PACK[:2000])))
@settings(max_examples=150, deadline=None)
def test_packs(data: bytes) -> None:
    with contextlib.suppress(RemoteError):
        read_pack(data)


@given(data=mutations(PACK[:-20]))
@settings(max_examples=150, deadline=None)
def test_packs_with_a_right_checksum(data: bytes) -> None:
    import hashlib

    with contextlib.suppress(RemoteError):
        read_pack(data + hashlib.sha1(data).digest())


@given(base=st.binary(max_size=50), delta=st.binary(max_size=50))
@settings(max_examples=300, deadline=None)
def test_deltas(base: bytes, delta: bytes) -> None:
    with contextlib.suppress(RemoteError):
        apply_delta(base, delta)
    with contextlib.suppress(RemoteError):
        apply_delta(base, bytes((len(base), 20)) + delta)


git_bytes = st.one_of(
    st.binary(max_size=200),
    mutations(b"0084git-upload-pack /" + b"a" * 40 + b"\0host=" + b"b" * 64 + b"\0" + b"0032want " + b"c" * 40 + b"\n00000009done\n"),
    mutations(b"003d" + b"a" * 40 + b" refs/heads/main\n0000" + b"0008NAK\n" + b"0006\x01x0000"),
)


@given(pieces=st.lists(git_bytes, max_size=4))
@settings(max_examples=300, deadline=None)
def test_git_channels(pieces: list[bytes]) -> None:
    reader, server, client = PktReader(), UploadPack(), FetchPack()
    with contextlib.suppress(RemoteError):
        for piece in pieces:
            list(reader.feed(piece))
    with contextlib.suppress(RemoteError):
        for piece in pieces:
            list(server.feed(piece))
    with contextlib.suppress(RemoteError):
        for piece in pieces:
            client.feed(piece)
            if client.step is Step.CHOOSING:
                client.request([])


TYPES = (
    "application/im-gitmessage-id",
    "application/invite+json",
    "application/invite",
    "application/im-iscomposing+xml",
    "message/imdn+xml",
)


@given(
    mime=st.sampled_from(TYPES), text=st.one_of(st.text(), st.just("[" * 100_000), st.from_regex(r'\{"id":"[0-9a-f]{40}","commit":.*\}'))
)
@settings(max_examples=300, deadline=None)
def test_instant_messages(mime: str, text: str) -> None:
    with contextlib.suppress(RemoteError):
        instant.parse(mime, text)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=10), st.binary(max_size=40), st.just("a" * 40)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["id", "members", "created", "from", "conversationId", "metadatas", "request", "q", "num"]), inner),
    ),
    max_leaves=12,
)


@given(value=values, raw=st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_records_and_routing(value: object, raw: bytes) -> None:
    for data in (value, {"a" * 40: value}, records.unpack(raw)):
        records.read_infos(data)
        records.read_requests(data)
        records.read_statuses(data)
        records.read_waiting(data)
        records.string_map(data)
    reader = MessageReader()
    with contextlib.suppress(RemoteError):
        list(reader.feed(records.pack(value)))
        list(reader.feed(raw))


@given(data=st.binary(max_size=300), text=st.text(max_size=30))
def test_profiles_and_times(data: bytes, text: str) -> None:
    assert isinstance(parse_profile(data), dict)
    assert isinstance(unix_time(text), int)
