"""What holds for the jitter buffer whatever the network does."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from jamid.media.jitter import CONCEALED_MAX, DEPTH_MAX, MARGIN_MAX, JitterBuffer, Turn

arrivals = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), min_size=1, max_size=120)
"""For each packet: by how many turns it is delayed, and 0 for a lost one."""


def _play(start: int, network: list[tuple[int, int]], extra: int = 10) -> tuple[JitterBuffer, list[tuple[Turn, bytes]]]:
    buffer, turns = JitterBuffer(), []
    for turn in range(len(network) + extra):
        for index, (delay, luck) in enumerate(network):
            if luck and index + delay == turn:
                buffer.put((start + index) & 0xFFFF, index.to_bytes(2, "big"), turn * 0.02)
        turns.append(buffer.get(turn * 0.02))
    return buffer, turns


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 0xFFFF), arrivals)
def test_media_jitter_plays_in_order_and_nothing_twice(start: int, network: list[tuple[int, int]]) -> None:
    _, turns = _play(start, network)
    played = [int.from_bytes(payload, "big") for turn, payload in turns if turn is Turn.PLAY]
    assert played == sorted(set(played))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 0xFFFF), arrivals)
def test_media_jitter_recovers_only_from_the_direct_successor(start: int, network: list[tuple[int, int]]) -> None:
    _, turns = _play(start, network)
    for (turn, payload), (following, next_payload) in itertools.pairwise(turns):
        if turn is Turn.RECOVER and following is Turn.PLAY:
            assert payload == next_payload


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 0xFFFF), arrivals)
def test_media_jitter_falls_silent_when_nothing_comes(start: int, network: list[tuple[int, int]]) -> None:
    _, turns = _play(start, network, extra=12 + DEPTH_MAX + MARGIN_MAX + CONCEALED_MAX + 3)
    assert turns[-1][0] is Turn.SILENCE


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 0xFFFF), st.integers(0, 10))
def test_media_jitter_plays_everything_of_a_steady_stream(start: int, delay: int) -> None:
    network = [(delay, 1)] * 60
    buffer, turns = _play(start, network, extra=delay)
    assert [int.from_bytes(payload, "big") for turn, payload in turns if turn is Turn.PLAY] == list(range(60))
    assert buffer.late == buffer.skipped == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 0xFFFF), max_size=400))
def test_media_jitter_holds_a_bounded_number_of_packets(sequences: list[int]) -> None:
    buffer = JitterBuffer()
    for sequence in sequences:
        buffer.put(sequence, b"x", 0.0)
    assert len(buffer) <= 256


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_media_jitter_follows_a_sender_that_starts_anew(first: int, second: int) -> None:
    buffer = JitterBuffer()
    for index in range(10):
        buffer.put((first + index) & 0xFFFF, b"old", index * 0.02)
        buffer.get(index * 0.02)
    heard = []
    for index in range(80):
        buffer.put((second + index) & 0xFFFF, b"new", 0.2 + index * 0.02)
        heard.append(buffer.get(0.2 + index * 0.02))
    assert heard[-1] == (Turn.PLAY, b"new")
