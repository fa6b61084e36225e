"""The EDNS options of a query, and those of its reply: ECS, COOKIE, NSID, extended errors, in this order.

Steps 6 and 15 of docs/snapshot_format.md, "The answer, step by step". Pure: time is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from steer.dataplane.reference_cookie import Cookie, is_valid, read_cookie, reply_cookie
from steer.dataplane.reference_counters import Counters
from steer.dataplane.reference_records import ReferenceRecords
from steer.dataplane.reference_wire import OPTION_ECS, Ecs, Malformed, Opt, read_ecs, read_options

OPTION_NSID, OPTION_COOKIE, OPTION_EDE = 3, 10, 15
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16


class ExtendedError(IntEnum):
    """INFO-CODEs of RFC 8914 that we send."""

    STALE = 3
    NOT_READY = 14
    PROHIBITED = 18
    NOT_AUTHORITATIVE = 20


@dataclass(frozen=True, slots=True)
class Options:
    """What a query's options say, read whole. `is_known`: by a valid cookie the source is not forged."""

    ecs: Ecs | None = None
    cookie: Cookie | None = None
    wants_nsid: bool = False
    is_known: bool = False


NO_OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class Asker:
    """Whence and when a query came. `source`: 4 or 16 octets, never v4-mapped; `now_s`: Unix seconds."""

    source: bytes
    now_s: int
    tcp: bool


def read_all_options(
    opt: Opt, records: ReferenceRecords, asker: Asker, counters: Counters, *, reads_ecs: bool
) -> Options:
    """Step 6: the options of a version 0 OPT record, in order. Raises Malformed at the first fault."""
    ecs, cookie, wants_nsid = None, None, False
    for code, data in read_options(opt):
        if code == OPTION_ECS and reads_ecs and records.steers:
            if ecs is not None or (ecs := read_ecs(data)) is None:  # ECS-22; ECS-4 to ECS-6
                counters.count("ecs_malformed")
                raise Malformed(opt)
        elif code == OPTION_COOKIE and records.cookies and cookie is None:
            cookie = read_cookie(data)
            if cookie is None:
                counters.count("cookies_malformed")
                raise Malformed(opt)
        elif code == OPTION_NSID:
            wants_nsid = True
    if ecs is not None:
        counters.count("ecs_queries")
    is_known = cookie is not None and is_valid(cookie, records.cookie_secrets, asker.source, asker.now_s)
    return Options(ecs, cookie, wants_nsid, is_known)


def reply_options(
    options: Options,
    rcode: int,
    scope_bits: int,
    error: ExtendedError | None,
    records: ReferenceRecords,
    asker: Asker,
    counters: Counters,
) -> Sequence[tuple[int, bytes]]:
    """Step 15: code and data of each option of a reply."""
    made = []
    if options.ecs is not None and rcode in (NOERROR, NXDOMAIN, REFUSED):  # ECS-8
        made.append((OPTION_ECS, options.ecs.reply(scope_bits)))
    if rcode not in (FORMERR, BADVERS):
        if options.cookie is not None:
            data = reply_cookie(options.cookie, records.cookie_secrets, asker.source, asker.now_s)
            made.append((OPTION_COOKIE, data))
            counters.count("cookies_valid" if options.is_known else "cookies_new")
        if options.wants_nsid and records.nsid:
            made.append((OPTION_NSID, records.nsid))
    if error is not None:
        made.append((OPTION_EDE, error.to_bytes(2, "big")))
    return made
