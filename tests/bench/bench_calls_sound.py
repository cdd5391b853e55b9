"""What is heard of a tone in a call between two daemons with sound servers: at 5 % loss, and beside a file of 200 MiB.

As root: `python -m tests.bench.bench_calls_sound [ours|real]`, half a minute each. A slow transfer is listened to for 6 s.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from jamid.media.frames import Frame
from tests.interop.driver import befriend
from tests.interop.lab import Lab, new_name
from tests.support.calls.hearing import Host
from tests.support.calls.pair import End, answer, join, ring
from tests.support.media.sound import longest_silence, share_of

HZ = 440
LOSS_PERCENT, LOSS_SECONDS = 5, 6
FILE_MIB, FILE_SECONDS = 200, 6
FINISHED = 6


async def at_loss(lab: Lab, ear: Host) -> Frame:
    """What the callee hears while it receives 95 of 100 packets."""
    lab.loss("b", LOSS_PERCENT)
    begin = ear.position
    await asyncio.sleep(LOSS_SECONDS)
    heard = ear.since(begin)
    lab.loss("b", 0)
    return heard


async def beside_a_file(lab: Lab, a: End, b: End, conversation: str, ear: Host) -> Frame:
    """What the callee hears while it fetches a file of the caller."""
    source = lab.home("a") / "big.bin"
    source.write_bytes(os.urandom(1 << 20) * FILE_MIB)
    since = len(b.driver.signals)
    await a.driver.configuration.sendFile(a.account, conversation, str(source), "big.bin", "")
    _, _, message = await b.driver.signal("messageReceived", lambda _, __, m: "fileId" in m, 30, since)
    begin = ear.position
    target = str(lab.home("b") / "big.bin")
    await b.driver.configuration.downloadFile(b.account, conversation, message["id"], message["fileId"], target)
    with suppress(TimeoutError):
        await b.driver.signal("dataTransferEvent", lambda *transfer: transfer[-1] == FINISHED, FILE_SECONDS, since)
    await asyncio.sleep(0.5)
    return ear.since(begin)


async def main(kind: str) -> None:
    lab = Lab(new_name())
    lab.up(["d", "a", "b"])
    try:
        lab.start_dht("d")
        for host in ("a", "b"):
            if kind == "ours":
                lab.ours(host, "-c", "-p", pulse=True)
            else:
                lab.start_jamid(host, pulse=True)
        async with AsyncExitStack() as stack:
            a, b = await asyncio.gather(join(stack, lab, "a"), join(stack, lab, "b"))
            for end in (a, b):  # a steady tone is what the real daemon takes for noise
                await end.driver.configuration.setNoiseSuppressState("off")
            conversation = await befriend(a.driver, a.account, a.uri, b.driver, b.account, b.uri)
            await asyncio.sleep(2)
            Host(lab, "a", HZ)
            ear = Host(lab, "b", 2 * HZ)
            await ring(a, b)
            await answer(a, b)
            await asyncio.to_thread(ear.wait_for, HZ)
            await asyncio.sleep(2)
            lossy = await at_loss(lab, ear)
            await asyncio.sleep(2)
            busy = await beside_a_file(lab, a, b, conversation, ear)
    finally:
        lab.down()
    for name, heard in ((f"at {LOSS_PERCENT} % loss", lossy), (f"beside a file of {FILE_MIB} MiB", busy)):
        print(f"{name}: {100 * share_of(heard, HZ):.1f} % is the tone, longest gap {1000 * longest_silence(heard):.0f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="?", default="ours", choices=["ours", "real"])
    asyncio.run(main(parser.parse_args().kind))
