"""The media thread: one 20 ms tick without drift for all sound, and the crossing between it and the main loop.

Commands go in through a queue that is emptied before each tick, packets through the streams' own deques; what the tick has to say or
send goes out in one wake-up of the main loop per tick. While nothing sounds the thread sleeps and costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from jamid.core.errors import LocalError

if TYPE_CHECKING:
    from jamid.media.graph import Graph

_log = logging.getLogger(__name__)

TICK: Final = 0.02
RESYNCHRONISE: Final = 0.5
"""A thread this late (a suspended machine) starts a new schedule instead of catching up."""
SWITCH_INTERVAL: Final = 0.001
"""Seconds the media thread waits for the interpreter lock while sound flows: at the usual 5 ms a busy main loop would be heard."""

LINGER_TICKS: Final = 100
"""Ticks after the last sound: between ringing and talking the loudspeaker stays open, opening one takes up to two seconds."""

Command = Callable[["Graph"], Any]


class AudioEngine:
    """Owns the media thread. Create and use it on the main loop."""

    def __init__(self) -> None:
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outbox: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._waiting: set[asyncio.Future[Any]] = set()
        self.ended = False
        """Whether the thread has ended: there will be no more sound."""
        self.ticks = 0
        self.late_ticks = 0
        """Ticks that began more than 10 ms late."""
        self.worst_delay = 0.0
        """Seconds."""

    def start(self) -> None:
        """Starts the thread if it does not run; libraries load there meanwhile."""
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="media", daemon=True)
            self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread has been started."""
        return self._thread is not None

    def command(self, command: Command) -> None:
        """Runs COMMAND with the graph on the media thread before its next tick; starts the thread if need be."""
        self.start()
        self._commands.put(command)

    def post(self, command: Callable[[], Any]) -> None:
        """As `command`, without the graph."""
        self.command(lambda _: command())

    async def call(self, command: Callable[[], Any]) -> Any:
        """As `post`, and waits for the result or the exception."""
        return await self.ask(lambda _: command())

    async def ask(self, command: Command) -> Any:
        """As `command`, and waits for the result or the exception; `LocalError` when the thread has ended."""
        if self.ended:
            raise LocalError("there is no sound: the media thread has ended")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(answer)
        answer.add_done_callback(self._waiting.discard)

        def settle(result: Any, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        def run(graph: Graph) -> None:
            try:
                result, error = command(graph), None
            except Exception as caught:
                result, error = None, caught
            self._tell(settle, (result, error))

        self.command(run)
        return await answer

    async def close(self) -> None:
        """Ends the thread; streams that are left end silently."""
        if self._thread is not None:
            self._commands.put(None)
            # Joined from a thread of its own: the media thread may be in the middle of loading its libraries.
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join, 2.0)
            self._thread = None

    def _end(self) -> None:
        self.ended = True
        for answer in list(self._waiting):
            if not answer.done():
                answer.set_exception(LocalError("there is no sound: the media thread has ended"))

    # -- on the media thread -----------------------------------------------------------------------------------------------
    def _run(self) -> None:
        graph: Graph | None = None
        try:
            from jamid.media.graph import Graph

            graph = Graph(self._tell)
            while self._serve_idle(graph):
                interval = sys.getswitchinterval()
                sys.setswitchinterval(SWITCH_INTERVAL)
                try:
                    if not self._serve_busy(graph):
                        return
                finally:
                    sys.setswitchinterval(interval)
                graph.rest()
        except Exception:
            _log.exception("the media thread failed; there will be no more sound")
        finally:
            if graph is not None:
                graph.close()
            self._tell(self._end, ())
            self._flush()

    def _serve_idle(self, graph: Graph) -> bool:
        while not graph.busy:
            command = self._commands.get()
            if command is None:
                return False
            self._execute(command, graph)
            self._flush()
        return True

    def _serve_busy(self, graph: Graph) -> bool:
        due = time.monotonic()
        idle = 0
        while idle < LINGER_TICKS:
            idle = 0 if graph.busy else idle + 1
            while not self._commands.empty():
                command = self._commands.get_nowait()
                if command is None:
                    return False
                self._execute(command, graph)
            now = time.monotonic()
            delay = now - due
            self.worst_delay = max(self.worst_delay, delay)
            self.late_ticks += delay > TICK / 2
            if delay > RESYNCHRONISE:
                due = now
            try:
                graph.tick(now, time.time())
            except Exception:
                _log.exception("a tick of the media thread failed")
            self.ticks += 1
            self._flush()
            due += TICK
            rest = due - time.monotonic()
            if rest > 0:
                time.sleep(rest)
        return True

    def _execute(self, command: Command, graph: Graph) -> None:
        try:
            command(graph)
        except Exception:
            _log.exception("a command to the media thread failed")

    def _tell(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._outbox.append((callback, args))

    def _flush(self) -> None:
        if self._outbox and self._loop is not None:
            outbox, self._outbox = self._outbox, []
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(_deliver, outbox)


def _deliver(outbox: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> None:
    for callback, args in outbox:
        try:
            callback(*args)
        except Exception as error:  # sockets that are gone, above all
            _log.debug("nobody takes what the media thread has: %s", error)
