"""What devices tell us outside git, and what we make of it (protocol: swarm, sections 9 and 10)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jamid.core.errors import NotFoundError, RemoteError
from jamid.swarm import instant
from jamid.swarm.members import BANNED, LEFT
from jamid.swarm.rules import INVITES_ONLY

if TYPE_CHECKING:
    from jamid.swarm.account import AccountConversations

_log = logging.getLogger(__name__)


class Inbox:
    """The instant messages of one account that concern its conversations."""

    def __init__(self, account: AccountConversations) -> None:
        self._account = account

    async def received(self, uri: str, device: str, payloads: Mapping[str, str]) -> None:
        """A message outside git came from a device of URI."""
        account = self._account
        for mime, text in payloads.items():
            try:
                message = instant.parse(mime, text)
            except RemoteError as error:
                _log.info("[account=%s] a message of %s is ignored: %s", account.home.id, uri, error)
                continue
            match message:
                case instant.Notification():
                    await self._notified(uri, device, message)
                case instant.Invitation():
                    await account.membership.invited(uri, message)
                case instant.AskInvitation(conversation):
                    await account.membership.asked_for_invitation(uri, conversation)
                case instant.Composing(conversation, active):
                    found = account.find(conversation)
                    if found is None or found.role(uri) not in ("", BANNED, LEFT):
                        account.composing.received(conversation, uri, active)
                case instant.Receipt():
                    await self._receipt(uri, device, message)

    async def _notified(self, uri: str, device: str, message: instant.Notification) -> None:
        account = self._account
        conversation = account.find(message.conversation)
        own = uri == account.home.uri
        if conversation is None:
            info = account.infos.get(message.conversation)
            request = account.requests.get(message.conversation)
            if own and info is None:
                await account.join(message.conversation, [uri], mode=INVITES_ONLY, device=message.device)
            elif not own and (request is None or not request.declined) and not account.membership.is_over(message.conversation, uri):
                await account.home.send(uri, instant.ASK_INVITATION, message.conversation, only_connected=True)
            return
        if not conversation.is_here:
            account.cloner.clone(conversation, uris=[uri], device=message.device)
            return
        try:
            await conversation.load()
        except NotFoundError as error:
            _log.warning("%r cannot be read: %s", conversation, error)
            return
        if not own and conversation.role(uri) in ("", BANNED):
            _log.info("%r a notification of %s, who is not in it, is ignored", conversation, uri)
            return
        if await conversation.has_commit(message.commit):
            account.notifier.has(conversation, device, message.commit)
        else:
            account.puller.pull(conversation, message.device, message.commit)

    async def _receipt(self, uri: str, device: str, message: instant.Receipt) -> None:
        conversation = self._account.find(message.conversation)
        if conversation is None or not message.displayed or not conversation.is_here:
            return
        await conversation.load()
        if conversation.role(uri) not in ("", BANNED, LEFT):
            await conversation.statuses.displayed(uri, message.message)
            self._account.notifier.has(conversation, device, message.message)
