"""Signals of `cx.ring.Ring.ConfigurationManager`: what the daemon tells of accounts, contacts, conversations, messages, files and
audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jamid.core.signals.base import Signal, SwarmMessage, event


@event
class AccountDetailsChanged(Signal):
    """An account's configuration has changed."""

    account_id: str
    details: Mapping[str, str]


@event
class AccountMessageStatusChanged(Signal):
    """What has become of a message, member by member: 1 sending, 2 received, 3 displayed, 4 failed, 5 cancelled."""

    account_id: str
    conversation_id: str
    peer: str
    id: str
    status: int


@event
class AccountProfileReceived(Signal):
    """Another device of the account has brought its profile."""

    account_id: str
    display_name: str
    photo: str


@event
class AccountsChanged(Signal):
    """There are other accounts, or they have another order: read getAccountList again."""


@event
class ActiveCallsChanged(Signal):
    """The calls that go on in a conversation have changed."""

    account_id: str
    conversation_id: str
    active_calls: Sequence[Mapping[str, str]]


@event
class AddDeviceStateChanged(Signal):
    """How far the admission of a new device is: 0 beginning, 1 code ready, 2 connecting, 3 authenticating, 4 in progress, 5 done."""

    account_id: str
    op_id: int
    state: int
    detail: Mapping[str, str]


@event
class AudioDeviceEvent(Signal):
    """There are other sound devices."""


@event
class AudioMeter(Signal):
    """How loud a stream is, ten times a second."""

    id: str
    level: float


@event
class CertificateExpired(Signal):
    """A certificate in use is no longer valid."""

    cert_id: str


@event
class CertificatePathPinned(Signal):
    """What came of pinCertificatePath."""

    path: str
    cert_ids: Sequence[str]


@event
class CertificatePinned(Signal):
    """A certificate is in the store now."""

    cert_id: str


@event
class CertificateStateChanged(Signal):
    """A certificate has another status for an account."""

    account_id: str
    cert_id: str
    state: str


@event
class CollaborativeAttachmentAdded(Signal):
    """A document has another attachment."""

    account_id: str
    conversation_id: str
    document_id: str
    attachment_id: str


@event
class CollaborativeAwarenessChanged(Signal):
    """Somebody is at another place in an open document."""

    account_id: str
    conversation_id: str
    document_id: str
    peer_id: str
    client_id: int
    state: str


@event
class CollaborativeDocumentRemoved(Signal):
    """A document is gone."""

    account_id: str
    conversation_id: str
    document_id: str
    everywhere: bool


@event
class CollaborativeDocumentRenamed(Signal):
    """A document has another name."""

    account_id: str
    conversation_id: str
    document_id: str
    name: str


@event
class CollaborativeDocumentUpdate(Signal):
    """Somebody has changed an open document."""

    account_id: str
    conversation_id: str
    document_id: str
    update: bytes


@event
class CollaborativeParticipantLeft(Signal):
    """Somebody no longer works on an open document."""

    account_id: str
    conversation_id: str
    document_id: str
    peer_id: str
    client_id: int


@event
class ComposingStatusChanged(Signal):
    """Somebody types, or no longer."""

    account_id: str
    conversation_id: str
    contact_id: str
    status: int


@event
class ContactAdded(Signal):
    """Somebody is a contact now, or has confirmed it."""

    account_id: str
    uri: str
    confirmed: bool


@event
class ContactRemoved(Signal):
    """Somebody is no contact any more."""

    account_id: str
    uri: str
    banned: bool


@event
class ConversationLoaded(Signal):
    """The messages that loadConversationMessages or loadConversationUntil asked for, newest first."""

    id: int
    account_id: str
    conversation_id: str
    messages: Sequence[Mapping[str, str]]


@event
class ConversationMemberEvent(Signal):
    """A member was invited (0), joined (1), left (2), was banned (3) or unbanned (4). Comes before the message that says so."""

    account_id: str
    conversation_id: str
    member_uri: str
    event: int


@event
class ConversationPreferencesUpdated(Signal):
    """This user's preferences of a conversation have changed."""

    account_id: str
    conversation_id: str
    preferences: Mapping[str, str]


@event
class ConversationProfileUpdated(Signal):
    """A conversation has another title, description or picture."""

    account_id: str
    conversation_id: str
    profile: Mapping[str, str]


@event
class ConversationReady(Signal):
    """A conversation can be used now: created here, or fetched completely."""

    account_id: str
    conversation_id: str


@event
class ConversationRemoved(Signal):
    """A conversation is gone."""

    account_id: str
    conversation_id: str


@event
class ConversationRequestDeclined(Signal):
    """An invitation has been declined, here or on another device."""

    account_id: str
    conversation_id: str


@event
class ConversationRequestReceived(Signal):
    """Somebody invites to a conversation."""

    account_id: str
    conversation_id: str
    metadatas: Mapping[str, str]


@event
class DataTransferEvent(Signal):
    """A file transfer: 1 created, 2 unsupported, 3 waiting for the peer, 4 waiting for this user, 5 going on, 6 finished, 7 closed
    here, 8 closed by the peer, 9 bad path, 10 nobody has it, 11 timed out.
    """

    account_id: str
    conversation_id: str
    interaction_id: str
    file_id: str
    code: int


@event
class DebugMessageReceived(Signal):
    """Declared by the real daemons, never sent."""

    message: str


@event
class DeviceAuthStateChanged(Signal):
    """How far this new device is on its way into an account, with the same states as addDeviceStateChanged."""

    account_id: str
    state: int
    detail: Mapping[str, str]


@event
class DeviceRevocationEnded(Signal):
    """What came of revokeDevice: 0 done, 1 wrong credentials, 2 unknown device or no network."""

    account_id: str
    device_id: str
    status: int


@event
class ErrorAlert(Signal):
    """Something the user should know: 1 no microphone, 16 nothing to play on, 4096 unusable codecs."""

    code: int


@event
class ExportOnRingEnded(Signal):
    """What came of exportOnRing: 0 with the PIN, 1 wrong credentials, 2 no network."""

    account_id: str
    status: int
    pin: str


@event
class HardwareDecodingChanged(Signal):
    """Whether the graphics card decodes video has changed."""

    state: bool


@event
class HardwareEncodingChanged(Signal):
    """Whether the graphics card encodes video has changed."""

    state: bool


@event
class IncomingAccountMessage(Signal):
    """A message outside any conversation."""

    account_id: str
    message_id: str
    sender: str
    payloads: Mapping[str, str]


@event
class IncomingTrustRequest(Signal):
    """Somebody asks to become a contact."""

    account_id: str
    conversation_id: str
    sender: str
    payload: bytes
    receive_time: int


@event
class KnownDevicesChanged(Signal):
    """The account has other devices, or they have other names."""

    account_id: str
    devices: Mapping[str, str]


@event
class MediaParametersChanged(Signal):
    """The codec settings of an account have changed."""

    account_id: str


@event
class MessageReceived(Signal):
    """A new message, one's own included, for clients of 13.7.0; to them edits and reactions are messages too."""

    account_id: str
    conversation_id: str
    message: Mapping[str, str]


@event
class MessageSend(Signal):
    """A line of the daemon's log or state, after monitor."""

    message: str


@event
class MessagesFound(Signal):
    """Messages that searchConversation has found in one conversation; an empty conversation marks the end."""

    id: int
    account_id: str
    conversation_id: str
    messages: Sequence[Mapping[str, str]]


@event
class MigrationEnded(Signal):
    """An account of an older form has been brought up to date, or could not be."""

    account_id: str
    result: str


@event
class NameRegistrationEnded(Signal):
    """What came of registerName: 0 done, 1 invalid name, 2 wrong credentials, 3 taken, 4 error, 5 incomplete, 6 bad signature, 7
    not supported.
    """

    account_id: str
    status: int
    name: str


@event
class NeedsHost(Signal):
    """A call in a conversation has no host: the user should choose which device hosts it."""

    account_id: str
    conversation_id: str


@event
class OnConversationError(Signal):
    """Something went wrong with a conversation: 1 it could not be fetched, 2 unknown mode, 3 somebody broke its rules, 4 not
    allowed, 5 it could not be written to, 6 it is beyond repair.
    """

    account_id: str
    conversation_id: str
    code: int
    what: str


@event
class ProfileReceived(Signal):
    """Somebody's profile has come, as a vCard file that the client may read and remove."""

    account_id: str
    sender: str
    path: str


@event
class ReactionAdded(Signal):
    """Somebody has reacted to a message."""

    account_id: str
    conversation_id: str
    message_id: str
    reaction: Mapping[str, str]


@event
class ReactionRemoved(Signal):
    """Somebody has taken back a reaction."""

    account_id: str
    conversation_id: str
    message_id: str
    reaction_id: str


@event
class RegisteredNameFound(Signal):
    """What came of lookupName or lookupAddress: status 0 found, 1 invalid, 2 not found, 3 error."""

    account_id: str
    requested_name: str
    status: int
    address: str
    name: str


@event
class RegistrationStateChanged(Signal):
    """An account has another registration state: INITIALIZING, UNREGISTERED, TRYING, REGISTERED or one of the ERROR states."""

    account_id: str
    registration_state: str
    registration_detail: int
    registration_detail_str: str


@event
class StunStatusFailure(Signal):
    """An account could not use its STUN server."""

    reason: str


@event
class SwarmLoaded(Signal):
    """The messages that loadConversation or loadSwarmUntil asked for, newest first."""

    id: int
    account_id: str
    conversation_id: str
    messages: Sequence[SwarmMessage]


@event
class SwarmMessageReceived(Signal):
    """A new message, one's own included; edits and reactions do not come here."""

    account_id: str
    conversation_id: str
    message: SwarmMessage


@event
class SwarmMessageUpdated(Signal):
    """A message has been edited, deleted or put into another place. Reactions do not come here, but for the removal of one."""

    account_id: str
    conversation_id: str
    message: SwarmMessage


@event
class UserSearchEnded(Signal):
    """What came of searchUser."""

    account_id: str
    status: int
    query: str
    result: Sequence[Mapping[str, str]]


@event
class VolatileAccountDetailsChanged(Signal):
    """What getVolatileAccountDetails answers has changed; follows every registrationStateChanged."""

    account_id: str
    details: Mapping[str, str]


@event
class VolumeChanged(Signal):
    """The speaker or microphone has another volume."""

    device: str
    value: float
