from __future__ import annotations

import pytest

from jamid.core.errors import LocalError
from jamid.media.inputs import DEVICE, Endpoint, parse_input, parse_output


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("", DEVICE),
        ("camera://Vendor", DEVICE),
        ("display://:0+0,0 640x480", DEVICE),
        ("gibberish", DEVICE),
        ("file://", DEVICE),
        ("null", Endpoint("null")),
        ("file:///srv/a%20b.ogg", Endpoint("file", "/srv/a%20b.ogg")),
        ("file:/srv/a.ogg", Endpoint("file", "/srv/a.ogg")),
        ("once:file:/srv/a.ogg", Endpoint("file", "/srv/a.ogg", once=True)),
        ("pipe:/run/in", Endpoint("pipe", "/run/in")),
        ("tone:480+620/500,0/500", Endpoint("tone", "480+620/500,0/500")),
    ],
)
def test_media_input_strings(text: str, endpoint: Endpoint) -> None:
    assert parse_input(text) == endpoint


def test_media_output_strings() -> None:
    assert parse_output("") == DEVICE
    assert parse_output("null") == Endpoint("null")
    assert parse_output("file:/srv/x.wav") == Endpoint("file", "/srv/x.wav")
    assert parse_output("pipe:///run/{stream}").per_stream
    assert not parse_output("file:/srv/x.wav").per_stream
    with pytest.raises(LocalError, match="no audio output"):
        parse_output("/srv/x.wav")
