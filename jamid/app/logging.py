"""Where log lines go: the console, the journal, syslog and a file; with which levels, and without secrets."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import TextIO

from jamid.app.options import Options

_SYSLOG_SOCKET = "/dev/log"
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
_COLOURS = {logging.CRITICAL: "\x1b[1;31m", logging.ERROR: "\x1b[31m", logging.WARNING: "\x1b[33m", logging.DEBUG: "\x1b[2m"}
_NO_COLOUR = ("NO_COLOR", "NO_COLOUR", "NO_COLORS", "NO_COLOURS")

# The real daemon's variables, of 17 and of 13, each with the packages whose detail it sets: 0 nothing … 3 and more everything.
_LEVEL_VARIABLES = {
    "JAMI_LOG_SIP": ("jamid.sip", "jamid.calls"), "SIPLOGLEVEL": ("jamid.sip", "jamid.calls"),
    "JAMI_LOG_DHT": ("jamid.dht",), "DHTLOGLEVEL": ("jamid.dht",),
    "JAMI_LOG_TLS": ("jamid.net",), "RING_TLS_LOGLEVEL": ("jamid.net",), "JAMI_LOG_DHTNET": ("jamid.net",),
}  # fmt: skip
_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)

# What must never be logged in full, whoever logs it: values of secret keys, and tokens that look like a private key or a PIN's seed.
_SECRETS = re.compile(
    r"(?i)((?:password|passwd|secret|archivepin|\bpwd|authorization|ice-pwd|\binline|private[ _]?key)['\"]?\s*[=:]\s*['\"]?)([^\s'\",;}]+)"
    r"|(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


class _Masked(logging.Formatter):
    """Formats a record and blots out what looks like a secret."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class _Console(_Masked):
    """`12:30:01.123 W net.channels  text`, in colour on a terminal."""

    def __init__(self, colour: bool) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname).1s %(name)-24s %(message)s", "%H:%M:%S")
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record).replace(" jamid.", " ", 1)
        start = _COLOURS.get(record.levelno, "") if self._colour else ""
        return f"{start}{line}\x1b[0m" if start else line


class _Journal(_Masked):
    """`<4>net.channels: text`: the journal adds time and process, and reads the priority from the prefix."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        prefix = next(f"<{priority}>" for level, priority in _PRIORITIES if record.levelno >= level)
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def mask(text: str) -> str:
    """TEXT with the values of passwords and private keys replaced by stars."""
    return _SECRETS.sub(lambda match: f"{match[1] or match[3]}***", text)


def configure(options: Options, environment: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Sends the log where OPTIONS and ENVIRONMENT say; STREAM stands for standard error."""
    stream = sys.stderr if stream is None else stream
    handlers = [_main_handler(options, environment, stream)]
    if file := environment.get("JAMI_LOG_FILE"):
        handlers += _file_handler(file)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.INFO if options.debug else logging.WARNING)
    logging.getLogger("jamid").setLevel(logging.DEBUG if options.debug else logging.INFO)
    logging.raiseExceptions = False  # a full disk or a closed terminal must not fill the other
    for variable, names in _LEVEL_VARIABLES.items():
        if (value := environment.get(variable, "")).isdigit():
            for name in names:
                logging.getLogger(name).setLevel(_LEVELS[min(int(value), len(_LEVELS) - 1)])


def _main_handler(options: Options, environment: Mapping[str, str], stream: TextIO) -> logging.Handler:
    journal = _is_journal(stream, environment)
    to_syslog = options.syslog or not (options.console or journal or stream.isatty())
    if to_syslog and os.path.exists(_SYSLOG_SOCKET):
        from logging.handlers import SysLogHandler  # brings pickle with it, for nothing but this

        syslog = SysLogHandler(_SYSLOG_SOCKET, SysLogHandler.LOG_DAEMON)
        syslog.ident = "jamid: "
        syslog.setFormatter(_Masked("%(name)s: %(message)s"))
        return syslog
    handler = logging.StreamHandler(stream)
    colour = stream.isatty() and not any(environment.get(name) for name in _NO_COLOUR)
    handler.setFormatter(_Journal() if journal else _Console(colour))
    return handler


def _file_handler(file: str) -> list[logging.Handler]:
    try:
        handler = logging.FileHandler(file, encoding="utf-8", errors="replace")
    except OSError as error:
        print(f"jamid: cannot log to {file} (JAMI_LOG_FILE): {error.strerror}; going on without it", file=sys.stderr)
        return []
    handler.setFormatter(_Masked("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    return [handler]


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether STREAM is the one systemd connected to the journal: JOURNAL_STREAM names its device and inode."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
