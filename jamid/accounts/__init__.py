"""Jami and SIP accounts: archive, devices, contacts, presence, names and synchronisation."""
