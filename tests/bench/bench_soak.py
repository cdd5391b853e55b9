"""Constant chat and calls between two of our daemons for a while: memory, descriptors, threads before and after.

    scripts/bench soak [--minutes 60]      as root; a line per minute, and the verdict
"""

from __future__ import annotations

import argparse
import asyncio
import time

import psutil

from tests.interop.driver import Driver, audio_call, befriend, chat
from tests.interop.lab import Lab, missing_requirements, new_name

WARM_SECONDS = 300


def figures(process: psutil.Process) -> dict[str, float]:
    memory = process.memory_info().rss / 2**20
    return {"MiB": round(memory, 1), "descriptors": process.num_fds(), "threads": process.num_threads()}


async def soak(minutes: float) -> int:
    lab = Lab(new_name())
    try:
        lab.up(["d", "a", "b"])
        lab.start_dht("d")
        lab.start_turn("d")
        for host in ("a", "b"):
            lab.ours(host, "-c", "-p")
        processes = {host: psutil.Process(lab.pid(host)) for host in ("a", "b")}
        bootstrap, turn = f"{lab.address('d')}:4222", lab.address("d")
        async with await Driver.connect(lab.bus("a"), "a") as a, await Driver.connect(lab.bus("b"), "b") as b:
            account_a, id_a = await a.add_account(bootstrap, turn)
            account_b, id_b = await b.add_account(bootstrap, turn)
            conversation = await befriend(a, account_a, id_a, b, account_b, id_b)
            began = time.monotonic()
            end, warm, said = began + minutes * 60, {}, 0.0
            messages = calls = 0
            while (now := time.monotonic()) < end:
                for sender, account, receiver in ((a, account_a, b), (b, account_b, a)) * 5:
                    await chat(sender, account, receiver, conversation, f"message {messages}")
                    messages += 1
                await audio_call(a, account_a, b, account_b, id_b, seconds=2)
                calls += 1
                for driver in (a, b):
                    del driver.signals[:-1000]
                if not warm and now - began > min(WARM_SECONDS, minutes * 20):
                    warm = {host: figures(process) for host, process in processes.items()}
                if now - said > 60:
                    said = now
                    print(f"{(now - began) / 60:5.1f} min  {messages} messages, {calls} calls  ",
                          {host: figures(process) for host, process in processes.items()}, flush=True)  # fmt: skip
            await asyncio.sleep(40)  # what lingers on purpose (SIP transactions) has gone by then
            last = {host: figures(process) for host, process in processes.items()}
        print(f"after warming up: {warm}\nat the end:       {last}")
        grown = [f"{host}: {name}" for host in last for name in last[host] if last[host][name] > warm[host][name] * 1.1 + 2]
        print(f"grown: {', '.join(grown) or 'nothing'}; {messages} messages, {calls} calls")
        return 1 if grown else 0
    finally:
        lab.down()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    arguments = parser.parse_args()
    if missing := missing_requirements():
        raise SystemExit(f"this bench needs {', '.join(missing)}")
    raise SystemExit(asyncio.run(soak(arguments.minutes)))


if __name__ == "__main__":
    main()
