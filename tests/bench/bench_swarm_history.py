"""Measures a conversation of many messages without a network: cold load, paging, search, serving and taking a clone, memory.

python -m tests.bench.bench_swarm_history [MESSAGES]
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "swarm"))
from swarm_world import World

from jamid.bus.service import BusService
from jamid.core import memory as memory_policy
from jamid.core.signals import ConversationLoaded, MessagesFound, Signal, SwarmLoaded
from jamid.swarm import authoring, message_maps
from jamid.swarm.receiving import integrate
from jamid.swarm.repository import Repository
from tests.private_bus import Client, PrivateBus


def timed(what: str, work: Callable[[], Any]) -> Any:
    began = time.monotonic()
    result = work()
    print(f"{what:44} {1000 * (time.monotonic() - began):9.1f} ms")
    return result


def memory() -> float:
    """Resident MiB now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def peak() -> float:
    """The most that was resident, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def load_all(address: str, path: Path, conversation: str, kind: type[Signal]) -> None:
    world = World(path)
    home = await world.add(1)
    service = BusService(address, [], home.events)
    await service.start()
    load = home.conversations.load if kind is SwarmLoaded else home.conversations.load_flat
    load(home.id, conversation, "", 50)
    await home.wait(lambda: home.of(kind))
    home.signals.clear()
    before = memory()
    Path("/proc/self/clear_refs").write_text("5")
    load(home.id, conversation, "", 0)
    await home.wait(lambda: home.of(kind))
    home.signals.clear()
    await asyncio.sleep(1)
    print(f"{kind.__name__} of all over D-Bus: memory for a moment {peak() - before:.1f} MiB, afterwards {memory() - before:.1f} MiB")
    await service.stop()
    await world.close()


async def over_dbus(conversation: str, path: Path) -> None:
    """What it takes to load everything over D-Bus, by the calls of each generation, while a client listens."""
    with PrivateBus(path) as bus:
        listener = subprocess.Popen(
            [sys.executable, __file__, "--listen", bus.address], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.curdir}
        )
        assert listener.stdout is not None
        await asyncio.to_thread(listener.stdout.readline)
        await load_all(bus.address, path, conversation, SwarmLoaded)
        await load_all(bus.address, path, conversation, ConversationLoaded)
        listener.terminate()
        listener.wait()


async def listen(address: str) -> None:
    """Reads every signal and keeps none."""
    client = await Client.connect(address)
    client.connection.on_signal = lambda message: None
    print("listening", flush=True)
    await client.connection.closed


async def measure(count: int, path: Path) -> None:
    world = World(path)
    home = await world.add(1)
    conversation = await home.conversations.start_conversation(home.id)
    account = home.conversations.account(home.id)
    assert account is not None
    place = account.store.repository(conversation)
    source = Repository.open(place)
    with source.one_move():
        for number in range(count):
            authoring.commit(source, account.author, message_maps.text(f"message {number} of a long conversation, 🙂"))
    print(f"{count} messages written")
    await world.close()

    world = World(path)
    before = memory()
    home = await world.add(1)

    async def loaded(amount: int, first: str = "") -> None:
        began = time.monotonic()
        request = home.conversations.load(home.id, conversation, first, amount)
        await home.wait(lambda: home.of(SwarmLoaded) and home.of(SwarmLoaded)[-1].id == request)
        taken = time.monotonic() - began
        print(f"load {amount or 'all':>5} more: {len(home.of(SwarmLoaded)[-1].messages):6} messages {1000 * taken:22.1f} ms")
        home.signals.clear()

    await loaded(50)
    await loaded(50)
    print(f"memory over idle with 100 loaded {memory() - before:10.1f} MiB")
    began = time.monotonic()
    found = home.conversations.search(home.id, conversation, "", "", "message 5.*7", "", 0, 0, 0, False)
    await home.wait(lambda: any(s.id == found and not s.conversation_id for s in home.of(MessagesFound)), 60)
    print(f"{'search all':44} {1000 * (time.monotonic() - began):9.1f} ms")
    home.signals.clear()
    print(f"memory over idle after a search {memory() - before:10.1f} MiB")
    await loaded(0)
    print(f"memory over idle with all loaded {memory() - before:10.1f} MiB")
    await world.close()
    await over_dbus(conversation, path)

    repository = Repository.open(place)
    head = repository.require_head()
    pack = timed("pack of everything (serving a clone)", lambda: b"".join(repository.pack(head, ())))
    print(f"{len(pack) / (1 << 20):.1f} MiB of pack")
    clone = Repository.create(path / "clone")
    timed("check and keep it all (taking a clone)", lambda: integrate(clone, conversation, pack, head, None))
    timed(
        "open a clone kept as a pack, last 50", lambda: [c for _, c in zip(range(50), Repository.open(path / "clone").log(), strict=False)]
    )


def main() -> None:
    if sys.argv[1:2] == ["--listen"]:
        asyncio.run(listen(sys.argv[2]))
        return
    memory_policy.keep_little()
    directory = Path(tempfile.mkdtemp())
    try:
        asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, directory))
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
