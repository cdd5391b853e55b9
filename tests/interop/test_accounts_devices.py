"""One account on several devices, ours and real ones: homes, archives, PINs, synchronisation, revocation, linking."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.interop.driver import Driver
from tests.interop.lab import Lab

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


def details(lab: Lab, **more: str) -> dict[str, str]:
    """What addAccount needs in a lab."""
    return {
        "Account.type": "RING",
        "Account.hostname": f"{lab.address('d')}:4222",
        "Account.upnpEnabled": "false",
        "TURN.enable": "false",
    } | {key.replace("_", "."): value for key, value in more.items()}


def stop_real(lab: Lab, host: str) -> None:
    """Ends a real daemon, which on a busy machine may hang for minutes after it has saved everything."""
    if lab.stop(host) is None:
        lab.stop(host, number=signal.SIGKILL)


async def start(lab: Lab) -> tuple[Driver, Driver]:
    """Ours on a, the real daemon on b."""
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.ours("a", "-c", "-d", "-p")
    lab.start_jamid("b")
    return await Driver.connect(lab.bus("a"), "ours"), await Driver.connect(lab.bus("b"), "real")


async def facts(driver: Driver, account: str) -> dict[str, object]:
    """What must be the same whichever daemon has the home."""
    await driver.announced(account)
    found = await driver.configuration.getAccountDetails(account)
    volatile = await driver.configuration.getVolatileAccountDetails(account)
    return {
        "details": {
            key: found[key] for key in ("Account.username", "Account.alias", "Account.displayName", "Account.hostname", "RingNS.uri")
        },
        "device": volatile["Account.deviceID"],
        "devices": await driver.configuration.getKnownRingDevices(account),
        "contacts": sorted((c["id"], c["added"], c["conversationId"]) for c in await driver.configuration.getContacts(account)),
    }


async def test_home_of_the_real_daemon_is_taken_over_and_given_back(lab: Lab) -> None:
    lab.up(["d", "b"])
    lab.start_dht("d")
    lab.start_jamid("b")
    async with await Driver.connect(lab.bus("b"), "real") as real:
        account, _ = await real.add_account(f"{lab.address('d')}:4222", **{"Account.alias": "yes", "RingNS.uri": "http://10.77.0.1:9"})
        await real.configuration.addContact(account, "1" * 40)
        await real.configuration.addContact(account, "2" * 40)
        await real.configuration.removeContact(account, "2" * 40, True)
        before = await facts(real, account)
    stop_real(lab, "b")

    lab.ours("b", "-c", "-d", "-p")
    async with await Driver.connect(lab.bus("b"), "ours") as ours:
        assert await facts(ours, account) == before
        await ours.configuration.setAccountDetails(account, {"Account.alias": "ours: no #1", "Account.displayName": "Zoë"})
        await ours.announced(account)
        await ours.configuration.addContact(account, "3" * 40)
        changed = await facts(ours, account)
    lab.stop("b")

    lab.start_jamid("b")
    async with await Driver.connect(lab.bus("b"), "real") as real:
        assert await facts(real, account) == changed
        assert changed["details"] != before["details"]


async def test_archive_of_the_real_daemon_opens_here_and_both_are_devices(lab: Lab, tmp_path: Path) -> None:
    ours, real = await start(lab)
    file = str(lab.home("b") / "archive.gz")
    account_b, id_b = await real.add_account(f"{lab.address('d')}:4222", **{"Account.archivePassword": "b0bpass"})
    assert await real.configuration.exportToFile(account_b, file, "b0bpass") is True
    account_a = await ours.configuration.addAccount(details(lab) | {"Account.archivePath": file, "Account.archivePassword": "b0bpass"})
    await ours.announced(account_a)
    assert (await ours.configuration.getAccountDetails(account_a))["Account.username"] == id_b
    await ours.signal("knownDevicesChanged", lambda account, devices: account == account_a and len(devices) == 2, 20)
    await real.signal("knownDevicesChanged", lambda account, devices: account == account_b and len(devices) == 2, 20)

    await real.configuration.addContact(account_b, "1" * 40)
    await ours.signal("contactAdded", lambda account, uri, _: (account, uri) == (account_a, "1" * 40), 20)
    await ours.configuration.addContact(account_a, "2" * 40)
    await real.signal("contactAdded", lambda account, uri, _: (account, uri) == (account_b, "2" * 40), 20)

    refused = await ours.configuration.addAccount(details(lab) | {"Account.archivePath": file, "Account.archivePassword": "wrong"})
    await ours.signal("registrationStateChanged", lambda account, state, *_: (account, state) == (refused, "ERROR_GENERIC"), 20)
    await asyncio.sleep(0.5)
    assert await ours.configuration.getAccountList() == [account_a]


async def test_our_archive_opens_there_and_a_device_can_be_revoked(lab: Lab) -> None:
    ours, real = await start(lab)
    file = str(lab.home("a") / "archive.gz")
    account_a, id_a = await ours.add_account(f"{lab.address('d')}:4222")
    assert await ours.configuration.changeAccountPassword(account_a, "", "s3cret") is True
    assert await ours.configuration.changeAccountPassword(account_a, "wrong", "other") is False
    assert await ours.configuration.exportToFile(account_a, file, "wrong") is False
    assert await ours.configuration.exportToFile(account_a, file, "", "s3cret") is False
    assert await ours.configuration.exportToFile(account_a, file, "password", "s3cret") is True
    assert await ours.configuration.exportToFile(account_a, file, "s3cret") is True
    account_b = await real.configuration.addAccount(details(lab) | {"Account.archivePath": file, "Account.archivePassword": "s3cret"})
    await real.announced(account_b)
    assert (await real.configuration.getAccountDetails(account_b))["Account.username"] == id_a
    await ours.signal("knownDevicesChanged", lambda account, devices: len(devices) == 2, 20)

    device_b = (await real.configuration.getVolatileAccountDetails(account_b))["Account.deviceID"]
    await ours.configuration.revokeDevice(account_a, device_b, "password", "wrong")
    assert await ours.signal("deviceRevocationEnded", seconds=20) == [account_a, device_b, 1]
    since = len(ours.signals)
    await ours.configuration.revokeDevice(account_a, "s3cret", device_b)
    assert await ours.signal("deviceRevocationEnded", seconds=20, since=since) == [account_a, device_b, 0]
    await asyncio.sleep(2)
    assert device_b not in await ours.configuration.getKnownRingDevices(account_a)


async def test_pins_link_devices_both_ways(lab: Lab) -> None:
    ours, real = await start(lab)
    account_a, id_a = await ours.add_account(f"{lab.address('d')}:4222", **{"Account.archivePassword": "one"})
    await ours.configuration.exportOnRing(account_a, "one")
    _, status, pin = await ours.signal("exportOnRingEnded", seconds=20)
    assert status == 0
    copy = await real.configuration.addAccount(details(lab) | {"Account.archivePIN": pin, "Account.archivePassword": "one"})
    await real.announced(copy)
    assert (await real.configuration.getAccountDetails(copy))["Account.username"] == id_a

    account_b, id_b = await real.add_account(f"{lab.address('d')}:4222")
    await real.configuration.exportOnRing(account_b, "")
    _, status, pin = await real.signal("exportOnRingEnded", seconds=20)
    assert status == 0
    copy = await ours.configuration.addAccount(details(lab) | {"Account.archivePIN": pin.lower()})
    await ours.announced(copy)
    assert (await ours.configuration.getAccountDetails(copy))["Account.username"] == id_b


@pytest.mark.parametrize("password", ["", "s3cret"])
async def test_linking_peer_to_peer_between_two_of_ours(lab: Lab, password: str) -> None:
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.ours("a", "-c", "-d", "-p")
    lab.ours("b", "-c", "-d", "-p")
    source, new = await Driver.connect(lab.bus("a"), "source"), await Driver.connect(lab.bus("b"), "new")
    account_a, id_a = await source.add_account(f"{lab.address('d')}:4222", **{"Account.archivePassword": password})
    assert await source.configuration.addDevice(account_a, "jami-auth://nonsense") == -1

    account_b = await new.configuration.addAccount(details(lab) | {"Account.archiveURL": "jami-auth"})
    _, _, detail = await new.signal("deviceAuthStateChanged", lambda account, state, _: state == 1, 20)
    operation = await source.configuration.addDevice(account_a, detail["token"])
    assert operation > 0
    assert await source.configuration.addDevice(account_a, detail["token"]) == -2
    _, _, _, detail = await source.signal("addDeviceStateChanged", lambda a, op, state, _: (op, state) == (operation, 3), 20)
    assert "peer_address" in detail
    assert await source.configuration.confirmAddDevice(account_a, operation) is True
    _, _, detail = await new.signal("deviceAuthStateChanged", lambda account, state, _: state == 3, 20)
    assert detail == {"auth_scheme": "password" if password else "", "peer_id": id_a}
    if password:
        await new.configuration.provideAccountAuthentication(account_b, "wrong", "password")
        await new.signal("deviceAuthStateChanged", lambda _, __, detail: detail.get("auth_error") == "invalid_credentials", 20)
    await new.configuration.provideAccountAuthentication(account_b, password, "password" if password else "")
    assert (await new.signal("deviceAuthStateChanged", lambda account, state, _: state == 5, 20))[2] == {"error": ""}
    assert (await source.signal("addDeviceStateChanged", lambda a, op, state, _: state == 5, 20))[3] == {"error": ""}
    await new.announced(account_b)
    assert (await new.configuration.getAccountDetails(account_b))["Account.username"] == id_a
    await source.signal("knownDevicesChanged", lambda account, devices: len(devices) == 2, 20)


async def test_request_the_real_daemon_could_not_send_is_sent_by_ours(lab: Lab) -> None:
    archive = Path(__file__).parents[1] / "data/accounts/real17/archive_b_no_password.gz"
    peer, vcard = "2143118facdb6a5af16b77093f684550483f029b", b"BEGIN:VCARD\r\nVERSION:2.1\r\nFN:Alice\r\nEND:VCARD\r\n"
    lab.up(["d", "a", "b"])
    lab.start_dht("d")
    lab.start_jamid("b")
    async with await Driver.connect(lab.bus("b"), "real") as real:
        account, uri = await real.add_account(f"{lab.address('d')}:4222")
        await real.configuration.sendTrustRequest(account, peer, vcard)
        await real.signal("contactAdded", lambda _, added, __: added == peer, 20)
    stop_real(lab, "b")
    lab.ours("b", "-c", "-d", "-p")
    lab.ours("a", "-c", "-d", "-p")
    async with await Driver.connect(lab.bus("a"), "peer") as late, await Driver.connect(lab.bus("b"), "ours") as ours:
        await ours.announced(account)
        await late.configuration.addAccount(details(lab) | {"Account.archivePath": str(archive), "Account.hostname": "ignored"})
        account_a = (await late.configuration.getAccountList())[0]
        await late.signal("registrationStateChanged", lambda _, state, *__: state == "UNREGISTERED", 20)
        await late.configuration.setAccountDetails(account_a, details(lab))
        request = await late.signal("incomingTrustRequest", lambda _, __, sender, *___: sender == uri, 30)
        assert bytes(request[3]) == vcard
