"""Chat, files and calls during which daemons are killed, networks cut and buses die: what was confirmed is there once on every side.

JAMID_FAULT_ROUNDS=30 and JAMID_FAULT_SEED=N make it longer and repeat a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from pathlib import Path

import pytest

from tests.interop.driver import DriverError, audio_call
from tests.interop.fault_lab import Side, pair, until_all_there, until_fetched, until_no_call
from tests.interop.lab import Lab

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ROUNDS = int(os.environ.get("JAMID_FAULT_ROUNDS", "5"))
SEED = int(os.environ.get("JAMID_FAULT_SEED", "7"))
REPLY_LOST = 3
"""The driver forgets calls whose daemon or bus died under them after so many seconds."""


class Rounds:
    """One after another: something is under way, something breaks at a random moment, it is mended."""

    def __init__(self, dice: random.Random, sides: tuple[Side, Side], conversation: str, directory: Path) -> None:
        self._dice, self._sides, self._conversation, self._directory = dice, sides, conversation, directory
        self.confirmed: set[str] = set()
        self.offered: list[tuple[Side, Path]] = []
        """who is to get each file that was confirmed"""

    async def round(self, number: int, busy_with: str, fault: str) -> None:
        dice, sides = self._dice, self._sides
        sender, other = sides if dice.random() < 0.5 else sides[::-1]
        victim = dice.choice(sides) if fault != "bus" else next(side for side in sides if side.ours)
        print(f"round {number}: {busy_with} from {sender.host}, then {fault} of {victim.host}", flush=True)
        texts = [f"round {number} message {i}" for i in range(dice.randint(5, 30))]
        source = self._directory / f"round{number}.bin"
        under_way = [self._write(sender, texts)]
        if busy_with == "file":
            source.write_bytes(dice.randbytes(dice.randint(1, 8_000_000)))
            under_way.append(self._offer_and_fetch(sender, other, source))
        if busy_with == "call":
            under_way.append(audio_call(sender.driver, sender.account, other.driver, other.account, other.uri, seconds=30))
        # What the real daemon confirms and loses in a kill is not ours to test: then what we have heard from it counts.
        witness = sender if sender.ours or fault == "cut" else other
        driver, since = witness.driver, len(witness.driver.signals)
        tasks = [asyncio.ensure_future(one) for one in under_way]
        await asyncio.sleep(dice.random() * (0.5 if busy_with == "chat" else 1.5))
        await self._break_and_mend(victim, fault, tasks)
        told = [message for _, where, message in driver.received("messageReceived", since) if where == self._conversation]
        self.confirmed |= {message.get("body", "") for message in told} & set(texts)
        if source.name in [message.get("displayName") for message in told]:
            self.offered.append((other, source))
        if busy_with == "call":
            for side in sides:
                await until_no_call(side, 40)

    async def _break_and_mend(self, victim: Side, fault: str, tasks: list[asyncio.Future[None]]) -> None:
        if fault == "cut":
            victim.lab.loss(victim.host, 100)
            await asyncio.sleep(2 + self._dice.random() * 4)
            victim.lab.loss(victim.host, 0)
        elif fault == "bus":
            victim.kill_bus()
            assert victim.lab.ended(victim.host, seconds=5) == 1, (
                "a daemon without a bus has to end with 1, so that systemd starts it again"
            )
        else:
            victim.kill()
        await asyncio.wait(tasks, timeout=REPLY_LOST)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, DriverError | TimeoutError | LookupError | EOFError | asyncio.CancelledError | None | float), result
        if fault != "cut":
            victim.start()
        if fault == "bus":
            await victim.connect()
        await victim.driver.announced(victim.account, 40)

    async def _write(self, sender: Side, texts: list[str]) -> None:
        for text in texts:
            await sender.driver.configuration.sendMessage(sender.account, self._conversation, text, "", 0)
            await asyncio.sleep(self._dice.random() * 0.02)

    async def _offer_and_fetch(self, sender: Side, other: Side, source: Path) -> None:
        since = len(other.driver.signals)
        await sender.offer(self._conversation, source)
        await other.driver.signal("messageReceived", lambda _, c, m: m.get("displayName") == source.name, 30, since)
        await other.fetch(self._conversation, source.name, source.with_suffix(".part"), 30)


@pytest.mark.timeout(180 + 60 * ROUNDS)
@pytest.mark.parametrize("peer_is_ours", [True, False], ids=["ours", "real"])
async def test_nothing_confirmed_is_lost_or_doubled(lab: Lab, peer_is_ours: bool) -> None:
    dice = random.Random(SEED)
    a, b, conversation = await pair(lab, (True, peer_is_ours))
    rounds = Rounds(dice, (a, b), conversation, lab.dir)
    for number in range(ROUNDS):
        await rounds.round(number, ("chat", "file", "call")[number % 3], ("kill", "cut", "bus", "kill")[number % 4])
    assert rounds.confirmed, "nothing was confirmed in any round"
    # The real daemon does not announce all that a merge brings, but it is in the history.
    await a.driver.configuration.sendMessage(a.account, conversation, "the end", "", 0)
    await until_all_there((a, b), conversation, rounds.confirmed | {"the end"}, 120, remind=not peer_is_ours)
    for side, source in rounds.offered:
        await until_fetched(side, conversation, source, 60)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(audio_call(a.driver, a.account, b.driver, b.account, b.uri, seconds=1), 20)
        return
    assert await audio_call(b.driver, b.account, a.driver, a.account, a.uri, seconds=1) < 20
