"""What clients load of a history: pages for both generations, counts, searches (protocol: swarm, section 17)."""

from __future__ import annotations

import functools
import itertools
import re
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from jamid.core.signals import ConversationLoaded, MessagesFound, SwarmLoaded, SwarmMessageUpdated
from jamid.swarm import message_maps
from jamid.swarm.history import History, Message, Shown
from jamid.swarm.log import LinearLog
from jamid.swarm.repository import Repository

if TYPE_CHECKING:
    from jamid.swarm.conversation import Conversation

_PAGE: Final = 512
_REGEX_LENGTH: Final = 256
_GROUP_NAME = re.compile(r"\(\?<([A-Za-z_]\w*)>")
_CHARACTER_CLASS = re.compile(r"\[:(\w+):\]")
_CHARACTER_CLASSES: Final = {
    "alnum": "A-Za-z0-9", "alpha": "A-Za-z", "blank": r" \t", "d": r"\d", "digit": r"\d", "lower": "a-z", "punct": r"!-/:-@\[-`{-~",
    "s": r"\s", "space": r"\s", "upper": "A-Z", "w": r"\w", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


class Loader:
    """Answers of one conversation."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    # -- the older generation --

    async def load_flat(self, request: int, first: str, count: int, until: str | None = None) -> None:
        """conversationLoaded: COUNT commits (0: all) from FIRST ("" the newest) on, or down to and including UNTIL."""
        conversation = self._conversation

        def read(repository: Repository, log: LinearLog) -> list[dict[str, str]]:
            found: list[dict[str, str]] = []
            for body in _bodies(conversation, repository, log, first, until or ""):
                found.append(body)
                if (until is not None and body["id"] == until) or (until is None and len(found) == count):
                    break
            return found

        messages = await conversation.run_log(read)
        conversation.publish(ConversationLoaded(request, conversation.home.id, conversation.id, messages))

    # -- the newer generation --

    async def load(self, request: int, first: str, count: int, until: str | None = None) -> None:
        """swarmLoaded: COUNT more messages (0: all) from FIRST on, or down to and including UNTIL, without those already loaded.

        Down to UNTIL and further, until all that is replied to is there as well.
        """
        conversation = self._conversation
        history = conversation.history
        edge = history.oldest
        loaded: list[Message] = []
        wanted_replies: set[str] = set()
        size = min(_PAGE, count + count // 4 + 14) if count and until is None else _PAGE
        async for body in self._read(first, until or "", size):
            if until is None:
                enough = bool(count) and len(loaded) >= count
            else:
                enough = until in history and all(reply in history for reply in wanted_replies)
            if enough:
                break
            message = history.add_old(body)
            if message is not None:
                loaded.append(message)
                if until is not None and (reply := body.get("reply-to")):
                    wanted_replies.add(reply)
        if edge is not None and loaded:
            conversation.publish(SwarmMessageUpdated(conversation.home.id, conversation.id, edge.shown()))
        conversation.publish(SwarmLoaded(request, conversation.home.id, conversation.id, Shown(loaded)))

    # -- counting and searching --

    async def count(self, until: str, first: str, author: str) -> int:
        """Messages from FIRST ("" the newest) down to before UNTIL or the first one by AUTHOR; edits and reactions do not count."""
        history = History()
        async for body in self._read(first, until):
            if body["id"] == until or (author and body["author"] == author):
                break
            history.add_old(body)
        return len(history)

    async def search(
        self, request: int, author: str, last: str, pattern: str, kind: str, after: int, before: int, limit: int, case_sensitive: bool
    ) -> None:
        """messagesFound with the texts and file names that match, down to LAST, or everything of another KIND; silent when nothing does."""
        conversation = self._conversation
        expression = compile_pattern(pattern, case_sensitive=case_sensitive)
        history = History()
        results: list[dict[str, str]] = []
        async for body in self._read():
            time = int(body["timestamp"])
            # Dates need not fall along the log, but what lies a day below the bound will not come back.
            if after and time < after - 86_400:
                break
            message = history.add_old(body) if after <= time and not 0 < before < time else None
            if message is not None and author in ("", message.author) and _matches(shown := message.body, expression, kind):
                results.append(shown)
            if (limit and len(results) >= limit) or body["id"] == last:
                break
        if results:
            conversation.publish(MessagesFound(request, conversation.home.id, conversation.id, results))

    async def _read(self, first: str = "", until: str = "", size: int = _PAGE) -> AsyncIterator[dict[str, str]]:
        """Maps of the commits from FIRST on, newest first, none if UNTIL is newer; others use the repository between pages of SIZE."""
        position = first
        while True:
            page = await self._conversation.run_log(functools.partial(_page, self._conversation, position, until, size))
            for body in page:
                if body["id"] != position or position == first:
                    yield body
            if len(page) < size:
                return
            position = page[-1]["id"]


def compile_pattern(pattern: str, *, case_sensitive: bool) -> re.Pattern[str]:
    """An ECMAScript expression, as near as Python's come; one that is malformed is searched for literally."""
    flags = 0 if case_sensitive else re.IGNORECASE
    translated = _GROUP_NAME.sub(r"(?P<\1>", pattern[:_REGEX_LENGTH])
    translated = _CHARACTER_CLASS.sub(lambda match: _CHARACTER_CLASSES.get(match[1], match[0]), translated)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(translated, flags)
    except (re.error, RecursionError, OverflowError):
        return re.compile(re.escape(pattern[:_REGEX_LENGTH]), flags)


def _matches(message: Mapping[str, str], expression: re.Pattern[str], kind: str) -> bool:
    match message["type"]:
        case message_type if kind not in ("", message_type):
            return False
        case message_maps.TEXT | message_maps.EDITED:
            body = message.get("body", "")
            return expression.search(body) is not None if body else not expression.pattern
        case message_maps.FILE:
            return expression.search(message.get("displayName", "")) is not None
        case _:
            return bool(kind)


def _page(conversation: Conversation, first: str, until: str, size: int, repository: Repository, log: LinearLog) -> list[dict[str, str]]:
    return list(itertools.islice(_bodies(conversation, repository, log, first, until), size))


def _bodies(conversation: Conversation, repository: Repository, log: LinearLog, first: str, until: str) -> Iterator[dict[str, str]]:
    """Maps of the commits from FIRST on, newest first, none if UNTIL comes before it; those that make no sense are skipped."""
    if first and (first not in repository or (until and log.is_above(until, first))):
        return
    previous = None
    for oid in log.since(first):
        if previous is not None:
            body = conversation.body_of(repository, repository.commit(previous), oid)
            if body is not None:
                yield body
        previous = oid
    if previous is not None:
        body = conversation.body_of(repository, repository.commit(previous), "")
        if body is not None:
            yield body
