"""The transaction machines under a clock of their own: retransmissions, timeouts and what they leave behind."""

from __future__ import annotations

import pytest

from jamid.core.errors import RemoteError
from jamid.sip.messages import Headers, Request, Response
from jamid.sip.transactions import (
    CancelArrived,
    NoAck,
    NoResponse,
    RequestArrived,
    ResponseArrived,
    ToSend,
    TransactionLayer,
    cancel_request,
    respond_to,
)


class Owner:
    def response(self, transaction, response):
        raise AssertionError

    no_response = response


def request(method: str, branch: str = "z9hG4bKa", cseq: int = 7) -> Request:
    fields = [("Via", f"SIP/2.0/UDP 10.0.0.1:5060;rport;branch={branch}"), ("From", "<sip:a@x>;tag=1"), ("To", "<sip:b@x>")]
    return Request(Headers([*fields, ("Call-ID", "c"), ("CSeq", f"{cseq} {method}")]), method=method, uri="sip:b@x")


def kinds(steps):
    return [type(step) for step in steps]


def run(layer, *, until: float):
    """Everything that happens by itself until UNTIL, with its times."""
    happened = []
    while (deadline := layer.deadline) is not None and deadline <= until:
        happened += [(round(deadline, 3), step) for step in layer.expire(deadline)]
    return happened


def test_an_invite_is_repeated_and_given_up_after_32_seconds():
    layer = TransactionLayer(reliable=False)
    _, steps = layer.send(request("INVITE"), Owner(), 0.0)
    assert kinds(steps) == [ToSend]
    happened = run(layer, until=100)
    assert [at for at, step in happened if isinstance(step, ToSend)] == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert [(at, type(step)) for at, step in happened[-1:]] == [(32.0, NoResponse)]
    assert len(layer) == 0


def test_over_a_reliable_transport_nothing_is_repeated():
    layer = TransactionLayer(reliable=True)
    layer.send(request("INVITE"), Owner(), 0.0)
    layer.send(request("MESSAGE", "z9hG4bKb"), Owner(), 0.0)
    assert [(at, type(step)) for at, step in run(layer, until=100)] == [(32.0, NoResponse), (32.0, NoResponse)]
    assert len(layer) == 0


def test_a_ringing_invite_waits_for_ever():
    layer = TransactionLayer(reliable=False)
    _, _ = layer.send(request("INVITE"), Owner(), 0.0)
    assert kinds(layer.receive(respond_to(request("INVITE"), 180), 0.1)) == [ResponseArrived]
    assert run(layer, until=1e6) == []
    assert len(layer) == 1


def test_a_refusal_is_acknowledged_again_when_it_is_repeated():
    layer = TransactionLayer(reliable=False)
    layer.send(request("INVITE"), Owner(), 0.0)
    refusal = respond_to(request("INVITE"), 486, tag="9")
    first = layer.receive(refusal, 0.1)
    assert kinds(first) == [ToSend, ResponseArrived]
    ack = first[0].message
    assert (ack.method, ack.uri, ack.headers.get("To")) == ("ACK", "sip:b@x", "<sip:b@x>;tag=9")
    assert ack.headers.get("Via") == request("INVITE").headers.get("Via")
    assert kinds(layer.receive(refusal, 0.6)) == [ToSend]
    assert run(layer, until=100) == []
    assert len(layer) == 0


def test_repeated_2xx_reach_the_dialog_for_another_ack():
    layer = TransactionLayer(reliable=True)
    layer.send(request("INVITE"), Owner(), 0.0)
    answer = respond_to(request("INVITE"), 200, tag="9")
    assert kinds(layer.receive(answer, 0.1)) == [ResponseArrived]
    assert kinds(layer.receive(answer, 0.6)) == [ResponseArrived]
    run(layer, until=100)
    assert len(layer) == 0


def test_other_requests_back_off_to_four_seconds():
    layer = TransactionLayer(reliable=False)
    layer.send(request("BYE"), Owner(), 0.0)
    times = [at for at, step in run(layer, until=20) if isinstance(step, ToSend)]
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5]


def test_a_repeated_request_gets_the_same_response():
    layer = TransactionLayer(reliable=False)
    (arrived,) = layer.receive(request("INFO"), 0.0)
    assert isinstance(arrived, RequestArrived)
    assert layer.receive(request("INFO"), 0.1) == []
    response = respond_to(arrived.request, 200)
    layer.respond(arrived.transaction, response, 0.2)
    assert layer.receive(request("INFO"), 0.3) == [ToSend(response)]
    assert layer.respond(arrived.transaction, respond_to(arrived.request, 500), 0.4) == []
    run(layer, until=100)
    assert len(layer) == 0


@pytest.mark.parametrize("reliable", [True, False])
def test_an_answer_that_nobody_acknowledges(reliable):
    layer = TransactionLayer(reliable=reliable)
    (arrived,) = layer.receive(request("INVITE"), 0.0)
    layer.respond(arrived.transaction, respond_to(arrived.request, 200, tag="9"), 1.0)
    happened = run(layer, until=100)
    repeats = [at for at, step in happened if isinstance(step, ToSend)]
    assert repeats == ([] if reliable else [1.5, 2.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5, 32.5])
    assert [(at, type(step)) for at, step in happened[-1:]] == [(33.0, NoAck)]
    assert len(layer) == 0


def test_a_cancel_is_answered_and_told_once():
    layer = TransactionLayer(reliable=True)
    (arrived,) = layer.receive(request("INVITE"), 0.0)
    layer.respond(arrived.transaction, respond_to(arrived.request, 180, tag="9"), 0.1)
    cancel = cancel_request(request("INVITE"))
    steps = layer.receive(cancel, 0.2)
    assert kinds(steps) == [ToSend, CancelArrived]
    assert steps[0].message.status == 200
    assert steps[0].message.headers.get("To") == "<sip:b@x>;tag=9"
    assert kinds(layer.receive(cancel, 0.3)) == [ToSend]


def test_a_cancel_for_nothing_is_refused():
    layer = TransactionLayer(reliable=True)
    (step,) = layer.receive(request("CANCEL"), 0.0)
    assert step.message.status == 481


def test_a_flood_of_requests_is_refused_without_state():
    layer = TransactionLayer(reliable=True)
    for number in range(600):
        steps = layer.receive(request("INVITE", f"z9hG4bK{number}"), 0.0)
    assert len(layer) == 512
    assert steps[0].message.status == 503


def test_stray_messages_do_nothing():
    layer = TransactionLayer(reliable=True)
    assert layer.receive(Response(request("INVITE").headers, status=200), 0.0) == []
    assert kinds(layer.receive(request("ACK"), 0.0)) == [RequestArrived]
    with pytest.raises(RemoteError, match="without branch"):
        layer.receive(Request(Headers([("Via", "SIP/2.0/UDP x"), ("CSeq", "1 INVITE")]), method="INVITE", uri="sip:x"), 0.0)
    with pytest.raises(RemoteError, match="cannot be cancelled"):
        cancel_request(request("BYE"))


def test_a_finished_transaction_lets_its_owner_go():
    layer = TransactionLayer(reliable=True)
    owner = Owner()
    transaction, _ = layer.send(request("INVITE"), owner, 0.0)
    layer.receive(respond_to(transaction.request, 200, tag="z"), 1.0)
    layer.expire(40.0)
    assert len(layer) == 0
    assert transaction.owner is not owner
