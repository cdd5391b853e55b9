"""`python -m jamid.app` is the `jamid` command."""

from __future__ import annotations

from jamid.app.cli import main

if __name__ == "__main__":
    main()
