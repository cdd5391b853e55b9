"""The selected input and output, opened when sound is needed and let go when it is not. Media thread only."""

from __future__ import annotations

import logging
from collections.abc import Callable

from jamid.core.errors import LocalError
from jamid.media.frames import Frame
from jamid.media.inputs import Endpoint
from jamid.media.sinks import NullSink, Sink, open_sink
from jamid.media.sources import NullSource, Source, open_source

_log = logging.getLogger(__name__)


def input_of(endpoint: Endpoint, device: str | None, *, pulse: bool) -> Callable[[], Source]:
    """What opens the source of an endpoint; DEVICE is the selected microphone, None when there is none."""
    if endpoint.kind != "device":
        return lambda: open_source(endpoint)
    if device is None:
        return NullSource

    def create() -> Source:
        from jamid.media.device_streams import DeviceInput

        return DeviceInput(device, pulse=pulse)

    return create


def output_of(endpoint: Endpoint, device: str | None, *, pulse: bool) -> Callable[[], Sink]:
    """What opens the sink of an endpoint; DEVICE is the selected loudspeaker, None when there is none."""
    if endpoint.kind != "device":
        return NullSink if endpoint.per_stream else lambda: open_sink(endpoint)
    if device is None:
        return NullSink

    def create() -> Sink:
        from jamid.media.device_streams import DeviceOutput

        return DeviceOutput(device, pulse=pulse)

    return create


class SelectedInput:
    """What the local user says."""

    def __init__(self, create: Callable[[], Source] = NullSource) -> None:
        self._create = create
        self._source: Source | None = None

    def read(self) -> Frame | None:
        """The next frame; the first call opens the source."""
        if self._source is None:
            try:
                self._source = self._create()
            except LocalError as error:
                _log.warning("%s; sending silence", error)
                self._source = NullSource()
        return self._source.read()

    def release(self) -> None:
        """Nobody needs it for now."""
        if self._source is not None:
            self._source.close()
            self._source = None


class SelectedOutput:
    """What the local user hears. One that is KEPT (a file) stays open between calls, so that it holds them all."""

    def __init__(self, create: Callable[[], Sink] = NullSink, *, kept: bool = False) -> None:
        self._create = create
        self._kept = kept
        self._sink: Sink | None = None

    @property
    def silent(self) -> bool:
        """Whether nobody hears what is written."""
        return isinstance(self._sink, NullSink)

    def write(self, frame: Frame | None) -> None:
        """Takes the next frame; the first call opens the sink."""
        if self._sink is None:
            try:
                self._sink = self._create()
            except LocalError as error:
                _log.warning("%s; playing nothing", error)
                self._sink = NullSink()
        self._sink.write(frame)

    def release(self) -> None:
        """Nothing is to be heard for now."""
        if not self._kept:
            self.close()

    def close(self) -> None:
        """Ends it for good; what a file was given is complete afterwards."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None
