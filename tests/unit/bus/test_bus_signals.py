"""Events become the signals of each generation, in order, cleaned of what the bus would not take."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from jamid.bus import library, wire
from jamid.core.signals import (
    AccountsChanged,
    CallStateChanged,
    ConferenceCreated,
    IncomingCallWithMedia,
    IncomingTrustRequest,
    MessageReceived,
    NewBuddyNotification,
    OnRtcpReportReceived,
    RegisteredNameFound,
    SwarmLoaded,
    SwarmMessage,
    SwarmMessageReceived,
    UserSearchEnded,
)
from tests.private_bus import Client, Served

MESSAGE = SwarmMessage("id", "text/plain", "older", {"body": "hi"}, [{"id": "r"}], [], {"u" * 40: 3})
SEVEN = "(sssa{ss}aa{ss}aa{ss}a{si})"
EIGHT = "(sssa{ss}aa{ss}aa{ss}a{si}a{ss})"
PLAIN = ["id", "text/plain", "older", {"body": "hi"}, [{"id": "r"}], [], {"u" * 40: 3}]

FORMS: list[tuple[Any, list[tuple[str, str, list[Any]]], list[tuple[str, str, list[Any]]], int]] = [
    (
        ConferenceCreated("a", "conv", "conf"),
        [("conferenceCreated", "ss", ["a", "conf"])],
        [("conferenceCreated", "sss", ["a", "conv", "conf"])],
        2,
    ),
    (
        IncomingCallWithMedia("a", "c", "peer", [{"MUTED": "false"}]),
        [("incomingCallWithMedia", "sssaa{ss}", ["a", "c", "peer", [{"MUTED": "false"}]])],
        [("incomingCall", "sssaa{ss}", ["a", "c", "peer", [{"MUTED": "false"}]])],
        2,
    ),
    (
        RegisteredNameFound("a", "alice", 2, "", ""),
        [("registeredNameFound", "siss", ["a", 2, "", "alice"])],
        [("registeredNameFound", "ssiss", ["a", "alice", 2, "", ""])],
        2,
    ),
    (
        RegisteredNameFound("a", "b" * 40, 2, "", ""),
        [("registeredNameFound", "siss", ["a", 2, "b" * 40, ""])],
        [("registeredNameFound", "ssiss", ["a", "b" * 40, 2, "", ""])],
        2,
    ),
    (
        RegisteredNameFound("a", "alice", 0, "c" * 40, "alice"),
        [("registeredNameFound", "siss", ["a", 0, "c" * 40, "alice"])],
        [("registeredNameFound", "ssiss", ["a", "alice", 0, "c" * 40, "alice"])],
        2,
    ),
    (
        NewBuddyNotification("a", "u", 2, ""),
        [("newBuddyNotification", "ssbs", ["a", "u", True, ""])],
        [("newBuddyNotification", "ssis", ["a", "u", 2, ""])],
        2,
    ),
    (SwarmMessageReceived("a", "c", MESSAGE), [], [("swarmMessageReceived", f"ss{SEVEN}", ["a", "c", PLAIN])], 2),
    (SwarmLoaded(7, "a", "c", (MESSAGE,)), [], [("swarmLoaded", f"ussa{SEVEN}", [7, "a", "c", [PLAIN]])], 2),
    (MessageReceived("a", "c", {"id": "x"}), [("messageReceived", "ssa{ss}", ["a", "c", {"id": "x"}])], [], 1),
    (AccountsChanged(), [("accountsChanged", "", [])], [("accountsChanged", "", [])], 1),
    (
        IncomingTrustRequest("a", "c", "f", b"\x00\xff", 5),
        [("incomingTrustRequest", "sssayt", ["a", "c", "f", b"\x00\xff", 5])],
        [("incomingTrustRequest", "sssayt", ["a", "c", "f", b"\x00\xff", 5])],
        1,
    ),
]


@pytest.mark.parametrize("level", ["13", "17", "both"])
async def test_each_level_has_its_forms(bus: str, level: str) -> None:
    async with Served(bus, api_level=level) as served:
        for event, old, new, count in FORMS:
            served.client.signals.clear()
            served.events.publish(event)
            await served.client.ping()
            seen = served.client.signals
            if level == "both":
                assert len(seen) == count
                assert all(one in seen for one in (*old, *new))
            else:
                assert seen == (old if level == "13" else new)


async def test_eight_member_form_for_clients_that_want_it(bus: str) -> None:
    async with Served(bus) as served:
        served.events.publish(SwarmMessageReceived("a", "c", MESSAGE))
        await served.client.ping()
        assert ("swarmMessageReceived", f"ss{EIGHT}", ["a", "c", [*PLAIN, {}]]) in served.client.signals


@pytest.mark.parametrize("count", [0, 1, 3000])
async def test_pages_of_any_length_arrive_in_both_forms(bus: str, count: int) -> None:
    async with Served(bus) as served:
        served.events.publish(SwarmLoaded(7, "a", "c", (MESSAGE,) * count))
        served.events.publish(AccountsChanged())
        seven = ("swarmLoaded", f"ussa{SEVEN}", [7, "a", "c", [PLAIN] * count])
        eight = ("swarmLoaded", f"ussa{EIGHT}", [7, "a", "c", [[*PLAIN, {}]] * count])
        assert await served.client.wait_for(3) == [seven, eight, ("accountsChanged", "", [])]


async def test_other_mappings_and_sequences_are_taken(bus: str) -> None:
    class Details(dict[str, str]):
        pass

    async with Served(bus) as served:
        served.events.publish(UserSearchEnded("a", 0, "q", ({"id": "1"}, Details(id="2"))))
        served.events.publish(OnRtcpReportReceived("c", Details(loss=3)))  # type: ignore[arg-type]
        await served.client.ping()
        assert served.client.signals == [
            ("userSearchEnded", "sisaa{ss}", ["a", 0, "q", [{"id": "1"}, {"id": "2"}]]),
            ("onRtcpReportReceived", "sa{si}", ["c", {"loss": 3}]),
        ]


@pytest.mark.parametrize("name", ["dbus_fast", "dbus_next"])
def test_text_unfit_for_the_bus_is_cleaned(name: str) -> None:
    chosen = library.load(name)
    body = wire.encode_body(chosen, "sa{ss}aa{ss}", ["a\0b", {"k\0": "v\0\ud800"}, [{"ä": "\0"}]])
    message = wire.header(wire.Kind.SIGNAL, path="/a", interface="a.b", member="c", signature="sa{ss}aa{ss}").message(1, body)
    (parsed,) = wire.Framer(chosen).feed(message)
    assert parsed.body == ["ab", {"k": "v?"}, [{"ä": ""}]]


async def test_event_that_fits_no_signature_is_logged_and_the_next_one_goes_out(bus: str, caplog: pytest.LogCaptureFixture) -> None:
    async with Served(bus) as served:
        with caplog.at_level(logging.ERROR):
            served.events.publish(CallStateChanged("a", "c", "CURRENT", 2**40))
            served.events.publish(AccountsChanged())
        await served.client.ping()
        assert [member for member, _, _ in served.client.signals] == ["accountsChanged"]
        assert "CallStateChanged cannot be sent" in caplog.text


async def test_events_of_other_threads_are_sent_by_the_loop(bus: str) -> None:
    async with Served(bus) as served:
        thread = threading.Thread(target=lambda: [served.events.publish(CallStateChanged("a", str(n), "X", 0)) for n in range(50)])
        thread.start()
        await asyncio.to_thread(thread.join)
        signals = await served.client.wait_for(50)
        assert [arguments[1] for _, _, arguments in signals] == [str(number) for number in range(50)]


async def test_burst_of_one_turn_arrives_in_order_at_a_quick_and_a_slow_listener(bus: str) -> None:
    async with Served(bus) as served:
        slow = await Client.connect(bus)
        slow.pause()
        for number in range(5000):
            served.events.publish(CallStateChanged("a", str(number), "CURRENT" * 20, 0))
        await served.client.wait_for(5000, 30)
        slow.resume()
        await slow.wait_for(5000, 30)
        expected = [str(number) for number in range(5000)]
        assert [arguments[1] for _, _, arguments in served.client.signals] == expected
        assert [arguments[1] for _, _, arguments in slow.signals] == expected
        await slow.close()


def test_library_is_loaded_without_its_clients_and_still_whole_for_others() -> None:
    code = """
import sys
from jamid.bus import library, wire
body = wire.encode_body(library.load("dbus_fast"), "s", ["x"])
assert "dbus_fast.message_bus" not in sys.modules and "dbus_fast" not in sys.modules
from dbus_fast import Message
from dbus_fast.aio import MessageBus
assert library.load("dbus_fast").encode_body("s", ["x"]) == body
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
