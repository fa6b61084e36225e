"""The arguments of `steer simulate`; apart from what runs, so that other commands need not load that."""

import argparse
from pathlib import Path

DAYS_MAX = 14  # a replay is held in memory


def _days(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= DAYS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days; give 2 to {DAYS_MAX}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give a whole number from 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; give a whole number from 0")
    return int(text)


def add_simulate_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="data of the real Internet (default: a synthetic world)"
    )
    command.add_argument(
        "--days", type=_days, metavar="N", help="at least 2; the first only learns (default: 3)"
    )
    command.add_argument("--seed", type=_seed, default=1, metavar="N", help="of the first run (default: 1)")
    command.add_argument(
        "--seeds",
        type=_count,
        default=1,
        metavar="N",
        help="run so many seeds and tell the worst (default: 1)",
    )
    command.add_argument("--units", type=_count, metavar="N", help="client prefixes (default: 20000)")
    command.add_argument("--quick", action="store_true", help="two days of 2,000 prefixes: about a minute")
    command.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    command.add_argument("--plots", type=Path, metavar="DIR", help="draw a world map and RTTs there (PNG)")
    command.add_argument(
        "--page", type=Path, metavar="FILE", help="write docs/correction.md there, its pictures beside it"
    )
    command.add_argument(
        "--poison",
        choices=("flood", "mislabel", "clock", "absurd", "replay"),
        help="poison half a day's evidence instead, and tell what that moves",
    )
    command.epilog = (
        "Clients measure, steer learns and answers, and every scheme is judged by the true RTTs against the "
        "best POP of the hour; `old bad`: of the users whose anycast path has been more than 10 ms off for "
        "more than six hours, those who are still more than 10 ms off."
    )
