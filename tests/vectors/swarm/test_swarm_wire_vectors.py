"""Recorded channels and files of both generations: read, answered as recorded, written back to the byte."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from swarm_bundles import load, recorded

from jamid.swarm import instant, records
from jamid.swarm.fetch_pack import FetchPack, Step
from jamid.swarm.generations import unix_time
from jamid.swarm.history import History
from jamid.swarm.packs import read_pack
from jamid.swarm.pktline import PktReader
from jamid.swarm.routing import Find, Found, MessageReader, write_find, write_found
from jamid.swarm.upload_pack import Advertise, Negotiate, SendPack, UploadPack, UpToDate

GENERATIONS = ("gen13", "gen17")


def data_file(generation: str, name: str) -> Any:
    path = Path(__file__).parents[2] / "data" / "swarm" / generation / f"{name}.json"
    return json.loads(path.read_text())


def fetches(generation: str) -> list[list[tuple[str, bytes]]]:
    """Consecutive (direction, bytes) on each recorded channel."""
    entries = data_file(generation, "git_channel")
    streams: dict[tuple[str, str, str], list[tuple[str, bytes]]] = {}
    for entry in entries:
        key = entry["node"], entry.get("session", ""), entry["channel"]
        streams.setdefault(key, []).append((entry["dir"], base64.b64decode(entry["data_b64"])))
    return list(streams.values())


@pytest.mark.parametrize("generation", GENERATIONS)
def test_both_ends_of_recorded_fetches_are_understood(generation: str) -> None:
    packs = kinds = 0
    for stream in fetches(generation):
        opener = stream[0][0]
        assert stream[0][1].startswith(b"0084git-upload-pack /")
        server, client = UploadPack(), FetchPack()
        wanted = ""
        for direction, data in stream:
            if direction == opener:
                for request in server.feed(data):
                    kinds += 1
                    assert isinstance(request, Advertise | Negotiate | SendPack | UpToDate)
                    if isinstance(request, Advertise):
                        client = FetchPack()
                    elif isinstance(request, SendPack):
                        wanted = request.want
                        assert client.head == wanted
                        client.request(request.haves)
            elif client.step in (Step.ADVERTISING, Step.RECEIVING):
                client.feed(data)
                if client.step is Step.DONE:
                    packs += 1
                    assert wanted in {item.oid for item in read_pack(client.pack())}
    assert packs >= 3
    assert kinds > 2 * packs


def test_what_we_ask_is_what_the_real_daemon_asks() -> None:
    for stream in fetches("gen17"):
        conversation, device = stream[0][1][21:61].decode(), stream[0][1][67:131].decode()
        assert FetchPack.begin(conversation, device) == stream[0][1]
        client = FetchPack()
        if stream[1][1].endswith(b"0000") and b"refs/heads/main" in stream[1][1]:
            client.feed(stream[1][1])
            lines = list(PktReader().feed(stream[2][1]))
            haves = [line[5:45].decode() for line in lines if line is not None and line.startswith(b"have ")]
            if lines[-1] == b"done\n" and len(haves) < 20:
                assert client.request(haves) == stream[2][1]


def test_routing_messages_of_17_are_read_and_written() -> None:
    for entry in data_file("gen17", "swarm_frames"):
        raw = bytes.fromhex(entry["hex"])
        if not raw:
            continue  # the end of the channel
        (message,) = MessageReader().feed(raw)
        if isinstance(message, Find):
            assert write_find(message.node, message.count) == raw
        else:
            assert isinstance(message, Found)
            assert write_found(list(message.nodes)) == raw


def test_instant_messages_of_both_generations_are_read_and_written() -> None:
    read = set()
    for entry in data_file("gen17", "msg_frames"):
        decoded = entry["decoded"]
        message = instant.parse(decoded["t"], decoded["c"])
        read.add(type(message))
        if isinstance(message, instant.Composing):
            assert instant.write_composing(message.conversation, message.active) == decoded["c"]
        elif isinstance(message, instant.Receipt):
            assert instant.write_receipt(message.conversation, message.message) == decoded["c"]
        elif isinstance(message, instant.Invitation):
            assert instant.write_invitation(message.conversation, message.metadatas) == decoded["c"]
    for entry in data_file("gen13", "sip_messages"):
        if entry["dir"] == "received" and entry["raw"].startswith("MESSAGE"):
            message = instant.parse(entry["content_type"].removeprefix("Content-Type: "), entry["raw"].partition("\r\n\r\n")[2])
            read.add(type(message))
    assert read >= {instant.Notification, instant.Invitation, instant.Composing, instant.Receipt}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_files_are_read_and_those_of_17_written_back(generation: str) -> None:
    seen = set()
    for path, entry in data_file(generation, "disk_files").items():
        raw = bytes.fromhex(entry if isinstance(entry, str) else entry["hex"])
        name = path.rpartition("/")[2].partition(" ")[0]
        value = records.unpack(raw)
        written: Any = None
        match name:
            case "convInfo":
                infos = records.read_infos(value)
                assert len(infos) == len(value)
                written = records.by_id(infos.values())
            case "convRequests":
                requests = records.read_requests(value)
                assert len(requests) == len(value)
                written = records.by_id(requests.values())
            case "status":
                # Absent and empty mean the same.
                full = {uri: {key: text for key, text in entries.items() if text} for uri, entries in value.items()}
                assert {uri: status.to_map() for uri, status in records.read_statuses(value).items()} == full
                continue
            case "waiting":
                written = {key: waiting.to_map() for key, waiting in records.read_waiting(value).items()}
            case "preferences" | "lastDisplayed":
                written = records.string_map(value)
            case _:
                continue
        seen.add(name)
        if generation == "gen17" or name not in ("convInfo", "convRequests"):
            assert records.pack(written) == raw
    assert seen >= {"convInfo", "convRequests", "waiting", "preferences"}


def test_times_of_both_clocks() -> None:
    assert unix_time("18446744069067296308") == 1795408692
    assert unix_time("1795404298") == 1795404298
    assert unix_time("-1") == unix_time("x") == 0


@pytest.mark.parametrize("name", ["gen17/one_to_one", "gen17/group"])
def test_folding_live_and_loaded_gives_the_same(name: str) -> None:
    """A history that came message by message looks like the same history loaded from its end."""
    from jamid.swarm.commits import parse_commit
    from jamid.swarm.message_maps import message_map

    store, _ = load(name)
    live, loaded = History(), History()
    bodies = []
    for entry in recorded(f"{name}.commits")["commits"]:
        body = message_map(parse_commit(store.read(entry["id"])[1], entry["id"]), entry["author_device"])
        assert body is not None
        bodies.append(body)
    for body in reversed(bodies):
        live.add_new(dict(body))
    for body in bodies:
        loaded.add_old(dict(body))
    assert [m.id for m in live] == [m.id for m in loaded]
    for one, other in zip(live, loaded, strict=True):
        assert one.linearized_parent == other.linearized_parent
        assert (one.body, one.editions) == (other.body, other.editions)
        if one.body.get("body") != "":
            assert sorted(r["id"] for r in one.reactions) == sorted(r["id"] for r in other.reactions)
