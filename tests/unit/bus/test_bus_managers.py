"""The parts that need no network: preferences, devices, plugins, moderators, clients."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jamid.bus.connection import BusError
from jamid.bus.interface import Interface, handlers_of
from jamid.bus.managers.instance import InstancePart
from jamid.bus.managers.moderators import ModeratorsPart
from jamid.bus.managers.network import NetworkPart
from jamid.bus.managers.network_services import NetworkServicesPart
from jamid.bus.managers.plugins import PluginsPart
from jamid.bus.managers.preferences import PreferencesPart
from jamid.bus.managers.video import VideoPart
from jamid.core.events import Events
from jamid.core.settings import Settings
from jamid.core.signals import ErrorAlert, FileOpened, HardwareDecodingChanged, MessageSend, Signal
from tests.private_bus import Served

PREFERENCES: list[tuple[str, str, Any, Any]] = [
    ("RecordPath", "s", "", "/tmp"),
    ("IsAlwaysRecording", "b", False, True),
    ("RecordPreview", "b", True, False),
    ("RecordQuality", "i", 0, 70),
    ("HistoryLimit", "i", 0, -1),
    ("RingingTimeout", "i", 30, 0),
    ("NoiseSuppressState", "s", "auto", "off"),
    ("EchoCancellationState", "s", "audioProcessor", "anything"),
    ("VoiceActivityDetectionState", "b", True, False),
    ("ConferenceResolution", "s", "1280x720", "640x480"),
]


class Heard:
    """Keeps the events that are published."""

    def __init__(self) -> None:
        self.events = Events()
        self.seen: list[Signal] = []
        self.events.subscribe(Signal, self.seen.append)


@pytest.mark.parametrize(("name", "signature", "default", "other"), PREFERENCES)
async def test_preference_is_kept_over_a_restart(bus: str, tmp_path: Path, name: str, signature: str, default: Any, other: Any) -> None:
    path = tmp_path / "dring.yml"
    async with Served(bus, [Interface("ConfigurationManager", [PreferencesPart(Settings.load(path))])]) as served:
        assert await served.client.call(f"ConfigurationManager.get{name}") == [default]
        assert await served.client.call(f"ConfigurationManager.set{name}", signature, other) == []
        assert await served.client.call(f"ConfigurationManager.get{name}") == [other]
    async with Served(bus, [Interface("ConfigurationManager", [PreferencesPart(Settings.load(path))])]) as served:
        assert await served.client.call(f"ConfigurationManager.get{name}") == [other]


async def test_directory_for_recordings_must_be_writable(tmp_path: Path) -> None:
    part = PreferencesPart(Settings.load(tmp_path / "dring.yml"))
    await part.setRecordPath(str(tmp_path))
    await part.setRecordPath("/nonexistent/x")
    assert part.getRecordPath() == str(tmp_path)
    await part.setRecordPath("~")
    assert part.getRecordPath() == os.environ["HOME"]
    await part.setRecordPath("")
    assert part.getRecordPath() == ""


async def test_read_only_disk_is_a_clear_error(bus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dring.yml"
    async with Served(bus, [Interface("ConfigurationManager", [PreferencesPart(Settings.load(path))])]) as served:
        await served.client.call("ConfigurationManager.setRingingTimeout", "i", 5)
        whole = path.read_bytes()

        def refuse(*arguments: object, **options: object) -> int:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(BusError, match="Read-only file system; free space or make it writable") as caught:
            await served.client.call("ConfigurationManager.setRingingTimeout", "i", 6)
        monkeypatch.undo()
        assert caught.value.name == "cx.ring.Ring.Error.Failed"
        assert await served.client.call("ConfigurationManager.getRingingTimeout") == [5]
        assert path.read_bytes() == whole


async def test_last_client_ends_a_daemon_that_is_not_persistent() -> None:
    ended: list[str] = []
    part = InstancePart(lambda: ended.append("end"), persistent=False)
    part.Register(1, "one")
    part.Register(1, "one again")
    part.Unregister(99)
    assert not ended
    part.Unregister(1)
    assert ended == ["end"]
    lonely = InstancePart(lambda: ended.append("lonely"), persistent=False)
    lonely.Unregister(1)
    assert ended[-1] == "lonely"
    persistent = InstancePart(lambda: ended.append("persistent"), persistent=True)
    persistent.Unregister(1)
    assert "persistent" not in ended


async def test_video_settings(tmp_path: Path) -> None:
    heard = Heard()
    part = VideoPart(Settings.load(tmp_path / "dring.yml"), heard.events)
    desktop = {"channel": "", "id": "desktop", "input": "desktop", "name": "desktop", "rate": "30", "size": "0x0"}
    assert part.getSettings("desktop") == desktop
    assert part.getSettings("") == desktop
    assert part.getSettings("nonexistent") == dict.fromkeys(desktop, "")
    assert "30" in part.getCapabilities("desktop")["default"]["0x0"]
    await part.applySettings("desktop", {"rate": "58.7"})
    await part.applySettings("nonexistent", {"rate": "5"})
    again = VideoPart(Settings.load(tmp_path / "dring.yml"), heard.events)
    assert again.getSettings("desktop")["rate"] == "60"
    await part.setDecodingAccelerated(False)
    await part.setDecodingAccelerated(False)
    assert heard.seen == [HardwareDecodingChanged(False)]
    assert part.openVideoInput("camera://x") == "camera://x"
    assert part.closeVideoInput("camera://x")
    assert not part.closeVideoInput("camera://x")
    part.createMediaPlayer("file:///nothing")
    assert heard.seen[-1] == FileOpened("/nothing", {"audio_stream": "-1", "duration": "0", "video_stream": "-1"})
    await part.startAudioDevice()
    await part.stopAudioDevice()
    assert heard.seen[-1] == ErrorAlert(1)


async def test_plugins_are_not_pretended(tmp_path: Path) -> None:
    part = PluginsPart(Settings.load(tmp_path / "dring.yml"))
    archive = tmp_path / "x.jpl"
    assert await part.installPlugin(str(archive), False) == 0
    archive.write_bytes(b"PK\x03\x04")
    assert await part.installPlugin(str(archive), False) == -1
    archive.write_bytes(b"nonsense")
    assert await part.installPlugin(str(archive), True) == 500
    assert await part.installPlugin(str(tmp_path), False) == 0
    await part.setPluginsEnabled(True)
    assert PluginsPart(Settings.load(tmp_path / "dring.yml")).getPluginsEnabled()
    services = NetworkServicesPart(lambda account_id: account_id == "known")
    assert services.addExposedService("unknown", {"name": "web"}) == ""
    assert services.addExposedService("known", {}) == ""
    assert services.addExposedService("known", {"name": "web"}) == ""


async def test_network_of_this_machine() -> None:
    part = NetworkPart(Events())
    names = part.getAllIpInterfaceByName()
    assert names[:1] == ["default"]
    assert "lo" in names
    assert part.getAddrFromInterfaceName("lo") == "127.0.0.1"
    assert part.getAddrFromInterfaceName("nonexistent").count(".") == 3
    assert "127.0.0.1" not in part.getAllIpInterface()
    assert part.getSupportedTlsMethod() == ["Default", "TLSv1.2", "TLSv1.1", "TLSv1"]
    assert part.getSupportedCiphers("none") == []
    assert NetworkPart(Events(), is_sip=lambda account_id: True).getSupportedCiphers("sip")
    assert part.getConnectionList("none", "") == []
    assert part.getChannelList("none", "1") == []


async def test_monitor_sends_the_log_while_it_is_on() -> None:
    heard = Heard()
    part = NetworkPart(heard.events)
    log = logging.getLogger("jamid.test")
    part.monitor(True)
    assert len(heard.seen) == 6
    log.warning("something happened")
    part.monitor(False)
    log.warning("nobody hears this")
    lines = [event.message for event in heard.seen if isinstance(event, MessageSend)]
    assert len([line for line in lines if "something happened" in line]) == 1
    assert not any("nobody hears" in line for line in lines)


class _Details(dict[str, str]):
    def update(self, values: Mapping[str, str]) -> bool:  # type: ignore[override]
        changed = any(self[key] != value for key, value in values.items())
        super().update(values)
        return changed


class _Account:
    def __init__(self) -> None:
        self.saved = 0
        self.details = _Details(
            {"Account.defaultModerators": "", "Account.localModeratorsEnabled": "true", "Account.allModeratorEnabled": "true"}
        )

    async def save(self) -> None:
        self.saved += 1


async def test_moderators(bus: str) -> None:
    accounts = {"0011223344556677": _Account()}
    async with Served(bus, [Interface("ConfigurationManager", [ModeratorsPart(accounts)])]) as served:

        async def call(member: str, signature: str, *arguments: Any) -> list[Any]:
            return await served.client.call(f"ConfigurationManager.{member}", signature, *arguments)

        for peer, flag in (("jami:" + "a" * 40, True), ("b" * 40, True), ("a" * 40, True), ("a" * 40, False)):
            await call("setDefaultModerator", "ssb", "0011223344556677", peer, flag)
        assert await call("getDefaultModerators", "s", "0011223344556677") == [["b" * 40]]
        await call("enableLocalModerators", "sb", "0011223344556677", False)
        await call("setAllModerators", "sb", "0011223344556677", False)
        assert await call("isLocalModeratorsEnabled", "s", "0011223344556677") == [False]
        assert await call("isAllModerators", "s", "0011223344556677") == [False]
        await call("setAllModerators", "sb", "unknown", False)
        assert await call("isAllModerators", "s", "unknown") == [True]
        assert await call("getDefaultModerators", "s", "unknown") == [[]]
    assert accounts["0011223344556677"].saved == 5


def test_private_methods_are_no_handlers() -> None:
    assert "_devices" not in handlers_of(VideoPart)
    assert "getSettings" in handlers_of(VideoPart)
