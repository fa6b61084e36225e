"""A child for tests: does what it is told."""

import os
import time
from collections.abc import Callable
from typing import Any

from steer.control.child import serve_child
from steer.errors import Fault, Refused


def work(order: str, progress: Callable[[str], None]) -> Any:
    """One of: echo, refuse, raise, exit, babble, sleep."""
    progress(f"pid {os.getpid()}")
    if order == "refuse":
        raise Refused([Fault("city.mmdb", 0, 0, "is cut off", "fetch it again")])
    if order == "raise":
        raise ValueError("a fault of ours")
    if order == "exit":
        os._exit(7)
    if order == "babble":
        print("nonsense", flush=True)
    if order == "sleep":
        time.sleep(3600)
    return {"did": order}


if __name__ == "__main__":
    serve_child(work)
