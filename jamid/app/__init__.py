"""The process: command line, wiring, start and stop."""
