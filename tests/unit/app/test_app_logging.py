"""The log: secrets are blotted out, levels follow the flags and the real daemon's variables, the journal gets priorities."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jamid.app.logging import configure, mask
from jamid.app.options import Options


@pytest.fixture(autouse=True)
def _restore_log() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raises
    for name in ("jamid", "jamid.dht", "jamid.sip", "jamid.calls", "jamid.net"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    "text",
    [
        "details {'Account.archivePassword': 'hunter2', 'Account.alias': 'x'}",
        "Authorization: hunter2",
        "TURN.password=hunter2",
        "a=ice-pwd:hunter2",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:hunter2",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2",
    ],
)
def test_secrets_do_not_reach_the_log(text: str) -> None:
    assert "hunter2" not in mask(text)


def test_ordinary_lines_stay_as_they_are() -> None:
    line = "the password of account 0123456789abcdef was changed; device 77 is online"
    assert mask(line) == line


def test_debug_flag_and_variables_set_the_levels() -> None:
    out = io.StringIO()
    configure(Options(console=True), {"JAMI_LOG_DHT": "3", "SIPLOGLEVEL": "0"}, out)
    for name in ("jamid.bus", "jamid.dht", "jamid.sip"):
        logging.getLogger(name).debug("detail of %s", name)
        logging.getLogger(name).info("news of %s", name)
    text = out.getvalue()
    assert "news of jamid.bus" in text
    assert "detail of jamid.bus" not in text
    assert "detail of jamid.dht" in text
    assert "news of jamid.sip" not in text


def test_file_gets_the_log_as_well(tmp_path: Path) -> None:
    file = tmp_path / "jami.log"
    configure(Options(console=True), {"JAMI_LOG_FILE": str(file)}, io.StringIO())
    logging.getLogger("jamid.app").warning("password=hunter2 was refused")
    assert "WARNING jamid.app: password=*** was refused" in file.read_text()


def test_unwritable_log_file_is_said_and_survived(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Options(console=True), {"JAMI_LOG_FILE": str(tmp_path / "no" / "such")}, io.StringIO())
    assert "cannot log to" in capsys.readouterr().err


def test_journal_lines_carry_their_priority(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        configure(Options(), {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, stream)
        logging.getLogger("jamid.app").error("two\nlines")
        logging.getLogger("jamid.app").info("one")
        stream.seek(0)
        assert stream.read().splitlines() == ["<3>jamid.app: two", "<3>lines", "<6>jamid.app: one"]
