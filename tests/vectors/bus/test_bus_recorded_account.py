"""Every method, called with an account that exists, answers in the type and, where that says something, with the value recorded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from jamid.app.options import Options
from jamid.app.wiring import Daemon
from jamid.bus import contract
from jamid.bus.connection import BusError
from jamid.core.paths import Paths
from tests.private_bus import Client, plain

DATA = Path(__file__).parents[2] / "data" / "bus"
RECORDINGS = {
    "13": ("live-13.7.0-with-jami-account.json", "caea45feaf0119f2"),
    "17": ("live-17.0.0-with-jami-account.json", "78aaffd22205e547"),
}
ACCOUNT = {
    "Account.type": "RING",
    "Account.alias": "Alice",
    "Account.displayName": "Alice",
    "Account.hostname": "127.0.0.1:9",
    "Account.upnpEnabled": "false",
    "TURN.enable": "false",
}

OTHER_STATE = {
    "ConfigurationManager.getActiveCodecList": "the recorded account had another choice",
    "ConfigurationManager.getAddrFromInterfaceName": "depends on the machine",
    "ConfigurationManager.getAllIpInterface": "depends on the machine",
    "ConfigurationManager.getAllIpInterfaceByName": "depends on the machine",
    "ConfigurationManager.getAudioInputDeviceList": "depends on the machine",
    "ConfigurationManager.getAudioManager": "depends on the machine",
    "ConfigurationManager.getAudioOutputDeviceList": "depends on the machine",
    "ConfigurationManager.getCertificatesByStatus": "the recorded account had banned somebody",
    "ConfigurationManager.getContactDetails": "we take an id with jami: in front",
    "ConfigurationManager.getContacts": "the recorded account had contacts",
    "ConfigurationManager.getConversations": "the recorded account had conversations",
    "ConfigurationManager.getDefaultModerators": "the recorded account of 17 had one",
    "ConfigurationManager.getPinnedCertificates": "ids are random",
    "ConfigurationManager.getSupportedAudioManagers": "depends on the machine",
    "ConfigurationManager.fileTransferInfo": "the real daemons answer uninitialised memory for the sizes",
    "ConfigurationManager.isAgcEnabled": "13.7.0's default is served to both",
    "ConfigurationManager.searchConversation": "the id is random",
    "ConfigurationManager.startConversation": "the id is random",
    "PresenceManager.getSubscriptions": "the recorded account of 17 had contacts",
    "VideoManager.getDecodingAccelerated": "13.7.0's default is served to both",
}
"""replies whose signature alone is compared, each with its reason"""

SUPERSET = ("ConfigurationManager.getAccountDetails", "ConfigurationManager.getVolatileAccountDetails")
"""maps of which every recorded key must be there"""


@pytest.mark.parametrize("generation", RECORDINGS)
async def test_replies_about_an_account(generation: str, bus: str, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "config", tmp_path / "data", tmp_path / "cache")
    daemon = Daemon(Options(bus=bus, persistent=True), request_stop=lambda reason, code=0: None, paths=paths)
    await daemon.start()
    client = await Client.connect(bus)
    (account,) = await client.call("ConfigurationManager.addAccount", "a{ss}", ACCOUNT)
    await has_keys(client, account)
    name, recorded_account = RECORDINGS[generation]
    contracts = contract.load()
    wrong = []
    for key, record in json.loads((DATA / name).read_text().replace(recorded_account, account)).items():
        interface, _, member = key.partition(".")
        form = contracts[interface].find_method(member, record["in"])
        assert form is not None
        try:
            value = plain(await asyncio.wait_for(client.call(key, record["in"], *decoded(record["args"])), 20))
        except BusError as error:
            wrong.append(f"{key}: {error}")
            continue
        assert len(value) == len(form.out_types)
        recorded = plain(decoded(record["value"])) if "value" in record else None
        if key in SUPERSET and recorded is not None:
            if missing := recorded[0].keys() - value[0].keys():
                wrong.append(f"{key} lacks {sorted(missing)}")
        elif key == "ConfigurationManager.getKnownRingDevices":
            assert len(value[0]) == 1
        elif recorded is not None and key not in OTHER_STATE and value != recorded:
            wrong.append(f"{key}({record['args']}): {value} instead of {recorded}")
    await client.close()
    await daemon.stop(2)
    assert not wrong, "\n" + "\n".join(wrong)


async def has_keys(client: Client, account: str) -> None:
    """Waits until the account is past INITIALIZING."""
    async with asyncio.timeout(60):
        while True:
            (details,) = await client.call("ConfigurationManager.getVolatileAccountDetails", "s", account)
            if details["Account.registrationStatus"] != "INITIALIZING":
                return
            await asyncio.sleep(0.05)


def decoded(value: Any) -> Any:
    """Recorded JSON with byte arrays as bytes."""
    if isinstance(value, dict):
        return bytes.fromhex(value["__bytes__"]) if "__bytes__" in value else {key: decoded(item) for key, item in value.items()}
    return [decoded(item) for item in value] if isinstance(value, list) else value
