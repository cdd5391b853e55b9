"""A Jami daemon in Python."""
