"""Whole calls on a simulated network: what of a tone survives loss, jitter, stalls, hold, mute and restarts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.media.sound import Call, longest_silence, share_of


def _steady(call: Call, end: int, skip: int = 50) -> np.ndarray:
    return np.concatenate(call.heard[end].frames[skip:])


def test_media_tone_crosses_a_clean_network_both_ways() -> None:
    call = Call()
    call.run(4)
    assert share_of(_steady(call, 1), 440) > 0.99
    assert share_of(_steady(call, 0), 880) > 0.99
    statistics = call.sessions[1].statistics
    assert statistics.packets_lost == statistics.packets_refused == statistics.packets_late == 0
    assert statistics.frames_concealed == 0


@pytest.mark.parametrize("seed", range(4))
def test_media_tone_keeps_95_percent_of_its_energy_at_5_percent_loss(seed: int) -> None:
    call = Call(loss=0.05, seed=seed)
    call.run(20)
    heard = _steady(call, 1)
    assert share_of(heard, 440) >= 0.95
    # Nor may it have become softer.
    assert np.sqrt((heard.astype(np.float64) ** 2).mean()) > 0.95 * 8192 / np.sqrt(2)
    assert longest_silence(heard) < 0.06
    assert 3 < call.sessions[1].statistics.loss_percent < 7
    assert call.sessions[1].statistics.frames_concealed > 30


@pytest.mark.parametrize(("codec", "rate", "payload_type"), [("PCMA", 8000, 8), ("PCMU", 8000, 0), ("G722", 8000, 9)])
def test_media_tone_crosses_with_the_codecs_of_telephony(codec: str, rate: int, payload_type: int) -> None:
    call = Call(codec=codec, clock_rate=rate, payload_type=payload_type, encrypted=False)
    call.run(3)
    assert share_of(_steady(call, 1), 440) > 0.99
    assert share_of(_steady(call, 0), 880) > 0.99


@pytest.mark.parametrize("jitter", [0.015, 0.04, 0.08])
def test_media_jitter_is_absorbed_without_gaps(jitter: float) -> None:
    call = Call(jitter=jitter)
    call.run(20)
    heard = _steady(call, 1, skip=250)
    assert longest_silence(heard) < 0.03
    assert share_of(heard, 440) > 0.9
    assert call.sessions[1].statistics.buffer_ms <= 1000 * jitter + 60


def test_media_delay_shrinks_again_after_a_stall() -> None:
    call = Call()
    call.run(2)
    before = call.sessions[1].statistics.buffer_ms
    call.stalled = True
    call.run(0.2)
    call.stalled = False
    call.run(10)
    assert call.sessions[1].statistics.buffer_ms <= before + 45


def test_media_hold_stops_the_packets_and_resume_brings_the_tone_back() -> None:
    call = Call()
    call.run(2)
    call.streams[0].set_held(True)
    call.run(0.1)
    sent = len(call.sent[0])
    heard_frames = len(call.heard[1].frames)
    call.run(2)
    assert len(call.sent[0]) == sent
    assert longest_silence(np.concatenate(call.heard[1].frames[heard_frames:])) > 1.5
    assert longest_silence(np.concatenate(call.heard[0].frames[heard_frames:])) > 1.9
    call.streams[0].set_held(False)
    call.run(2)
    assert share_of(np.concatenate(call.heard[1].frames[-75:]), 440) > 0.99
    assert share_of(np.concatenate(call.heard[0].frames[-75:]), 880) > 0.99
    assert call.sessions[1].statistics.packets_lost == 0


def test_media_mute_sends_silence_and_goes_on_sending() -> None:
    call = Call()
    call.run(1)
    call.streams[0].set_muted(True)
    sent = len(call.sent[0])
    call.run(2)
    assert len(call.sent[0]) - sent == 100
    assert longest_silence(call.heard[1].samples) > 1.7
    call.streams[0].set_muted(False)
    call.run(2)
    assert share_of(np.concatenate(call.heard[1].frames[-75:]), 440) > 0.99


def test_media_pressed_keys_arrive_once_each_in_order_even_at_loss() -> None:
    call = Call(loss=0.1, seed=3)
    call.run(1)
    call.streams[0].send_dtmf("159#", 120)
    call.run(4)
    assert [digit for digit, _ in call.digits[1]] == ["1", "5", "9", "#"]
    assert all(60 <= duration <= 120 for _, duration in call.digits[1])
    assert call.digits[0] == []


def test_media_round_trip_and_loss_are_reported() -> None:
    call = Call(loss=0.1, seed=5)
    call.run(12)
    assert call.reports[0]
    assert 4 < call.sessions[0].statistics.peer_loss_percent + call.reports[0][-1].peer_loss_percent < 60
    assert 0 < call.sessions[0].statistics.round_trip_ms < 60


def test_media_stranger_without_the_key_is_not_heard() -> None:
    call = Call()
    call.run(1)
    forged = bytearray(call.sent[0][-1])
    forged[-1] ^= 1
    clear = bytes(12) + bytes(60)
    for data in (bytes(forged), call.sent[0][0], b"\x80" + clear, b"", bytes(3000)):
        call.streams[1].receive_rtp(data)
    call.run(1)
    assert call.sessions[1].statistics.packets_refused >= 4
    assert share_of(_steady(call, 1), 440) > 0.99


def test_media_peers_of_a_room_hear_everyone_but_themselves() -> None:
    first = Call(sources=("null", "tone:500"), name="first")
    # Both calls' near ends live in one graph, as on the host of a conference.
    second = Call(sources=("null", "tone:1500"), name="second", host=first.graphs[0])
    first.streams[0].join("room")
    second.streams[0].join("room")
    for _ in range(100):
        first.run(0.02)
        second.run(0.02)
    assert share_of(np.concatenate(first.heard[1].frames[-50:]), 1500) > 0.95
    assert share_of(np.concatenate(second.heard[1].frames[-50:]), 500) > 0.95
    local = np.concatenate(first.heard[0].frames[-50:])
    assert share_of(local, 500) > 0.4
    assert share_of(local, 1500) > 0.4
