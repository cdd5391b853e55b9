"""Inviting, joining, banning, leaving, and what makes a conversation of two the one with a contact (protocol: swarm, section 7)."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from jamid.core.errors import JamidError
from jamid.core.identifiers import is_account_uri
from jamid.swarm import authoring, instant, message_maps
from jamid.swarm.log import LinearLog
from jamid.swarm.members import ADMIN, BANNED, INVITED, LEFT, MEMBER
from jamid.swarm.profile import KEYS, parse_profile, write_profile
from jamid.swarm.repository import Repository
from jamid.swarm.rules import ONE_TO_ONE

if TYPE_CHECKING:
    from jamid.swarm.account import AccountConversations
    from jamid.swarm.commits import Commit
    from jamid.swarm.conversation import Built, Conversation

_log = logging.getLogger(__name__)

_REPLAYED: Final = 1000
"""Commits that are looked through for calls that go on after a clone."""
_CROSSING_SECONDS: Final = 1.5
"""How long a contact that asked while we asked has time to confirm our conversation."""


_INTRODUCE_SECONDS: Final = 4.0
"""How long an invitation of another member has to be answered before we tell the invited one as well."""


class Membership:
    """Who is in the conversations of one account."""

    def __init__(self, account: AccountConversations) -> None:
        self._account = account
        self._confirmed: set[str] = set()
        """conversations of ours that the contact took"""

    # -- what the user does --

    async def add(self, conversation: Conversation, uri: str) -> None:
        """Invites URI; somebody banned is taken back when we may; to somebody invited the invitation is sent again."""
        if not is_account_uri(uri):
            _log.warning("%r %r cannot be invited: it is no Jami id", conversation, uri[:80])
            return
        facts = await conversation.load()
        role = facts.roles.get(uri, "")
        if role == BANNED:
            if not await self._resolve(conversation, "unban", uri):
                return
        elif role in ("", LEFT):
            if facts.root.mode == ONE_TO_ONE and uri not in facts.root.members:
                _log.warning("%r nobody else can join a conversation of two", conversation)
                return
            if await conversation.post(lambda _repository: authoring.invitation(uri)) is None:
                return
        await self.send_invitation(conversation, uri)

    async def ban(self, conversation: Conversation, uri: str) -> None:
        """Votes to ban a member or device, and does so when enough administrators agree; nothing unless we are one."""
        await self._resolve(conversation, "ban", uri)

    async def update_infos(self, conversation: Conversation, infos: Mapping[str, str]) -> None:
        """Changes title, description, avatar or rendezvous; nothing when nothing changes."""
        wanted = {key: value for key, value in infos.items() if key in KEYS}
        own = self._account.home.uri

        def build(repository: Repository) -> Built | None:
            tree = repository.tree()
            if f"admins/{own}.crt" not in tree:
                _log.warning("%r only an administrator can change the profile", conversation)
                return None
            before = tree.blob("profile.vcf")
            profile = write_profile({**parse_profile(before or b""), **wanted})
            return None if profile == before else (message_maps.update_profile(), {"profile.vcf": profile})

        await conversation.post(build)

    async def leave(self, conversation: Conversation) -> bool:
        """Commits that we leave, when there is anybody to tell; whether the repository has to be served for a while."""
        if not conversation.is_here:
            return False
        try:
            facts = await conversation.load()
        except JamidError as error:
            _log.warning("%r is removed although it cannot be read: %s", conversation, error)
            return False
        own = self._account.home.uri
        others = [uri for uri, role in facts.roles.items() if role in (ADMIN, MEMBER) and uri != own]
        if not others or facts.roles.get(own) not in (ADMIN, MEMBER):
            return False

        def build(repository: Repository) -> Built:
            return authoring.leaving(repository.tree(), conversation.author)

        return await conversation.post(build, quiet=True) is not None

    # -- what peers send --

    async def invited(self, uri: str, message: instant.Invitation) -> None:
        """An invitation of URI: shown to the user, or followed at once when it is the new conversation with a contact."""
        account = self._account
        home = account.home
        if home.is_banned(uri) or uri == home.uri or account.find(message.conversation) is not None:
            return
        if self.is_over(message.conversation, uri):
            return
        mode = message.metadatas.get("mode", "0")
        if mode == "0" and home.is_contact(uri) and not await self._is_alive(home.contact_conversation(uri), uri):
            await account.join(message.conversation, [uri], mode=ONE_TO_ONE)
            return
        await account.requests.received(message.conversation, uri, message.metadatas, home.now_ms())

    def is_over(self, conversation_id: str, uri: str) -> bool:
        """Whether it was our one-to-one conversation with URI, who is no contact any more: the way back is a contact request."""
        info = self._account.infos.get(conversation_id)
        return info is not None and info.is_removed and info.mode == ONE_TO_ONE and not self._account.home.is_contact(uri)

    async def asked_for_invitation(self, uri: str, conversation_id: str) -> None:
        """URI was notified of a conversation that it does not know: if it belongs there, it is invited again."""
        conversation = self._account.find(conversation_id)
        if conversation is None or not conversation.is_here:
            return
        await conversation.load()
        if conversation.role(uri) in (ADMIN, MEMBER, INVITED):
            await self.send_invitation(conversation, uri, only_connected=True)

    async def introduce(self, conversation: Conversation, uri: str) -> None:
        """Another member invited URI, and may not reach it: one of 13.7 never reaches one of 17. If it has not come soon we tell it."""
        await asyncio.sleep(_INTRODUCE_SECONDS)
        if conversation.role(uri) == INVITED and not conversation.info.is_removed:
            await self._account.notifier.hint(conversation, uri)

    async def send_invitation(self, conversation: Conversation, uri: str, *, only_connected: bool = False) -> None:
        """Sends what a client of URI shows of the conversation."""
        facts = await conversation.load()
        text = instant.write_invitation(conversation.id, facts.infos)
        await self._account.home.send(uri, instant.INVITATION, text, only_connected=only_connected)

    async def changed(self, conversation: Conversation) -> None:
        """Members came or went: the record of it, and the channels of those who may not fetch any more."""
        account = self._account
        await account.save_infos()
        facts = await conversation.load()
        account.channels.drop_shunned(conversation)
        for uri, role in facts.roles.items():
            if role in (BANNED, LEFT) and uri != account.home.uri:
                account.server.drop_account(conversation, uri)
                account.routing.drop_account(conversation.id, uri)
                if role == LEFT and facts.root.mode == ONE_TO_ONE:
                    await self._follow(uri)

    async def _follow(self, contact: str) -> None:
        """A contact left the conversation with us: 17 begins another at once, and can tell of it before it tells of leaving."""
        account = self._account
        if not account.home.is_contact(contact):
            return
        for request in account.requests.pending():
            if request.sender == contact and request.metadatas.get("mode", "0") == "0":
                await account.requests.take(request.conversation_id)
                await account.join(request.conversation_id, [contact], mode=ONE_TO_ONE)
                return

    # -- contacts --

    async def one_to_one(self, uri: str) -> str:
        """The id of the conversation with a contact, created when there is none."""
        known = self._account.one_to_one_with(uri)
        return known.id if known is not None else await self._account.start(ONE_TO_ONE, uri)

    async def contact_confirmed(self, uri: str, conversation_id: str) -> None:
        """A contact accepted our request, naming the conversation it uses with us; another one than ours takes its place."""
        account = self._account
        ours = account.one_to_one_with(uri)
        if ours is not None and ours.id == conversation_id:
            self._confirmed.add(conversation_id)
        if not conversation_id or account.find(conversation_id) is not None:
            return
        ours_stays = ours is not None and (await self._is_alive(ours.id, uri) or (self._is_new(ours) and ours.id < conversation_id))
        await self._settle(uri, conversation_id, theirs=not ours_stays)

    async def crossed(self, uri: str, conversation_id: str, *, dated: bool) -> str:
        """A contact whom we asked asks us as well, with CONVERSATION_ID; which one both take: DATED ones decide by the ids as we do."""
        account = self._account
        ours = account.one_to_one_with(uri)
        if dated or ours is None or ours.id == conversation_id or not self._is_new(ours):
            await self.contact_confirmed(uri, conversation_id)
        else:
            # A real daemon that had our request before its user asked stays with its own conversation; otherwise it confirms ours.
            await asyncio.sleep(_CROSSING_SECONDS)
            if account.find(conversation_id) is None:
                ours_stays = ours.id in self._confirmed or await self._is_alive(ours.id, uri)
                await self._settle(uri, conversation_id, theirs=not ours_stays)
        return conversation_id if ours is None or account.find(conversation_id) is not None else ours.id

    async def _settle(self, uri: str, conversation_id: str, *, theirs: bool) -> None:
        """Takes the conversation of a contact, or leaves its request for it."""
        account = self._account
        if theirs:
            await account.requests.take(conversation_id)
            await account.join(conversation_id, [uri], mode=ONE_TO_ONE)
        elif account.requests.get(conversation_id) is not None:  # it came while we were asking ourselves
            await account.requests.decline(conversation_id, sync=False)

    async def one_to_one_ready(self, conversation: Conversation) -> None:
        """A conversation of two was cloned: it is from now on the one with that contact, and takes over what we wrote elsewhere."""
        account = self._account
        facts = await conversation.load()
        peer = next((uri for uri in facts.root.members if uri != account.home.uri), account.home.uri)
        before = account.find(account.home.contact_conversation(peer)) if account.home.contact_conversation(peer) else None
        await account.home.set_contact_conversation(peer, conversation.id)
        if before is None or before.id == conversation.id or before.info.mode != ONE_TO_ONE:
            return
        if before.is_here:
            await before.load()
        # Where the contact has been, and left, the history stays.
        if before.role(peer) in ("", INVITED):
            await self._move_texts(before, conversation)
            await account.forget_conversation(before)

    async def replay_calls(self, conversation: Conversation) -> None:
        """Finds the calls that go on in a history that came as a whole."""

        def read(repository: Repository, log: LinearLog) -> list[tuple[Commit, dict[str, str]]]:
            history = []
            for oid in itertools.islice(log, _REPLAYED):
                commit = repository.commit(oid)
                body = conversation.body_of(repository, commit, "")
                if body is not None and body["type"] == message_maps.CALL:
                    history.append((commit, body))
            return history

        conversation.active_calls.replay(await conversation.run_log(read))

    # -- details --

    async def _resolve(self, conversation: Conversation, action: str, target: str) -> bool:
        """Our vote, and the ban or its end when it was the last one needed; whether that came to pass."""
        facts = await conversation.load()
        account = self._account
        if facts.roles.get(account.home.uri) != ADMIN or target == account.home.uri:
            _log.warning("%r only an administrator can %s somebody else", conversation, action)
            return False

        def vote(repository: Repository) -> Built | None:
            kind = authoring.kind_of(repository.tree(), target, banned=action == "unban")
            return authoring.vote(conversation.author, action, kind, target) if kind is not None else None

        def resolve(repository: Repository) -> Built | None:
            tree = repository.tree()
            kind = authoring.kind_of(tree, target, banned=action == "unban")
            return authoring.resolution(tree, action, kind, target) if kind is not None else None

        voted = conversation.post(vote)
        resolved = conversation.post(resolve)
        done = await voted is not None and await resolved is not None
        if done:
            await self.changed(conversation)
        return done

    async def _is_alive(self, conversation_id: str, uri: str) -> bool:
        """Whether the conversation is here and URI takes part in it."""
        conversation = self._account.find(conversation_id) if conversation_id else None
        if conversation is None or not conversation.is_here:
            return False
        await conversation.load()
        return conversation.role(uri) in (ADMIN, MEMBER)

    def _is_new(self, conversation: Conversation) -> bool:
        return abs(self._account.home.now_ms() - conversation.info.created) < 60_000

    async def _move_texts(self, source: Conversation, destination: Conversation) -> None:
        """What we wrote while the contact had not joined yet is written again where it will be read."""
        if not source.is_here:
            return

        def read(repository: Repository) -> list[Commit]:
            commits = [repository.commit(oid) for oid in repository.log()]
            return [commit for commit in reversed(commits) if commit.device == source.author.device]

        for commit in await source.run(read):
            content = commit.json()
            if content.get("type") == message_maps.TEXT and not content.keys() & {"edit", "react-to"}:
                content.pop("reply-to", None)
                destination.post_content(content)
