"""The daemon as a bus starts it: at the first call, and gone after its last client."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.private_bus import Client, PrivateBus

REPOSITORY = Path(__file__).parents[3]


async def test_first_call_starts_the_daemon_and_the_last_client_ends_it(tmp_path: Path) -> None:
    services = tmp_path / "services"
    services.mkdir()
    program = tmp_path / "start"
    program.write_text(f'#!/bin/sh\ncd "{REPOSITORY}" && exec "{sys.executable}" -m jamid.app --console\n')
    program.chmod(0o755)
    (services / "cx.ring.Ring.service").write_text(f"[D-BUS Service]\nName=cx.ring.Ring\nExec={program}\n")
    with PrivateBus(tmp_path, services) as bus:
        client = await Client.connect(bus.address)
        assert await client.call("Instance.Register", "is", 1, "first") == []
        assert await client.call("ConfigurationManager.getAccountList") == [[]]
        assert await client.call("Instance.Unregister", "i", 1) == []
        async with asyncio.timeout(10):
            while (await client.call_bus("NameHasOwner", "s", "cx.ring.Ring"))[0]:
                await asyncio.sleep(0.02)
        await client.close()
