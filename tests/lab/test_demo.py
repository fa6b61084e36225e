"""The whole demo with a stand-in for the nameserver: orders typed and from elsewhere, and the end."""

import asyncio
import io
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from steer.lab.demo import is_news_of_state, order_running_demo, parse_order, run_demo, welcome
from steer.lab.demo_pops import ACTIONS, DemoError
from steer.sources.deployment_files import read_deployment
from tests.lab.demo_directory import DEMO, copy_demo


@dataclass
class StandIn:
    """Serves nothing, and knows that it was started and told to stop."""

    ran: list[str] = field(default_factory=list)

    async def __call__(self, directory: Path, *, stop: asyncio.Event, ready: asyncio.Event) -> None:
        self.ran.append(directory.name)
        ready.set()
        await stop.wait()
        self.ran.append("stopped")


class Output(io.StringIO):
    """What the demo prints, with a way to wait for words in it."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Event()

    def write(self, text: str) -> int:
        self._written.set()
        return super().write(text)

    async def shows(self, words: str) -> None:
        async with asyncio.timeout(30):
            while words not in self.getvalue():
                self._written.clear()
                await self._written.wait()


def run(
    directory: Path, script: Callable[[Output, int], Awaitable[None]], typed: bool = True
) -> tuple[str, list[str]]:
    """Run a demo while `script` acts on its output and on the master side of its terminal."""
    serve, out = StandIn(), Output()

    async def explain(client: str) -> str:
        return f"because of {client}"

    async def both() -> None:
        master, slave = os.openpty()
        with os.fdopen(slave, "r") as terminal:
            demo = asyncio.create_task(
                run_demo(
                    directory, serve, out=out, commands=terminal if typed else None, explain=explain, seed=1
                )
            )
            try:
                await script(out, master)
                async with asyncio.timeout(30):
                    await demo
            finally:
                demo.cancel()
                os.close(master)

    asyncio.run(both())
    return out.getvalue(), serve.ran


def test_orders_typed_at_the_prompt(tmp_path: Path) -> None:
    async def script(out: Output, master: int) -> None:
        await out.shows("demo> ")
        for line, words in (
            ("kill nrt", "nrt: killed"),
            ("status", "nrt: killed, load"),
            ("load nrt 120%", "nrt: load 120 % of its target"),
            ("explain 133.1.0.0/24", "because of 133.1.0.0/24"),
            ("explode nrt", "no order 'explode'"),
            ("kill xyz", "no POP 'xyz'"),
            ('kill "nrt', "No closing quotation"),
            ("", "demo> "),
            ("help", "revive POP"),
        ):
            os.write(master, f"{line}\n".encode())
            await out.shows(words)
        os.write(master, b"quit\n")

    text, ran = run(copy_demo(tmp_path), script)
    assert "+subnet=133.1.0.0/24" in text
    assert ran == ["demo", "stopped"]


def test_end_of_input_ends_the_demo(tmp_path: Path) -> None:
    async def script(out: Output, master: int) -> None:
        await out.shows("demo> ")
        os.write(master, b"\x04")

    assert run(copy_demo(tmp_path), script)[1] == ["demo", "stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("typed", [True, False])
def test_signals_end_the_demo(tmp_path: Path, number: signal.Signals, typed: bool) -> None:
    async def script(out: Output, _master: int) -> None:
        await out.shows("demo> " if typed else "Try")
        os.kill(os.getpid(), number)

    assert run(copy_demo(tmp_path), script, typed)[1] == ["demo", "stopped"]


def test_orders_from_elsewhere(tmp_path: Path) -> None:
    directory = copy_demo(tmp_path)

    async def script(out: Output, _master: int) -> None:
        await out.shows("Try")
        assert await order_running_demo(directory, ["kill", "nrt"]) == "nrt: killed"
        assert "nrt: killed, load " in await order_running_demo(directory, ["status"])
        assert await order_running_demo(directory, ["load", "nrt", "70"]) == "nrt: load 70 % of its target"
        assert await order_running_demo(directory, ["revive", "nrt"]) == "nrt: up"
        os.kill(os.getpid(), signal.SIGTERM)

    run(directory, script, typed=False)


def test_a_nameserver_that_cannot_start_ends_the_demo(tmp_path: Path) -> None:
    async def broken(directory: Path, *, stop: asyncio.Event, ready: asyncio.Event) -> None:
        raise OSError("port 53 is taken")

    with pytest.raises(OSError, match="port 53"):
        asyncio.run(run_demo(copy_demo(tmp_path), broken, out=io.StringIO(), commands=None))


@pytest.mark.parametrize(
    "words", [[], ["kill"], ["kill", "nrt", "7"], ["load", "nrt", "x"], ["load"], ["nrt", "kill"]]
)
def test_bad_orders_say_what_is_right(words: list[str]) -> None:
    with pytest.raises(DemoError):
        parse_order(words)


def test_welcome_names_the_server_and_clients() -> None:
    text = welcome(read_deployment(DEMO)[0])
    assert "@127.0.0.1 -p 5353 www.cdn.example +subnet=133.1.0.0/24" in text
    assert "http://127.0.0.1:8053/" in text
    everywhere, _, here = text.partition("here alone:")
    assert all(f"  {action} " in everywhere or f" {action} POP" in everywhere for action in ACTIONS)
    assert [line.split()[0] for line in here.splitlines() if line.strip()] == ["explain", "quit"]


@pytest.mark.parametrize(
    ("line", "is_shown"),
    [
        ("default/nrt: down -> up: it says that it is up", True),
        ("default/nrt: up -> drained: it says that it drains", True),
        ("default/nrt: new -> unknown: not polled yet", False),
        ("default/nrt: unknown -> up: it says that it is up", False),
    ],
)
def test_states_that_change_are_shown(line: str, is_shown: bool) -> None:
    record = logging.LogRecord("steer.control.states", logging.INFO, "", 0, "%s", (line,), None)
    assert is_news_of_state(record) is is_shown
