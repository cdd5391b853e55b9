"""Background work: tasks that are kept alive, named, logged when they fail and ended together; and the executor for slow work."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

_log = logging.getLogger(__name__)
_executor = ThreadPoolExecutor(max_workers=4, thread_name_prefix="work")

P = ParamSpec("P")
R = TypeVar("R")


class Tasks:
    """The background tasks of one object; `close` cancels and awaits them all."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def spawn(self, coroutine: Coroutine[Any, Any, R], name: str = "") -> asyncio.Task[R]:
        """Starts COROUTINE; a failure is logged and harms nobody else. After `close` the task is cancelled at once."""
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self._name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        if self._closed:
            task.cancel()
        return task

    async def close(self) -> None:
        """Cancels every task and waits until all have ended; the task that calls it is spared."""
        self._closed = True
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._tasks)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task %s failed: %s", task.get_name(), error, exc_info=error)


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs blocking FUNCTION on the small shared executor (keys, git, files) and returns its result."""
    return await asyncio.get_running_loop().run_in_executor(_executor, functools.partial(function, *args, **kwargs))
