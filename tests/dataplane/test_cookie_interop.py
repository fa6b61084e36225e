"""Cookies shared with BIND and Knot DNS under one secret: all could serve one address (DNS-9, RFC 9018)."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dns.edns
import dns.message
import dns.rcode
import pytest

from steer.dataplane.engine import Snapshot
from tests.dataplane.conftest import Subject
from tests.dataplane.vectors import COOKIE_SECRETS, cookie_option, query

CLIENT = bytes(range(0xC0, 0xC8))
LATER_S = 10  # after which a cookie made anew is another
START_S = 20.0  # for a daemon to answer; nothing is measured
DAEMONS = ("named", "knotd")
SOURCES = ("127.0.0.1", "::1")

NAMED = """
options {{
    directory "{directory}"; pid-file none; session-keyfile none; recursion no;
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 port {port} {{ ::1; }};
    answer-cookie yes; require-server-cookie yes; cookie-algorithm siphash24; cookie-secret "{secret}";
}};
controls {{ }};
"""
KNOTD = """
server:
  listen: [127.0.0.1@{port}, ::1@{port}]
  rundir: "{directory}"
database:
  storage: "{directory}"
mod-cookies:
  - id: shared
    secret: 0x{secret}
    badcookie-slip: 1
template:
  - id: default
    global-module: mod-cookies/shared
"""


@pytest.fixture(scope="module", params=DAEMONS)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where another server listens that refuses bad cookies and has our first secret."""
    name: str = request.param
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    directory = tmp_path_factory.mktemp(name)
    free = free_port()
    text = (NAMED if name == "named" else KNOTD).format(
        directory=directory, port=free, secret=COOKIE_SECRETS[0].hex()
    )
    config = directory / "config"
    config.write_text(text, encoding="ascii")
    command = [path, "-c", str(config)] + (["-f", "-n", "1"] if name == "named" else [])
    with (directory / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as daemon:
        try:
            wait_for_answers(free, directory / "log")
            yield free
        finally:
            daemon.terminate()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        return int(udp.getsockname()[1])


def wait_for_answers(port: int, log: Path) -> None:
    """Until a server answers on both addresses."""
    give_up = time.monotonic() + START_S
    for source in SOURCES:
        while time.monotonic() < give_up:
            with suppress(OSError):
                ask(port, source, CLIENT, timeout_s=0.2)
                break
            time.sleep(0.02)
        else:
            pytest.fail(log.read_text(encoding="utf-8", errors="replace"))


def ask(port: int, source: str, cookie: bytes, timeout_s: float = START_S) -> tuple[bool, bytes]:
    """Whether the other server takes a cookie for valid, and the one it sends back."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(timeout_s)
        udp.bind((source, 0))
        udp.connect((source, port))
        udp.send(query("text", "A", None, cookie_option(cookie)))
        reply = dns.message.from_wire(udp.recv(4096))
    return reply.rcode() != dns.rcode.BADCOOKIE, cookie_of(reply)


def cookie_of(reply: dns.message.Message) -> bytes:
    """A reply's COOKIE."""
    (option,) = [option for option in reply.options if option.otype == dns.edns.OptionType.COOKIE]
    return bytes(option.to_wire())


def answered(snapshot: Snapshot, source: str, cookie: bytes, now_s: int) -> bytes:
    """The cookie that we send back."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in source else socket.AF_INET, source)
    reply = snapshot.answer(query("text", "A", None, cookie_option(cookie)), packed, False, now_s)
    assert reply is not None
    return cookie_of(dns.message.from_wire(reply))


def spoilt(cookie: bytes) -> bytes:
    """Another cookie, which nobody made."""
    return cookie[:-1] + bytes((cookie[-1] ^ 1,))


@pytest.mark.parametrize("source", SOURCES)
def test_their_cookies_are_valid_here(subject: Subject, port: int, source: str) -> None:
    is_valid, theirs = ask(port, source, CLIENT)
    assert not is_valid
    later_s = int(time.time()) + LATER_S
    assert answered(subject.snapshot, source, theirs, later_s) == theirs
    anew = answered(subject.snapshot, source, spoilt(theirs), later_s)
    assert anew[:12] == theirs[:12]
    assert anew[12:16] == later_s.to_bytes(4, "big")


@pytest.mark.parametrize("source", SOURCES)
def test_our_cookies_are_valid_there(subject: Subject, port: int, source: str) -> None:
    ours = answered(subject.snapshot, source, CLIENT, int(time.time()))
    assert ask(port, source, ours)[0]
    assert not ask(port, source, spoilt(ours))[0]
