from __future__ import annotations

from pathlib import Path

import msgpack
import pytest

from jamid.core import limits
from jamid.core.errors import RemoteError
from jamid.core.generations import Generation
from jamid.net import mux_wire
from jamid.net.hints import Hints
from jamid.net.mux_queue import OutgoingQueue
from jamid.net.mux_wire import MuxParser
from jamid.net.relay import RelayMemory
from jamid.net.requests import TreatedIds
from jamid.net.turn import TurnServer


def order(queue: OutgoingQueue, limit: int = 10**9) -> list[tuple[int, int]]:
    parser = MuxParser()
    found: list[tuple[int, int]] = []
    size = 0
    for frame in queue.next_frames(limit):
        for channel, piece, last in parser.feed(frame):
            size += len(piece)
            if last:
                found.append((channel, size))
                size = 0
    return found


def test_control_then_short_messages_then_bulk_in_turn() -> None:
    queue = OutgoingQueue()
    bulk = mux_wire.BULK_PAYLOAD
    queue.put(7, bytes(2 * bulk))
    queue.put(8, bytes(2 * bulk))
    queue.put(9, b"INVITE")
    queue.put_control(mux_wire.encode_protocol_message(mux_wire.ProtocolMessage(beacon=True)))
    assert order(queue) == [(65535, 4), (9, 6), (7, bulk), (8, bulk), (7, bulk), (8, bulk)]
    assert not queue


def test_end_comes_after_the_data_of_its_channel() -> None:
    queue = OutgoingQueue()
    queue.put(7, bytes(100_000))
    queue.put_end(7)
    assert order(queue)[-1] == (7, 0)
    assert not queue


def test_many_short_writes_become_bulk() -> None:
    queue = OutgoingQueue()
    for _ in range(100):
        queue.put(7, bytes(1000))
    queue.put(9, b"short")
    assert order(queue)[0] == (9, 5)


def test_dropped_channel_sends_nothing() -> None:
    queue = OutgoingQueue()
    queue.put(7, bytes(100_000))
    queue.put(9, b"short")
    queue.drop(7)
    queue.drop(9)
    assert queue.next_frames(10**6) == []


@pytest.mark.parametrize(
    "frame",
    [
        b"\x93\x01\x02\x03",
        b"\x92\xa1x\xc4\x00",
        b"\x92\x01\x05",
        b"\x92\xce\x00\x01\x00\x00\xc4\x00",
    ],
)
def test_other_things_than_frames_end_the_stream(frame: bytes) -> None:
    with pytest.raises(RemoteError, match=r"frame|number|payload"):
        list(MuxParser().feed(frame))


def test_wide_integers_are_accepted() -> None:
    assert list(MuxParser().feed(b"\x92\xcd\x00\x05\xc6\x00\x00\x00\x02ab")) == [(5, b"ab", True)]


def test_control_message_of_the_wrong_kind_is_refused() -> None:
    for content in (["a", 1], ["a", "b", "c"], [1, 2, 3], ["a", 0, 0], ["a", 65535, 0], ["a", 5, 9], ["x" * 5000, 5, 0]):
        with pytest.raises(RemoteError, match=r"channel|control"):
            mux_wire.parse_control(msgpack.packb(content))


def test_treated_ids_survive_and_are_read_in_both_forms(tmp_path: Path) -> None:
    first = TreatedIds(tmp_path)
    first.add(0x1B043A2B7667)
    assert (tmp_path / "treatedMessages").read_bytes() == b"00001b043a2b7667\n"
    assert 0x1B043A2B7667 in TreatedIds(tmp_path)
    entry = b"\x92\xcf" + (77).to_bytes(8, "big") + b"\xd7\xff" + bytes(8)
    (tmp_path / "treatedMessages").write_bytes(entry * 2)
    newer = TreatedIds(tmp_path)
    assert 77 in newer
    newer.add(78)
    again = TreatedIds(tmp_path)
    assert 77 in again
    assert 78 in again


def test_treated_ids_are_bounded(tmp_path: Path) -> None:
    treated = TreatedIds(tmp_path)
    for number in range(limits.TREATED_IDS + 10):
        treated.add(number)
    assert limits.TREATED_IDS + 9 in treated
    assert 0 not in treated
    assert len((tmp_path / "treatedMessages").read_bytes()) <= 17 * limits.TREATED_IDS


def test_unreadable_lines_of_the_file_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "treatedMessages").write_bytes(b"00001b043a2b7667\nnonsense\n\xff\xff\n4d")
    treated = TreatedIds(tmp_path)
    assert 0x4D in treated
    assert 0x1B043A2B7667 in treated


def test_hints_are_bounded_and_keep_the_latest() -> None:
    hints = Hints()
    hints.learn("device", generation=Generation.G13, hosts=[f"10.0.0.{n}" for n in range(40)])
    assert hints.of("device").generation is Generation.G13
    assert list(hints.of("device").hosts)[-1] == "10.0.0.39"
    assert len(hints.of("device").hosts) == limits.KNOWN_ADDRESSES_PER_DEVICE
    assert hints.of("unknown").generation is None


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("turn.jami.net", "turn.jami.net", 3478),
        ("10.0.0.1:99", "10.0.0.1", 99),
        ("[2001:db8::1]:5", "2001:db8::1", 5),
        ("::1", "::1", 3478),
    ],
)
def test_turn_server_of_the_account_details(text: str, host: str, port: int) -> None:
    server = TurnServer.parse(text, "ring", "secret", "ring")
    assert server is not None
    assert (server.host, server.port) == (host, port)
    assert "secret" not in repr(server)
    assert TurnServer.parse(" ", "", "", "") is None


def test_a_dead_relay_is_asked_less_and_less() -> None:
    memory = RelayMemory()
    assert memory.worth_asking(0)
    memory.failed(0)
    assert not memory.worth_asking(9.9)
    assert memory.worth_asking(10)
    memory.failed(10)
    assert not memory.worth_asking(29)
    memory.forget()
    assert memory.worth_asking(11)
    for _ in range(20):
        memory.failed(0)
    assert memory.worth_asking(1800)
