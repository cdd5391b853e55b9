"""Signals of `cx.ring.Ring.ConfigurationManager`: what the daemon tells of accounts, contacts, conversations, messages, files and
audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jamid.core.signals.base import Signal, SwarmMessage


@dataclass(frozen=True, slots=True)
class AccountDetailsChanged(Signal):
    """account, all details."""

    account_id: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AccountMessageStatusChanged(Signal):
    """account, conversation ("" for old messages), peer, id, status 1 sending, 2 sent, 3 displayed, 4 failure, 5 cancelled. 17 emits no
    (self, 3), (peer, 1) pair for a conversation without other members; with a connected member 2 per member within 15 ms."""

    account_id: str
    conversation_id: str
    peer: str
    id: str
    status: int


@dataclass(frozen=True, slots=True)
class AccountProfileReceived(Signal):
    """account, display name, base64 photo."""

    account_id: str
    display_name: str
    photo: str


@dataclass(frozen=True, slots=True)
class AccountsChanged(Signal):
    """the list or its order changed: read getAccountList again."""


@dataclass(frozen=True, slots=True)
class ActiveCallsChanged(Signal):
    """account, conversation, list (id, uri, device). 17 also with [] while a clone completes, before conversationReady."""

    account_id: str
    conversation_id: str
    active_calls: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class AddDeviceStateChanged(Signal):
    """HEAD: account, op, state 0 init, 1 token available, 2 connecting, 3 authenticating, 4 in progress, 5 done; map (peer_address,
    peer_id, error, ...)."""

    account_id: str
    op_id: int
    state: int
    detail: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AudioDeviceEvent(Signal):
    """device list changed."""


@dataclass(frozen=True, slots=True)
class AudioMeter(Signal):
    """ring buffer id, level 0-1."""

    id: str
    level: float


@dataclass(frozen=True, slots=True)
class CertificateExpired(Signal):
    """id."""

    cert_id: str


@dataclass(frozen=True, slots=True)
class CertificatePathPinned(Signal):
    """path, ids."""

    path: str
    cert_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class CertificatePinned(Signal):
    """one per id of each chain member (6 per device chain); Qt 2023 ignores it."""

    cert_id: str


@dataclass(frozen=True, slots=True)
class CertificateStateChanged(Signal):
    """account, id, status."""

    account_id: str
    cert_id: str
    state: str


@dataclass(frozen=True, slots=True)
class CollaborativeAttachmentAdded(Signal):
    """HEAD."""

    account_id: str
    conversation_id: str
    document_id: str
    attachment_id: str


@dataclass(frozen=True, slots=True)
class CollaborativeAwarenessChanged(Signal):
    """HEAD."""

    account_id: str
    conversation_id: str
    document_id: str
    peer_id: str
    client_id: int
    state: str


@dataclass(frozen=True, slots=True)
class CollaborativeDocumentRemoved(Signal):
    """HEAD."""

    account_id: str
    conversation_id: str
    document_id: str
    everywhere: bool


@dataclass(frozen=True, slots=True)
class CollaborativeDocumentRenamed(Signal):
    """HEAD."""

    account_id: str
    conversation_id: str
    document_id: str
    name: str


@dataclass(frozen=True, slots=True)
class CollaborativeDocumentUpdate(Signal):
    """HEAD."""

    account_id: str
    conversation_id: str
    document_id: str
    update: bytes


@dataclass(frozen=True, slots=True)
class CollaborativeParticipantLeft(Signal):
    """HEAD."""

    account_id: str
    conversation_id: str
    document_id: str
    peer_id: str
    client_id: int


@dataclass(frozen=True, slots=True)
class ComposingStatusChanged(Signal):
    """account, conversation, from, 0 / 1."""

    account_id: str
    conversation_id: str
    contact_id: str
    status: int


@dataclass(frozen=True, slots=True)
class ContactAdded(Signal):
    """account, uri, confirmed."""

    account_id: str
    uri: str
    confirmed: bool


@dataclass(frozen=True, slots=True)
class ContactRemoved(Signal):
    """account, uri, banned."""

    account_id: str
    uri: str
    banned: bool


@dataclass(frozen=True, slots=True)
class ConversationLoaded(Signal):
    """13.7.0: request id, account, conversation, flat message maps, newest first."""

    id: int
    account_id: str
    conversation_id: str
    messages: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class ConversationMemberEvent(Signal):
    """account, conversation, uri, 0 invited, 1 joined, 2 left, 3 banned, 4 unbanned. Comes before the message of the same commit."""

    account_id: str
    conversation_id: str
    member_uri: str
    event: int


@dataclass(frozen=True, slots=True)
class ConversationPreferencesUpdated(Signal):
    """account, conversation, all preferences."""

    account_id: str
    conversation_id: str
    preferences: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConversationProfileUpdated(Signal):
    """account, conversation, infos."""

    account_id: str
    conversation_id: str
    profile: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConversationReady(Signal):
    """account, conversation: usable now (created, or clone finished)."""

    account_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class ConversationRemoved(Signal):
    """account, conversation."""

    account_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class ConversationRequestDeclined(Signal):
    """account, conversation."""

    account_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class ConversationRequestReceived(Signal):
    """account, conversation, map (§7.7)."""

    account_id: str
    conversation_id: str
    metadatas: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DataTransferEvent(Signal):
    """account, conversation, interaction, fileId, code: 1 created, 2 unsupported, 3 wait peer, 4 wait host, 5 ongoing, 6 finished, 7
    closed by host, 8 by peer, 9 bad path, 10 unjoinable, 11 timeout. Interaction "" for profile/sync files."""

    account_id: str
    conversation_id: str
    interaction_id: str
    file_id: str
    code: int


@dataclass(frozen=True, slots=True)
class DebugMessageReceived(Signal):
    """declared in both, sent over D-Bus by neither."""

    message: str


@dataclass(frozen=True, slots=True)
class DeviceAuthStateChanged(Signal):
    """HEAD: account, same states seen from the new device; map (token, auth_scheme, auth_error, error, ...)."""

    account_id: str
    state: int
    detail: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DeviceRevocationEnded(Signal):
    """account, device, code."""

    account_id: str
    device_id: str
    status: int


@dataclass(frozen=True, slots=True)
class ErrorAlert(Signal):
    """0x0001 capture device, 0x0010 playback device, 0x1000 codecs."""

    code: int


@dataclass(frozen=True, slots=True)
class ExportOnRingEnded(Signal):
    """13.7.0; account, code, PIN."""

    account_id: str
    status: int
    pin: str


@dataclass(frozen=True, slots=True)
class HardwareDecodingChanged(Signal):
    """flag."""

    state: bool


@dataclass(frozen=True, slots=True)
class HardwareEncodingChanged(Signal):
    """flag; also at the start of a video encoder."""

    state: bool


@dataclass(frozen=True, slots=True)
class IncomingAccountMessage(Signal):
    """account, message id, from, payloads (not for swarm traffic)."""

    account_id: str
    message_id: str
    sender: str
    payloads: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IncomingTrustRequest(Signal):
    """account, conversation, from, payload bytes, seconds."""

    account_id: str
    conversation_id: str
    sender: str
    payload: bytes
    receive_time: int


@dataclass(frozen=True, slots=True)
class KnownDevicesChanged(Signal):
    """account, device map."""

    account_id: str
    devices: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MediaParametersChanged(Signal):
    """account."""

    account_id: str


@dataclass(frozen=True, slots=True)
class MessageReceived(Signal):
    """13.7.0: flat message; for OWN messages too."""

    account_id: str
    conversation_id: str
    message: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MessageSend(Signal):
    """log line (monitor)."""

    message: str


@dataclass(frozen=True, slots=True)
class MessagesFound(Signal):
    """request id, account, conversation, maps; empty conversation = end."""

    id: int
    account_id: str
    conversation_id: str
    messages: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class MigrationEnded(Signal):
    """account, "SUCCESS" or "INVALID"."""

    account_id: str
    result: str


@dataclass(frozen=True, slots=True)
class NameRegistrationEnded(Signal):
    """account, code, name."""

    account_id: str
    status: int
    name: str


@dataclass(frozen=True, slots=True)
class NeedsHost(Signal):
    """account, conversation: ask which device hosts a call. Declared in both, but bound to D-Bus in neither (never sent); the Qt client
    subscribes to it, so ours may send it."""

    account_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class OnConversationError(Signal):
    """account, conversation, code (1 fetch, 2 bad mode, 3 validation, 4 not authorised, HEAD 5 commit, 6 unrecoverable), text."""

    account_id: str
    conversation_id: str
    code: int
    what: str


@dataclass(frozen=True, slots=True)
class ProfileReceived(Signal):
    """account, peer uri, PATH of a vCard file (the client reads and deletes/moves it)."""

    account_id: str
    sender: str
    path: str


@dataclass(frozen=True, slots=True)
class ReactionAdded(Signal):
    """17: account, conversation, message id, reaction map (the commit's flat map with `react-to`)."""

    account_id: str
    conversation_id: str
    message_id: str
    reaction: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReactionRemoved(Signal):
    """17: account, conversation, message id, reaction commit id; before the swarmMessageUpdated of the reaction."""

    account_id: str
    conversation_id: str
    message_id: str
    reaction_id: str


@dataclass(frozen=True, slots=True)
class RegisteredNameFound(Signal):
    """13.7.0 (account, status, address, name); HEAD (account, requested name, status, address, name); status 0 found, 1 invalid, 2 not
    found, 3 error (17: `("", "abc", 3, "", "")` without a server)."""

    account_id: str
    requested_name: str
    status: int
    address: str
    name: str


@dataclass(frozen=True, slots=True)
class RegistrationStateChanged(Signal):
    """account, state word, code, text."""

    account_id: str
    registration_state: str
    registration_detail: int
    registration_detail_str: str


@dataclass(frozen=True, slots=True)
class StunStatusFailure(Signal):
    """account."""

    reason: str


@dataclass(frozen=True, slots=True)
class SwarmLoaded(Signal):
    """HEAD: request id, account, conversation, structured messages (§7.8)."""

    id: int
    account_id: str
    conversation_id: str
    messages: Sequence[SwarmMessage]


@dataclass(frozen=True, slots=True)
class SwarmMessageReceived(Signal):
    """17: structured; own messages too; an edit or reaction commit does not come here."""

    account_id: str
    conversation_id: str
    message: SwarmMessage


@dataclass(frozen=True, slots=True)
class SwarmMessageUpdated(Signal):
    """17: a message changed: edit (the message with its id and new body, old versions in `editions`), deletion (body ""), also once for
    the reaction commit itself after its removal, and messages re-linked while history is loaded. Not emitted for a reaction added or
    removed."""

    account_id: str
    conversation_id: str
    message: SwarmMessage


@dataclass(frozen=True, slots=True)
class UserSearchEnded(Signal):
    """account, status, query, maps (id, username, firstName, lastName, ...)."""

    account_id: str
    status: int
    query: str
    result: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class VolatileAccountDetailsChanged(Signal):
    """account, all volatile details; comes right after every registrationStateChanged."""

    account_id: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class VolumeChanged(Signal):
    """device, value."""

    device: str
    value: float
