"""Parts start in order and stop in reverse; one that fails or hangs keeps no other from stopping, nor the process from ending."""

from __future__ import annotations

import asyncio
import time

import pytest

from jamid.app.parts import Part, Running
from jamid.core.errors import LocalError


class Diary:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def part(self, name: str, *, start_error: Exception | None = None, stop_error: Exception | None = None, hangs: bool = False) -> Part:
        async def start() -> None:
            if start_error:
                raise start_error
            self.lines.append(f"start {name}")

        async def stop() -> None:
            if hangs:
                await asyncio.sleep(60)
            if stop_error:
                raise stop_error
            self.lines.append(f"stop {name}")

        return Part(name, start, stop)


async def test_reverse_order() -> None:
    diary, running = Diary(), Running()
    await running.start([diary.part("a"), Part("nothing to do"), diary.part("b")])
    await running.stop(1)
    assert diary.lines == ["start a", "start b", "stop b", "stop a"]


async def test_only_what_started_is_stopped() -> None:
    diary, running = Diary(), Running()
    with pytest.raises(LocalError, match="no bus"):
        await running.start([diary.part("a"), diary.part("b", start_error=LocalError("no bus")), diary.part("c")])
    await running.stop(1)
    assert diary.lines == ["start a", "stop a"]


async def test_failing_and_hanging_parts_delay_nobody(caplog: pytest.LogCaptureFixture) -> None:
    diary, running = Diary(), Running()
    parts = [diary.part("first"), diary.part("hangs", hangs=True), diary.part("fails", stop_error=OSError("disk")), diary.part("last")]
    await running.start(parts)
    began = time.monotonic()
    await running.stop(0.2)
    assert time.monotonic() - began < 1
    assert diary.lines[4:] == ["stop last", "stop first"]
    assert "fails failed while stopping" in caplog.text
    assert "hangs did not end in time" in caplog.text
