"""An atheris target for the packet parser: `python tests/fuzz/dht/atheris_dht.py [libFuzzer options] [corpus directory]`.

Without a corpus directory the captured packets are written to one and used. Needs `pip install atheris`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import atheris  # type: ignore[import-not-found]

with atheris.instrument_imports(include=["jamid"]):
    from jamid.core.errors import RemoteError
    from jamid.dht.decode import decode
    from jamid.dht.wire import encode

PACKETS = Path(__file__).parents[2] / "data" / "dht" / "packets.json"


def one_input(data: bytes) -> None:
    """A message that can be written again, or a RemoteError."""
    try:
        message = decode(data)
    except RemoteError:
        return
    encode(message)


def main() -> None:
    arguments = list(sys.argv)
    if all(argument.startswith("-") for argument in arguments[1:]):
        corpus = Path(tempfile.mkdtemp(prefix="dht-corpus-"))
        for number, packet in enumerate(json.loads(PACKETS.read_text())):
            if packet.get("hex"):
                (corpus / f"{number:03}").write_bytes(bytes.fromhex(packet["hex"]))
        arguments.append(str(corpus))
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
