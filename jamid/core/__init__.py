"""The vocabulary of all rooms: errors, limits, clock, tasks, identifiers, events, settings and paths."""
