"""The lists of a PulseAudio (or PipeWire) server's devices and the news about them, through libpulse.

PortAudio reaches the server only as one anonymous device; names and descriptions are libpulse's. One thread waits in libpulse's own
loop and costs nothing while nothing changes.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 3.0

_READY, _FAILED = 4, 5
_NO_AUTOSPAWN = 1
_SINKS_AND_SOURCES = 3
_EVENT_KIND, _EVENT_CHANGED = 0x30, 0x10

_STATE_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_EVENT_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class PulseDevice:
    """A sink or a source."""

    name: str
    description: str


class _Info(ctypes.Structure):
    """The head that pa_sink_info and pa_source_info share."""

    _fields_ = [("name", ctypes.c_char_p), ("index", ctypes.c_uint32), ("description", ctypes.c_char_p)]


def server_expected(environment: Mapping[str, str] | None = None) -> bool:
    """Whether a server is worth a try: one is named, or its socket is there."""
    env = os.environ if environment is None else environment
    if env.get("PULSE_SERVER"):
        return True
    directory = env.get("PULSE_RUNTIME_PATH") or (
        f"{env['XDG_RUNTIME_DIR']}/pulse" if env.get("XDG_RUNTIME_DIR") else f"/run/user/{os.getuid()}/pulse"
    )
    return (Path(directory) / "native").exists()


class PulseServer:
    """A connection that keeps the lists up to date."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.sinks: tuple[PulseDevice, ...] = ()
        self.sources: tuple[PulseDevice, ...] = ()
        self.connected = False
        self._on_change = on_change
        self._settled = threading.Event()
        self._stopped = False
        self._mainloop: int | None = None
        self._lib: Any = None
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._stale = True
        self._listing = False
        self._pending: dict[bool, list[PulseDevice]] = {}

    def connect(self) -> bool:
        """Connects and reads the lists; false when there is no server. Blocks for at most three seconds."""
        self._thread.start()
        self._settled.wait(CONNECT_SECONDS)
        return self.connected

    def close(self) -> None:
        """Ends the connection. Does not block."""
        self._stopped = True
        if self._mainloop is not None and self._thread.is_alive():
            self._lib.pa_mainloop_wakeup(self._mainloop)

    def _run(self) -> None:
        try:
            self._lib = lib = _load()
        except OSError:
            self._settled.set()
            return
        loop = self._mainloop = lib.pa_mainloop_new()
        context = lib.pa_context_new(lib.pa_mainloop_get_api(loop), b"jamid")
        # Kept in variables: libpulse calls them for as long as the context lives.
        listed, changed = _STATE_CALLBACK(self._listed), _EVENT_CALLBACK(self._changed)
        try:
            # A connection that fails at once leaves nothing to wait for in the loop.
            self._stopped |= lib.pa_context_connect(context, None, _NO_AUTOSPAWN, None) < 0
            result = ctypes.c_int()
            while not self._stopped and lib.pa_mainloop_iterate(loop, 1, ctypes.byref(result)) >= 0:
                state = lib.pa_context_get_state(context)
                if state >= _FAILED:
                    break
                if state == _READY and not self.connected:
                    self.connected = True
                    lib.pa_context_set_subscribe_callback(context, changed, None)
                    lib.pa_context_subscribe(context, _SINKS_AND_SOURCES, None, None)
                if state == _READY and self._stale and not self._listing:
                    self._stale, self._listing = False, True
                    self._pending = {False: [], True: []}
                    lib.pa_context_get_sink_info_list(context, listed, None)
                    lib.pa_context_get_source_info_list(context, listed, 1)
        finally:
            was_connected, self.connected = self.connected, False
            lib.pa_context_disconnect(context)
            lib.pa_context_unref(context)
            self._mainloop = None
            lib.pa_mainloop_free(loop)
            self._settled.set()
        if was_connected and not self._stopped:
            self.sinks = self.sources = ()
            self._on_change()

    def _listed(self, _context: int, info: int | None, end: int, is_source: int | None) -> None:
        devices = self._pending.get(bool(is_source), [])
        if not end and info:
            head = ctypes.cast(info, ctypes.POINTER(_Info)).contents
            devices.append(PulseDevice((head.name or b"").decode(errors="replace"), (head.description or b"").decode(errors="replace")))
            return
        if not is_source:
            return
        first, before = not self._settled.is_set(), (self.sinks, self.sources)
        self.sinks, self.sources = tuple(self._pending[False]), tuple(devices)
        self._listing = False
        self._settled.set()
        if not first and before != (self.sinks, self.sources):
            self._on_change()

    def _changed(self, _context: int, event: int, _index: int, _userdata: int | None) -> None:
        if event & _EVENT_KIND != _EVENT_CHANGED:
            self._stale = True


def _load() -> Any:
    lib: Any = ctypes.CDLL("libpulse.so.0")
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    for name, result, arguments in (
        ("pa_mainloop_new", pointer, []),
        ("pa_mainloop_get_api", pointer, [pointer]),
        ("pa_mainloop_iterate", integer, [pointer, integer, pointer]),
        ("pa_mainloop_wakeup", None, [pointer]),
        ("pa_mainloop_free", None, [pointer]),
        ("pa_context_new", pointer, [pointer, ctypes.c_char_p]),
        ("pa_context_connect", integer, [pointer, ctypes.c_char_p, integer, pointer]),
        ("pa_context_get_state", integer, [pointer]),
        ("pa_context_disconnect", None, [pointer]),
        ("pa_context_unref", None, [pointer]),
        ("pa_context_set_subscribe_callback", None, [pointer, _EVENT_CALLBACK, pointer]),
        ("pa_context_subscribe", pointer, [pointer, integer, pointer, pointer]),
        ("pa_context_get_sink_info_list", pointer, [pointer, _STATE_CALLBACK, pointer]),
        ("pa_context_get_source_info_list", pointer, [pointer, _STATE_CALLBACK, pointer]),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib
