"""What strangers do wrong, for the log: named at once, then at most once a minute, with how often and from
where, so that a flood fills no disk. The clock is an argument."""

import logging
from collections import Counter
from dataclasses import dataclass, field

from steer.model.service import Prefix

EVERY_S = 60.0
_SOURCES_MAX = 1024

log = logging.getLogger("steer.evidence")


@dataclass(slots=True)
class Complaints:
    """One way's. Each complaint is in words: what was done, such as `a report was replayed`."""

    way: str
    _since_s: dict[str, float] = field(default_factory=dict)
    _sources: dict[str, Counter[str]] = field(default_factory=dict)

    def note(self, what: str, source: Prefix | None, now_s: float, count: int = 1) -> None:
        """Count it, and log what is due. `what`: one of a few words, never a stranger's; `source` None: who
        it was says nothing."""
        sources = self._sources.setdefault(what, Counter())
        text = "" if source is None else str(source)
        sources[text if text in sources or len(sources) < _SOURCES_MAX else "others"] += count
        if now_s - self._since_s.get(what, float("-inf")) < EVERY_S:
            return
        most, from_it = sources.most_common(1)[0]
        where = f", {from_it} of them from {most}" if most else ""
        log.warning("%s: %s: %d times%s", self.way, what, sources.total(), where)
        self._since_s[what] = now_s
        sources.clear()
