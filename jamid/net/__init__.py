"""Connections between devices: STUN, TURN, ICE, TLS and multiplexed channels."""
