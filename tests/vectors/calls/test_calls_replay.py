"""Real daemons of both generations, played back: what their callers sent is sent to ours, which does what their callees did."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from jamid.core.signals import MediaChangeRequested
from jamid.sip.headers import address_of, branch_of
from jamid.sip.messages import Message, MessageStream, Request, Response, parse_message
from tests.support.calls.lab import FakeChannel, FakePeer, Lab, Node

DATA = Path(__file__).parents[2] / "data" / "calls"
FILES = [file for file in sorted(DATA.glob("g1*/sip/*.json")) if file.stem not in ("sip_accounts_udp", "sip_17_with_13", "group_swarm_uri")]


def calls_of(file: Path) -> dict[str, list[tuple[str, Message]]]:
    """(sender, message) of every call by Call-ID, of those that began in the recording."""
    calls: dict[str, list[tuple[str, Message]]] = {}
    for entry in json.loads(file.read_text()):
        if "raw" in entry:
            message = parse_message(entry["raw"].encode())
            calls.setdefault(message.call_id, []).append((entry["sender"], message))
    return {key: found for key, found in calls.items() if isinstance(found[0][1], Request) and found[0][1].method == "INVITE"}


CALLS = [(file, call_id) for file in FILES for call_id in calls_of(file)]


class Caller:
    """The recorded caller at the other end of a channel."""

    def __init__(self, node: Node, uri: str) -> None:
        peer = FakePeer("f" * 64, uri)
        self.channel, theirs = FakeChannel(peer), FakeChannel(peer)
        self.channel.far, theirs.far = theirs, self.channel
        node.account.sip.opened(theirs)
        self.answers: list[Response] = []
        self.requests: list[Request] = []
        self.tag = ""
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        stream = MessageStream()
        while data := await self.channel.read():
            for message in stream.feed(data):
                if isinstance(message, Response):
                    self.answers.append(message)
                    self.tag = address_of(message, "To").tag or self.tag
                else:
                    self.requests.append(message)

    def send(self, request: Request) -> None:
        headers = request.headers
        if ";tag=" in headers.get("To"):
            headers = headers.setting("To", f"{headers.get('To').partition(';tag=')[0]};tag={self.tag}")
        self.channel.write_nowait(bytes(Request(headers, request.body, method=request.method, uri=request.uri)))

    def final(self, request: Request) -> int:
        """The final status that REQUEST got, 0 while there is none."""
        found = [each.status for each in self.answers if branch_of(each) == branch_of(request) and each.cseq == request.cseq]
        return next((status for status in found if status >= 200), 0)


@pytest.mark.parametrize(("file", "call_id"), CALLS, ids=[f"{file.parts[-3]}-{file.stem}-{call_id[:4]}" for file, call_id in CALLS])
async def test_replay(lab: Lab, settle: Any, file: Path, call_id: str) -> None:
    messages = calls_of(file)[call_id]
    caller_name, invite = messages[0]
    assert isinstance(invite, Request)
    node = lab.add("b", "b")
    node.account.uri = address_of(invite, "To").user.rpartition("/")[0].split("/")[1] if "/" in address_of(invite, "To").user else "b" * 40
    caller = Caller(node, address_of(invite, "From").user)
    sent: list[Request] = []
    for sender, message in messages:
        if sender == caller_name and isinstance(message, Request):
            if message.method == "INVITE" and sent:
                # One re-INVITE after the other, as the recorded ones were.
                await until(lambda: caller.final([each for each in sent if each.method == "INVITE"][-1]), node)
            caller.send(message)
            sent.append(message)
        elif sender != caller_name and isinstance(message, Response) and message.cseq == invite.cseq and message.status >= 200:
            await do_as_recorded(node, message.status)
        elif sender != caller_name and isinstance(message, Request) and message.method == "BYE":
            for each in node.calls.ids(""):
                node.calls.hang_up(node.account.id, each)
        await pause()
        answer_questions(node)
    await settle()
    if "/" in address_of(invite, "To").user:
        # A group that nobody here is in.
        assert caller.final(invite) == 481
        return
    for request in sent:
        if request.method not in ("ACK", "INVITE"):
            assert caller.final(request) in (200, 202) or (request.method != "CANCEL" and caller.final(request) == 481), request.first_line
    answers = [each for sender, each in messages if sender != caller_name and isinstance(each, Response) and each.cseq == invite.cseq]
    if any(each.status == 200 for each in answers):
        assert ("CURRENT", 0) in node.states()
        assert caller.final(invite) == 200
    ended = any(isinstance(message, Request) and message.method in ("BYE", "CANCEL") for _, message in messages)
    if ended or caller.final(invite) >= 300:
        assert node.calls.ids("") == []
        assert node.states()[-1][0] == "OVER"


async def pause() -> None:
    for _ in range(3):
        await asyncio.sleep(0.002)
        for _ in range(10):
            await asyncio.sleep(0)


async def do_as_recorded(node: Node, status: int) -> None:
    for each in node.calls.ids(""):
        if status == 200:
            node.calls.accept(node.account.id, each)
        elif status == 481:
            node.calls.hang_up(node.account.id, each)
        elif status != 487:
            node.calls.refuse(node.account.id, each)


def answer_questions(node: Node) -> None:
    for asked in node.of(MediaChangeRequested):
        node.calls.answer_media_change(node.account.id, asked.call_id, asked.media_list)


async def until(done: Any, node: Node) -> None:
    for _ in range(200):
        answer_questions(node)
        if done():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("a re-INVITE was never answered")
