"""An OpenDHT node: wire format, routing table, searches, storage, listeners and the secure layer."""
