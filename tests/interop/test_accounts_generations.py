"""A daemon that speaks both generations between one that speaks only the older and one that speaks only the newer."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.driver import Driver
from tests.interop.lab import Lab

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

VCARD = b"BEGIN:VCARD\r\nVERSION:2.1\r\nFN:Alice\r\nEND:VCARD\r\n"


async def ask_and_accept(one: Driver, account: str, uri: str, other: Driver, other_account: str, other_uri: str) -> None:
    """ONE asks OTHER, who accepts."""
    await one.configuration.sendTrustRequest(account, other_uri, VCARD)
    await other.signal("incomingTrustRequest", lambda to, _, sender, *__: (to, sender) == (other_account, uri), 30)
    await other.configuration.acceptTrustRequest(other_account, uri)
    await one.signal("contactAdded", lambda to, added, confirmed: (to, added) == (account, other_uri) and confirmed, 30)


async def test_both_generations_are_reached_by_one_that_speaks_both(lab: Lab) -> None:
    lab.up(["d", "a", "b", "c"])
    lab.start_dht("d")
    for host, generations in (("a", "13"), ("b", "both"), ("c", "17")):
        lab.ours(host, "-c", "-d", "-p", "--generations", generations)
    bootstrap = f"{lab.address('d')}:4222"
    old, both, new = [await Driver.connect(lab.bus(host), host) for host in "abc"]
    (old_id, old_uri), (both_id, both_uri), (new_id, new_uri) = await asyncio.gather(
        *(driver.add_account(bootstrap) for driver in (old, both, new))
    )
    await ask_and_accept(both, both_id, both_uri, old, old_id, old_uri)
    await ask_and_accept(new, new_id, new_uri, both, both_id, both_uri)
    for uri in (old_uri, new_uri):
        await both.presence.subscribeBuddy(both_id, uri, True)
        await both.signal("newBuddyNotification", lambda _, buddy, status, __, uri=uri: buddy == uri and status, 20)
    since = len(new.signals)
    token = await both.configuration.sendTextMessage(both_id, new_uri, {"text/plain": "to the new one"})
    received = await new.signal("incomingAccountMessage", lambda *body: body[3] == {"text/plain": "to the new one"}, 30, since)
    assert both_uri in received
    await both.signal("accountMessageStatusChanged", lambda a, c, peer, t, status: (t, status) == (str(token), 2), 30)
    token = await both.configuration.sendTextMessage(both_id, old_uri, {"text/plain": "to the old one"})
    await old.signal("incomingAccountMessage", lambda *body: body[3] == {"text/plain": "to the old one"}, 30)
    await both.signal("accountMessageStatusChanged", lambda a, c, peer, t, status: (t, status) == (str(token), 2), 30)
