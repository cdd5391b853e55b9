"""Real daemons of both generations, played back as callees: ours calls, and hears what the recorded caller heard."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from jamid.core.signals import IncomingMessage, MediaChangeRequested
from jamid.sip.headers import address_of
from jamid.sip.messages import Headers, Message, MessageStream, Request, Response, parse_message
from jamid.sip.transactions import respond_to
from tests.support.calls.lab import AUDIO, FakeChannel, FakePeer, Lab, Node

DATA = Path(__file__).parents[2] / "data" / "calls"
FILES = [file for file in sorted(DATA.glob("g1*/sip/*.json")) if file.stem not in ("sip_accounts_udp", "sip_17_with_13", "group_swarm_uri")]
TAG = "recorded-tag"
KEPT = ("User-Agent", "Allow", "Supported", "Contact", "Content-Type")


def calls_of(file: Path) -> dict[str, list[tuple[str, Message]]]:
    """(sender, message) of every call by Call-ID, of those that were answered, with audio alone or with video."""
    calls: dict[str, list[tuple[str, Message]]] = {}
    for entry in json.loads(file.read_text()):
        if "raw" in entry:
            message = parse_message(entry["raw"].encode())
            calls.setdefault(message.call_id, []).append((entry["sender"], message))
    return {key: found for key, found in calls.items() if isinstance(found[0][1], Request) and found[0][1].method == "INVITE"}


CALLS = [(file, call_id) for file in FILES for call_id in calls_of(file)]


class Callee:
    """The recorded callee: answers our INVITE as recorded, then says what it said."""

    def __init__(self, node: Node, messages: list[tuple[str, Message]]) -> None:
        self.caller_name, self.recorded = messages[0]
        self.messages = messages
        self.node = node
        peer = FakePeer("f" * 64, "e" * 40)
        self.channel, theirs = FakeChannel(peer), FakeChannel(peer)
        self.channel.far, theirs.far = theirs, self.channel
        node.account.sip.opened(theirs)
        self.invite: Request | None = None
        self.received: list[Message] = []
        self._number = 100
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        stream = MessageStream()
        while data := await self.channel.read():
            for message in stream.feed(data):
                self.received.append(message)
                if isinstance(message, Request) and message.method == "INVITE" and self.invite is None:
                    self.invite = message
                elif isinstance(message, Request) and message.method != "ACK":
                    # The reference answers its texts so, although it has read them.
                    self._write(respond_to(message, 500 if message.method == "MESSAGE" else 200))

    def respond(self, response: Response) -> None:
        assert self.invite is not None
        headers = tuple((name, value) for name, value in response.headers if name in KEPT)
        tag = TAG if response.status > 100 else ""
        self._write(respond_to(self.invite, response.status, tag=tag, headers=headers, body=response.body))

    def request(self, request: Request) -> None:
        assert self.invite is not None
        self._number += request.method not in ("ACK", "CANCEL")
        fields = [(name, value) for name, value in request.headers if name not in ("From", "To", "Call-ID", "CSeq")]
        fields += [
            ("From", f"{self.invite.headers.get('To')};tag={TAG}"),
            ("To", self.invite.headers.get("From")),
            ("Call-ID", self.invite.call_id),
            ("CSeq", f"{self._number} {request.method}"),
        ]
        self._write(Request(Headers(fields), request.body, method=request.method, uri=request.uri))

    def _write(self, message: Message) -> None:
        self.channel.write_nowait(bytes(message))


@pytest.mark.parametrize(("file", "call_id"), CALLS, ids=[f"{file.parts[-3]}-{file.stem}-{call_id[:4]}" for file, call_id in CALLS])
async def test_replay(lab: Lab, settle: Any, file: Path, call_id: str) -> None:
    messages = calls_of(file)[call_id]
    node = lab.add("a", "a")
    callee = Callee(node, messages)
    call = node.calls.place(node.account.id, "e" * 40, AUDIO)
    await settle()
    invite = messages[0][1]
    texts = 0
    for sender, message in messages[1:]:
        if sender == callee.caller_name:
            if isinstance(message, Request) and message.method in ("BYE", "CANCEL"):
                node.calls.hang_up(node.account.id, call)
        elif isinstance(message, Response) and message.cseq == invite.cseq:
            # We offered audio alone, so a recorded answer is cut to its first line.
            body = message.body if b"m=video" not in message.body else message.body[: message.body.index(b"m=video")]
            callee.respond(Response(message.headers, body, status=message.status))
        elif isinstance(message, Request):
            current = node.calls.find(call)
            if message.method == "INVITE" and (current is None or current.sound.connecting):
                await settle()
            callee.request(message)
            texts += message.method == "MESSAGE" and not message.content_type.startswith("application/conf")
        await asyncio.sleep(0.01)
        for asked in node.of(MediaChangeRequested):
            node.calls.answer_media_change(node.account.id, asked.call_id, asked.media_list)
    await settle()
    theirs = [message for sender, message in messages if sender != callee.caller_name and isinstance(message, Response)]
    statuses = [message.status for message in theirs if message.cseq == invite.cseq]
    states = [state for state, _ in node.states(call)]
    if 200 in statuses:
        assert states[:3] == ["CONNECTING", "RINGING", "CURRENT"]
        assert address_of(next(each for each in callee.received if isinstance(each, Request) and each.method == "ACK"), "To").tag == TAG
    hung_up = any(isinstance(each, Request) and each.method in ("BYE", "CANCEL") for _, each in messages)
    if hung_up or any(status >= 300 for status in statuses):
        assert states[-1] == "OVER"
        assert call not in node.calls.ids("")
    assert len(node.of(IncomingMessage)) >= min(texts, 1) or 200 not in statuses
    refused = [each for each in callee.received if isinstance(each, Response) and each.status >= 300 and each.status not in (481, 491)]
    assert refused == []
