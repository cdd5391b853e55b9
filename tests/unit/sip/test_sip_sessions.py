"""Calls between two exchanges: every way to begin, change and end them."""

from __future__ import annotations

import asyncio

import pytest

from jamid.core.errors import LocalError
from jamid.sip.messages import Request, Response, parse_message
from jamid.sip.session_events import SessionState
from jamid.sip.sessions import InviteSession

BOB = "b" * 40


async def test_a_message_is_delivered_and_confirmed(pair):
    alice, bob = pair
    assert await alice.exchange.send_message("application/im-gitmessage-id", b'{"id":"x"}', message_id=0x2A4814B9FF5BB)
    (message,) = bob.messages
    assert (message.content_type, message.body, message.message_id) == ("application/im-gitmessage-id", b'{"id":"x"}', "0002a4814b9ff5bb")
    assert await bob.exchange.send_message("text/plain", "grüße".encode())
    assert alice.messages[0].body.decode() == "grüße"


async def test_many_messages_each_way_at_once(pair):
    alice, bob = pair
    results = await asyncio.gather(
        *(alice.exchange.send_message("text/plain", b"%d" % number) for number in range(50)),
        *(bob.exchange.send_message("text/plain", b"%d" % number) for number in range(50)),
    )
    assert all(results)
    assert [message.body for message in bob.messages] == [b"%d" % number for number in range(50)]
    assert len(alice.messages) == 50


async def test_a_message_on_a_dying_channel_raises(pair):
    alice, bob = pair
    alice.pipe.hold = True
    sending = asyncio.create_task(alice.exchange.send_message("text/plain", b"x"))
    await asyncio.sleep(0)
    bob.exchange.close()
    with pytest.raises(ConnectionError, match="closed"):
        await sending
    assert alice.exchange.closed
    with pytest.raises(ConnectionError, match="closed"):
        await alice.exchange.send_message("text/plain", b"y")


async def test_the_invite_is_written_as_the_reference_writes_it(pair, call):
    alice, _ = pair
    await call()
    invite = alice.pipe.written[0]
    assert isinstance(invite, Request)
    assert [name for name, _ in invite.headers] == [
        "Via", "Max-Forwards", "From", "To", "Contact", "Call-ID", "CSeq", "Subject", "Allow", "Supported", "User-Agent", "Content-Type",
        "Content-Length",
    ]  # fmt: skip
    assert invite.uri == "sips:10.77.0.3:46669;transport=tls"
    assert invite.headers.get("From").startswith(f'"Alice" <sip:{"a" * 40}@ring.dht>;tag=')
    assert invite.headers.get("To") == f"<sips:{BOB}@10.77.0.3>"
    assert invite.headers.get("Contact") == f'"Alice" <sips:{"1" * 40}@10.77.0.2:40154;transport=tls>'


async def test_a_call_is_answered_and_ended_by_the_caller(pair, call, settle):
    alice, bob = pair
    caller, callee = await call()
    assert alice.recorder.told == [("progressed", 100), ("progressed", 180), ("answered", b"answer")]
    assert bob.recorder.told == [("established",)]
    assert caller.state is callee.state is SessionState.CONFIRMED
    ack = next(message for message in alice.pipe.written if isinstance(message, Request) and message.method == "ACK")
    assert ack.uri == f"sips:{'2' * 40}@10.77.0.3:46669;transport=tls"
    caller.hang_up()
    await settle()
    assert bob.recorder.told[-1] == ("ended", "bye", 0)
    assert callee.state is SessionState.ENDED
    assert len(alice.recorder.told) == 3
    assert alice.exchange.sessions == bob.exchange.sessions == 0


async def test_responses_are_written_as_the_reference_writes_them(pair, call):
    _, bob = pair
    await call()
    trying, ringing, ok = [message for message in bob.pipe.written if isinstance(message, Response)][:3]
    assert (trying.status, ringing.status, ok.status) == (100, 180, 200)
    assert ";tag=" not in trying.headers.get("To")
    assert [name for name, _ in trying.headers] == ["Via", "Call-ID", "From", "To", "CSeq", "User-Agent", "Content-Length"]
    assert [name for name, _ in ringing.headers][5:] == ["User-Agent", "Allow", "Contact", "Content-Length"]
    assert [name for name, _ in ok.headers][5:] == ["User-Agent", "Allow", "Supported", "Contact", "Content-Type", "Content-Length"]
    assert "rport=40154;received=10.77.0.2" in ok.headers.get("Via")


async def test_the_callee_hangs_up(pair, call, settle):
    alice, bob = pair
    _, callee = await call()
    callee.hang_up()
    await settle()
    assert alice.recorder.told[-1] == ("ended", "bye", 0)
    assert bob.recorder.told == [("established",)]


@pytest.mark.parametrize("status", [486, 603, 481, 415])
async def test_the_callee_refuses(pair, call, settle, status):
    alice, bob = pair
    _, callee = await call(answer=False)
    callee.reject(status)
    await settle()
    assert alice.recorder.told[-1] == ("ended", "refused", status)
    assert bob.recorder.told == []
    ack = alice.pipe.written[-1]
    assert ack.method == "ACK"
    assert ack.headers.get("Via") == alice.pipe.written[0].headers.get("Via")


async def test_the_caller_cancels(pair, call, settle):
    alice, bob = pair
    caller, _ = await call(answer=False)
    caller.hang_up()
    await settle()
    assert bob.recorder.told == [("ended", "cancelled", 0)]
    assert [message.status for message in bob.pipe.written] == [100, 180, 200, 487]
    assert [message.method for message in alice.pipe.written] == ["INVITE", "CANCEL", "ACK"]


async def test_a_cancel_waits_for_the_first_provisional_response(pair, settle):
    alice, bob = pair
    caller = InviteSession.outgoing(alice.exchange, BOB)
    caller.listener = alice.recorder
    caller.call(b"offer")
    caller.hang_up()
    assert [message.method for message in alice.pipe.written] == ["INVITE"]
    await settle()
    bob.sessions[0].trying()
    await settle()
    assert [message.method for message in alice.pipe.written] == ["INVITE", "CANCEL", "ACK"]
    assert bob.recorder.told == [("ended", "cancelled", 0)]


async def test_an_answer_that_crosses_the_cancel_is_ended_with_bye(pair, call, settle):
    alice, bob = pair
    caller, callee = await call(answer=False)
    callee.answer(b"answer")
    caller.hang_up()
    await settle()
    assert [message.method for message in alice.pipe.written if isinstance(message, Request)] == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert bob.recorder.told[-1] == ("ended", "bye", 0)
    assert not any(told[0] == "answered" for told in alice.recorder.told)


async def test_media_changes_by_either_side(pair, call, settle):
    alice, bob = pair
    caller, callee = await call()
    for one, other, one_told, other_told in ((caller, callee, alice, bob), (callee, caller, bob, alice)):
        one.offer(b"new offer")
        await settle()
        assert other_told.recorder.told[-1] == ("offered", b"new offer")
        other.answer_offer(b"new answer")
        await settle()
        assert one_told.recorder.told[-1] == ("offer_answered", b"new answer")
        assert other_told.recorder.told[-1] == ("established",)
        assert not one.offering
        assert not other.offering


async def test_a_refused_media_change_leaves_the_call(pair, call, settle):
    alice, _ = pair
    caller, callee = await call()
    caller.offer(b"x")
    await settle()
    callee.refuse_offer(488)
    await settle()
    assert alice.recorder.told[-1] == ("offer_refused", 488)
    assert caller.state is SessionState.CONFIRMED


async def test_an_offer_that_nobody_answers_is_refused_before_the_peer_gives_up(pair, call, settle, monkeypatch):
    alice, bob = pair
    monkeypatch.setattr("jamid.sip.reinvites.OFFER_SECONDS", 0.05)
    caller, callee = await call()
    caller.offer(b"new offer")
    await asyncio.sleep(0.1)
    await settle()
    assert alice.recorder.told[-1] == ("offer_refused", 480)
    assert bob.recorder.told[-1] == ("offer_lapsed",)
    assert not caller.offering
    assert not callee.offering
    assert caller.state is callee.state is SessionState.CONFIRMED
    assert not callee.answer_offer(b"too late")


async def test_a_media_change_without_description_gets_an_offer(pair, call, settle):
    alice, bob = pair
    caller, callee = await call()
    caller.offer(b"")
    await settle()
    assert bob.recorder.told[-1] == ("offered", b"")
    alice.pipe.hold = True
    callee.answer_offer(b"offer of bob")
    await settle()
    # Until its ACK has brought the answer no other offer may cross ours.
    assert callee.offering
    with pytest.raises(LocalError, match="has to wait"):
        callee.offer(b"another")
    alice.pipe.hold = False
    ack = next(each for each in reversed(alice.pipe.written) if isinstance(each, Request) and each.method == "ACK")
    alice.pipe.far._inbox.put_nowait(bytes(Request(ack.headers, b"answer of alice", method="ACK", uri=ack.uri)))
    await settle()
    assert bob.recorder.told[-1] == ("established",)
    assert not callee.offering


async def test_a_fault_of_ours_costs_one_request(pair, call, settle, caplog):
    alice, bob = pair
    caller, callee = await call()

    def fail(*_):
        raise ZeroDivisionError("a fault of ours")

    bob.recorder.info = fail
    caller.send_info("text/plain", b"x")
    await settle()
    assert "a fault of ours" in caplog.text
    assert not bob.exchange.closed
    assert caller.state is callee.state is SessionState.CONFIRMED
    bob.recorder.offered = fail
    caller.offer(b"new offer")
    await settle()
    assert alice.recorder.told[-1] == ("offer_refused", 500)
    assert await alice.exchange.send_message("text/plain", b"still there")


async def test_crossing_media_changes_are_repeated_one_after_the_other(pair, call, settle):
    alice, bob = pair
    caller, callee = await call()
    caller.offer(b"from alice")
    callee.offer(b"from bob")
    await settle()
    assert caller.offering
    assert callee.offering
    with pytest.raises(LocalError, match="has to wait"):
        caller.offer(b"again")
    for _ in range(60):
        await asyncio.sleep(0.1)
        if ("offered", b"from bob") in alice.recorder.told:
            caller.answer_offer(b"answer of alice")
        if ("offer_refused", 491) in alice.recorder.told:
            break
    # The callee waits less: its offer is repeated, and what the caller's describes may be gone by then.
    assert ("offer_answered", b"answer of alice") in bob.recorder.told
    assert ("offered", b"from alice") not in bob.recorder.told
    caller.offer(b"anew")
    await settle()
    callee.answer_offer(b"answer of bob")
    await settle()
    assert alice.recorder.told[-1] == ("offer_answered", b"answer of bob")


async def test_texts_infos_and_transfers_in_the_call(pair, call, settle):
    alice, bob = pair
    caller, callee = await call()
    assert caller.send_message("text/plain", b"hello")
    callee.send_info("application/media_control+xml", b"<x/>")
    assert caller.refer(f"<sips:{'c' * 40};transport=tls>")
    await settle()
    assert ("message", "text/plain", b"hello") in bob.recorder.told
    assert ("info", "application/media_control+xml", b"<x/>") in alice.recorder.told
    assert ("referred", f"<sips:{'c' * 40};transport=tls>") in bob.recorder.told
    answers = [message.status for message in bob.pipe.written if isinstance(message, Response)]
    assert answers[-2:] == [200, 202]


async def test_no_text_to_a_peer_that_does_not_allow_it(pair, call):
    caller, _ = await call()
    caller.peer_allows = frozenset({"INVITE", "ACK", "BYE"})
    assert not caller.send_message("text/plain", b"hello")


async def test_two_calls_at_once_in_both_directions(pair, call, settle):
    alice, bob = pair
    caller, callee = await call()
    second = InviteSession.outgoing(bob.exchange, "a" * 40)
    second.listener = bob.recorder
    second.call(b"second offer")
    await settle()
    answering = alice.sessions[-1]
    answering.ring()
    answering.answer(b"second answer")
    await settle()
    assert bob.recorder.told[-1] == ("answered", b"second answer")
    caller.hang_up()
    await settle()
    assert callee.state is SessionState.ENDED
    assert second.state is answering.state is SessionState.CONFIRMED


async def test_a_lost_channel_ends_every_call(pair, call, settle):
    alice, bob = pair
    await call()
    await call(answer=False)
    alice.pipe.close()
    await settle()
    assert bob.recorder.told.count(("ended", "lost", 0)) == 2
    assert alice.recorder.told.count(("ended", "lost", 0)) == 2
    assert alice.ended == [alice.exchange]


async def test_unknown_dialogs_and_methods_are_answered(pair, settle):
    _, bob = pair
    head = (
        "Via: SIP/2.0/TLS 1.2.3.4:5;rport;branch=z9hG4bK{0}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@c>{2}\r\n"
        "Call-ID: {0}\r\nCSeq: 1 {1}\r\n\r\n"
    )
    for number, (method, to, status) in enumerate([("BYE", ";tag=9", 481), ("FOO", "", 405), ("OPTIONS", "", 200), ("SUBSCRIBE", "", 489)]):
        bob.pipe._inbox.put_nowait(f"{method} sip:x SIP/2.0\r\n{head.format(number, method, to)}".encode())
        await settle()
        assert bob.pipe.written[-1].status == status
    bob.pipe._inbox.put_nowait(b"FOO BAR\r\n\r\n")
    await settle()
    assert bob.exchange.closed
    assert parse_message(bytes(bob.pipe.written[-1])).status == 489


async def test_more_dialogs_than_allowed_are_refused(pair, settle):
    alice, bob = pair
    for _ in range(40):
        session = InviteSession.outgoing(alice.exchange, BOB)
        session.listener = alice.recorder
        session.call(b"")
    await settle()
    assert len(bob.sessions) == 32
    assert alice.recorder.told == [("ended", "refused", 503)] * 8


async def test_a_contact_too_long_for_a_bye_does_not_keep_the_call(pair, call, settle):
    alice, bob = pair
    caller, callee = await call()
    await settle()
    callee.dialog.remote_target = f"sips:{'x' * 9000}@10.77.0.2"
    callee.hang_up()
    assert bob.exchange.sessions == 0
    caller.dialog.remote_target = f"sips:{'x' * 9000}@10.77.0.3"
    caller.hang_up()
    assert alice.exchange.sessions == 0
