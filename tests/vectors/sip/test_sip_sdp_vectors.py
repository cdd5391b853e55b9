"""Every session description that real daemons wrote is understood and written back byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jamid.sip.messages import parse_message
from jamid.sip.sdp import Direction, parse_sdp

DATA = Path(__file__).parents[2] / "data" / "calls"
FILES = sorted(DATA.glob("g1*/sip/*.json"))


def descriptions(file: Path) -> list[bytes]:
    messages = (parse_message(entry["raw"].encode()) for entry in json.loads(file.read_text()) if "raw" in entry)
    return [message.body for message in messages if message.content_type == "application/sdp"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parts[-3]}-{file.stem}")
def test_descriptions_survive_a_round_trip(file: Path) -> None:
    found = descriptions(file)
    assert found or file.stem == "group_swarm_uri"
    for raw in found:
        description = parse_sdp(raw)
        assert bytes(description) == raw
        for media in description.media:
            assert media.kind in ("audio", "video")
            if media.enabled:
                assert media.formats
                assert description.direction_of(media) in Direction
                assert media.profile == "RTP/AVP" or len(media.cryptos) == 1
                assert media.kind == "video" or media.telephone_event == 101


def test_the_first_offer_of_a_video_call() -> None:
    offer = parse_sdp(descriptions(DATA / "g13" / "sip" / "av_call_variants.json")[0])
    audio, video = offer.media
    assert [(each.payload_type, each.encoding, each.clock_rate, each.channels) for each in audio.formats] == [(104, "opus", 48000, 2)]
    assert [(each.payload_type, each.encoding, each.parameters) for each in video.formats] == [
        (96, "H264", "profile-level-id=428029"),
        (97, "VP8", ""),
    ]
    assert len(offer.ice_credentials[0]) == 8
    assert len(offer.ice_credentials[1]) == 24
    assert all(candidate.split()[1] in "12" for candidate in audio.candidates)
    assert all(candidate.split()[1] in "34" for candidate in video.candidates)
    assert len(audio.cryptos[0].key) == 30
    assert audio.cryptos[0].key != video.cryptos[0].key
