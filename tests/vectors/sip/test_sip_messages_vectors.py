"""Every SIP message that real daemons wrote can be read and is written back byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jamid.sip.headers import address_of, branch_of
from jamid.sip.messages import MessageStream, parse_message

DATA = Path(__file__).parents[2] / "data" / "calls"
FILES = sorted(DATA.glob("g1*/sip/*.json"))


def messages(file: Path) -> list[bytes]:
    return [entry["raw"].encode() for entry in json.loads(file.read_text()) if "raw" in entry]


def test_there_are_vectors() -> None:
    assert len(FILES) == 18


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parts[-3]}-{file.stem}")
def test_messages_survive_a_round_trip(file: Path) -> None:
    for raw in messages(file):
        message = parse_message(raw)
        # The registrar of the SIP account scenario is not Jami's and pads nothing.
        assert bytes(message) in (raw, raw.replace(b"Content-Length: 0", b"Content-Length:  0"))
        assert branch_of(message).startswith("z9hG4bK")
        assert address_of(message, "From").tag


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_a_stream_may_be_cut_anywhere(size: int) -> None:
    raws = messages(DATA / "g13" / "sip" / "audio_call_full.json")
    stream, found = MessageStream(), []
    joined = b"\r\n\r\n".join(raws)
    for start in range(0, len(joined), size):
        found += stream.feed(joined[start : start + size])
    assert [bytes(message) for message in found] == raws
