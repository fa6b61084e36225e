"""Shares of the machine: file descriptors between connections and the rest of us, processors between packet
threads and the control loop.

Without a reserve, connections of strangers would keep polls, reloads and saving of states from working."""

import logging
import os
import resource
import threading

RESERVED_FILES = 512  # polls in flight, the API, sockets of all threads, files being read and written
FEWEST_CONNECTIONS = 16

NICENESS = 10  # a tenth of the weight of a packet thread: enough for polls and ticks on a busy machine

log = logging.getLogger("steer.control")


def give_way() -> None:
    """Make this thread, and those that it starts from now on, give way to the packet threads, which started
    before: a tick's milliseconds of work are then no query's milliseconds of waiting."""
    own = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, own, max(NICENESS, os.getpriority(os.PRIO_PROCESS, own)))


def allowed_connections(wanted: int) -> int:
    """Raise this process's soft limit of open files as far as it may; returns how many TCP connections of
    `wanted` that leaves room for, the reserve kept."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allowed = connections_within(soft, wanted)
    if allowed < wanted:
        log.warning(
            "tcp connections: %d instead of %d, for only %d files may be open (ulimit -n, LimitNOFILE)",
            allowed,
            wanted,
            soft,
        )
    return allowed


def connections_within(files: int, wanted: int) -> int:
    """How many of the wanted connections `files` open files allow (RLIM_INFINITY: all)."""
    if files == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(FEWEST_CONNECTIONS, files - RESERVED_FILES))
