"""The demo of scripts/run: two daemons on this machine meet over a DHT node of their own, chat, send a file and talk.

Nothing but loopback and this machine's own addresses is used, no root, no sound card; all files are in one temporary directory, which
is removed at the end. Every step prints how long it took and what a user would type for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path

from jamid.client import (
    CallReceived,
    CallStateChanged,
    ConversationReady,
    Jami,
    MemberChanged,
    MessageReceived,
    NoDaemonError,
    RecordingFileChanged,
)
from jamid.client import RequestReceived as Request
from jamid.client.calls import audio
from jamid.client.messages import FILE

TONE_HERTZ, TALK_SECONDS, FILE_BYTES, STEP_SECONDS = 440, 4, 1_000_000, 60
BUS = """<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>"""


class DemoError(Exception):
    """A step did not do what it should."""


class Person:
    """Somebody with a home, a bus and a daemon of their own."""

    def __init__(self, name: str, place: Path) -> None:
        self.name, self.home = name, place / name.lower()
        self.bus = f"unix:path={self.home}/bus"
        self.account = self.uri = self.conversation = ""
        self.jami: Jami

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "DBUS_", "PULSE_", "JAMI"))}
        return kept | {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home), "DBUS_SESSION_BUS_ADDRESS": self.bus}


class Demo:
    def __init__(self, place: Path, verbose: bool) -> None:
        self.place, self.verbose = place, verbose
        self.alice, self.bob = Person("Alice", place), Person("Bob", place)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.began = time.monotonic()
        self.dht_port = free_port()

    @contextlib.asynccontextmanager
    async def step(self, what: str, *commands: str) -> AsyncIterator[None]:
        start = time.monotonic()
        try:
            async with asyncio.timeout(STEP_SECONDS):
                yield
        except TimeoutError:
            raise DemoError(f"{what}: not done within {STEP_SECONDS} s") from None
        print(f"{time.monotonic() - start:7.2f} s  {what}", flush=True)
        for command in commands:
            print(f"           $ {command}", flush=True)

    async def run(self) -> None:
        alice, bob, dht = self.alice, self.bob, f"127.0.0.1:{self.dht_port}"
        async with self.step("a DHT node is up", f"jami-dht --port {self.dht_port}"):
            self.start("dht", sys.executable, "-m", "jamid.dht.cli", "--port", str(self.dht_port), "-4")
        async with self.step("two daemons are up, each with a bus and a home of its own", "dbus-run-session -- jamid -c -p"):
            await asyncio.gather(self.start_daemon(alice), self.start_daemon(bob))
        for person in (alice, bob):
            async with self.step(
                f"{person.name} has an account, others can find it", f"jami account add --name {person.name} --bootstrap {dht} --wait"
            ):
                settings = {"Account.hostname": dht, "Account.upnpEnabled": "false", "TURN.enable": "false"}
                person.account = await person.jami.accounts.add(person.name, details=settings)
                person.uri = (await person.jami.accounts.wait_ready(person.account, STEP_SECONDS)).uri
        await self.meet()
        for sender, receiver, text in ((alice, bob, "Hello Bob!"), (bob, alice, "Hello Alice!")):
            commands = (f"jami message send {receiver.uri[:8]}… '{text}'", "jami message follow")
            async with self.step(f"{receiver.name} reads {text!r}", *commands), receiver.jami.events(MessageReceived) as events:
                await sender.jami.conversations.send(sender.account, sender.conversation, text)
                await events.wait(lambda event, text=text: event.message.body == text)  # type: ignore[misc]
        await self.send_file()
        await self.talk()
        print(f"{time.monotonic() - self.began:7.2f} s  in all")

    async def meet(self) -> None:
        alice, bob = self.alice, self.bob
        commands = (f"jami contact add {bob.uri[:8]}… --wait", f"jami contact accept {alice.uri[:8]}…")
        async with (
            self.step("Bob accepts Alice's request: they share a conversation", *commands),
            bob.jami.events(Request) as requests,
            bob.jami.events(ConversationReady) as ready,
            alice.jami.events(MemberChanged) as members,
        ):
            await alice.jami.contacts.request(alice.account, bob.uri)
            request = await requests.wait()
            await bob.jami.contacts.accept(bob.account, request.conversation)
            await ready.wait()
            joined = await members.wait(lambda event: event.member == bob.uri and event.event == 1)
            alice.conversation = bob.conversation = joined.conversation

    async def send_file(self) -> None:
        alice, bob = self.alice, self.bob
        sent, received = self.place / "photo.bin", self.place / "received.bin"
        sent.write_bytes(os.urandom(FILE_BYTES))
        commands = (f"jami file send {bob.uri[:8]}… photo.bin", "jami file get CONVERSATION MESSAGE --to received.bin")
        async with self.step(f"Bob has Alice's file of {FILE_BYTES // 1_000_000} MB, byte for byte", *commands):
            async with bob.jami.events(MessageReceived) as events:
                await alice.jami.files.send(alice.account, alice.conversation, sent)
                message = (await events.wait(lambda event: event.message.type == FILE)).message
            await bob.jami.files.fetch_all(bob.account, bob.conversation, message.id, message.file_id, received, STEP_SECONDS)
            if hashlib.sha256(received.read_bytes()).digest() != hashlib.sha256(sent.read_bytes()).digest():
                raise DemoError("the file that arrived is another one")

    async def talk(self) -> None:
        alice, bob = self.alice, self.bob
        tone, recordings = self.place / "tone.wav", self.place / "recordings"
        write_tone(tone)
        recordings.mkdir()
        commands = (f"jami call place {bob.uri[:8]}… --play tone.wav --seconds {TALK_SECONDS}", "jami call answer --record recordings")
        async with self.step(f"they talk for {TALK_SECONDS} s; Alice plays a tone, Bob records it", *commands):
            await bob.jami.calls.set_recording_directory(recordings)
            async with (
                bob.jami.events(CallReceived) as incoming,
                bob.jami.events(RecordingFileChanged) as recorded,
                alice.jami.events(CallStateChanged) as states,
            ):
                placed = time.monotonic()
                call = await alice.jami.calls.place(alice.account, bob.uri, [audio(tone)])
                answer = await incoming.wait()
                await bob.jami.calls.accept(bob.account, answer.call, [audio()])
                await states.wait(lambda event: event.call == call and event.state == "CURRENT")
                setup = time.monotonic() - placed
                await bob.jami.calls.toggle_recording(bob.account, answer.call)
                file = Path((await recorded.wait(lambda event: Path(event.path).is_absolute())).path)
                await asyncio.sleep(TALK_SECONDS)
                await alice.jami.calls.hang_up(alice.account, call)
                await states.wait(lambda event: event.call == call and event.state == "OVER")
            await asyncio.sleep(0.5)
            heard, seconds = loudest_hertz(file)
            if abs(heard - TONE_HERTZ) > 5:
                raise DemoError(f"the recording's loudest tone has {heard:.0f} Hz instead of {TONE_HERTZ}")
        print(f"           the call stood after {setup:.2f} s; {seconds:.1f} s were recorded, the tone in it has {heard:.0f} Hz")

    # -- processes --------------------------------------------------------------------------------------------------------
    def start(self, name: str, *command: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self.place / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    async def start_daemon(self, person: Person) -> None:
        person.home.mkdir(mode=0o700)
        (person.home / "bus.conf").write_text(BUS.format(socket=person.home / "bus"))
        bus = self.start(f"{person.name}-bus", "dbus-daemon", f"--config-file={person.home}/bus.conf", "--nofork", "--nopidfile")
        while True:
            try:
                person.jami = await Jami.connect(person.bus)
                break
            except NoDaemonError as error:
                if bus.poll() is not None:
                    raise DemoError(f"{person.name}'s dbus-daemon ended: {error}") from None
                await asyncio.sleep(0.01)
        daemon = self.start(person.name, sys.executable, "-m", "jamid.app", "-c", "-d", "-p", environment=person.environment())
        while not await person.jami.connection.is_running():
            if daemon.poll() is not None:
                raise DemoError(f"{person.name}'s daemon did not start")
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        for person in (self.alice, self.bob):
            if hasattr(person, "jami"):
                await person.jami.close()
        for process in reversed(self.processes):  # daemons before their buses
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def show_logs(self) -> None:
        for log in sorted(self.place.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            print(f"--- the end of {log.name}", *lines[-40 if self.verbose else -8 :], sep="\n", file=sys.stderr)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_tone(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        samples = (int(12000 * math.sin(2 * math.pi * TONE_HERTZ * index / 48000)) for index in range(48000))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


def loudest_hertz(path: Path) -> tuple[float, float]:
    """The frequency of the loudest tone in a sound file, and its length in seconds."""
    import av
    import numpy

    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        frames = [frame.to_ndarray().reshape(-1, frame.layout.nb_channels if frame.format.is_packed else 1)[:, 0]
                  if frame.format.is_packed else frame.to_ndarray()[0] for frame in container.decode(audio=0)]  # fmt: skip
    if not frames:
        raise DemoError("the recording is empty")
    sound = numpy.concatenate(frames).astype(float)
    spectrum = numpy.abs(numpy.fft.rfft(sound * numpy.hanning(len(sound))))
    return float(numpy.argmax(spectrum) * rate / len(sound)), len(sound) / rate


async def demo(verbose: bool) -> int:
    place = Path(tempfile.mkdtemp(prefix="jamid-demo-"))
    stage = Demo(place, verbose)
    try:
        await stage.run()
        return 0
    except Exception as error:
        print(f"         failed: {error or type(error).__name__}", file=sys.stderr)
        stage.show_logs()
        return 1
    finally:
        await stage.close()
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/run --demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verbose", action="store_true", help="show more of the logs when a step fails")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(asyncio.run(demo(arguments.verbose)))


if __name__ == "__main__":
    main()
