"""What clients load of a history: pages for both generations, counts, searches (protocol: swarm, section 17)."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from jamid.core.errors import NotFoundError, RemoteError
from jamid.core.signals import ConversationLoaded, MessagesFound, SwarmLoaded, SwarmMessageUpdated
from jamid.swarm import message_maps
from jamid.swarm.history import History, Message
from jamid.swarm.log import LinearLog
from jamid.swarm.repository import Repository

if TYPE_CHECKING:
    from jamid.swarm.conversation import Conversation

_PAGE: Final = 512
_REGEX_LENGTH: Final = 256
_ECMASCRIPT = re.compile(r"\(\?<([A-Za-z_]\w*)>")


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
            for body in _bodies(conversation, repository, log, first):
                found.append(body)
                if (until is not None and body["id"] == until) or (until is None and len(found) == count):
                    break
            return found

        messages = await conversation.run_log(read)
        conversation.publish(ConversationLoaded(request, conversation.home.id, conversation.id, messages))

    # -- the newer generation --

    async def load(self, request: int, first: str, count: int, until: str | None = None) -> None:
        """swarmLoaded: COUNT more messages (0: all) from FIRST on, or down to and including UNTIL, without those already loaded."""
        conversation = self._conversation
        history = conversation.history
        edge = history.oldest
        loaded: list[Message] = []
        wanted_replies: set[str] = set()
        reached = False
        position = first
        size = min(_PAGE, count + count // 4 + 14) if count and until is None else _PAGE
        while not reached:
            page = await conversation.run_log(functools.partial(_page, conversation, position, size))
            for body in page:
                if body["id"] == position and position != first:
                    continue
                enough = (count and len(loaded) >= count) if until is None else until in history
                if enough and not wanted_replies - set(_ids(history)):
                    reached = True
                    break
                message = history.add_old(body)
                if message is not None:
                    loaded.append(message)
                    if reply := body.get("reply-to"):
                        wanted_replies.add(reply)
                    wanted_replies.discard(message.id)
            if len(page) < size:
                break
            position = page[-1]["id"]
        if edge is not None and loaded:
            conversation.publish(SwarmMessageUpdated(conversation.home.id, conversation.id, edge.shown()))
        shown = [message.shown() for message in loaded]
        conversation.publish(SwarmLoaded(request, conversation.home.id, conversation.id, shown))

    # -- counting and searching --

    async def count(self, until: str, first: str, author: str) -> int:
        """Messages from FIRST ("" the newest) down to before UNTIL or the first one by AUTHOR; edits and reactions do not count."""
        conversation = self._conversation

        def counted(repository: Repository, log: LinearLog) -> int:
            history = History()
            for body in _bodies(conversation, repository, log, first):
                if body["id"] == until or (author and body["author"] == author):
                    break
                history.add_old(body)
            return len(history)

        return await conversation.run_log(counted)

    async def search(
        self, request: int, author: str, last: str, pattern: str, kind: str, after: int, before: int, limit: int, case_sensitive: bool
    ) -> None:
        """messagesFound with the texts and file names that match; nothing is published when nothing does."""
        conversation = self._conversation
        expression = compile_pattern(pattern, case_sensitive=case_sensitive)

        def found(repository: Repository, log: LinearLog) -> list[dict[str, str]]:
            history = History()
            results: list[dict[str, str]] = []
            for body in _bodies(conversation, repository, log, last):
                time = int(body["timestamp"])
                if after and time < after:
                    # Dates need not fall along the log, but what lies a day below the bound will not come back.
                    if time < after - 86_400:
                        break
                    continue
                message = history.add_old(body)
                if message is None or (before and time > before) or (author and message.author != author):
                    continue
                if _matches(message, expression, kind):
                    results.append(dict(message.body))
                    if limit and len(results) >= limit:
                        break
            return results

        results = await conversation.run_log(found)
        if results:
            conversation.publish(MessagesFound(request, conversation.home.id, conversation.id, results))


def compile_pattern(pattern: str, *, case_sensitive: bool) -> re.Pattern[str]:
    """An ECMAScript expression, as near as Python's come; one that is malformed is searched for literally."""
    flags = 0 if case_sensitive else re.IGNORECASE
    try:
        return re.compile(_ECMASCRIPT.sub(r"(?P<\1>", pattern[:_REGEX_LENGTH]), flags)
    except (re.error, RecursionError, OverflowError):
        return re.compile(re.escape(pattern[:_REGEX_LENGTH]), flags)


def _matches(message: Message, expression: re.Pattern[str], kind: str) -> bool:
    message_type = message.body.get("type", "")
    if kind and message_type != kind:
        return False
    if message_type in (message_maps.TEXT, message_maps.EDITED):
        body = message.body.get("body", "")
        return expression.search(body) is not None if body else not expression.pattern
    if message_type == message_maps.FILE:
        return expression.search(message.body.get("displayName", "")) is not None
    return False


def _ids(history: History) -> Iterator[str]:
    return (message.id for message in history)


def _page(conversation: Conversation, first: str, size: int, repository: Repository, log: LinearLog) -> list[dict[str, str]]:
    return list(itertools.islice(_bodies(conversation, repository, log, first), size))


def _bodies(conversation: Conversation, repository: Repository, log: LinearLog, first: str) -> Iterator[dict[str, str]]:
    """Maps of the commits from FIRST on, newest first; those that make no sense are skipped."""
    if first and not log_has(repository, first):
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


def log_has(repository: Repository, commit: str) -> bool:
    """Whether COMMIT can be looked for at all; malformed ids cannot."""
    try:
        return commit in repository
    except (NotFoundError, RemoteError):
        return False
