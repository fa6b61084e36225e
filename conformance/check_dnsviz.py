"""dnsviz: the chain from the root to steer's names, every RRset's status under our own trust anchor.

`grok` of Debian 12 refuses trust anchors (it looks for a module that its pygraphviz has not), so the anchor
is given to `print`, and `grok` is asked for errors and warnings without one."""

import json
import re
from collections.abc import Iterator
from typing import Any

from conformance.addresses import ROOT, ZONE
from conformance.daemons import output
from conformance.explained import DNSVIZ
from conformance.mini_internet import MiniInternet
from conformance.questions import HOSTS, NXDOMAIN, REFERRALS, STEERED
from conformance.results import EXPLAINED, FAILED, OK, Result

CHECKER = "dnsviz"
NAMES = (
    *STEERED,
    *HOSTS[:2],
    *(f"{label}.{ZONE}" for label in ("text", "ent", "alias", "any.wild", "big")),
    NXDOMAIN[0],
    *REFERRALS,
)
LIMIT_S = 120.0
INSECURE = f"child.{ZONE}"  # delegated without DS
STATUS = re.compile(r"\[([.!?-]+)\]")  # secure, bogus, non-existent or expired, insecure


def check(internet: MiniInternet) -> Iterator[Result]:
    """Errors and warnings of the whole analysis, then the status of every line."""
    probed = internet.scratch / "dnsviz.json"
    servers = f".:{ROOT[0]}={ROOT[1]},{ROOT[0]}=[{ROOT[2]}]"
    probe = ["dnsviz", "probe", "-A", "-a", ".", "-x", servers, "-E", "-o", str(probed), *NAMES]
    said = output(probe, limit_s=LIMIT_S)
    try:
        found = json.loads(output(["dnsviz", "grok", "-c", "-r", str(probed)], limit_s=LIMIT_S, errors=False))
    except ValueError:
        yield Result(CHECKER, "errors and warnings", 0, FAILED, (f"no analysis; it wrote: {said[-500:]}",))
        return
    faults, notes = judge(found)
    verdict = FAILED if faults else EXPLAINED if notes else OK
    yield Result(CHECKER, "errors and warnings", len(NAMES), verdict, (*faults, *notes))
    printed = output(["dnsviz", "print", "-t", str(internet.anchor_file), "-r", str(probed)], limit_s=LIMIT_S)
    yield statuses(printed, internet.signed)


def judge(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(faults, explained warnings), each once, in words."""
    faults, notes = set(), set()
    for level, where, message in _messages(found, ()):
        code = str(message.get("code"))
        said = f"{level} {code} at {where}: {message.get('description', '')}"
        if level == "warnings" and code in DNSVIZ:
            notes.add(f"{code}: {DNSVIZ[code]}")
        else:
            faults.add(said)
    return sorted(faults), sorted(notes)


def statuses(printed: str, signed: bool) -> Result:
    """Each printed RRset must be secure; in an unsigned zone of ours, and below its delegation without DS,
    insecure."""
    faults, cases, name = [], 0, ""
    for line in printed.splitlines():
        name = name if line.startswith(" ") else line.split()[0] if line.split() else ""
        insecure = not signed or f"{name}.".endswith(INSECURE)
        found = set(STATUS.findall(line))
        cases += bool(found)
        if not found <= ({".", "-"} if insecure else {"."}):
            faults.append(f"{name}: {line.strip()}")
    return Result.of(CHECKER, "status of every RRset under our trust anchor", cases, faults)


def _messages(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every entry of a list called `errors` or `warnings`, however deep, and where it stands."""
    if isinstance(value, list):
        for each in value:
            yield from _messages(each, path)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if key in ("errors", "warnings"):
            for message in inner:
                yield key, "/".join(path), message
        else:
            yield from _messages(inner, (*path, key))
