"""Names on our name server, and messages outside conversations, with the real daemon."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.interop.driver import Driver
from tests.interop.lab import Lab

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


async def register(driver: Driver, account: str, name: str) -> int:
    since = len(driver.signals)
    await driver.configuration.registerName(account, "", name)
    return int((await driver.signal("nameRegistrationEnded", seconds=20, since=since))[1])


async def look_up(driver: Driver, account: str, name: str) -> tuple[int, str]:
    """Status and address, from the last four arguments of either generation's form."""
    since = len(driver.signals)
    await driver.configuration.lookupName(account, "", name)
    status, address, _ = (await driver.signal("registeredNameFound", seconds=20, since=since))[-3:]
    await asyncio.sleep(0.2)
    forms = {len(body) for body in driver.received("registeredNameFound", since)}
    assert len(driver.received("registeredNameFound", since)) == len(forms)
    return status, address


async def test_names_are_registered_and_found_both_ways(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    database = lab.home("d") / "names.sqlite"
    server = [sys.executable, "-m", "jamid.accounts.nameserver.cli", "--host", "0.0.0.0", "--database", str(database)]
    lab.spawn("d", "names", server)
    lab.ours("a", "-c", "-d", "-p")
    lab.start_jamid("b")
    ours, real = await Driver.connect(lab.bus("a"), "ours"), await Driver.connect(lab.bus("b"), "real")
    bootstrap, uri = f"{lab.address('d')}:4222", f"http://{lab.address('d')}:3000"
    (account_a, id_a), (account_b, id_b) = await asyncio.gather(
        ours.add_account(bootstrap, **{"RingNS.uri": uri}), real.add_account(bootstrap, **{"RingNS.uri": uri})
    )
    assert await register(ours, account_a, "Our-Name") == 0
    assert await register(real, account_b, "real_name") == 0
    assert await register(real, account_b, "our-name") == 3
    assert await register(ours, account_a, "no!") == 2
    assert await look_up(real, account_b, "our-name") == (0, id_a)
    assert await look_up(ours, account_a, "real_name") == (0, id_b)
    assert await look_up(ours, account_a, "nobody") == (2, "")
    assert await look_up(ours, account_a, "x") == (1, "")
    assert (await ours.configuration.getVolatileAccountDetails(account_a))["Account.registeredName"] == "our-name"
    lab.stop("d", "names")
    assert await look_up(ours, account_a, "somebody") == (3, "")


async def test_text_messages_outside_conversations(lab: Lab) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.ours("a", "-c", "-d", "-p")
    lab.start_jamid("b")
    ours, real = await Driver.connect(lab.bus("a"), "ours"), await Driver.connect(lab.bus("b"), "real")
    bootstrap = f"{lab.address('d')}:4222"
    (account_a, id_a), (account_b, id_b) = await asyncio.gather(
        ours.add_account(bootstrap, **{"DHT.PublicInCalls": "true"}), real.add_account(bootstrap)
    )
    token = await ours.configuration.sendTextMessage(account_a, id_b, {"text/plain": "from ours"})
    received = await real.signal("incomingAccountMessage", seconds=30)
    assert received == [account_b, id_a, f"{token:016x}", {"text/plain": "from ours"}]
    await ours.signal("accountMessageStatusChanged", lambda a, c, peer, t, status: (t, status) == (str(token), 2), 30)
    assert await ours.configuration.getMessageStatus(token) == 2

    token = await real.configuration.sendTextMessage(account_b, id_a, {"text/plain": "from real"})
    received = await ours.signal("incomingAccountMessage", seconds=30)
    assert received[1] == id_b or received[2] == id_b
    assert received[3] == {"text/plain": "from real"}
    await real.signal("accountMessageStatusChanged", lambda a, c, peer, t, status: (t, status) == (str(token), 2), 40)
