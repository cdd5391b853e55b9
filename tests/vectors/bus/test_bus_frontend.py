"""The Qt client of Debian, replayed: everything it calls is answered in the type it waits for, everything it listens to exists."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from jamid.app.options import Options
from jamid.app.wiring import Daemon
from jamid.bus import contract
from jamid.bus.signature import split
from jamid.core.paths import Paths
from tests.private_bus import Client

DATA = Path(__file__).parents[2] / "data" / "bus"
SESSIONS = ("frontend-qt2023-first-start-and-account-creation.jsonl", "frontend-qt2023-start-with-account-chat-call.jsonl")
NOT_REPLAYED = ("Instance.Unregister", "ConfigurationManager.addAccount")
"""the end of the session; an account that would go online"""


def events(session: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / session).read_text().splitlines()]


def whole(value: Any, complete_type: str) -> bool:
    """Whether a recorded argument was not shortened to a description of itself."""
    if complete_type.startswith("a{"):
        return isinstance(value, dict)
    if complete_type.startswith("a"):
        return isinstance(value, list) and all(whole(item, complete_type[1:]) for item in value)
    return not isinstance(value, str) or "...(" not in value


@pytest.mark.parametrize("session", SESSIONS)
def test_everything_it_listens_to_and_hears_is_declared(session: str) -> None:
    contracts = contract.load()
    for event in events(session):
        name = event.get("subscribe") or event.get("signal")
        if name is not None:
            interface, _, signal = name.partition(".")
            forms = contracts[interface].signals[signal]
            assert "signal" not in event or event["sig"] in [form.in_signature for form in forms if "13" in form.generations]


@pytest.mark.parametrize("session", SESSIONS)
async def test_everything_it_calls_is_answered(session: str, bus: str, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "config", tmp_path / "data", tmp_path / "cache")
    daemon = Daemon(Options(bus=bus, persistent=True), request_stop=lambda reason, code=0: None, paths=paths)
    await daemon.start()
    client = await Client.connect(bus)
    contracts = contract.load()
    replayed = 0
    for event in events(session):
        name = event.get("call")
        if name is None or name in NOT_REPLAYED or not name[0].isupper():
            continue
        interface, _, method = name.partition(".")
        if interface not in contracts or not isinstance(event["args"], list):
            continue
        types = split(event["sig"])
        if len(types) != len(event["args"]) or not all(whole(value, one) for value, one in zip(event["args"], types, strict=True)):
            continue
        form = contracts[interface].find_method(method, event["sig"])
        assert form is not None, name
        arguments = [bytes_of(value, one) for value, one in zip(event["args"], types, strict=True)]
        reply = await asyncio.wait_for(client.call(name, event["sig"], *arguments), 10)
        assert form.out_signature == event.get("reply_sig", form.out_signature), name
        assert len(reply) == len(form.out_types)
        replayed += 1
    await client.close()
    await daemon.stop(2)
    assert replayed > 40


def bytes_of(value: Any, complete_type: str) -> Any:
    return bytes(value) if complete_type == "ay" and isinstance(value, list) else value


async def test_device_without_which_it_does_not_start(bus: str, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "config", tmp_path / "data", tmp_path / "cache")
    daemon = Daemon(Options(bus=bus, persistent=True), request_stop=lambda reason, code=0: None, paths=paths)
    await daemon.start()
    client = await Client.connect(bus)
    (settings,) = await client.call("VideoManager.getSettings", "s", "desktop")
    await client.close()
    await daemon.stop(2)
    assert settings == {"channel": "", "id": "desktop", "input": "desktop", "name": "desktop", "rate": "30", "size": "0x0"}
