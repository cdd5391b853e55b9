"""What a search does next: asks, announces, subscribes, and reports (protocol: opendht, sections 11 to 14)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from jamid.dht.operations import PutOperation
from jamid.dht.query import IDS_AND_SEQUENCES, Field
from jamid.dht.requests import Pending
from jamid.dht.search import (
    LISTEN_NODES,
    NEVER,
    PARALLEL,
    TARGET_NODES,
    Announced,
    Round,
    Search,
    SearchNode,
)
from jamid.dht.subscription import Subscription
from jamid.dht.wire import ErrorCode, ErrorReply, Reply

LISTEN_REFRESH: Final = 20.0
REANNOUNCE_MARGIN: Final = 10.0
REANNOUNCE_JITTER: Final = 5.0
"""Spreads the refreshes of values that were put at once, as after a restart."""


def step(search: Search) -> None:
    """Does whatever can be done now and sets the timer for the next time something is due."""
    now = search.timers.now()
    if search.busy:
        search.refill(now)
        synced = search.is_synced(now)
        first = search.first_nodes(TARGET_NODES)
        leading = 0
        for one in first:
            if not one.synced(now):
                break
            leading += 1
        if synced:
            _finish_rounds(search)
        listeners = LISTEN_NODES if synced else min(max(leading - 1, 0), LISTEN_NODES)
        # Once all are asked, a value need not wait for one that is late, as a node behind a NAT is for ever.
        all_asked = bool(first) and all(one.synced(now) or one.lookups for one in first)
        storers = TARGET_NODES if all_asked else max(leading - 1, 0)
        if search.subscriptions and listeners:
            _send_listens(search, listeners, now)
        if search.announces and storers:
            _send_announces(search, storers, now)
        if all_asked:
            _finish_announces(search, now)
        _send_lookups(search, now, synced)
        if all(one.node.expired for one in search.nodes[:25]):
            _expire(search)
    _schedule(search, now)


def _finish_rounds(search: Search) -> None:
    first = search.first_nodes(TARGET_NODES)
    for query, running in list(search.rounds.items()):
        running.operations = [one for one in running.operations if not one.finished]
        if not running.operations or all(one.node in running.answered for one in first):
            del search.rounds[query]
            for operation in running.operations:
                operation.family_done(search.family, True)


def _finish_announces(search: Search, now: float) -> None:
    first = search.first_nodes(TARGET_NODES)
    for operation in list(search.announces.values()):
        _finish_announce(search, operation, first, now)


def _finish_announce(search: Search, operation: PutOperation, first: list[SearchNode], now: float) -> None:
    """Reports a put that every one of FIRST has; also when half of them have it and the others have answered nothing yet."""
    value_id = operation.value.id
    missing = [one for one in first if (state := one.announced.get(value_id)) is None or state.acked == NEVER]
    if missing:
        if 2 * len(missing) <= len(first) and not any(one.synced(now) for one in missing):
            operation.family_done(search.family, True)  # it goes on to them when they answer
        return
    if not operation.permanent:
        search.withdraw(value_id)
    operation.family_done(search.family, True)


# -- asking


def _send_lookups(search: Search, now: float, synced: bool) -> None:
    first = search.first_nodes(TARGET_NODES)
    in_flight = sum(1 for one in first if one.lookups)
    # With the neighbourhood known nothing is gained by asking it in two halves.
    parallel = TARGET_NODES if synced else PARALLEL
    slack = search.slack
    for one in first:
        if in_flight >= parallel:
            return
        busy = bool(one.lookups)
        asked = False
        for running in search.rounds.values():
            if one.node not in running.asked:
                _ask(search, one, running)
                asked = True
        if not asked and not busy and not one.synced(now + slack):
            _ask(search, one, None)
            asked = True
        if asked and not busy:
            in_flight += 1


def _ask(search: Search, one: SearchNode, running: Round | None) -> None:
    """Sends a get for RUNNING, a find without one."""

    def replied(reply: Reply) -> None:
        one.lookups.pop(pending.tid, None)
        search.answered(one, reply)
        if running is not None:
            running.answered.add(one.node)
            if reply.fields is not None:
                running.rows.append(reply.fields)
                for operation in running.operations:
                    operation.rows(reply.fields)
            if reply.values:
                running.values += reply.values
                for operation in running.operations:
                    operation.values(reply.values)
        step(search)

    def silent() -> None:
        search.fell_silent(one)
        step(search)

    def failed() -> None:
        one.lookups.pop(pending.tid, None)
        if running is not None:
            running.asked.discard(one.node)

    pending: Pending
    if running is None:
        pending = search.engine.find(one.node, search.key, None, replied, silent, failed)
    else:
        running.asked.add(one.node)
        pending = search.engine.get(one.node, search.key, running.query, None, replied, silent, failed)
    one.lookups[pending.tid] = pending


# -- subscribing


def _send_listens(search: Search, count: int, now: float) -> None:
    for one in search.first_nodes(count):
        if not one.synced(now):
            continue
        for query, subscription in search.subscriptions.items():
            listened = one.listened.get(query) or search.open_socket(one, query)
            if listened.pending is None and listened.refresh_at <= now:
                _listen(search, one, subscription)


def _listen(search: Search, one: SearchNode, subscription: Subscription) -> None:
    listened = one.listened[subscription.query]

    def replied(reply: Reply) -> None:
        listened.pending = None
        listened.confirmed = True
        listened.refresh_at = search.timers.now() + LISTEN_REFRESH
        one.silent = False
        if reply.token is not None:
            one.token = reply.token
        step(search)

    def refused(error: ErrorReply) -> None:
        listened.pending = None
        listened.confirmed = False
        listened.refresh_at = NEVER
        if error.code == ErrorCode.UNAUTHORIZED:
            one.token = None
        else:
            listened.refresh_at = search.timers.now() + LISTEN_REFRESH
        step(search)

    def silent() -> None:
        search.fell_silent(one)
        step(search)

    assert one.token is not None
    listened.pending = search.engine.listen(
        one.node, search.key, subscription.query, one.token, listened.socket, replied, refused, silent, None
    )


# -- announcing


def _send_announces(search: Search, count: int, now: float) -> None:
    for one in search.first_nodes(count):
        if not one.synced(now):
            continue
        for value_id, operation in search.announces.items():
            announced = one.announced.get(value_id)
            if announced is None:
                announced = one.announced[value_id] = Announced(search.engine.rng.uniform(0.0, REANNOUNCE_JITTER))
            if announced.pending is not None:
                continue
            if announced.acked == NEVER:
                if operation.for_others:
                    _probe(search, one, operation, announced)
                else:
                    _put(search, one, operation, announced)
            elif operation.permanent and now >= _due(search, operation, announced):
                _probe(search, one, operation, announced)


def _due(search: Search, operation: PutOperation, announced: Announced) -> float:
    return announced.acked + search.types.lifetime(operation.value) - REANNOUNCE_MARGIN - announced.jitter


def _put(search: Search, one: SearchNode, operation: PutOperation, announced: Announced) -> None:
    acked, refused, silent = _announce_callbacks(search, one, announced, operation.value.id)
    assert one.token is not None
    created = None if operation.permanent or operation.created is None else operation.created
    if created is not None and created >= int(search.timers.wall()):
        created = None
    announced.pending = search.engine.put(one.node, search.key, operation.value, created, one.token, acked, refused, silent, None)


def _probe(search: Search, one: SearchNode, operation: PutOperation, announced: Announced) -> None:
    """Before a value runs out at a node: refresh it if it is there, put it if not. A refresh alone is confirmed even when it is not."""
    acked, refused, silent = _announce_callbacks(search, one, announced, operation.value.id)

    def missing(error: ErrorReply) -> None:
        if error.code == ErrorCode.NOT_FOUND and one.token is not None:
            _put(search, one, operation, announced)
        else:
            refused(error)

    def probed(reply: Reply) -> None:
        search.answered(one, reply)
        rows = reply.fields if reply.fields is not None else tuple({Field.ID: v.id, Field.SEQ: v.seq} for v in reply.values)
        value = operation.value
        there = any(row.get(Field.ID) == value.id and _number(row.get(Field.SEQ)) >= value.seq for row in rows)
        assert one.token is not None
        if there and operation.for_others:
            acked(reply)  # its life is its owner's business
        elif there:
            announced.pending = search.engine.refresh(one.node, search.key, value.id, one.token, acked, missing, None)
        else:
            _put(search, one, operation, announced)

    announced.pending = search.engine.get(one.node, search.key, IDS_AND_SEQUENCES, None, probed, silent, None)


def _number(raw: object) -> int:
    return raw if isinstance(raw, int) else 0


def _announce_callbacks(
    search: Search, one: SearchNode, announced: Announced, value_id: int
) -> tuple[Callable[[Reply], None], Callable[[ErrorReply], None], Callable[[], None]]:
    def acked(_reply: Reply) -> None:
        announced.pending = None
        announced.acked = now = search.timers.now()
        operation = search.announces.get(value_id)
        if one.silent or operation is None or operation.permanent or not search.is_synced(now):
            one.silent = False
            step(search)
        else:
            # Nothing else changed: with many puts at the same key a whole step for each answer would be quadratic.
            _finish_announce(search, operation, search.first_nodes(TARGET_NODES), now)

    def refused(error: ErrorReply) -> None:
        announced.pending = None
        if error.code == ErrorCode.UNAUTHORIZED:
            one.token = None
        step(search)

    def silent() -> None:
        search.fell_silent(one)
        step(search)

    return acked, refused, silent


# -- ending


def _expire(search: Search) -> None:
    """No node answers: gets and puts fail, permanent puts and subscriptions wait for somebody to show up."""
    search.drop_nodes()
    rounds, search.rounds = search.rounds, {}
    for running in rounds.values():
        for get in running.operations:
            get.family_done(search.family, False)
    for value_id, operation in list(search.announces.items()):
        if not operation.permanent:
            search.withdraw(value_id)
        operation.family_done(search.family, False)
    if not search.expired:
        search.expired = True
        search.on_exhausted(search)


def _schedule(search: Search, now: float) -> None:
    when = math.inf
    if search.busy and not search.expired:
        slack = search.slack
        permanent = [operation for operation in search.announces.values() if operation.permanent]
        for one in search.first_nodes(TARGET_NODES):
            if one.synced(now + slack):
                when = min(when, one.token_until - slack)
            for listened in one.listened.values():
                if listened.pending is None and listened.refresh_at > now:
                    when = min(when, listened.refresh_at)
            for operation in permanent:
                announced = one.announced.get(operation.value.id)
                if announced is not None and announced.pending is None and announced.acked != NEVER:
                    due = _due(search, operation, announced)
                    if due > now:
                        when = min(when, due)
    if search.timer is not None:
        if search.timer_at == when:
            return
        search.timer.cancel()
        search.timer = None
    search.timer_at = when
    if when != math.inf:
        search.timer = search.timers.call_at(when, _woken, search)


def _woken(search: Search) -> None:
    search.timer = None
    search.timer_at = math.inf
    step(search)
