from __future__ import annotations

import numpy as np
import pytest

from jamid.core.errors import LocalError
from jamid.media.tones import Tone, ToneGenerator, key_definition, parse_tone, tone_definition
from tests.support.media.sound import share_of


def test_media_unknown_regions_have_north_american_tones() -> None:
    assert tone_definition("Atlantis", Tone.DIAL) == "350+440"
    assert tone_definition("France", Tone.RINGBACK) == "440/1500,0/3500"


def test_media_tone_has_its_frequencies_its_level_and_no_seam() -> None:
    generator = ToneGenerator("350+440")
    samples = np.concatenate([generator.read() for _ in range(120)])
    assert 4000 < samples.max() <= 4096
    assert share_of(samples, 350, 3) + share_of(samples, 440, 3) > 0.999


def test_media_cadence_is_kept_over_frames() -> None:
    generator = ToneGenerator("480+620/500,0/500")
    loud = [bool(np.abs(generator.read()).max() > 100) for _ in range(100)]
    assert loud == ([True] * 25 + [False] * 25) * 2


def test_media_tone_once_through_ends() -> None:
    generator = ToneGenerator("440/50", once=True)
    frames = []
    while not generator.ended:
        frames.append(generator.read())
    assert len(frames) == 3
    assert not frames[2][480:].any()


def test_media_tone_definitions_shorter_than_a_frame_repeat() -> None:
    generator = ToneGenerator("1000/7")
    assert [len(generator.read()) for _ in range(5)] == [960] * 5


@pytest.mark.parametrize("text", ["", "x", "440/", "440/-1", "440/0", "99999", "440/40000,440/40000", "440+/5"])
def test_media_what_is_no_tone_is_refused(text: str) -> None:
    if text == "440/":
        assert parse_tone(text)[0].milliseconds == 1000
        return
    with pytest.raises(LocalError, match="is no tone"):
        parse_tone(text)


def test_media_key_tones() -> None:
    assert key_definition("5", 250) == "770+1336/250"
    assert key_definition("d", 100) == "941+1633/100"
    assert key_definition("x", 100) is None
    assert key_definition("", 100) is None
