"""The arguments of `steer keys`, and what each of its commands prints."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steer.control.keys_command import (
    delete_old,
    ds_lines,
    keys_of,
    make,
    open_zone,
    open_zones,
    roll,
    see_ds,
)
from steer.control.keys_report import zone_faults, zone_json, zone_text
from steer.errors import Fault, Refused
from steer.model.dnssec import ALGORITHM_ECDSAP256SHA256, ALGORITHM_NAMES
from steer.model.policy import Location
from steer.sources.located_yaml import Faults, Scalar
from steer.sources.scalars import whole_seconds

DEFAULT_DS_TTL = "1d"
_KINDS = {
    "zsk": "the ZSK: nothing else is to be done",
    "split": "make a ZSK, which takes the zone's data from the CSK",
    "merge": "let the KSK sign everything, as a CSK, and the ZSK go",
}
LONGEST_S = 90 * 86_400
_ALGORITHMS = {name: number for number, name in ALGORITHM_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Said:
    """What a command prints: lines for stdout, then lines for stderr. `is_good`: there is no fault."""

    lines: list[str]
    complaints: list[str]
    is_good: bool = True


def add_keys_commands(parser: argparse.ArgumentParser) -> None:
    """Give `steer keys` its commands; each sets `keys_run`, for `run_keys_command`."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    command = _add(commands, "make", _run_make, "make a zone's first key: a CSK, or KSK and ZSK")
    command.add_argument("--split", action="store_true", help="make a KSK and a ZSK instead of one CSK")
    _add_algorithm(command, ALGORITHM_NAMES[ALGORITHM_ECDSAP256SHA256], "(default: %(default)s)")
    _add_longest_ttl(command)

    command = _add(commands, "list", _run_list, "what each key does now, and what comes next", zone="?")
    command.add_argument("--json", action="store_true", help="print everything as one JSON list")

    command = _add(commands, "ds", _run_ds, "the DS records for the parent zone")
    command.add_argument(
        "--early", action="store_true", help="print a DS also before its time, when it may break the zone"
    )

    command = _add(commands, "roll", _run_roll, "begin to replace the KSK or CSK, or what an option says")
    kinds = command.add_mutually_exclusive_group()
    for kind, text in _KINDS.items():
        kinds.add_argument(
            f"--{kind}", dest="kind", action="store_const", const=kind, default="sep", help=text
        )
    _add_algorithm(kinds, None, "to replace all keys by keys of another algorithm")
    _add_longest_ttl(command)

    command = _add(commands, "ds-seen", _run_ds_seen, "every nameserver of the parent has the DS of this key")
    command.add_argument("tag", type=int, metavar="TAG", help="the new key's tag")
    command.add_argument(
        "--ds-ttl",
        type=_duration_s,
        default=DEFAULT_DS_TTL,
        metavar="TIME",
        help="TTL of the DS (default: %(default)s)",
    )
    _add_longest_ttl(command)

    _add(commands, "delete-old", _run_delete_old, "remove the files of keys whose time is over")


def run_keys_command(given: argparse.Namespace, now_s: int) -> Said:
    """Do what was asked for. Raises Refused."""
    run: Callable[[argparse.Namespace, int], Said] = given.keys_run
    return run(given, now_s)


def _run_make(given: argparse.Namespace, now_s: int) -> Said:
    zone = open_zone(_directory(given), given.zone)
    return Said(make(zone, _ALGORITHMS[given.algorithm], given.split, given.longest_ttl, now_s), [])


def _run_roll(given: argparse.Namespace, now_s: int) -> Said:
    zone = open_zone(_directory(given), given.zone)
    algorithm = None if given.algorithm is None else _ALGORITHMS[given.algorithm]
    return Said(roll(zone, given.kind, algorithm, given.longest_ttl, now_s), [])


def _run_ds_seen(given: argparse.Namespace, now_s: int) -> Said:
    zone = open_zone(_directory(given), given.zone)
    return Said(see_ds(zone, given.tag, given.ds_ttl, given.longest_ttl, now_s), [])


def _run_ds(given: argparse.Namespace, now_s: int) -> Said:
    lines, are_any = ds_lines(open_zone(_directory(given), given.zone), now_s, early=given.early)
    return Said(lines, [], are_any)


def _run_delete_old(given: argparse.Namespace, now_s: int) -> Said:
    return Said(delete_old(open_zone(_directory(given), given.zone), now_s), [])


def _run_list(given: argparse.Namespace, now_s: int) -> Said:
    """All zones with their faults: one zone's do not hide another's."""
    directory = _directory(given)
    zones = (open_zone(directory, given.zone),) if given.zone is not None else open_zones(directory)
    lines: list[str] = []
    values: list[dict[str, Any]] = []
    faults: list[Fault] = []
    warnings: list[Fault] = []
    for zone in zones:
        try:
            settings = keys_of(zone, may_be_none=not zone.is_signed)
        except Refused as refused:
            faults += refused.faults
            values.append({"zone": zone.apex, "faults": [str(fault) for fault in refused.faults]})
            continue
        found, to_come = zone_faults(zone, settings, now_s)
        faults += found
        warnings += to_come
        lines += zone_text(zone, settings, now_s)
        values.append(zone_json(zone, settings, now_s))
    if given.json:
        return Said(json.dumps(values, indent=2).splitlines(), [], not faults)
    complaints = [*(f"warning: {warning}" for warning in warnings), *(str(fault) for fault in faults)]
    return Said(lines, complaints, not faults)


# --- helpers ---


def _add(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace, int], Said],
    summary: str,
    zone: str | None = None,
) -> argparse.ArgumentParser:
    description = f"{summary[0].upper()}{summary[1:]}."
    command: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=description)
    command.add_argument("directory", type=Path, metavar="DIR", help="policy directory")
    command.add_argument("zone", metavar="ZONE", nargs=zone, help="such as cdn.example")
    command.set_defaults(keys_run=run)
    return command


def _add_algorithm(command: argparse._ActionsContainer, default: str | None, text: str) -> None:
    command.add_argument("--algorithm", choices=sorted(_ALGORITHMS), default=default, help=text)


def _add_longest_ttl(command: argparse.ArgumentParser) -> None:
    text = "longest TTL of the zone's data (default: what its files say; needed where a primary has the data)"
    command.add_argument("--longest-ttl", type=_duration_s, metavar="TIME", help=text)


def _duration_s(text: str) -> int:
    """Whole seconds of a length of time, such as `1d`."""
    faults = Faults()
    seconds = whole_seconds(0, LONGEST_S, DEFAULT_DS_TTL)(Scalar(text, True, Location(), 1), faults)
    if seconds is None:
        raise argparse.ArgumentTypeError(f"{faults.found[0].wrong}; {faults.found[0].fix}")
    return seconds


def _directory(given: argparse.Namespace) -> Path:
    directory: Path = given.directory.absolute()
    return directory
