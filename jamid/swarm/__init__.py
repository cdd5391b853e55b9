"""Conversations: git repositories replicated among the devices of their members, and everything that moves them."""
