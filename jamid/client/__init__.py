"""A client library over D-Bus and the jami command."""
