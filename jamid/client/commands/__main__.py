"""`python -m jamid.client.commands` is the `jami` command."""

from __future__ import annotations

from jamid.client.commands.main import main

if __name__ == "__main__":
    main()
