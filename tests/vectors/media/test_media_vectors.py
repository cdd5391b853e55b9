"""Packets, codecs and tables as real daemons have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jamid.core.errors import RemoteError
from jamid.media import codec_table, rtcp, tones
from jamid.media.codecs import create_decoder
from jamid.media.rtp import parse_rtp, write_rtp
from jamid.media.srtp import SrtpReceiver, SrtpSender, parse_inline

DATA = Path(__file__).parents[2] / "data" / "media"


def _load(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def test_media_srtp_packets_of_real_daemons_open_and_close_to_the_same_bytes() -> None:
    for vector in _load("srtp.json"):
        key = parse_inline("inline:" + vector["key"])
        opened = SrtpReceiver(key).unprotect(bytes.fromhex(vector["srtp"]))
        assert opened == bytes.fromhex(vector["rtp"])
        assert SrtpSender(key).protect(opened) == bytes.fromhex(vector["srtp"])
        packet = parse_rtp(opened)
        assert (packet.payload_type, packet.marker, packet.extension) == (104, True, b"")
        assert write_rtp(packet) == opened
        assert len(create_decoder("opus", 48000).decode(packet.payload)) == 960


def test_media_replayed_and_clear_packets_are_refused() -> None:
    vector = _load("srtp.json")[0]
    receiver = SrtpReceiver(parse_inline("inline:" + vector["key"]))
    receiver.unprotect(bytes.fromhex(vector["srtp"]))
    with pytest.raises(RemoteError, match="replay"):
        receiver.unprotect(bytes.fromhex(vector["srtp"]))
    with pytest.raises(RemoteError, match="refused"):
        receiver.unprotect(bytes.fromhex(vector["rtp"]))


def test_media_sender_reports_of_real_daemons() -> None:
    for vector in _load("rtcp_cleartext.json"):
        data = bytes.fromhex(vector["hex"])
        (report,) = rtcp.parse_rtcp(data)
        assert isinstance(report, rtcp.SenderReport)
        assert report.reports == ()
        assert rtcp.write_sender_report(report) == data


def test_media_receiver_report_and_feedback_of_real_daemons() -> None:
    vectors = _load("rtcp.json")
    expected = vectors["RR+SDES"]
    data = bytes.fromhex(expected["hex"])
    report, description = rtcp.parse_rtcp(data)
    assert isinstance(report, rtcp.ReceiverReport)
    (block,) = report.reports
    assert (block.fraction_lost, block.cumulative_lost, block.highest_sequence) == (1, 2, expected["ext_high_seq"])
    assert (block.jitter, block.last_sender_report, block.delay_since_last) == (217, 0x300C0F1A, 0x00027970)
    assert description == rtcp.SourceDescription(((report.ssrc, "vm"),))
    assert rtcp.write_receiver_report(report) + rtcp.write_source_description(report.ssrc, "vm") == data
    assert rtcp.parse_rtcp(bytes.fromhex(vectors["REMB_decrease"]["hex"])) == [rtcp.RateFeedback(increase=False)]
    assert rtcp.parse_rtcp(rtcp.REMB_INCREASE) == [rtcp.RateFeedback(increase=True)]
    assert rtcp.REMB_INCREASE.hex() == vectors["REMB_increase"]["hex"]


@pytest.mark.parametrize(("name", "codec", "clock"), [("opus", "opus", 48000), ("PCMU", "PCMU", 8000), ("G722", "G722", 8000)])
def test_media_audio_payloads_of_libavformat_decode(name: str, codec: str, clock: int) -> None:
    decoder = create_decoder(codec, clock)
    timestamps, samples = [], 0
    for text in _load("audio_payloads.json")[name]["packets"]:
        packet = parse_rtp(bytes.fromhex(text))
        timestamps.append(packet.timestamp)
        samples = len(decoder.decode(packet.payload))
    ticks = (timestamps[-1] - timestamps[-2]) & 0xFFFFFFFF
    # The last two packets of each capture have the same length.
    assert samples == ticks * 48000 // clock


def test_media_codec_details_are_the_recorded_ones() -> None:
    recorded = _load("codecs.json")
    assert codec_table.all_ids() == recorded["getCodecList"]
    for text, details in recorded["getCodecDetails_without_account"].items():
        codec = codec_table.codec_by_id(int(text))
        assert codec is not None
        assert codec_table.codec_details(codec) == details
    assert codec_table.codec_details(codec_table.H264, of_account=True) == recorded["getCodecDetails_of_account"]["27"]
    assert codec_table.stored_codecs(None) == recorded["getActiveCodecList_of_new_account"]


def test_media_tones_of_all_regions() -> None:
    recorded = _load("tones.json")
    assert {region: list(definitions) for region, definitions in tones.REGIONS.items()} == recorded["zones"]
    assert {key: list(tones.key_frequencies(key) or ()) for key in recorded["dtmf"]} == recorded["dtmf"]
    for definitions in tones.REGIONS.values():
        assert all(tones.parse_tone(definition) for definition in definitions)
