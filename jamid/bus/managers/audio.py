"""Sound on D-Bus: volumes, mutes, devices, meters (`ConfigurationManager`). What exists no device for is answered as by the real daemon."""

from __future__ import annotations

from jamid.core.settings import Settings
from jamid.media.devices import CAPTURE, MANAGERS, PLAYBACK, RINGTONE
from jamid.media.service import Media

_PLUGINS = ("default", "dmix/dsnoop")
"""ALSA's ways to open a device"""


class AudioPart:
    """The audio half of the configuration interface."""

    def __init__(self, media: Media, settings: Settings) -> None:
        self._media = media
        self._settings = settings

    # -- volumes and mutes --

    async def setVolume(self, device: str, value: float) -> None:
        await self._media.set_volume(device, value)

    def getVolume(self, device: str) -> float:
        return self._media.volume(device)

    async def muteDtmf(self, mute: bool) -> None:
        await self._settings.change({"voipPreferences.playDtmf": not mute})

    def isDtmfMuted(self) -> bool:
        return not self._settings.flag("voipPreferences.playDtmf")

    def muteCapture(self, mute: bool) -> None:
        self._media.mute_capture(mute)

    def isCaptureMuted(self) -> bool:
        return self._media.capture_muted

    def mutePlayback(self, mute: bool) -> None:
        self._media.mute_playback(mute)

    def isPlaybackMuted(self) -> bool:
        return self._media.playback_muted

    def muteRingtone(self, mute: bool) -> None:
        self._media.mute_ringtone(mute)

    def isRingtoneMuted(self) -> bool:
        return self._media.ringtone_muted

    # -- devices --

    async def getAudioManager(self) -> str:
        await self._media.devices.prepare()
        return self._media.devices.manager

    async def setAudioManager(self, name: str) -> bool:
        accepted = await self._media.devices.set_manager(name)
        await self._settings.save()
        return accepted

    def getSupportedAudioManagers(self) -> list[str]:
        return list(MANAGERS)

    def getAudioPluginList(self) -> list[str]:
        return list(_PLUGINS)

    async def setAudioPlugin(self, name: str) -> None:
        await self._settings.change({"audio.alsa.plugin": name})

    def getCurrentAudioOutputPlugin(self) -> str:
        return self._settings.text("audio.alsa.plugin")

    async def getAudioOutputDeviceList(self) -> list[str]:
        return await self._descriptions(PLAYBACK)

    async def getAudioInputDeviceList(self) -> list[str]:
        return await self._descriptions(CAPTURE)

    async def setAudioOutputDevice(self, index: int) -> None:
        await self._select(PLAYBACK, index)

    async def setAudioInputDevice(self, index: int) -> None:
        await self._select(CAPTURE, index)

    async def setAudioRingtoneDevice(self, index: int) -> None:
        await self._select(RINGTONE, index)

    async def getCurrentAudioDevicesIndex(self) -> list[str]:
        await self._media.devices.prepare()
        return [str(self._media.devices.selected_index(kind)) for kind in (PLAYBACK, CAPTURE, RINGTONE)]

    async def getAudioInputDeviceIndex(self, description: str) -> int:
        await self._media.devices.prepare()
        return self._media.devices.index_of(CAPTURE, description)

    async def getAudioOutputDeviceIndex(self, description: str) -> int:
        await self._media.devices.prepare()
        return self._media.devices.index_of(PLAYBACK, description)

    # -- meters --

    def isAudioMeterActive(self, buffer: str) -> bool:
        return self._media.meter_active(buffer)

    def setAudioMeterState(self, buffer: str, active: bool) -> None:
        self._media.set_meter(buffer, active=active)

    async def _descriptions(self, kind: str) -> list[str]:
        await self._media.devices.prepare()
        return [device.description for device in self._media.devices.list(kind)]

    async def _select(self, kind: str, index: int) -> None:
        await self._media.devices.prepare()
        self._media.select_device(kind, index)
