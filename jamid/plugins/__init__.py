"""Plugins: archives, handlers and their isolation."""
