"""Every cap on what a peer, a caller or a file can make us hold, by room, each with its reason.

Exceeding one is a `RemoteError` that ends the smallest thing it can: a packet, a channel, a fetch; never the daemon.
"""

from __future__ import annotations

from typing import Final

# -- files ----------------------------------------------------------------------------------------------------------------
STATE_FILE_BYTES: Final = 16 * 1024 * 1024
"""A configuration or state file; real ones are a few KiB."""
STATE_FILE_NODES: Final = 200_000
"""Values in such a file, with each YAML alias counted as what it stands for."""

# -- crypto ---------------------------------------------------------------------------------------------------------------
CERTIFICATE_CHAIN_BYTES: Final = 64 * 1024
"""A packed chain; three RSA-4096 certificates are 5.7 KiB, a value on the DHT ends at 64 KiB."""
CERTIFICATE_CHAIN_LENGTH: Final = 8
"""Certificates in a chain; Jami's have three, managed accounts a few more."""
RSA_KEY_BITS_MIN: Final = 2048
"""Shorter keys are not accepted from anyone."""
RSA_KEY_BITS_MAX: Final = 8192
"""Longer keys only cost us time; Jami's have 4096 bits."""
REVOCATION_LIST_BYTES: Final = 256 * 1024
"""A revocation list; an entry is about 30 bytes."""
INFLATED_ARCHIVE_BYTES: Final = 64 * 1024 * 1024
"""What an account archive may inflate to; a real one is 14 KiB plus contacts."""

# -- dht ----------------------------------------------------------------------------------------------------
DHT_PACKET_BYTES: Final = 65535
"""The largest UDP payload; real packets stay below 1.5 KiB."""
DHT_VALUE_BYTES: Final = 65536
"""Payload of one value, as in every other node."""
DHT_VALUES_PER_MESSAGE: Final = 65536
"""Values that one message may announce; more cannot be stored under a key anyway."""
DHT_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""Sum of the fragmented values of one message; a key with a hundred full-size values is beyond any use."""
DHT_PARTIAL_MESSAGES: Final = 512
"""Messages being put together at once; each lives 10 s at most."""
DHT_PARTIAL_MESSAGES_PER_HOST: Final = 128
"""…of one sender, so that nobody can take all the places."""
DHT_PARTIAL_BYTES: Final = 32 * 1024 * 1024
"""Bytes held by unfinished messages, so that 512 large ones do not add up to gigabytes."""
DHT_NODES_PER_REPLY: Final = 32
"""Nodes read from one reply; we ask for 8 and nobody sends more than 16."""
DHT_TOKEN_BYTES: Final = 64
"""Write tokens; ours and C++'s have 32 bytes."""
DHT_TEXT_BYTES: Final = 4096
"""An agent, error text or user type; real ones are below 64."""
DHT_QUERY_FILTERS: Final = 16
"""Conditions in one query; there are five fields."""
DHT_KNOWN_NODES: Final = 8192
"""Nodes remembered per address family; they cost 1 KiB each."""
DHT_BLACKLIST: Final = 4096
"""Addresses that broke the rules; the oldest is forgiven first."""
DHT_REQUESTS_PER_SECOND: Final = 8192
"""Requests answered per second over all senders."""
DHT_REQUESTS_PER_SECOND_AND_HOST: Final = 1024
"""Requests answered per second to one IPv4 address or IPv6 /64."""
DHT_REPLY_BYTES_PER_SECOND: Final = 16 * 1024 * 1024
"""Value data sent per second to one host: a get of 60 bytes with a forged source can ask for megabytes."""
DHT_WAITING_PACKETS: Final = 4096
"""Packets of ours that wait for a full socket; 5 MiB, further ones are lost like on any busy network."""
DHT_PENDING_REQUESTS: Final = 16384
"""Our own unanswered requests; beyond it new ones fail at once."""
DHT_STORED_BYTES: Final = 64 * 1024 * 1024
"""Values kept for others."""
DHT_VALUE_OVERHEAD_BYTES: Final = 256
"""What every stored value is charged beside its payload: an empty one costs memory too."""
DHT_VALUES_PER_KEY: Final = 65536
"""Values under one key."""
DHT_LISTENERS_PER_KEY: Final = 4096
"""Remote subscriptions to one key."""
DHT_LISTENERS: Final = 65536
"""Remote subscriptions in all; each lives 10 min without refresh."""
DHT_LISTENERS_PER_HOST: Final = 16384
"""Remote subscriptions of one IPv4 address or IPv6 /64, however many ids it claims."""
DHT_LISTENERS_PER_NODE: Final = 4096
"""Remote subscriptions of one node; a busy account has some hundreds."""
DHT_CACHED_VALUES: Final = 4096
"""Values remembered per key that we listen to."""
DHT_OWN_ADDRESSES: Final = 32
"""Addresses under which others say they see us."""
DHT_STATE_NODES: Final = 4096
"""Nodes read from a state file."""
DHT_DISCOVERY_BYTES: Final = 16384
"""A multicast announcement on the local network; real ones are below 200 bytes."""
DHT_PROXY_BODY_BYTES: Final = 256 * 1024
"""A value in JSON: 64 KiB in base64 plus keys and signature."""
DHT_PROXY_OPERATIONS: Final = 65536
"""Puts and subscriptions that a proxy server keeps for its clients."""
DHT_PROXY_LINE_BYTES: Final = 512 * 1024
"""One line of a stream of values in JSON."""

# -- net ----------------------------------------------------------------------------------------------------
STUN_MESSAGE_BYTES: Final = 4096
"""A STUN message; those of ICE have about 120 bytes, those of TURN over TCP rarely 500."""
ICE_BLOB_CHARACTERS: Final = 16 * 1024
"""The text of an offer; 31 candidate lines are 3 KiB."""
ICE_CANDIDATES: Final = 31
"""Candidates of a peer that are looked at, as the reference does."""
ICE_LINKS: Final = 48
"""TCP connections of one ICE session, both directions; anybody can open some before the peer does."""
ICE_STRANGERS: Final = 256
"""Accepted TCP connections that have not shown yet for which session they are; the oldest goes first."""
ICE_BAD_MESSAGES: Final = 8
"""Unauthenticated or broken messages before a TCP connection of an ICE session is closed."""
ICE_EARLY_BYTES: Final = 64 * 1024
"""TLS bytes kept per TCP connection until it is known whether the pair is used."""
MEDIA_COMPONENTS: Final = 32
"""Components of one call, as the reference has: RTP and RTCP of 16 streams."""
TURN_DATA_CONNECTIONS: Final = 8
"""Relayed TCP connections of one allocation, as the reference has."""
PEER_REQUEST_BYTES: Final = 32 * 1024
"""A decrypted connection request; real ones have below 2 KiB."""
PENDING_OFFERS: Final = 128
"""Connection requests of peers that are being answered at one time."""
PENDING_OFFERS_PER_DEVICE: Final = 4
"""Connection requests of one device that are being answered at one time; a reference daemon makes one or two."""
ATTEMPTS_PER_DEVICE: Final = 4
"""Our own connection requests to one device at one time; it answers no more."""
TREATED_IDS: Final = 4096
"""Request ids remembered over restarts; a value lives ten minutes on the DHT, so this is seven new requests a second."""
CONNECTIONS_PER_DEVICE: Final = 16
"""Live connections with one device; simultaneous open and calls make two or three."""
CONNECTIONS: Final = 2048
"""Live connections of one account."""
CHANNELS_PER_CONNECTION: Final = 4096
"""Open channels of one connection; the wire could number 65534."""
CHANNEL_NAME_BYTES: Final = 4096
"""The name of a channel; real ones have below 300."""
MUX_CONTROL_BYTES: Final = 64 * 1024
"""A control or protocol frame; real ones have below 300 bytes."""
MUX_CONTROL_WAITING: Final = 1024 * 1024
"""Bytes of control frames that wait to be sent; a peer that makes us answer more without reading is cut off."""
LINK_UNSENT_BYTES: Final = 256 * 1024
"""Bytes that wait in a TCP connection at which a peer that asks for more STUN responses is cut off; data waits from 8 KiB on."""
CHANNEL_RECEIVE_HIGH: Final = 4 * 1024 * 1024
"""Unread bytes of one channel at which nothing more is taken from its connection; there is no flow control per channel on the wire."""
CHANNEL_RECEIVE_LOW: Final = 1024 * 1024
"""Unread bytes of a stalled channel below which its connection is read again."""
CONNECTION_RECEIVE_HIGH: Final = 8 * 1024 * 1024
"""Unread bytes of all channels of a connection at which nothing more is taken from it: of two that nobody reads, or of thousands."""
CONNECTION_RECEIVE_LOW: Final = 4 * 1024 * 1024
"""Unread bytes of all channels below which it is read again."""
CHANNEL_STALL_SECONDS: Final = 20.0
"""How long a reader that takes nothing may hold up the other channels of its connection before its channel is closed."""
CHANNEL_CONTROL_QUEUE: Final = 1024 * 1024
"""Bytes written without waiting that may lie in a channel's queue; more closes it."""
KNOWN_ADDRESSES_PER_DEVICE: Final = 16
"""Addresses of a device kept for early TURN permissions."""
UPNP_DOCUMENT_BYTES: Final = 256 * 1024
"""The description of a router or its answer; real ones have some KiB."""
KNOWN_DEVICES: Final = 4096
"""Devices about which such hints are kept, the least recently used go first."""

# -- sip ----------------------------------------------------------------------------------------------------
SIP_HEAD_BYTES: Final = 32 * 1024
"""Start line and headers of one message; real ones are under 2 KiB."""
SIP_HEADERS: Final = 128
"""Header lines of one message; real ones have about 15."""
SIP_BODY_BYTES: Final = 256 * 1024
"""Body of one message; the reference never writes more than 8,000 bytes, a refused giant SDP still gets its 488."""
SIP_MESSAGE_BYTES_SENT: Final = 8000
"""What we write at most: the reference's packet limit, beyond which it drops the message."""
CONFERENCE_INFO_BYTES: Final = SIP_MESSAGE_BYTES_SENT - 1000
"""Of what a conference's participants are told of each other: a message has some 600 bytes of headers."""
SIP_TRANSACTIONS_PER_EXCHANGE: Final = 512
"""Open server transactions of one peer; beyond it new requests are answered 503 without state."""
SIP_SESSIONS_PER_EXCHANGE: Final = 32
"""Dialogs of one peer device; a person holds one or two calls, a conference host a few."""
SDP_LINES: Final = 4096
"""Lines of one session description; 16 streams with 31 candidates each are about 700."""
SDP_MEDIA: Final = 16
"""Media lines we follow; the reference has 32 ICE components, two for each."""

# -- media ----------------------------------------------------------------------------------------------------
RTP_PACKET_BYTES: Final = 2048
"""A media packet; the reference's receive buffer is as large, and paths carry less."""
RTP_INBOX_PACKETS: Final = 512
"""Packets waiting for the next 20 ms tick of the media thread: a burst after a stall of several seconds, no flood."""
RTCP_RECORDS: Final = 32
"""Records in one compound RTCP packet; real ones have one to three."""
JITTER_PACKETS: Final = 256
"""Packets in a jitter buffer: five seconds of 20 ms frames, far more than it ever lets stand."""
AUDIO_STREAMS: Final = 256
"""Audio streams of the process; a core carries about fifty."""
AUDIO_FRAME_SAMPLES: Final = 5760
"""Samples one packet may decode to: 120 ms at 48 kHz, the longest Opus packet."""
PLAYBACK_SECONDS: Final = 1800
"""What is kept decoded of a file played to the user; longer files end there."""
RECORDER_FRAMES: Final = 300
"""Frames waiting for a recorder's disk: six seconds, then the newest are dropped."""
METERED_BUFFERS: Final = 256
"""Buffers a client may ask levels of; one per stream."""
DTMF_QUEUE: Final = 64
"""Digits waiting to be sent as telephone events."""

# -- accounts ----------------------------------------------------------------------------------------------------
ARCHIVE_FILE_BYTES: Final = 32 * 1024 * 1024
"""An account archive as a file; a real one is 14 KiB, contacts and conversations add some hundred bytes each."""
ANNOUNCEMENT_BYTES: Final = 4 * 1024
"""A device announcement; with RSA-4096 keys it has 1,7 KiB."""
RECEIPT_BYTES: Final = 16 * 1024
"""A device receipt; a real one has 2,5 KiB."""
CONTACTS: Final = 20_000
"""Contacts of one account, removed ones included; other devices of the account can add them."""
PENDING_TRUST_REQUESTS: Final = 500
"""Requests of strangers that wait for an answer; each may hold 64 KiB, a flood must not fill the disk."""
TRUST_REQUEST_STORE_BYTES: Final = 8 * 1024 * 1024
"""All pending requests together; beyond it their vCards are dropped."""
DECLINED_REQUESTS: Final = 2_000
"""Declined requests remembered: the DHT delivers each again for seven days."""
ACCOUNT_DEVICES: Final = 256
"""Devices of one account; whoever holds the account key can announce more."""
TRUST_STATUSES: Final = 40_000
"""Certificates with a status of their own: contacts and what the user set."""
CERTIFICATES_IN_MEMORY: Final = 6_000
"""Ids of certificates kept in memory, six per device; the least recently used go first, files stay."""
REVOCATION_LISTS: Final = 5_000
"""Accounts of which a revocation list is kept in memory."""
REVOCATION_LISTS_PER_ACCOUNT: Final = 16
"""Values at an account's key that are tried as its revocation list; each costs a signature check."""
INBOX_BACKLOG: Final = 512
"""Inbox values that wait for their sender's certificate; each may hold 64 KiB, more are dropped."""
INBOX_REQUESTS_KNOWN: Final = 1_000
"""Trust requests that are known again when the DHT delivers them twice; strangers send them."""
INBOX_RETRIES: Final = 64
"""Messages of unknown senders that wait for another search."""
INBOX_WORKERS: Final = 8
"""Inbox values treated at once: a stranger's may each wait for a certificate that never comes."""
TRACKED_MEMBERS: Final = 256
"""Members of groups who are no contacts and are listened for all the same; each listen costs some packets a minute."""
TRACKED_BUDDIES: Final = 20_000
"""Accounts whose presence is listened for by one account: its contacts and what frontends subscribe to."""
SYNC_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""One message of an own device; one with all contacts and conversations of a large account has some 100 KiB."""
PROFILE_BYTES: Final = 8 * 1024 * 1024
"""A vCard with its picture, or the picture; real ones stay below 200 KiB."""
CHANNEL_MESSAGE_BYTES: Final = 1024 * 1024
"""One instant message on a channel; invitations with a picture are the largest."""
WAITING_MESSAGES: Final = 2_000
"""Messages outside conversations that wait for their receivers, per account."""
FINISHED_MESSAGES: Final = 500
"""Sent or failed messages whose status can still be asked for, per account."""
SEEN_MESSAGES: Final = 20_000
"""Ids of received messages remembered per account; strangers can fill this."""
MESSAGE_CHANNELS: Final = 512
"""Open `msg:` channels of an account, both directions."""
NAME_LOOKUPS: Final = 256
"""Different look-ups under way at name servers; frontends ask once per typed character and once per contact."""
CACHED_NAMES: Final = 20_000
"""Names remembered per name server."""
HTTP_REQUESTS: Final = 16
"""Requests under way at once to the servers of accounts; more wait."""
HTTP_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""An answer of a name or account server; directories of account servers are the largest."""
ACCOUNTS: Final = 500
"""Accounts of one daemon; each costs memory and traffic as long as it runs."""
PINNED_PATH_FILES: Final = 1_000
"""Files of a directory of certificates that a caller asks to pin."""
LAST_MESSAGES: Final = 200
"""Received messages outside conversations kept in memory for frontends that ask for the last ones."""
NAME_REGISTRATION_BYTES: Final = 16 * 1024
"""The body of a registration at our name server; a real one has 1,9 KiB."""
NAME_SERVER_CLIENTS: Final = 10_000
"""Client addresses whose registrations are counted; the longest unseen go first."""
LINK_MESSAGE_BYTES: Final = 32 * 1024 * 1024
"""One message of a device that links with this one; the largest is an archive as JSON."""
NEARBY_PEERS: Final = 500
"""Accounts of the local network remembered by one account; anybody there can invent more."""
NEARBY_NAME_LENGTH: Final = 128
"""Letters of a display name that comes by multicast."""
PROXY_SERVERS: Final = 1_000
"""DHT proxies that a list may name, port ranges expanded."""
PROXY_LIST_BYTES: Final = 256 * 1024
"""A list of DHT proxies."""
PEER_DEVICES: Final = 64
"""Devices of a peer's account that are looked at; its key holder can announce any number."""
TRUST_REQUEST_BYTES: Final = 64_000
"""A trust request's payload above which it does not fit into a value of the DHT and is left out."""
INBOX_VALUE_BYTES: Final = 64 * 1024
"""A message in a device's inbox on the DHT, where a value ends at 64 KiB."""

# -- swarm ----------------------------------------------------------------------------------------------------
COMMIT_BYTES: Final = 512 * 1024
"""One commit with its message; a long pasted text is 64 KiB, the signature 0.7 KiB."""
COMMIT_PARENTS: Final = 8
"""Honest commits have at most two; more are read only to be refused by rule."""
COMMIT_CHANGES: Final = 512
"""Files one commit may change; a ban in a large group with many devices and votes stays below."""
MERGE_STEPS: Final = 2_000_000
"""Commits walked to find where merged branches parted, in all merges of one fetch: ten seconds; honest branches meet soon."""
ACTIVE_CALLS: Final = 32
"""Calls that go on at one time in one conversation; honest groups have one."""
AUTHOR_NAME_LENGTH: Final = 256
"""Characters of a display name in a commit."""
JSON_NESTING: Final = 16
"""Depth of a commit message; the real ones are flat."""
TREE_ENTRIES: Final = 4096
"""Names in one directory: a conversation with thousands of devices."""
TREE_NAME_BYTES: Final = 255
"""A file name; the longest real one is a device id with its ending."""
TREE_DEPTH: Final = 8
"""Nesting of directories; votes/ban/members/<uri>/<uri> is the deepest real path."""
PACK_BYTES: Final = 256 * 1024 * 1024
"""What one fetch may bring, as in the real daemon."""
PACK_OBJECTS: Final = 2_000_000
"""Objects in a pack; a conversation of half a million messages."""
PACK_OBJECT_BYTES: Final = 8 * 1024 * 1024
"""One object inflated; the largest honest one is a profile with its picture."""
PACK_INFLATED_BYTES: Final = 1024 * 1024 * 1024
"""All objects of a pack inflated."""
PACK_LOOSE_BYTES: Final = 256 * 1024
"""Up to this a received pack's objects are stored one by one, above it as a pack file: thousands of small files are slow to write."""
DELTA_DEPTH: Final = 64
"""Length of a chain of deltas; git itself makes 50 at most."""
PKT_LINE_BYTES: Final = 65520
"""The largest pkt-line that git allows."""
ADVERTISED_REFERENCES: Final = 4096
"""References a peer may advertise: real ones also list the branches of every device they fetched from."""
FETCH_HAVES: Final = 4096
"""Known commits a fetching peer may list; libgit2 sends 256 at most."""
FETCH_ANSWER_SECONDS: Final = 5.0
"""How long the first answer on a channel that was kept open may take; a new channel is tried then."""
FETCH_SECONDS: Final = 120.0
"""Silence after which a fetch is given up; the real server may never answer for a repository it has just erased."""
INSTANT_MESSAGE_BYTES: Final = 256 * 1024
"""One message of a msg: channel or SIP MESSAGE; invitations with a picture are the largest."""
CLONE_DEVICES: Final = 32
"""Devices that others named as having a conversation that is being cloned; whoever is connected can name any."""
PULLS: Final = 1_024
"""Fetches of one account that run or wait; a member can name any device as having news."""
CONVERSATION_REQUESTS: Final = 512
"""Invitations kept per account; the oldest gives way."""
REQUEST_METADATA_BYTES: Final = 64_000
"""Title and picture in an invitation, the real daemons' cap."""
TREATED_MESSAGES: Final = 4096
"""Ids of messages already handled that are remembered, to drop what arrives twice."""
QUEUED_MESSAGES: Final = 256
"""Messages waiting for one unreachable peer; the oldest gives way."""
OLDER_DEVICES: Final = 1024
"""Devices of 13.7 that an account remembers having met; only those of members of its conversations count."""
ROUTING_NODES: Final = 256
"""Nodes known to the routing table of one conversation."""
ROUTING_MESSAGE_BYTES: Final = 64 * 1024
"""One message of a swarm:// channel; 58 to 200 bytes are usual."""
TRANSFERS_SERVED: Final = 16
"""Files sent at a time per account; further requests are declined and tried again later by the peer."""
MEMBER_PROFILE_BYTES: Final = 2 * 1024 * 1024
"""A vCard with its picture."""
GIT_CHANNELS_PER_DEVICE: Final = 64
"""git:// channels one peer device may keep open towards us."""

# -- calls ----------------------------------------------------------------------------------------------------
CALLS_RINGING_PER_PEER: Final = 4
"""Calls of one peer account that may ring at once; further ones are answered 486 and never shown."""
CALLS_RINGING: Final = 32
"""Calls of all peers that may ring at once, so that a flood cannot bury the user's client."""
CALL_MESSAGE_BYTES: Final = 64 * 1024
"""Body of one in-call message; vCards come in parts of 1,000 bytes, conference infos have a few KiB."""
CALL_MESSAGE_PARTS: Final = 32
"""Parts of one multipart message."""
CONFERENCE_ORDERS: Final = 64
"""Orders to a conference's host in one message; clients send one."""
CALL_MESSAGES_QUEUED: Final = 64
"""Texts kept for a call that nobody has answered yet."""

# -- bus ----------------------------------------------------------------------------------------------------
BUS_MESSAGE_BYTES: Final = 128 * 1024 * 1024
"""A D-Bus message; the specification allows no larger one."""
BUS_OUTGOING_HIGH: Final = 1024 * 1024
"""Bytes the bus may leave unread before no further calls are taken."""
BUS_OUTGOING_BYTES: Final = 64 * 1024 * 1024
"""Bytes the bus may leave unread before it is taken for gone; 20,000 signals with a full message each are 20 MiB."""
BUS_REPLY_SECONDS: Final = 25
"""How long the bus may take to answer us; libdbus waits as long."""
BUS_CALLS_IN_FLIGHT: Final = 1024
"""Slow calls that run at once, of all clients together; the next ones are refused until some have ended."""
BUS_HOLD_SECONDS: Final = 0.5
"""How long signals wait for the reply of the call that caused them."""
