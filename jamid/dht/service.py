"""What the DHT hands to the rest of the daemon: a node, and the secure facade over it."""

from __future__ import annotations

from jamid.dht.core import Status
from jamid.dht.listening import Listening
from jamid.dht.node import DhtNode, DhtSettings, node_id_of
from jamid.dht.sealing import from_wire, new_value_id, to_wire
from jamid.dht.seams import ValueNetwork
from jamid.dht.secure import CertificateLookup, Dht
from jamid.dht.values import Value, WireValue

__all__ = [
    "CertificateLookup",
    "Dht",
    "DhtNode",
    "DhtSettings",
    "Listening",
    "Status",
    "Value",
    "ValueNetwork",
    "WireValue",
    "from_wire",
    "new_value_id",
    "node_id_of",
    "to_wire",
]
