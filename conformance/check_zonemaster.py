"""Zonemaster, all its tests: an error fails; a warning or notice must be one that is explained."""

import json
from collections.abc import Iterator

from conformance.addresses import ZONE
from conformance.daemons import output
from conformance.explained import ZONEMASTER
from conformance.mini_internet import MiniInternet
from conformance.results import EXPLAINED, FAILED, OK, Result

CHECKER = "zonemaster"
MINOR = ("WARNING", "NOTICE")
LIMIT_S = 120.0
LEAST_MESSAGES = 50  # a run that tests everything says far more than this


def check(internet: MiniInternet) -> Iterator[Result]:
    """One row of its verdict."""
    profile = internet.scratch / "zonemaster.json"
    profile.write_text(json.dumps({"asn_db": {"style": "cymru", "sources": {"cymru": ["asn.example"]}}}))
    command = ["zonemaster-cli", "--hints", str(internet.hints), "--profile", str(profile)]
    text = output(
        [*command, "--level", "INFO", "--json", "--raw", ZONE.rstrip(".")], limit_s=LIMIT_S, errors=False
    )
    try:
        messages = json.loads(text)
    except ValueError:
        yield Result(CHECKER, "all tests", 0, FAILED, (f"no report; it wrote: {text[-500:]}",))
        return
    faults, notes = judge(messages)
    if len(messages) < LEAST_MESSAGES:
        faults.append(f"only {len(messages)} messages: it did not test everything")
    verdict = FAILED if faults else EXPLAINED if notes else OK
    yield Result(CHECKER, "all tests", len(messages), verdict, (*faults, *notes))


def judge(messages: list[dict[str, object]]) -> tuple[list[str], list[str]]:
    """(faults, explained warnings), each in words."""
    faults, notes = [], []
    for message in messages:
        level, tag = str(message["level"]), str(message["tag"])
        if level in ("INFO", "DEBUG"):
            continue
        said = f"{level} {tag} {message.get('args', {})}"
        reason = ZONEMASTER.get(tag) if level in MINOR else None
        if reason is None:
            faults.append(said)
        else:
            notes.append(f"{said}: {reason}")
    return faults, notes
