"""Jami and SIP accounts: archive, devices, contacts, trust, presence, names, profiles, synchronisation."""
