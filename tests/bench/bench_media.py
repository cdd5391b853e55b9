"""What sound costs and how late it is:  python -m tests.bench.bench_media [seconds]

One process plays both ends of every call over real UDP sockets on the loopback. Printed: CPU of one end of a call, of 20 calls, the
delay from mouth to ear without devices, and the longest gap while the main loop is kept busy.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jamid.core.events import Events
from jamid.core.settings import Settings
from jamid.media.audio_stream import AudioParameters, AudioStream
from jamid.media.service import Media
from jamid.media.srtp import SrtpKeys, create_key
from jamid.net.media_path import MediaPath


def _port() -> socket.socket:
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port.setblocking(False)
    port.bind(("127.0.0.1", 0))
    return port


def _open_call(media: Media, number: int, source: str) -> list[AudioStream]:
    keys, ports = (create_key(), create_key()), (_port(), _port())
    streams: list[AudioStream] = []
    for end in (0, 1):
        ports[end].connect(ports[1 - end].getsockname())
        own = source if end == 0 else "tone:880"
        parameters = AudioParameters(f"{number}.{end}_audio_0", "opus", 48000, 104, 101, SrtpKeys(keys[end], keys[1 - end]), own)
        path = MediaPath(ports[end], lambda _: None)
        streams.append(media.open_stream(parameters, path, lambda data, far=1 - end: streams[far].receive_rtcp(data)))
    return streams


async def _cpu(media: Media, calls: int, seconds: float) -> float:
    streams = [stream for number in range(calls) for stream in _open_call(media, number, "tone:440")]
    await asyncio.sleep(1.5)
    cpu, wall = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    share = 100 * (time.process_time() - cpu) / (time.monotonic() - wall)
    for stream in streams:
        await stream.close()
    return share / 2


async def _listen(media: Media, seconds: float, *, busy: bool) -> tuple[float, float]:
    """Mean seconds from mouth to ear, and the longest gap in a tone, heard at one end."""
    import numpy as np

    from jamid.media.frames import FRAME_SECONDS, SILENCE
    from jamid.media.graph import Graph
    from tests.support.media.sound import Recorder, sine

    click, spoken, heard = sine(1000, FRAME_SECONDS), [], []
    streams = _open_call(media, 99, "null")

    class Mouth:
        ticks = 0

        def read(self) -> Any:
            self.ticks += 1
            if busy:
                return tone[self.ticks % 50]
            if self.ticks % 25 == 0:
                # A frame exists when its last sample was spoken: the first one is 20 ms old.
                spoken.append(time.monotonic() - FRAME_SECONDS)
                return click
            return SILENCE

        def close(self) -> None: ...

    class Ear(Recorder):
        def write(self, frame: Any) -> None:
            super().write(frame)
            if frame is not None and not busy and np.abs(frame).max() > 1500:
                heard.append(time.monotonic())

    tone = [sine(1000, 1.0)[k * 960 : (k + 1) * 960] for k in range(50)]
    ear = Ear()

    def plant(graph: Graph) -> None:
        graph.sessions["99.0_audio_0"]._source = Mouth()
        graph.sessions["99.1_audio_0"].own_sink = ear

    await media.engine.ask(plant)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.002)
        if busy:
            until = time.monotonic() + 0.008
            while time.monotonic() < until:
                pass
    for stream in streams:
        await stream.close()
    if busy:
        loud = np.flatnonzero(np.abs(ear.samples[48000:, 0].astype(np.int32)) > 300)
        return 0.0, float(np.diff(loud).max()) / 48000
    delays = [min((at - mouth for at in heard if at > mouth), default=0.0) for mouth in spoken[1:-1]]
    return sum(delays) / max(1, len(delays)), max(delays, default=0.0)


async def main(seconds: float = 8.0) -> None:
    settings = Settings(Path(tempfile.mkdtemp()) / "dring.yml")
    media = Media(settings, Events(), environment={"JAMID_AUDIO_OUTPUT": "null"})
    media.prepare()
    one = await _cpu(media, 1, seconds)
    twenty = await _cpu(media, 20, seconds)
    print(f"CPU of one end of a call: {one:.2f} % of a core; of 20 calls: {twenty:.1f} % ({twenty / one:.1f} times one)")
    mean, worst = await _listen(media, seconds, busy=False)
    print(f"mouth to ear without devices: {mean * 1000:.0f} ms in the mean, {worst * 1000:.0f} ms at worst")
    _, gap = await _listen(media, seconds, busy=True)
    print(f"longest gap with the main loop busy for 80 % of the time: {gap * 1000:.0f} ms")
    engine = media.engine
    print(f"ticks: {engine.ticks}, more than 10 ms late: {engine.late_ticks}, worst {engine.worst_delay * 1000:.1f} ms")
    await media.close()


if __name__ == "__main__":
    asyncio.run(main(*(float(word) for word in sys.argv[1:])))
