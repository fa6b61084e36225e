"""`steer demo`: its arguments, and a whole nameserver that serves it."""

import argparse
import asyncio
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

from steer.control.client import ask_server
from steer.control.inputs import read_inputs
from steer.control.server import Options, serve
from steer.errors import Refused
from steer.lab.demo import is_news_of_state, order_running_demo, run_demo
from steer.telemetry.log_lines import start_logging

DEMO_DIRECTORY = Path("policies/demo")


def add_demo_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `steer demo`."""
    command.add_argument("order", nargs="*", metavar="ORDER", help="for a demo that runs already: `kill nrt`")
    command.add_argument(
        "--directory",
        "-d",
        type=Path,
        default=DEMO_DIRECTORY,
        metavar="DIR",
        help="policy directory (default: %(default)s)",
    )
    command.add_argument("--seed", type=int, metavar="N", help="make the POPs' loads repeatable")


def run_demo_command(given: argparse.Namespace) -> None:
    """`steer demo`: give an order to one that runs, or run one until it is ended."""
    directory = given.directory.absolute()
    if given.order:
        print(asyncio.run(order_running_demo(directory, given.order)))
        return
    start_logging(sys.stderr, journal=False, level=logging.WARNING)
    states = logging.getLogger("steer.control.states")
    states.setLevel(logging.INFO)
    states.addFilter(is_news_of_state)
    terminal = sys.stdin if sys.stdin.isatty() else None
    demo = run_demo(
        directory,
        _serve_demo,
        out=sys.stdout,
        commands=terminal,
        explain=partial(_explain_demo, directory),
        seed=given.seed,
    )
    asyncio.run(demo)


async def _serve_demo(directory: Path, *, stop: asyncio.Event, ready: asyncio.Event) -> None:
    """The nameserver of the demo, until `stop`; `ready` once it answers."""

    def answers(running: Any) -> None:
        print(running.runtime.form.why)
        ready.set()

    print("starting (the first time, a map is built: some seconds)", flush=True)
    await serve(directory, Options(stop=stop, signals=False, ready=answers))


async def _explain_demo(directory: Path, client: str) -> str:
    """Why a client gets its answer at the demo's first steered name, as the running server says."""
    deployment = (await asyncio.to_thread(read_inputs, directory)).deployment
    zone = deployment.zones[0]
    name = next((each.owner for each in zone.names if each.owner not in "@*"), "@")
    full = zone.apex if name == "@" else f"{name}.{zone.apex}"
    try:
        question = {"name": full, "client": client}
        found = await ask_server(deployment.server.api, directory, "/v1/explain", question)
    except Refused as refused:
        return str(refused)
    return found["text"] if found else "the nameserver's API does not answer"
