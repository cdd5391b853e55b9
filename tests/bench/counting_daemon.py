"""Our daemon with a thread beside it that writes, twice a minute, how many objects of each type there are to $JAMID_COUNTS (JSON).

What the soak starts in place of `python -m jamid.app`: `Task` among the counts is the number of asyncio tasks.
"""

from __future__ import annotations

import gc
import json
import os
import threading
import time
from collections import Counter
from pathlib import Path

from jamid.app.cli import main

SECONDS = 30


def count_for_ever(target: Path) -> None:
    unfinished = target.with_suffix(".new")
    while True:
        gc.collect()
        counts = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
        unfinished.write_text(json.dumps(dict(counts.most_common())))
        unfinished.rename(target)
        time.sleep(SECONDS)


if __name__ == "__main__":
    threading.Thread(target=count_for_ever, args=(Path(os.environ["JAMID_COUNTS"]),), name="counts", daemon=True).start()
    main()
