"""A name server for private networks: the public one's HTTP API over SQLite."""
