"""Calls and conferences: states, media negotiation and history."""
