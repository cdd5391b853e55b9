"""File transfer on D-Bus (protocol: dbus, section 5.8)."""

from __future__ import annotations

from jamid.swarm.service import Conversations


class FilesPart:
    """The methods about files of conversations."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    def sendFile(self, account_id: str, conversation_id: str, path: str, display_name: str, reply_to: str) -> None:
        self._conversations.send_file(account_id, conversation_id, path, display_name, reply_to)

    async def downloadFile(self, account_id: str, conversation_id: str, interaction: str, file_id: str, path: str) -> bool:
        return await self._conversations.download_file(account_id, conversation_id, interaction, file_id, path)

    async def cancelDataTransfer(self, account_id: str, conversation_id: str, file_id: str) -> int:
        return await self._conversations.cancel_data_transfer(account_id, conversation_id, file_id)

    async def fileTransferInfo(self, account_id: str, conversation_id: str, file_id: str) -> tuple[int, str, int, int]:
        return await self._conversations.file_transfer_info(account_id, conversation_id, file_id)
