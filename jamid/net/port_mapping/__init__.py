"""Ports that a home router forwards to us: PCP, NAT-PMP and UPnP IGD (protocol: connection, section 8)."""
