"""The files of one account's conversations: where they are, read at start, written whole (protocol: swarm, section 12)."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jamid.core import limits
from jamid.core.errors import LocalError
from jamid.core.files import read_if_present, remove_tree, write_atomically
from jamid.swarm import records
from jamid.swarm.records import ConversationInfo, ConversationRequest, MemberStatus, WaitingFile

_log = logging.getLogger(__name__)


class Store:
    """Paths and files of an account; everything here blocks for the time of a small write."""

    def __init__(self, data: Path, cache: Path) -> None:
        self.data = data
        self.cache = cache

    def repository(self, conversation: str) -> Path:
        return self.data / "conversations" / conversation

    def conversation_data(self, conversation: str) -> Path:
        return self.data / "conversation_data" / conversation

    # -- of the account --

    def read_infos(self) -> dict[str, ConversationInfo]:
        return records.read_infos(self._read(self.data / "convInfo"))

    def write_infos(self, infos: Mapping[str, ConversationInfo]) -> None:
        self._write(self.data / "convInfo", records.by_id(infos.values()))

    def read_requests(self) -> dict[str, ConversationRequest]:
        return records.read_requests(self._read(self.data / "convRequests"))

    def write_requests(self, requests: Mapping[str, ConversationRequest]) -> None:
        self._write(self.data / "convRequests", records.by_id(requests.values()))

    def read_syncing(self) -> dict[str, dict[str, str]]:
        """What is known of conversations that are still being cloned."""
        found = self._read(self.data / "syncingMetadatas")
        return {key: records.string_map(value) for key, value in found.items()} if isinstance(found, dict) else {}

    def write_syncing(self, metadatas: Mapping[str, Mapping[str, str]]) -> None:
        self._write(self.data / "syncingMetadatas", {key: dict(value) for key, value in metadatas.items()})

    def read_crossings(self) -> Any:
        """What `crossing` keeps, in a file that is only ours."""
        return self._read(self.data / "crossings")

    def write_crossings(self, crossings: Mapping[str, Any]) -> None:
        self._write(self.data / "crossings", crossings)

    # -- of one conversation --

    def read_preferences(self, conversation: str) -> tuple[dict[str, str], int]:
        """The preferences and when they were changed (seconds, 0: never)."""
        path = self.conversation_data(conversation) / "preferences"
        values = records.string_map(self._read(path))
        try:
            return values, int(path.stat().st_mtime)
        except OSError:
            return values, 0

    def write_preferences(self, conversation: str, values: Mapping[str, str], modified: int | None = None) -> None:
        path = self.conversation_data(conversation) / "preferences"
        self._write(path, dict(values))
        if modified is not None:
            os.utime(path, (modified, modified))

    def read_status(self, conversation: str) -> dict[str, MemberStatus]:
        """Members' progress, from the file of 17 or else what 13.7 kept of it."""
        directory = self.conversation_data(conversation)
        found = records.read_statuses(self._read(directory / "status"))
        if not found:
            displayed = records.string_map(self._read(directory / "lastDisplayed"))
            found = {uri: MemberStatus(read=commit) for uri, commit in displayed.items() if uri != "cached"}
        return found

    def write_status(self, conversation: str, statuses: Mapping[str, MemberStatus], sending: list[str]) -> None:
        directory = self.conversation_data(conversation)
        self._write(directory / "status", {uri: status.to_map() for uri, status in statuses.items()})
        # 13.7 reads these two instead.
        self._write(directory / "lastDisplayed", {uri: status.read for uri, status in statuses.items() if status.read})
        self._write(directory / "sending", sending)

    def read_sending(self, conversation: str) -> list[str]:
        found = self._read(self.conversation_data(conversation) / "sending")
        return [commit for commit in found if isinstance(commit, str)] if isinstance(found, list) else []

    def read_hosted_calls(self, conversation: str) -> dict[str, int]:
        found = self._read(self.conversation_data(conversation) / "hostedCalls")
        return {key: value for key, value in found.items() if isinstance(value, int)} if isinstance(found, dict) else {}

    def write_hosted_calls(self, conversation: str, calls: Mapping[str, int]) -> None:
        self._write(self.conversation_data(conversation) / "hostedCalls", dict(calls))

    def read_active_calls(self, conversation: str) -> list[dict[str, str]]:
        found = self._read(self.conversation_data(conversation) / "activeCalls")
        calls = [records.string_map(call) for call in found] if isinstance(found, list) else []
        return [call for call in calls if call.keys() == {"id", "uri", "device"}][: limits.ACTIVE_CALLS]

    def write_active_calls(self, conversation: str, calls: list[dict[str, str]]) -> None:
        self._write(self.conversation_data(conversation) / "activeCalls", calls)

    def read_waiting(self, conversation: str) -> dict[str, WaitingFile]:
        return records.read_waiting(self._read(self.conversation_data(conversation) / "waiting"))

    def write_waiting(self, conversation: str, waiting: Mapping[str, WaitingFile]) -> None:
        self._write(self.conversation_data(conversation) / "waiting", {key: value.to_map() for key, value in waiting.items()})

    def erase_conversation_data(self, conversation: str) -> None:
        remove_tree(self.conversation_data(conversation))

    def _read(self, path: Path) -> Any:
        try:
            data = read_if_present(path, limits.STATE_FILE_BYTES)
        except LocalError as error:
            _log.error("%s", error)
            return None
        return records.unpack(data) if data else None

    def _write(self, path: Path, value: Any) -> None:
        write_atomically(path, records.pack(value))
