from __future__ import annotations

import pytest

from jamid.media.codec_table import (
    H264,
    OPUS,
    accepted_changes,
    active_codecs,
    audio_offer,
    codec_by_rtpmap,
    codec_details,
    stored_codecs,
)


def test_media_active_list_drops_what_is_unknown_and_keeps_the_order() -> None:
    assert active_codecs([139, 86076, 65542, 69660, 12345, 139]) == [139, 86076, 65542, 69660]


def test_media_jami_accounts_never_lose_audio_or_video() -> None:
    assert active_codecs([65542]) == [27, 139, 65542]
    assert active_codecs([139]) == [139, 86076]
    assert active_codecs([]) == [27, 139, 86076]
    assert active_codecs([], jami=False) == []
    assert stored_codecs(None, jami=False)[4:6] == [86076, 69660]


def test_media_only_codecs_with_an_encoder_are_offered() -> None:
    assert [codec.rtpmap for codec in audio_offer(stored_codecs(None, jami=False))] == [
        "opus/48000/2", "G722/8000", "PCMA/8000", "PCMU/8000",
    ]  # fmt: skip
    # Speex and G.726 are listed as the reference lists them, and nobody here speaks them.
    assert [codec.rtpmap for codec in audio_offer([27, 536956963, 69643])] == ["opus/48000/2"]


def test_media_rtpmap_names_are_compared_with_their_case_and_clock() -> None:
    assert codec_by_rtpmap("opus", 48000) is OPUS
    assert codec_by_rtpmap("OPUS", 48000) is None
    assert codec_by_rtpmap("opus", 8000) is None
    assert codec_by_rtpmap("H264", 90000, video=True) is H264


@pytest.mark.parametrize(
    ("wanted", "accepted"),
    [
        ({"CodecInfo.bitrate": "64"}, None),
        ({"CodecInfo.sampleRate": "48000"}, None),
        ({"CodecInfo.bitrate": "x", "CodecInfo.sampleRate": "48000"}, None),
        ({"CodecInfo.bitrate": "64", "CodecInfo.sampleRate": "48000"}, {"CodecInfo.bitrate": "64", "CodecInfo.sampleRate": "48000"}),
    ],
)
def test_media_audio_details_need_bitrate_and_sample_rate(wanted: dict[str, str], accepted: dict[str, str] | None) -> None:
    assert accepted_changes(OPUS, wanted) == accepted


def test_media_video_details_take_any_of_their_keys() -> None:
    changes = accepted_changes(H264, {"CodecInfo.bitrate": "500", "CodecInfo.name": "x"})
    assert changes == {"CodecInfo.bitrate": "500"}
    assert codec_details(H264, changes)["CodecInfo.bitrate"] == "500"
    assert "CodecInfo.quality" not in codec_details(H264)
