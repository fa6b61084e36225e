"""Names of the engines' counters, in the order in which both engines hold them.

The native module has the same list; a test compares the two. Labelled counters (per rule, target, name and
arm) are a flat array whose indices a `Registry` hands out for the life of the process."""

from dataclasses import dataclass, field
from typing import Final

COUNTERS: Final = (
    "queries_udp",
    "queries_tcp",
    "dropped_short",
    "dropped_response",
    "answers_noerror",
    "answers_formerr",
    "answers_servfail",
    "answers_nxdomain",
    "answers_notimp",
    "answers_refused",
    "answers_badvers",
    "answers_steered",
    "answers_forced",
    "answers_nodata",
    "answers_referral",
    "answers_truncated",
    "ecs_queries",
    "ecs_used",
    "ecs_special",
    "ecs_malformed",
    "bytes_in",
    "bytes_out",
    "tcp_connections",
    "tcp_refused",
    "tcp_timeouts",
    "send_errors",
    "receive_errors",
    "cookies_valid",
    "cookies_new",
    "cookies_malformed",
    "rate_dropped",
    "rate_slipped",
    "notifies",
    "answers_signed",
    "tcp_evicted",
)
LABELLED_COUNT: Final = 65536  # indices 0 to 65535; 0 counts what found no place


@dataclass(slots=True)
class Registry:
    """Hands out labelled counter indices: the same labels always get the same index; when full, index 0."""

    _index: dict[tuple[str, ...], int] = field(default_factory=dict)

    def index(self, *labels: str) -> int:
        """The index of `labels` (kind first, such as "rule", "cdn.example/web#1"); 0 when all are taken."""
        known = self._index.get(labels)
        if known is not None:
            return known
        if len(self._index) >= LABELLED_COUNT - 1:
            return 0
        self._index[labels] = len(self._index) + 1
        return len(self._index)

    def items(self) -> list[tuple[tuple[str, ...], int]]:
        """All (labels, index) handed out so far, in order of index."""
        return list(self._index.items())
