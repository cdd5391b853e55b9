"""Conversations: git repositories replicated among their members' devices, messages and files."""
