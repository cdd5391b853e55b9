"""Every method of every interface, called as it was called on the real daemons, answers what they answered."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jamid.app.options import Options
from jamid.app.wiring import Daemon
from jamid.bus import contract
from jamid.bus.connection import BusError
from jamid.bus.signature import neutral
from jamid.core.paths import Paths
from tests.private_bus import Client, plain

DATA = Path(__file__).parents[2] / "data" / "bus"
NOT_IMPLEMENTED = "cx.ring.Ring.Error.NotImplemented"

DIFFERENT_VALUE: dict[tuple[str, str], tuple[Any, str]] = {
    ("*", "ConfigurationManager.fileTransferInfo"): ([3, "", 0, 0], "the real daemons answer uninitialised memory for the sizes"),
    ("13", "ConfigurationManager.unpinCertificate"): ([False], "nothing is pinned under an empty id; 17 answers the same"),
    ("17", "ConfigurationManager.isAgcEnabled"): ([False], "13.7.0's default is served to both"),
    ("17", "ConfigurationManager.validateCertificatePath"): ([{"EXIST": "FAILED"}], "13.7.0's answer is served to both"),
    ("17", "VideoManager.getDecodingAccelerated"): ([True], "13.7.0's default is served to both; 17 lacked decoders where it was recorded"),
    ("17", "VideoManager.pausePlayer"): ([False], "no media player ever opens yet"),
    ("17", "VideoManager.mutePlayerAudio"): ([False], "no media player ever opens yet"),
    ("17", "VideoManager.getPlayerPosition"): ([-1], "no media player ever opens yet"),
    ("17", "VideoManager.getPlayerDuration"): ([-1], "no media player ever opens yet"),
}
"""deliberate differences: generation ("*": both) and member, our answer, the reason"""

NOT_COMPARED = {
    "ConfigurationManager.addAccount": "the id is random",
    "ConfigurationManager.getAccountList": "the ids are random",
    "ConfigurationManager.getAddrFromInterfaceName": "depends on the machine",
    "ConfigurationManager.getAllIpInterface": "depends on the machine",
    "ConfigurationManager.getAllIpInterfaceByName": "depends on the machine",
    "ConfigurationManager.getAudioManager": "depends on the machine",
    "ConfigurationManager.getSupportedAudioManagers": "depends on the machine",
    "ConfigurationManager.getAudioOutputDeviceList": "depends on the machine",
    "ConfigurationManager.getAudioInputDeviceList": "depends on the machine",
    "ConfigurationManager.getCurrentAudioOutputPlugin": "17 answered its default although another one had been set",
    "VideoManager.startLocalMediaRecorder": "the real daemons crashed or raised; depends on the machine's microphone",
    "VideoManager.getSettings": "17 has a seventh key and takes an empty id for unknown, 13.7.0 for the first device; tested by itself",
    "VideoManager.getCapabilities": "17 has another frame rate and takes an empty id for unknown; tested by itself",
}
"""replies whose signature alone is compared"""

DIFFERENT_SIGNALS = {
    "ConfigurationManager.monitor": "the lines differ in number between the generations and machines",
    "ConfigurationManager.addAccount": "a SIP account without server registers at another pace; the accounts' tests compare the order",
    "ConfigurationManager.registerAllAccounts": "as addAccount",
    "ConfigurationManager.connectivityChanged": "as addAccount",
    "ConfigurationManager.setAccountActive": "as addAccount",
    "ConfigurationManager.sendRegister": "as addAccount",
    "ConfigurationManager.lookupName": "there is no name server to answer here, and the answer comes when it comes",
    "ConfigurationManager.lookupAddress": "as lookupName",
    "ConfigurationManager.pinCertificatePath": "13.7.0's answer, a signal for a missing path too, is served to both",
    "ConfigurationManager.searchConversation": "13.7.0's answer, an end mark for every search, is served to both",
    "ConfigurationManager.sendFile": "17's onConversationError is served to both",
    "VideoManager.setDecodingAccelerated": "whether it differed before depends on the machine's decoders",
    "ConfigurationManager.setAudioManager": "whether there are other devices then depends on the machine",
    "VideoManager.startAudioDevice": "whether there is a microphone depends on the machine",
    "VideoManager.startLocalMediaRecorder": "the real daemons crash or raise",
    "CallManager.playDTMF": "whether there is something to play on depends on the machine",
}
"""methods whose signals are not compared, each with its reason"""

LATE_SIGNALS = {"certificatePathPinned"}
"""signals that a call before may have caused, for they come when the disk has answered"""

RECORDINGS = {
    ("13", "live-13.7.0-no-account-unknown-ids.json"),
    ("13", "live-13.7.0-no-account-empty-args.json"),
    ("17", "live-17.0.0-no-account-unknown-ids.json"),
    ("17", "live-17.0.0-no-account-empty-args.json"),
}


@pytest.fixture
async def daemon(bus: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Daemon]:
    """The whole daemon in this process, without accounts, on a private bus."""
    level = request.param
    paths = Paths(tmp_path / "config", tmp_path / "data", tmp_path / "cache")
    daemon = Daemon(Options(bus=bus, persistent=True, api_level=level), request_stop=lambda reason, code=0: None, paths=paths)
    await daemon.start()
    yield daemon
    await daemon.stop(2)


@pytest.mark.parametrize(("daemon", "name"), sorted(RECORDINGS), indirect=["daemon"])
async def test_replies_are_the_recorded_ones(daemon: Daemon, bus: str, name: str) -> None:
    generation = daemon.options.api_level
    contracts = contract.load()
    client = await Client.connect(bus)
    wrong = []
    for key, record in json.loads((DATA / name).read_text()).items():
        interface, _, member = key.partition(".")
        form = contracts[interface].find_method(member, record["in"])
        assert form is not None, key
        await client.ping()  # whatever the call before has caused is here now
        client.signals.clear()
        try:
            value = await asyncio.wait_for(client.call(key, record["in"], *decoded(record["args"])), 10)
        except BusError as error:
            if error.name != NOT_IMPLEMENTED:
                wrong.append(f"{key}: {error}")
            continue
        if not is_expected(generation, key, form, record, plain(value)):
            wrong.append(f"{key}({record['args']}): {value} instead of {record.get('value', 'a crash')}")
        if key not in DIFFERENT_SIGNALS:
            wanted = Counter((signal[1], signal[2]) for signal in record["signals"])
            if seen := await signals_of(client, wanted):
                wrong.append(f"{key}: signals {seen} instead of {dict(wanted)}")
    await client.close()
    assert not wrong, "\n" + "\n".join(wrong)


def is_expected(generation: str, key: str, form: contract.Member, record: dict[str, Any], value: Any) -> bool:
    """Whether VALUE is what was recorded, or what the table of differences gives instead."""
    if key in NOT_COMPARED:
        return True
    # Where the real daemon crashed or raised: the neutral value.
    recorded = plain(decoded(record["value"])) if "value" in record else [neutral(one) for one in form.out_types]
    return value == recorded or any(value == DIFFERENT_VALUE.get((which, key), (recorded,))[0] for which in (generation, "*"))


def decoded(value: Any) -> Any:
    """Recorded JSON with byte arrays as bytes."""
    if isinstance(value, dict):
        return bytes.fromhex(value["__bytes__"]) if "__bytes__" in value else {key: decoded(item) for key, item in value.items()}
    return [decoded(item) for item in value] if isinstance(value, list) else value


async def signals_of(client: Client, wanted: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Empty when the WANTED signals and no others have come, else what came."""
    for _ in range(60):
        await client.ping()
        seen = Counter((member, signature) for member, signature, _ in client.signals if member not in LATE_SIGNALS)
        if seen == wanted:
            return {}
        if not wanted:
            break
        await asyncio.sleep(0.01)
    return dict(seen)
