"""Room for files: connections give way to the rest; what was refused is tried again by itself."""

import resource
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from steer.control.limits import FEWEST_CONNECTIONS, RESERVED_FILES, connections_within
from steer.control.slow_clock import RETRY_S, SlowClock
from steer.control.waiting import Held


def test_connections_leave_the_reserve() -> None:
    assert connections_within(resource.RLIM_INFINITY, 5000) == 5000
    assert connections_within(1024 + RESERVED_FILES, 1024) == 1024
    assert connections_within(1024, 1024) == 1024 - RESERVED_FILES
    assert connections_within(100, 1024) == FEWEST_CONNECTIONS


def test_the_soft_limit_is_raised_as_far_as_it_may() -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024))\n"
        "from steer.control.limits import allowed_connections\n"
        "print(allowed_connections(2000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(1024 - RESERVED_FILES), "1024"]


def test_what_was_refused_is_due_again_after_a_while_and_not_while_it_is_tried() -> None:
    runtime: Any = SimpleNamespace(pending={"policy": object()}, held=None)
    clock = clock_of(runtime)
    clock._tried_s = 1000.0
    assert not clock._is_retry_due(1000.0 + RETRY_S - 1)
    assert clock._is_retry_due(1000.0 + RETRY_S)
    under_way: Any = SimpleNamespace(done=lambda: False)
    clock._reload = under_way
    assert not clock._is_retry_due(2000.0)
    clock._reload = None
    assert not clock._is_retry_due(2000.0 + RETRY_S - 1)
    assert clock._is_retry_due(2000.0 + RETRY_S)
    runtime.pending.clear()
    assert not clock._is_retry_due(9000.0)


def test_what_is_held_waits_for_its_operator_unless_it_could_not_be_measured() -> None:
    runtime: Any = SimpleNamespace(pending={"guard": object()}, held=Held("guard", "ab" * 8, 0.0, 0.5, 0.05))
    clock = clock_of(runtime)
    clock._tried_s = 1000.0
    assert not clock._is_retry_due(1000.0 + RETRY_S)
    runtime.held = Held("guard", "ab" * 8, 0.0, None, 0.05)
    assert not clock._is_retry_due(1000.0 + 2 * RETRY_S - 1)
    assert clock._is_retry_due(1000.0 + 2 * RETRY_S)


def clock_of(runtime: Any) -> SlowClock:
    nothing: Any = None
    return SlowClock(runtime, nothing, nothing, nothing, nothing, nothing, nothing)


def test_only_threads_started_later_give_way_too() -> None:
    script = (
        "import os, threading, time\n"
        "from steer.control.limits import NICENESS, give_way\n"
        "def own():\n"
        "    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())\n"
        "started, found = threading.Event(), []\n"
        "before = threading.Thread(target=lambda: (started.wait(), found.append(own())))\n"
        "before.start()\n"
        "give_way()\n"
        "started.set(); before.join()\n"
        "after = threading.Thread(target=lambda: found.append(own())); after.start(); after.join()\n"
        "print(found[0] < NICENESS, found[1] == own() == NICENESS)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
