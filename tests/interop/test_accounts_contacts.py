"""Accounts of ours and of the real daemon: presence, contact requests both ways, declined and blocked ones."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.driver import Driver
from tests.interop.lab import Lab

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

VCARD = b"BEGIN:VCARD\r\nVERSION:2.1\r\nFN:Alice\r\nEND:VCARD\r\n"


async def pair(lab: Lab) -> tuple[Driver, str, str, Driver, str, str]:
    """Ours on a, the real daemon on b, an announced account on each."""
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.ours("a", "-c", "-d", "-p")
    lab.start_jamid("b")
    bootstrap = f"{lab.address('d')}:4222"
    ours, real = await Driver.connect(lab.bus("a"), "ours"), await Driver.connect(lab.bus("b"), "real")
    (account_a, id_a), (account_b, id_b) = await asyncio.gather(ours.add_account(bootstrap), real.add_account(bootstrap))
    return ours, account_a, id_a, real, account_b, id_b


async def test_presence_is_seen_both_ways(lab: Lab) -> None:
    ours, account_a, id_a, real, account_b, id_b = await pair(lab)
    await ours.presence.subscribeBuddy(account_a, id_b, True)
    await real.presence.subscribeBuddy(account_b, id_a, True)
    await ours.signal("newBuddyNotification", lambda account, uri, status, _: (account, uri) == (account_a, id_b) and status, 20)
    await real.signal("newBuddyNotification", lambda account, uri, status, _: (account, uri) == (account_b, id_a) and status, 20)
    assert await ours.presence.getSubscriptions(account_a) == [{"Buddy": id_b, "Status": "Online"}]


async def test_requests_are_accepted_both_ways(lab: Lab) -> None:
    ours, account_a, id_a, real, account_b, id_b = await pair(lab)
    await ours.configuration.sendTrustRequest(account_a, id_b, VCARD)
    request = await real.signal("incomingTrustRequest", lambda account, *_: account == account_b, 20)
    assert request[2] == id_a
    assert bytes(request[3]) == VCARD
    await real.configuration.acceptTrustRequest(account_b, id_a)
    await ours.signal("contactAdded", lambda account, uri, confirmed: (account, uri) == (account_a, id_b) and confirmed, 20)
    assert [contact["confirmed"] for contact in await ours.configuration.getContacts(account_a)] == ["true"]

    second, id_second = await real.add_account(f"{lab.address('d')}:4222")
    await real.configuration.sendTrustRequest(second, id_a, VCARD)
    request = await ours.signal("incomingTrustRequest", lambda _, __, sender, *___: sender == id_second, 20)
    assert bytes(request[3]) == VCARD
    assert await ours.configuration.acceptTrustRequest(account_a, id_second) is True
    await real.signal("contactAdded", lambda account, uri, confirmed: (account, uri) == (second, id_a) and confirmed, 20)
    assert await ours.configuration.getTrustRequests(account_a) == []


async def test_discarded_request_stays_away_after_a_restart(lab: Lab) -> None:
    ours, account_a, id_a, real, account_b, id_b = await pair(lab)
    await real.configuration.sendTrustRequest(account_b, id_a, VCARD)
    await ours.signal("incomingTrustRequest", lambda account, *_: account == account_a, 20)
    assert [request["from"] for request in await ours.configuration.getTrustRequests(account_a)] == [id_b]
    assert await ours.configuration.discardTrustRequest(account_a, id_b) is True
    await ours.close()
    lab.stop("a")
    lab.ours("a", "-c", "-d", "-p")
    async with await Driver.connect(lab.bus("a"), "ours") as ours:
        await ours.announced(account_a)
        await asyncio.sleep(2)
        assert await ours.configuration.getTrustRequests(account_a) == []
        assert ours.received("incomingTrustRequest") == []


async def test_request_sent_while_we_are_off_arrives(lab: Lab) -> None:
    ours, account_a, id_a, real, account_b, _ = await pair(lab)
    await ours.close()
    lab.stop("a")
    await real.configuration.sendTrustRequest(account_b, id_a, VCARD)
    await asyncio.sleep(1)
    lab.ours("a", "-c", "-d", "-p")
    async with await Driver.connect(lab.bus("a"), "ours") as ours:
        await ours.announced(account_a)
        for _ in range(100):
            if await ours.configuration.getTrustRequests(account_a):
                break
            await asyncio.sleep(0.1)
        assert len(await ours.configuration.getTrustRequests(account_a)) == 1


async def test_blocked_account_is_not_heard(lab: Lab) -> None:
    ours, account_a, id_a, real, account_b, id_b = await pair(lab)
    await ours.configuration.removeContact(account_a, id_b, True)
    await ours.signal("contactRemoved", lambda account, uri, banned: (account, uri, banned) == (account_a, id_b, True), 10)
    await real.configuration.sendTrustRequest(account_b, id_a, VCARD)
    await asyncio.sleep(3)
    assert ours.received("incomingTrustRequest") == []
    assert (await ours.configuration.getContactDetails(account_a, id_b))["banned"] == "true"


async def test_account_behind_a_dht_proxy_is_seen_and_sees(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.spawn("d", "proxy", ["dhtnode", "-p", "4223", "-b", "10.77.0.1:4222", "--proxyserver", "8080", "-s"])
    lab.ours("a", "-c", "-d", "-p")
    lab.start_jamid("b")
    ours, real = await Driver.connect(lab.bus("a"), "ours"), await Driver.connect(lab.bus("b"), "real")
    proxy = {"Account.proxyEnabled": "true", "Account.proxyListEnabled": "false", "Account.proxyServer": f"{lab.address('d')}:[8080-8080]"}
    account_b, id_b = await real.add_account(f"{lab.address('d')}:4222")
    account_a, id_a = await ours.add_account("nowhere.example", **proxy)
    assert (await ours.configuration.getVolatileAccountDetails(account_a))["Account.proxyServer"] == f"{lab.address('d')}:8080"
    await real.presence.subscribeBuddy(account_b, id_a, True)
    await real.signal("newBuddyNotification", lambda account, uri, status, _: uri == id_a and status, 20)
    await real.configuration.sendTrustRequest(account_b, id_a, VCARD)
    await ours.signal("incomingTrustRequest", lambda account, _, sender, *__: sender == id_b, 30)


async def test_accounts_on_the_local_network_find_each_other(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.ours("a", "-c", "-d", "-p")
    lab.start_jamid("b")
    ours, real = await Driver.connect(lab.bus("a"), "ours"), await Driver.connect(lab.bus("b"), "real")
    wanted = {"Account.accountDiscovery": "true", "Account.accountPublish": "true", "Account.peerDiscovery": "true"}
    bootstrap = f"{lab.address('d')}:4222"
    (_, id_a), (_, id_b) = await asyncio.gather(ours.add_account(bootstrap, **wanted), real.add_account(bootstrap, **wanted))
    assert (await ours.signal("nearbyPeerNotification", lambda _, uri, state, __: uri == id_b and state == 0, 30))[3] == "real"
    assert (await real.signal("nearbyPeerNotification", lambda _, uri, state, __: uri == id_a and state == 0, 30))[3] == "ours"
