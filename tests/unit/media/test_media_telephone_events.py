from __future__ import annotations

import pytest

from jamid.core.errors import RemoteError
from jamid.media.telephone_events import DIGITS, EventReceiver, EventSender, TelephoneEvent, parse_event, write_event


def test_media_event_payload_round_trip() -> None:
    event = TelephoneEvent(11, True, 10, 2000)
    assert write_event(event).hex() == "0b8a07d0"
    assert parse_event(write_event(event)) == event
    with pytest.raises(RemoteError, match="too short"):
        parse_event(b"\0\0\0")


def test_media_a_key_is_one_start_growing_duration_and_three_ends() -> None:
    sender = EventSender()
    sender.press("5x", 100)
    packets = []
    while not sender.idle:
        payload = sender.next_payload()
        assert payload is not None
        packets.append(payload)
    events = [parse_event(payload) for payload, _, _ in packets]
    assert [event.event for event in events] == [DIGITS.index("5")] * 7
    assert [event.duration for event in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [event.end for event in events] == [False] * 4 + [True] * 3
    assert [marker for _, marker, _ in packets] == [True] + [False] * 6
    # All packets of a key carry the time at which it went down.
    assert [frames for _, _, frames in packets] == list(range(7))


def test_media_a_key_is_told_once_also_when_its_end_is_lost() -> None:
    receiver = EventReceiver()
    start = write_event(TelephoneEvent(1, False, 10, 160))
    end = write_event(TelephoneEvent(1, True, 10, 800))
    assert receiver.take(start, 100, 1.0) == []
    assert receiver.take(end, 100, 1.1) == [("1", 100)]
    assert receiver.take(end, 100, 1.12) == []
    assert receiver.take(start, 900, 2.0) == []
    assert receiver.expire(2.1) == []
    assert receiver.expire(2.3) == [("1", 20)]
    assert receiver.expire(9.0) == []


def test_media_events_beyond_the_keys_are_ignored() -> None:
    receiver = EventReceiver()
    assert receiver.take(write_event(TelephoneEvent(40, True, 10, 800)), 5, 0.0) == []
