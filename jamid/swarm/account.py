"""All conversations of one account: found on disk, created, joined, kept in step with every device that should have them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from jamid.core.clock import Clock
from jamid.core.generations import Generation
from jamid.core.signals import ConversationReady, ConversationRemoved
from jamid.core.tasks import Tasks, in_thread
from jamid.swarm import authoring, generations
from jamid.swarm.authoring import Author
from jamid.swarm.cloning import Cloner
from jamid.swarm.commits import Commit
from jamid.swarm.composing import ComposingPeers
from jamid.swarm.conversation import Conversation
from jamid.swarm.crossing import Crossings
from jamid.swarm.fetching import GitChannels
from jamid.swarm.inbox import Inbox
from jamid.swarm.members import ADMIN, BANNED, INVITED, LEFT, MEMBER
from jamid.swarm.membership import Membership
from jamid.swarm.notifying import Notifier
from jamid.swarm.presence import Presence
from jamid.swarm.profiles import Profiles
from jamid.swarm.pulling import Puller
from jamid.swarm.records import ConversationInfo, read_infos
from jamid.swarm.repository import Repository
from jamid.swarm.requests import Requests
from jamid.swarm.routing_channels import Routing
from jamid.swarm.rules import INVITES_ONLY, ONE_TO_ONE
from jamid.swarm.seams import Home, PeerDevice, Publish
from jamid.swarm.serving import GitServer
from jamid.swarm.store import Store
from jamid.swarm.syncing import Syncing
from jamid.swarm.transfers import Transfers

_log = logging.getLogger(__name__)

_INTRODUCED: Final = 16
"""Of so many people invited at once it is seen to that the invitation arrives."""
_LEAVE_SECONDS: Final = 600.0
"""How long a conversation that we left is still served: the first peer that fetched may not reach the others."""


class AccountConversations:
    """The conversations of one account."""

    def __init__(self, home: Home, publish: Publish, clock: Clock) -> None:
        self.home = home
        self.publish = publish
        self.clock = clock
        self.tasks = Tasks(f"conversations {home.id}")
        self.store = Store(home.data_path, home.cache_path)
        self.author = Author(home.identity, home.uri, home.device_id, lambda: home.display_name, clock.time)
        self.infos: dict[str, ConversationInfo] = {}
        self.metadatas: dict[str, dict[str, str]] = {}
        """what is known of conversations that are still being cloned"""
        self.requests = Requests(home, self.store, publish)
        self._conversations: dict[str, Conversation] = {}
        self.channels = GitChannels(home)
        self.notifier = Notifier(home, self.tasks, lambda conversation, device: self.puller.pull(conversation, device))
        self.crossings = Crossings(self.store, self.tasks)
        self.puller = Puller(self.channels, self.tasks, self._pulled, self.crossings.wanted)
        self.cloner = Cloner(home, self.channels, self.tasks, self._cloned)
        self.server = GitServer(home.device_id, self.find_served, self.crossings.next_step, self._fetched, self.notifier.busy, self.tasks)
        self.membership = Membership(self)
        self.composing = ComposingPeers(home, publish)
        self.transfers = Transfers(self)
        self.profiles = Profiles(self)
        self.routing = Routing(self)
        self.syncing = Syncing(self)
        self.presence = Presence(self)
        self.inbox = Inbox(self)
        self._calls: dict[str, list[dict[str, str]]] = {}
        """calls that went on when we were ended, until their conversation is asked for"""
        self._creating = asyncio.Lock()
        self._created = 0, 0
        """when the last conversation was created, and the second it was given"""

    # -- life --

    async def load(self) -> None:
        """Reads what there is; starts the clones that were not finished."""
        await in_thread(self._load_files)
        for info in self.infos.values():
            if not info.is_removed and not Repository.exists(self.store.repository(info.id)):
                conversation = self.find(info.id)
                if conversation is not None:
                    self.cloner.clone(conversation, uris=[uri for uri in info.members if uri != self.home.uri])

    def _load_files(self) -> None:
        self.infos = self.store.read_infos()
        self.metadatas = self.store.read_syncing()
        self.requests.load()
        self.crossings.load(info.id for info in self.infos.values() if not info.is_removed)
        self._calls = {info.id: calls for info in self.infos.values() if (calls := self.store.read_active_calls(info.id))}
        for info in self.infos.values():
            if info.is_removed and not info.erased:
                Repository.erase(self.store.repository(info.id))
                self.store.erase_conversation_data(info.id)
                info.erased = self.home.now_ms()

    def went_online(self) -> None:
        """The account has connections: its channels are served from now on."""
        links = self.home.links
        if links is None:
            return
        links.handle("git", self.server)
        links.handle("data-transfer", self.transfers)
        if generations.routes(self.home.generations):
            links.handle("swarm", self.routing)
        # The connections of the account do not outlive its registration, and those of the last one do not count any more.
        self.channels.close()
        for conversation in self._conversations.values():
            if not conversation.is_here:
                self.cloner.clone(conversation, uris=[uri for uri in conversation.info.members if uri != self.home.uri])

    def went_offline(self) -> None:
        self.channels.close()
        self.puller.close()
        self.notifier.close()
        self.routing.close()

    async def close(self) -> None:
        """Ends everything and writes what was not written yet."""
        self.went_offline()
        self.composing.close()
        await self.transfers.close()
        for conversation in self._conversations.values():
            await conversation.statuses.save_now()
        await self.crossings.save()
        await self.tasks.close()

    # -- finding --

    def find(self, conversation_id: str) -> Conversation | None:
        """The conversation, here or being cloned; None for unknown and removed ones."""
        info = self.infos.get(conversation_id)
        if info is None or info.is_removed:
            return None
        return self._conversations.get(conversation_id) or self._make(info)

    def find_served(self, conversation_id: str) -> Conversation | None:
        """As `find`, and what we have left but others may still have to hear of."""
        return self.find(conversation_id) or self._conversations.get(conversation_id)

    def all(self) -> list[Conversation]:
        """Every conversation that was not removed."""
        found = (self.find(conversation) for conversation in tuple(self.infos))
        return [conversation for conversation in found if conversation is not None]

    def shared_with(self, uri: str) -> list[Conversation]:
        """Conversations that URI takes part in, as far as is known."""
        return [each for each in self.all() if uri in each.info.members or each.role(uri) in (ADMIN, MEMBER, INVITED)]

    def one_to_one_with(self, uri: str) -> Conversation | None:
        """The conversation with a contact."""
        named = self.find(self.home.contact_conversation(uri)) if self.home.contact_conversation(uri) else None
        if named is not None:
            return named
        for each in self.all():
            if each.info.mode == ONE_TO_ONE and set(each.info.members) == {uri, self.home.uri}:
                return each
        return None

    def _make(self, info: ConversationInfo) -> Conversation:
        calls = self._calls.pop(info.id, [])
        conversation = Conversation(info, self.home, self.store, self.publish, self.clock, self.tasks, self.author, calls)
        conversation.committed = self._committed
        self._conversations[info.id] = conversation
        return conversation

    # -- creating --

    async def start(self, mode: int = INVITES_ONLY, invited: str = "") -> str:
        """Creates a conversation; its id."""
        async with self._creating:
            conversation_id = await in_thread(self._create_repository, mode, invited)
        members = sorted({self.home.uri, invited} - {""})
        info = ConversationInfo(conversation_id, created=self.home.now_ms(), members=members, mode=mode)
        self.infos[conversation_id] = info
        conversation = self._make(info)
        await self.save_infos()
        await conversation.load()
        self.publish(ConversationReady(self.home.id, conversation_id))
        await self.syncing.tell(conversation)
        return conversation_id

    def _create_repository(self, mode: int, invited: str) -> str:
        aside = self.store.repository(".new")
        Repository.erase(aside)
        repository = Repository.create(aside)
        now = int(self.clock.time())
        # Nothing but the second tells two empty groups of ours apart: of several in one second each takes an earlier one.
        second = self._created[1] - 1 if self._created[0] == now else now
        while True:
            commit = authoring.create(repository, replace(self.author, now=partial(float, second)), mode, invited)
            target = self.store.repository(commit.id)
            if commit.id not in self.infos and not target.exists():
                break
            second -= 1
        self._created = now, second
        aside.rename(target)
        return commit.id

    async def save_infos(self) -> None:
        await in_thread(self.store.write_infos, {key: info.copy() for key, info in self.infos.items()})

    # -- joining --

    async def accept(self, conversation_id: str) -> None:
        """The user accepts an invitation; nothing happens when there is none."""
        request = self.requests.get(conversation_id)
        if request is None or self.find(conversation_id) is not None:
            return
        await self.requests.take(conversation_id)
        mode = request.metadatas.get("mode", "")
        one_to_one = mode in ("", "0") and self.home.contact_conversation(request.sender) in ("", conversation_id)
        if mode == "":
            await self.home.contact_accepted(request.sender, conversation_id)
        await self.join(conversation_id, [request.sender], mode=ONE_TO_ONE if one_to_one else INVITES_ONLY, metadatas=request.metadatas)

    async def join(
        self, conversation_id: str, uris: list[str], *, mode: int, device: str = "", metadatas: Mapping[str, str] | None = None
    ) -> None:
        """Clones a conversation from the accounts URIS (or first from DEVICE) and joins it; a request for it is thereby answered."""
        await self.requests.take(conversation_id)
        info = self.infos.get(conversation_id)
        members = sorted({self.home.uri, *uris})
        if info is not None and info.is_removed:
            await self.erase(conversation_id)
        if info is None or info.is_removed:
            # Our other devices take what was removed later than it was created for removed; some tell seconds only.
            created = max(self.home.now_ms(), info.removed + 1000 if info is not None else 0)
            info = ConversationInfo(conversation_id, created=created, members=members, mode=mode)
            self.infos[conversation_id] = info
            self._conversations.pop(conversation_id, None)
        if metadatas:
            self.metadatas[conversation_id] = dict(metadatas)
            await in_thread(self.store.write_syncing, dict(self.metadatas))
        await self.save_infos()
        conversation = self.find(conversation_id)
        if conversation is not None and not conversation.is_here:
            self.cloner.clone(conversation, uris=uris, device=device)

    async def _cloned(self, conversation: Conversation, device: str) -> None:
        """A clone is complete and, if it had to be, joined."""
        facts = await conversation.load()
        conversation.info.members = sorted(uri for uri, role in facts.roles.items() if role not in (BANNED, LEFT))
        self.metadatas.pop(conversation.id, None)
        await self.save_infos()
        await in_thread(self.store.write_syncing, dict(self.metadatas))
        await self.membership.replay_calls(conversation)
        self.publish(ConversationReady(self.home.id, conversation.id))
        self.notifier.changed(conversation)
        if conversation.info.mode == ONE_TO_ONE:
            await self.membership.one_to_one_ready(conversation)
        await self.syncing.tell(conversation)
        self.profiles.conversation_cloned(conversation, device)
        self.routing.conversation_ready(conversation, device)

    # -- what happens to conversations --

    def _committed(self, conversation: Conversation, commits: list[Commit]) -> None:
        self.notifier.changed(conversation)

    def _pulled(self, conversation: Conversation, peer: PeerDevice, head: str, commits: list[Commit]) -> None:
        """PEER had HEAD, of which COMMITS were new: the others are told of them, and that device too when we had to merge."""
        self.notifier.has(conversation, peer.device_id, head)
        self.transfers.peer_active(conversation)
        if not commits:
            return
        self.crossings.learn(conversation, commits)
        # One 13.7 takes what another has joined with only when it has met that one, which comes to it by itself.
        joined = peer.generation is Generation.G13 and any(commit.json().get("action") == "join" for commit in commits)
        # Merges told at once make others merge, and so on; whoever made one tells it itself.
        joins = all(len(commit.parents) > 1 and commit.device != self.home.device_id for commit in commits)
        self.notifier.changed(conversation, later=self.crossings.older if joined else (), joins=joins)
        self._look_again(conversation, peer)
        if any(commit.message.startswith(b'{"action"') for commit in commits):
            self.tasks.spawn(self.membership.changed(conversation), "members")
        added = [str(commit.json().get("uri")) for commit in commits if commit.json().get("action") == "add"]
        for uri in added[-_INTRODUCED:]:
            self.tasks.spawn(self.membership.introduce(conversation, uri), "introduce")

    def _fetched(self, conversation: Conversation, peer: PeerDevice, commit: str) -> None:
        """A device of a member has everything up to COMMIT."""
        self.crossings.fetched(conversation.id, peer.device_id, commit)
        self.notifier.fetched(conversation, peer, commit)
        self._look_again(conversation, peer)
        conversation.statuses.fetched(peer.account_uri, commit)
        self.profiles.peer_active(conversation, peer)
        self.transfers.peer_active(conversation)
        if conversation.info.is_removed:
            asyncio.get_running_loop().call_later(_LEAVE_SECONDS, lambda: self.tasks.spawn(self.erase(conversation.id), "erase"))

    def _look_again(self, conversation: Conversation, peer: PeerDevice) -> None:
        """Devices of the older generation, which know no routing, may be unable to tell us of all they have."""
        routing = self.routing.knows(conversation.id, peer.device_id)
        here = not conversation.info.is_removed and conversation.role(peer.account_uri) in (ADMIN, MEMBER)
        if here and generations.may_lose_notifications(routing=routing):
            self.puller.look_later(conversation, peer.device_id)

    # -- leaving --

    async def remove(self, conversation_id: str) -> bool:
        """The user leaves a conversation; False when it is unknown."""
        if (conversation := self.find(conversation_id)) is None:
            return False
        self.cloner.cancel(conversation_id)
        left = await self.membership.leave(conversation)
        for uri in conversation.info.members if conversation.info.mode == ONE_TO_ONE else ():
            if self.home.contact_conversation(uri) == conversation_id:
                await self.home.set_contact_conversation(uri, "")
        await self.forget_conversation(conversation, erase=not left)
        return True

    async def forget_contact(self, uri: str, conversation_id: str) -> None:
        """A contact was removed: the conversation with it goes without a word."""
        conversation = self.find(conversation_id) if conversation_id else self.one_to_one_with(uri)
        if conversation is not None and conversation.info.mode == ONE_TO_ONE:
            self.cloner.cancel(conversation.id)
            await self.forget_conversation(conversation)

    async def forget_conversation(self, conversation: Conversation, *, erase: bool = True) -> None:
        """Removes a conversation from the list, with ERASE its files as well, and tells clients and our other devices."""
        conversation.info.removed = max(self.home.now_ms(), conversation.info.created)
        await self.save_infos()
        self.metadatas.pop(conversation.id, None)
        self.channels.drop_conversation(conversation.id)
        self.routing.forget(conversation.id)
        self.publish(ConversationRemoved(self.home.id, conversation.id))
        await self.syncing.tell(conversation)
        if erase:
            await self.erase(conversation.id)

    async def erase(self, conversation_id: str) -> None:
        """Deletes the files of a conversation that was removed."""
        info = self.infos.get(conversation_id)
        conversation = self._conversations.get(conversation_id)
        if info is None or not info.is_removed or info.erased:
            return
        self.notifier.forget(conversation_id)
        self.crossings.forget(conversation_id)
        self.server.drop_conversation(conversation_id)
        if conversation is not None:
            await conversation.forget()
            self._conversations.pop(conversation_id, None)
        await in_thread(Repository.erase, self.store.repository(conversation_id))
        await in_thread(self.store.erase_conversation_data, conversation_id)
        info.erased = self.home.now_ms()
        await self.save_infos()
        if conversation is not None:
            await self.syncing.tell(conversation)

    async def adopt(self, conversations: Mapping[str, Any], requests: Mapping[str, Any]) -> None:
        """Takes over what an imported archive lists: each is cloned when somebody who has it is met."""
        for info in read_infos({key: {"id": key, **value} for key, value in conversations.items() if isinstance(value, Mapping)}).values():
            self.infos.setdefault(info.id, info)
        await self.save_infos()
        await self.requests.adopt(requests)
