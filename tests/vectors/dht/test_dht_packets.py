"""Every captured packet decodes and re-encodes to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jamid.dht.decode import decode
from jamid.dht.values import pack_value, unpack_value
from jamid.dht.wire import encode

DATA = Path(__file__).parents[2] / "data" / "dht"
PACKETS: list[dict[str, Any]] = json.loads((DATA / "packets.json").read_text())
SESSIONS = ("session-3nodes.jsonl", "session-jamid-13.7.0.jsonl", "gen17-session-17.jsonl")


def payloads(entry: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(text if isinstance(text, str) else text["hex"]) for text in entry.get("packets") or [entry["hex"]]]


@pytest.mark.parametrize("entry", PACKETS, ids=lambda entry: entry["name"])
def test_packet_reencodes(entry: dict[str, Any]) -> None:
    for payload in payloads(entry):
        assert encode(decode(payload)) == [payload]


@pytest.mark.parametrize("name", SESSIONS)
def test_session_reencodes(name: str) -> None:
    lines = (DATA / name).read_text().splitlines()
    assert len(lines) > 40
    for line in lines:
        payload = bytes.fromhex(json.loads(line)["hex"])
        assert encode(decode(payload)) == [payload]


def test_fragmented_put_is_cut_as_the_real_node_cuts_it() -> None:
    entry = next(entry for entry in PACKETS if entry["name"] == "fragmented-put-certificate-2.4.12")
    packets = payloads(entry)
    chunks = [decode(packet) for packet in packets[1:]]
    packed = b"".join(chunk.chunks[0][2] for chunk in chunks)  # type: ignore[union-attr]
    value = unpack_value(packed)
    assert pack_value(value) == packed
    header = decode(packets[0])
    from dataclasses import replace

    assert encode(replace(header, sizes=(), values=(value,))) == [packets[0], *(p.replace(b"\xa1v\xa4RNG1", b"") for p in packets[1:])]  # type: ignore[call-arg]
