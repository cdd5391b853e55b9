"""Microphones and loudspeakers as D-Bus lists them, selected by index and remembered by name (protocol: media, section 2).

Two interfaces: `pulseaudio`, listed through libpulse, and `alsa`, listed through PortAudio; streams of both are PortAudio's
(`jamid.media.device_streams`). On a server without any the lists are empty and everything else works in silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jamid.core.errors import LocalError
from jamid.core.settings import Settings
from jamid.core.tasks import in_thread

if TYPE_CHECKING:
    from jamid.media.pulse import PulseDevice, PulseServer

_log = logging.getLogger(__name__)

MANAGERS: Final = ("alsa", "pulseaudio")
"""Interfaces, in the order in which clients are told."""
PULSE: Final = "pulseaudio"
LOOK_AGAIN_SECONDS: Final = 2.0
"""Between two looks for a server that went away."""
PLAYBACK, CAPTURE, RINGTONE = "devicePlayback", "deviceRecord", "deviceRingtone"
_ALSA_KEYS = {PLAYBACK: "cardOut", CAPTURE: "cardIn", RINGTONE: "cardRing"}


@dataclass(frozen=True, slots=True)
class Device:
    """One entry of a device list."""

    name: str
    """What is stored and opened; "" is the interface's own choice."""
    description: str
    """What the user reads."""


class Devices:
    """The devices of the interface in use and which of them are selected. Main loop only."""

    def __init__(self, settings: Settings, on_change: Callable[[], None]) -> None:
        self._settings = settings
        self._on_change = on_change
        self._outputs: list[Device] = []
        self._inputs: list[Device] = []
        self._pulse: PulseServer | None = None
        self._ready: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._closed = False

    # -- interface ---------------------------------------------------------------------------------------------------------
    async def prepare(self) -> None:
        """Finds the devices once; later changes are followed. Waits for the PulseAudio server for three seconds at most.

        A server that was not there the first time is looked for again each time.
        """
        wanted = self._settings.text("audio.audioApi")
        appeared = self._ready is not None and self._ready.done() and wanted == PULSE and self.manager != PULSE and _server_expected()
        if self._ready is None or appeared:
            self._loop = asyncio.get_running_loop()
            self._ready = self._loop.create_task(self._find(wanted))
        await asyncio.shield(self._ready)
        if appeared and self.manager == PULSE:
            self._on_change()

    @property
    def manager(self) -> str:
        """The interface in use."""
        return PULSE if self._pulse is not None and self._pulse.connected else "alsa"

    async def set_manager(self, name: str) -> bool:
        """Changes the interface; false when another one runs afterwards (what cannot run falls back to ALSA, as configured then)."""
        await self.prepare()
        if name == self.manager:
            return True
        before = (self.manager, self._outputs, self._inputs)
        self._ready = asyncio.get_running_loop().create_task(self._find(name))
        await asyncio.shield(self._ready)
        self._settings.set("audio.audioApi", self.manager)
        if before != (self.manager, self._outputs, self._inputs):
            self._on_change()
        return self.manager == name

    @property
    def present(self) -> bool:
        """Whether there is any device to play to or record from."""
        return bool(self._outputs or self._inputs)

    # -- lists and selection -----------------------------------------------------------------------------------------------
    def list(self, kind: str) -> list[Device]:
        """The devices to choose from for PLAYBACK, CAPTURE or RINGTONE."""
        return self._inputs if kind == CAPTURE else self._outputs

    def index_of(self, kind: str, description: str) -> int:
        """The first device so described; the length of the list when there is none."""
        devices = self.list(kind)
        return next((index for index, device in enumerate(devices) if device.description == description), len(devices))

    def selected(self, kind: str) -> Device:
        """The selected device; one that is not there at present counts as the interface's own choice."""
        devices = self.list(kind)
        index = self.selected_index(kind)
        return devices[index] if index < len(devices) else Device("", "default")

    def selected_index(self, kind: str) -> int:
        """The selected device's place in the list."""
        if self.manager == "alsa":
            index = self._settings.number(f"audio.alsa.{_ALSA_KEYS[kind]}")
            return index if 0 <= index < len(self.list(kind)) else 0
        name = self._settings.text(f"audio.pulse.{kind}")
        return next((index for index, device in enumerate(self.list(kind)) if device.name == name), 0)

    def select(self, kind: str, index: int) -> bool:
        """Remembers a choice; false when nothing changes. An index that does not exist is the interface's own choice."""
        if index == self.selected_index(kind):
            return False
        devices = self.list(kind)
        exists = 0 <= index < len(devices)
        if self.manager == "alsa":
            self._settings.set(f"audio.alsa.{_ALSA_KEYS[kind]}", index if exists else 0)
        else:
            self._settings.set(f"audio.pulse.{kind}", devices[index].name if exists else "")
        return True

    def close(self) -> None:
        """Follows the devices no longer."""
        self._closed = True
        for task in (self._ready, self._waiting):
            if task is not None:
                task.cancel()
        if self._pulse is not None:
            self._pulse.close()

    # -- details -----------------------------------------------------------------------------------------------------------
    async def _find(self, wanted: str) -> None:
        if self._pulse is not None:
            self._pulse.close()
            self._pulse = None
        if wanted == PULSE and _server_expected():
            from jamid.media.pulse import PulseServer

            self._pulse = PulseServer(self._changed)
            if not await in_thread(self._pulse.connect):
                self._pulse = None
        await self._list()
        if not self.present:
            _log.info("no audio device: calls are silent here unless JAMID_AUDIO_INPUT and JAMID_AUDIO_OUTPUT name files or pipes")

    async def _list(self) -> None:
        if self._pulse is not None and self._pulse.connected:
            self._outputs, self._inputs = _with_default(self._pulse.sinks), _with_default(self._pulse.sources)
            return
        try:
            from jamid.media import device_streams

            found = await in_thread(device_streams.list_devices)
        except LocalError as error:
            _log.info("%s", error)
            found = ([], [])
        self._outputs, self._inputs = ([Device(name, name) for name in names] for names in found)

    def _changed(self) -> None:
        # Called by the PulseAudio thread.
        if self._loop is not None and not self._closed:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._relist)

    def _relist(self) -> None:
        if self._pulse is None or self._closed:
            return
        if self._pulse.connected:
            self._outputs, self._inputs = _with_default(self._pulse.sinks), _with_default(self._pulse.sources)
        else:
            _log.warning("the audio server is gone; calls go on in silence until it is back")
            self._pulse = None
            self._outputs, self._inputs = [], []
            self._waiting = asyncio.get_running_loop().create_task(self._until_back())
        self._on_change()

    async def _until_back(self) -> None:
        while self._settings.text("audio.audioApi") == PULSE and self.manager != PULSE:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            await self.prepare()


def _server_expected() -> bool:
    # Brings ctypes with it: not before somebody needs sound.
    from jamid.media.pulse import server_expected

    return server_expected()


def _with_default(devices: tuple[PulseDevice, ...]) -> list[Device]:
    return [Device("", "default"), *(Device(device.name, device.description) for device in devices)] if devices else []
