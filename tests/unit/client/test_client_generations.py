"""What the client asks daemons of 13.7 and of 17 that differ, and of calls that come to nothing."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import pytest

from jamid.client.accounts import Accounts
from jamid.client.calls import Calls
from jamid.client.commands.calls import answer, place
from jamid.client.commands.main import Context
from jamid.client.commands.messages import react, send
from jamid.client.commands.output import Output
from jamid.client.events import EventStream, MessageEdited, ReactionAdded
from jamid.client.jami import Jami
from jamid.client.messages import Message
from jamid.client.names import Names
from jamid.core.errors import LocalError, NotFoundError

PEER, COMMIT = "b" * 40, "c" * 40


class Daemon:
    """A daemon that declares MEMBERS (name to signature), answers as REPLIES say, and keeps what it was asked."""

    def __init__(self, members: dict[str, str], replies: dict[str, Any] | None = None) -> None:
        self._members, self._replies = members, replies or {}
        self._handlers: list[Any] = []
        self.asked: list[tuple[Any, ...]] = []

    async def declares(self, interface: str, member: str, signature: str | None = None) -> bool:
        return member in self._members and signature in (None, self._members[member])

    async def call(self, interface: str, method: str, signature: str = "", *arguments: Any) -> Any:
        self.asked.append((method, *arguments))
        reply = self._replies.get(method, True)
        return reply() if callable(reply) else reply

    async def listen(self, handler: Any) -> Any:
        self._handlers.append(handler)
        return lambda: self._handlers.remove(handler)

    def send(self, interface: str, member: str, *arguments: Any) -> None:
        for handler in tuple(self._handlers):
            handler(interface, member, self._members[member], list(arguments))


@pytest.mark.parametrize("form", ["sss", "ssss"], ids=["13", "17"])
async def test_methods_with_two_forms_are_asked_in_the_declared_one(form: str, tmp_path: Path) -> None:
    """13.7 takes surplus arguments and would read a scheme as the password."""
    archive = tmp_path / "archive.gz"
    daemon = Daemon(
        {"exportToFile": form, "registerName": form, "nameRegistrationEnded": "sis"},
        {
            "exportToFile": lambda: archive.write_bytes(b"x") > 0,
            "registerName": lambda: daemon.send("ConfigurationManager", "nameRegistrationEnded", "acc", 0, "alice") or True,
        },
    )
    await Accounts(daemon).export("acc", archive, "secret")  # type: ignore[arg-type]
    await Names(daemon).register("acc", "alice", "secret")  # type: ignore[arg-type]
    if form == "sss":
        assert daemon.asked == [("exportToFile", "acc", str(archive), "secret"), ("registerName", "acc", "secret", "alice")]
    else:
        assert daemon.asked == [
            ("exportToFile", "acc", str(archive), "password", "secret"), ("registerName", "acc", "alice", "password", "secret"),
        ]  # fmt: skip


async def test_an_export_that_wrote_nothing_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="was not exported"):
        await Accounts(Daemon({})).export("acc", tmp_path / "none", "")  # type: ignore[arg-type]


async def test_an_account_that_the_daemon_gave_up_is_no_missing_one() -> None:
    with pytest.raises(LocalError, match="gave the account acc up"):
        await Accounts(Daemon({}, {"getAccountDetails": {}})).wait_ready("acc", 1)  # type: ignore[arg-type]


async def test_a_file_is_played_from_when_the_player_has_opened_it() -> None:
    daemon = Daemon(
        {"createMediaPlayer": "s", "fileOpened": "sa{ss}"},
        {"createMediaPlayer": lambda: daemon.send("VideoManager", "fileOpened", "/tone.wav", {}) or "file:///tone.wav"},
    )
    assert await Calls(daemon).start_playing(Path("/tone.wav"))  # type: ignore[arg-type]
    assert daemon.asked == [("createMediaPlayer", "file:///tone.wav"), ("pausePlayer", "file:///tone.wav", False)]
    assert not await Calls(Daemon({})).start_playing(Path("/tone.wav"))  # type: ignore[arg-type]


async def test_edits_and_reactions_of_17_are_told_and_shown() -> None:
    daemon = Daemon({"swarmMessageUpdated": "ss(sssa{ss}aa{ss}aa{ss}a{si})", "reactionAdded": "sssa{ss}"})

    def update(body: str, *editions: dict[str, str]) -> None:
        structure = (COMMIT, "text/plain", "", {"body": body}, [{"body": "👍"}], list(editions), {})
        daemon.send("ConfigurationManager", "swarmMessageUpdated", "acc", "conv", structure)

    async with EventStream[MessageEdited | ReactionAdded](daemon, [MessageEdited, ReactionAdded]) as events:  # type: ignore[arg-type]
        update("only moved in the history")
        update("new", {"body": "old"})
        update("", {"body": "new"}, {"body": "old"})
        daemon.send("ConfigurationManager", "reactionAdded", "acc", "conv", COMMIT, {"body": "❤", "react-to": COMMIT, "type": "text/plain"})
        told = [(await events.wait(seconds=1)).message.summary() for _ in range(3)]
    assert told == ["new [edited] 👍", "[deleted] 👍", f"[reaction to {COMMIT[:8]}] ❤"]
    assert Message.from_map({"type": "text/plain", "body": "plain"}).summary() == "plain"


async def test_a_call_that_nobody_answers_in_time_is_ended() -> None:
    daemon = Daemon({"callStateChanged": "sssi"}, {"getAccountList": ["acc"], "placeCallWithMedia": "7"})
    arguments = argparse.Namespace(account="", peer=PEER, play=None, record=None, seconds=0, timeout=0.05)
    with pytest.raises(TimeoutError):
        await place(Context(Jami(daemon), arguments, Output(as_json=False)))  # type: ignore[arg-type]
    assert daemon.asked[-1] == ("hangUp", "acc", "7")


async def test_answering_for_ever_goes_on_when_a_caller_gives_up() -> None:
    answers = iter([False, True])
    daemon = Daemon(
        {"callStateChanged": "sssi", "incomingCall": "sssaa{ss}"}, {"getAccountList": ["acc"], "acceptWithMedia": lambda: next(answers)}
    )
    arguments = argparse.Namespace(account="", peer="", play=None, record=None, seconds=0, timeout=1, forever=True)
    output = Output(as_json=True)
    told: list[Any] = []
    output.one = lambda value, text: told.append(value)  # type: ignore[method-assign]
    task = asyncio.create_task(answer(Context(Jami(daemon), arguments, output)))  # type: ignore[arg-type]
    for call in ("1", "2"):
        await asyncio.sleep(0.01)
        daemon.send("CallManager", "incomingCall", "acc", call, PEER, [])
    await asyncio.sleep(0.01)
    daemon.send("CallManager", "callStateChanged", "acc", "2", "CURRENT", 0)
    daemon.send("CallManager", "callStateChanged", "acc", "2", "OVER", 0)
    await asyncio.sleep(0.01)
    task.cancel()
    assert [(one["call"], one["answered"]) for one in told] == [("2", True)]


@pytest.mark.parametrize("command", [send, react])
async def test_what_is_no_message_is_neither_answered_nor_reacted_to(command: Any) -> None:
    """Daemons drop such a message and say nothing."""
    daemon = Daemon(
        {"loadConversationMessages": "sssu", "conversationLoaded": "ussaa{ss}"},
        {
            "getAccountList": ["acc"], "getConversations": ["conv"],
            "loadConversationMessages": lambda: daemon.send("ConfigurationManager", "conversationLoaded", 1, "acc", "conv", []) or 1,
        },
    )  # fmt: skip
    arguments = argparse.Namespace(
        account="", conversation="conv", text="hello", reply_to=COMMIT, message=COMMIT, emoji="👍", timeout=1
    )  # fmt: skip
    with pytest.raises(NotFoundError, match="there is no message"):
        await command(Context(Jami(daemon), arguments, Output(as_json=False)))  # type: ignore[arg-type]
    assert "sendMessage" not in [method for method, *_ in daemon.asked]
