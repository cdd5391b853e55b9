from __future__ import annotations

import numpy as np
import pytest

from jamid.media.codecs.g711 import decoding_table, encoding_table
from jamid.media.frames import from_mono, scaled, to_frame, to_mono
from jamid.media.resampling import Decimator, Interpolator
from tests.support.media.sound import share_of, sine


@pytest.mark.parametrize("factor", [3, 6])
def test_media_down_and_up_again_keeps_the_tone_and_its_level(factor: int) -> None:
    down, up = Decimator(factor), Interpolator(factor)
    tone = sine(1000, 0.5)
    frames = [from_mono(up.process(down.process(to_mono(tone[k : k + 960])))) for k in range(0, len(tone), 960)]
    heard = np.concatenate(frames)[4800:]
    assert share_of(heard, 1000) > 0.999
    assert abs(heard.std() / tone[4800:].std() - 1) < 0.01


def test_media_what_the_lower_rate_cannot_hold_is_filtered() -> None:
    down = Decimator(6)
    tone = to_mono(sine(7000, 0.5))
    kept = np.concatenate([down.process(tone[k : k + 960]) for k in range(0, len(tone), 960)])
    assert np.abs(kept[200:]).max() < 30


@pytest.mark.parametrize("law", ["PCMA", "PCMU"])
def test_media_g711_tables_invert_each_other(law: str) -> None:
    decoded = decoding_table(law)
    # Mu-law has a positive and a negative zero; every other code is the nearest to its own value.
    again = encoding_table(law)[decoded.view(np.uint16)]
    assert (decoding_table(law)[again] == decoded).all()
    assert np.abs(decoded.astype(int)).max() == (32256 if law == "PCMA" else 32124)
    samples = np.arange(-32768, 32768, dtype=np.int32)
    error = np.abs(decoded[encoding_table(law)[samples.astype(np.int16).view(np.uint16)]].astype(int) - samples)
    assert (error <= np.maximum(8, np.abs(samples) / 16)).all()


def test_media_sums_saturate() -> None:
    loud = sine(440, 0.02, 30000)
    assert np.abs(to_frame(loud.astype(np.int32) * 3).astype(int)).max() >= 32767
    assert scaled(loud, 10.0).max() == 32767
    assert scaled(loud, 1.0) is loud
