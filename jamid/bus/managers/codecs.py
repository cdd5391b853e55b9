"""The codecs: which there are, what a client may know and change of them, and which an account uses in which order."""

from __future__ import annotations

from collections.abc import Mapping

from jamid.accounts.account import Account
from jamid.accounts.service import Accounts
from jamid.core.events import Events
from jamid.core.signals import ErrorAlert, MediaParametersChanged
from jamid.media import codec_table

_UNKNOWN_CODEC = 0x1000
_SIP = "SIP"


class CodecsPart:
    """Codec lists and details; changes of details last as long as the daemon, the order of an account is saved."""

    def __init__(self, accounts: Accounts, events: Events) -> None:
        self._accounts = accounts
        self._events = events
        self._changed: dict[tuple[str, int], dict[str, str]] = {}

    def getCodecList(self) -> list[int]:
        return codec_table.all_ids()

    def getCodecDetails(self, account_id: str, codec_id: int) -> dict[str, str]:
        codec = codec_table.codec_by_id(codec_id)
        known = self._accounts.get(account_id) is not None
        if codec is None:
            if known:
                self._events.publish(ErrorAlert(_UNKNOWN_CODEC))
            return {}
        return codec_table.codec_details(codec, self._changed.get((account_id, codec_id)), of_account=known)

    def setCodecDetails(self, account_id: str, codec_id: int, details: Mapping[str, str]) -> bool:
        codec = codec_table.codec_by_id(codec_id)
        if codec is None or self._accounts.get(account_id) is None:
            return False
        changes = codec_table.accepted_changes(codec, details)
        if changes is None:
            return False
        self._changed.setdefault((account_id, codec_id), {}).update(changes)
        self._events.publish(MediaParametersChanged(account_id))
        return True

    def getActiveCodecList(self, account_id: str) -> list[int]:
        account = self._accounts.get(account_id)
        return codec_table.all_ids() if account is None else codecs_of(account)

    async def setActiveCodecList(self, account_id: str, codec_ids: list[int]) -> None:
        account = self._accounts.get(account_id)
        if account is not None:
            account.config.active_codecs = tuple(codec_table.active_codecs(codec_ids, jami=account.type != _SIP))
            await account.save()


def codecs_of(account: Account) -> list[int]:
    """The codecs an account uses, best first."""
    return codec_table.stored_codecs(account.config.active_codecs, jami=account.type != _SIP)
