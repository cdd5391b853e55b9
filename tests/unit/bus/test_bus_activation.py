"""The daemon as a bus starts it: at the first call, and gone after its last client."""

from __future__ import annotations

import asyncio
import os
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


async def test_daemon_ends_with_its_bus(tmp_path: Path) -> None:
    with PrivateBus(tmp_path) as bus:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "jamid.app",
            "--console",
            "--persistent",
            cwd=REPOSITORY,
            env={"HOME": str(tmp_path), "DBUS_SESSION_BUS_ADDRESS": bus.address, "PATH": os.environ["PATH"]},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        client = await Client.connect(bus.address)
        async with asyncio.timeout(20):
            while not (await client.call_bus("NameHasOwner", "s", "cx.ring.Ring"))[0]:
                await asyncio.sleep(0.02)
    async with asyncio.timeout(10):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"the bus is gone" in errors
    assert b"Traceback" not in errors
