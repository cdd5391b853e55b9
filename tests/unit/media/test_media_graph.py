"""Who hears what: priorities at the loudspeaker, rooms with and without the local user, what a recording holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jamid.media.frames import FRAME_SAMPLES, Frame
from jamid.media.graph import DEVICE_BUFFER, Graph
from jamid.media.selected import SelectedOutput
from jamid.media.tones import ToneGenerator
from tests.support.media.sound import Recorder


def level_frame(value: int) -> Frame:
    return np.full((FRAME_SAMPLES, 2), value, np.int16)


class Constant:
    """A source of one value."""

    def __init__(self, value: int, frames: int = 1_000_000) -> None:
        self.frame, self.left = level_frame(value), frames
        self.released = 0

    def read(self) -> Frame | None:
        self.left -= 1
        return self.frame if self.left >= 0 else None

    def release(self) -> None:
        self.released += 1

    def close(self) -> None: ...


class FakeSession:
    """A stream whose peer says one value and that remembers what it was to send."""

    def __init__(self, name: str, said: int | None, room: str = "", muted: bool = False) -> None:
        self.id, self.room, self.muted, self.held = name, room, muted, False
        self.heard = None if said is None else level_frame(said)
        self.sent: list[int | None] = []
        self.own_sink = Recorder()
        self.has_own_sink = False
        self.needs_input = True
        self.measured = 0
        self.audible: bool | None = None

    def listen(self, now: float, *, audible: bool) -> None:
        self.audible = audible

    def own_input(self, selected: Frame | None) -> Frame | None:
        return None if self.muted else selected

    def speak(self, frame: Frame | None, now: float, wall: float) -> None:
        self.sent.append(None if frame is None else int(frame[0, 0]))

    def measure(self, now: float) -> None:
        self.measured += 1

    def close(self) -> None: ...


@pytest.fixture
def told() -> list[Any]:
    return []


@pytest.fixture
def graph(told: list[Any]) -> Graph:
    graph = Graph(lambda callback, args: told.append((callback, args)))
    graph.input, graph.output = Constant(1000), Recorder()  # type: ignore[assignment]
    return graph


def _add(graph: Graph, *sessions: FakeSession) -> None:
    for session in sessions:
        graph.add(session)  # type: ignore[arg-type]


def _heard(graph: Graph) -> int:
    graph.tick(0.0, 0.0)
    frames: list[Frame] = graph.output.frames  # type: ignore[attr-defined]
    return int(frames[-1][-1, 0])


def test_media_two_calls_hear_the_user_and_not_each_other(graph: Graph) -> None:
    first, second = FakeSession("1", 10), FakeSession("2", 200, muted=True)
    _add(graph, first, second)
    assert _heard(graph) == 210
    assert (first.sent, second.sent) == ([1000], [None])
    assert first.own_sink.frames[0][0, 0] == 10


def test_media_members_of_a_room_hear_all_but_themselves(graph: Graph) -> None:
    members = [FakeSession("1", 1, "room"), FakeSession("2", 20, "room"), FakeSession("3", 300, "room"), FakeSession("4", None, "room")]
    stranger = FakeSession("5", 4000)
    _add(graph, *members, stranger)
    assert _heard(graph) == 4321
    assert [member.sent[0] for member in members] == [1320, 1301, 1021, 1321]
    assert stranger.sent == [1000]


def test_media_the_local_user_can_leave_a_room_that_goes_on(graph: Graph) -> None:
    first, second = FakeSession("1", 1, "room"), FakeSession("2", 20, "room")
    _add(graph, first, second)
    graph.set_host("room", False)
    assert _heard(graph) == 0
    assert (first.sent, second.sent) == ([20], [1])
    graph.set_host("room", True)
    assert _heard(graph) == 21
    assert (first.sent[-1], second.sent[-1]) == (1020, 1001)


def test_media_a_room_in_which_only_one_speaks(graph: Graph) -> None:
    first, second = FakeSession("1", 1, "room"), FakeSession("2", None, "room")
    _add(graph, first, second)
    _heard(graph)
    assert (first.sent, second.sent) == ([1000], [1001])


def test_media_loud_rooms_saturate(graph: Graph) -> None:
    _add(graph, *(FakeSession(str(number), 30000, "room") for number in range(3)))
    assert _heard(graph) == 32767


def test_media_urgent_sounds_come_before_tones_before_everything_else(graph: Graph) -> None:
    _add(graph, FakeSession("1", 10))
    graph.players["file"] = Constant(200)
    assert _heard(graph) == 210
    graph.tone = Constant(7)
    assert _heard(graph) == 7
    graph.urgent = Constant(9, frames=1)
    assert (_heard(graph), _heard(graph)) == (9, 7)
    assert graph.urgent is None
    graph.tone = None
    graph.output_gain = 2.0
    assert _heard(graph) == 420
    graph.output_muted = True
    assert _heard(graph) == 0


def test_media_ringing_goes_to_its_own_device_if_there_is_one(graph: Graph) -> None:
    graph.ringtone = Constant(50)
    assert graph.busy
    assert _heard(graph) == 50
    graph.ringtone_muted = True
    assert _heard(graph) == 0
    graph.ringtone_muted = False
    bell = Recorder()
    graph.ringtone_output = bell  # type: ignore[assignment]
    assert _heard(graph) == 0
    assert bell.frames[-1][0, 0] == 50


def test_media_a_recording_has_each_peer_and_the_user_once(graph: Graph) -> None:
    first, second = FakeSession("1", 1), FakeSession("2", 20, muted=True)
    _add(graph, first, second)
    both, voice, nothing = Recorder(), Recorder(), Recorder()
    graph.recorders = {"call": (both, ("1", "2")), "voice": (voice, ()), "other": (nothing, ("gone",))}
    graph.tick(0.0, 0.0)
    second.muted = False
    graph.tick(0.0, 0.0)
    first.held = True
    graph.tick(0.0, 0.0)
    assert [frame[0, 0] for frame in both.frames] == [1021, 1021, 1021]
    assert [frame[0, 0] for frame in voice.frames] == [1000] * 3
    assert not nothing.samples.any()


def test_media_the_input_is_let_go_when_nobody_needs_it(graph: Graph) -> None:
    session = FakeSession("1", None)
    _add(graph, session)
    graph.input_gain = 0.5
    graph.process = lambda frame: frame + np.int16(100)
    graph.tick(0.0, 0.0)
    assert session.sent == [550]
    graph.input_muted = True
    graph.tick(0.0, 0.0)
    assert session.sent[-1] is None
    session.needs_input = False
    graph.tick(0.0, 0.0)
    assert graph.input.released == 1  # type: ignore[attr-defined]


def test_media_only_what_somebody_hears_is_decoded(graph: Graph) -> None:
    alone, member, filed = FakeSession("1_audio_0", 1), FakeSession("2_audio_0", 2, room="r"), FakeSession("3_audio_0", 3)
    filed.has_own_sink = True
    _add(graph, alone, member, filed)
    graph.output = SelectedOutput()
    graph.tick(0.0, 0.0)
    graph.tick(0.02, 0.02)
    assert [each.audible for each in (alone, member, filed)] == [False, True, True]
    graph.meters = {"1_audio_0"}
    graph.tick(0.04, 0.04)
    assert alone.audible
    graph.meters = set()
    graph.recorders["call"] = Recorder(), ("1_audio_0",)
    graph.tick(0.06, 0.06)
    assert alone.audible


def test_media_meters_tell_the_mean_of_five_frames(graph: Graph, told: list[Any]) -> None:
    _add(graph, FakeSession("1", 3277))
    graph.on_meter = print
    graph.meters = {""}
    for _ in range(5):
        graph.tick(0.0, 0.0)
    assert [(name, round(level, 2)) for _, (name, level) in told] == [(DEVICE_BUFFER, 0.03), ("1", 0.1)]
    told.clear()
    graph.meters = {"1"}
    for _ in range(10):
        graph.tick(0.0, 0.0)
    assert [name for _, (name, _) in told] == ["1", "1"]


def test_media_figures_are_renewed_once_a_second(graph: Graph) -> None:
    session = FakeSession("1", None)
    _add(graph, session)
    for _ in range(150):
        graph.tick(0.0, 0.0)
    assert session.measured == 3


def test_media_a_tone_can_be_what_is_played(graph: Graph) -> None:
    class Once:
        def __init__(self) -> None:
            self.generator = ToneGenerator("440/40", once=True)

        def read(self) -> Frame | None:
            return None if self.generator.ended else self.generator.read()

        def close(self) -> None: ...

    graph.urgent = Once()
    for _ in range(3):
        graph.tick(0.0, 0.0)
    assert not graph.busy
