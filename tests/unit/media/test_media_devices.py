from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jamid.core.settings import Settings
from jamid.media import devices, pulse
from jamid.media.devices import CAPTURE, PLAYBACK, RINGTONE, Devices
from jamid.media.pulse import PulseDevice, server_expected


class FakePulse:
    """A sound server with two sinks."""

    reachable = True

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.on_change = on_change
        self.connected = False
        self.sinks = (PulseDevice("speaker", "Null Output"), PulseDevice("head", "Headphones"))
        self.sources = (PulseDevice("speaker.monitor", "Monitor of Null Output"),)

    def connect(self) -> bool:
        self.connected = self.reachable
        return self.connected

    def close(self) -> None:
        self.connected = False


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(pulse, "PulseServer", FakePulse)
    monkeypatch.setattr(pulse, "server_expected", lambda: True)
    return Settings(tmp_path / "dring.yml")


async def test_media_pulse_lists_begin_with_default(settings: Settings) -> None:
    found = Devices(settings, lambda: None)
    await found.prepare()
    assert found.manager == "pulseaudio"
    assert [device.description for device in found.list(PLAYBACK)] == ["default", "Null Output", "Headphones"]
    assert [device.description for device in found.list(CAPTURE)] == ["default", "Monitor of Null Output"]
    # The index of what is unknown is the length of the list.
    assert found.index_of(PLAYBACK, "Headphones") == 2
    assert found.index_of(PLAYBACK, "Bagpipes") == 3
    found.close()


async def test_media_a_choice_is_kept_by_name_and_out_of_range_is_the_default(settings: Settings) -> None:
    found = Devices(settings, lambda: None)
    await found.prepare()
    assert found.select(PLAYBACK, 2)
    assert not found.select(PLAYBACK, 2)
    assert settings.text("audio.pulse.devicePlayback") == "head"
    assert (found.selected(PLAYBACK).name, found.selected_index(PLAYBACK), found.selected_index(RINGTONE)) == ("head", 2, 0)
    assert found.select(PLAYBACK, 77)
    assert (settings.text("audio.pulse.devicePlayback"), found.selected_index(PLAYBACK)) == ("", 0)


async def test_media_hot_plug_is_told_and_a_vanished_device_is_the_default(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[int] = []
    monkeypatch.setattr(devices, "LOOK_AGAIN_SECONDS", 0.01)
    found = Devices(settings, lambda: changes.append(1))
    await found.prepare()
    found.select(PLAYBACK, 2)
    server = found._pulse
    assert isinstance(server, FakePulse)
    server.sinks = server.sinks[:1]
    server.on_change()
    await _soon()
    assert (len(changes), found.selected(PLAYBACK).name) == (1, "")
    monkeypatch.setattr(pulse, "server_expected", lambda: False)
    server.connected = False
    server.on_change()
    await _soon()
    assert (found.manager, found.list(PLAYBACK), found.present) == ("alsa", [], False)
    monkeypatch.setattr(pulse, "server_expected", lambda: True)
    await _soon()
    assert (found.manager, len(found.list(PLAYBACK)), len(changes)) == ("pulseaudio", 3, 3)
    found.close()


async def test_media_without_a_server_alsa_is_used_until_there_is_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePulse, "reachable", False)
    monkeypatch.setattr("jamid.media.device_streams.list_devices", lambda: (["Card - 0"], []))
    found = Devices(settings, lambda: None)
    await found.prepare()
    assert (found.manager, settings.text("audio.audioApi")) == ("alsa", "pulseaudio")
    assert [device.description for device in found.list(PLAYBACK)] == ["Card - 0"]
    monkeypatch.setattr(FakePulse, "reachable", True)
    await found.prepare()
    assert found.list(PLAYBACK)[0].description == "default"
    assert not await found.set_manager("bogus")
    assert settings.text("audio.audioApi") == "alsa"
    assert await found.set_manager("alsa")
    assert await found.set_manager("pulseaudio")
    assert settings.text("audio.audioApi") == "pulseaudio"
    found.close()


def test_media_a_server_is_expected_where_one_is_named_or_its_socket_is(tmp_path: Path) -> None:
    assert server_expected({"PULSE_SERVER": "unix:/x"})
    assert not server_expected({"XDG_RUNTIME_DIR": str(tmp_path)})
    (tmp_path / "pulse").mkdir()
    (tmp_path / "pulse/native").touch()
    assert server_expected({"XDG_RUNTIME_DIR": str(tmp_path)})


async def _soon() -> None:
    import asyncio

    await asyncio.sleep(0.05)
