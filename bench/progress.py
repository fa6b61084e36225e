"""Progress on standard error, so that standard output holds only results."""

import sys
import time

_STARTED = time.monotonic()


def say(text: str) -> None:
    """One line, after the seconds since the start."""
    print(f"{time.monotonic() - _STARTED:7.1f} s  {text}", file=sys.stderr, flush=True)
