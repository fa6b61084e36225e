"""A small CDN for end-to-end tests: three POPs with live status, tiny databases, and `steer serve` as a
process.

Everything is on loopback, on ports that the system chooses. Tests wait for what they can observe, with
deadlines."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from unittest import mock

import dns.edns
import dns.message
import dns.query
import netaddr
from mmdb_writer import MMDBWriter

from steer.cli import main

PLACES = {
    "133.0.0.0/8": ("JP", "AS", 35.0, 136.0),
    "193.0.0.0/8": ("NL", "EU", 52.4, 4.9),
    "200.0.0.0/8": ("BR", "SA", -23.5, -46.6),
    "2001:200::/32": ("JP", "AS", 35.0, 136.0),
}
ASNS = {"133.1.0.0/16": 4730, "193.0.0.0/21": 3333}
LOCATIONS = {"fra": (50.11, 8.68), "gru": (-23.55, -46.63), "nrt": (35.68, 139.69)}
ADDRESS = {"anycast": "192.0.2.1", "fra": "198.51.100.1", "gru": "198.51.100.2", "nrt": "198.51.100.3"}
TOKYO = "133.1.0.0/24"
DEADLINE_S = 30.0

T = TypeVar("T")


def wait_for(look: Callable[[], T], what: str, limit_s: float = DEADLINE_S) -> T:
    """The first true value that `look` gives; fails after `limit_s` seconds."""
    end_s = time.monotonic() + limit_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end_s, f"{what} did not come about within {limit_s:g} s"
        time.sleep(0.02)


class FakePop:
    """A POP's status server. `status`: what it says; None: it hangs up without a word."""

    def __init__(self) -> None:
        self.status: str | None = "up"
        self.load = {"current": 31, "target": 40, "max": 50}
        pop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if pop.status is None:
                    self.close_connection = True
                    return
                body = json.dumps({"status": pop.status, "load": pop.load}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/status"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@dataclass(slots=True)
class Cdn:
    """A policy directory in `top`, its POPs, and the state and cache directories beside it."""

    top: Path
    pops: dict[str, FakePop]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        return self.top / "policy"

    @property
    def state(self) -> Path:
        return self.top / "state"

    def write(self, name: str, text: str, *, in_place: bool = False) -> None:
        """Write a file of the policy directory: renamed into place, or written over."""
        path = self.directory / name
        if in_place:
            with path.open("r+") as file:
                file.truncate(0)
                file.write(text)
            return
        new = path.with_name(f".{name}.new")
        new.write_text(text)
        new.rename(path)

    def zone(self, answer: str = "nearest", ttl: str = "30s", tests: str = "[]", more: str = "") -> str:
        """The zone file with one rule's answer."""
        return (
            "zone: cdn.example\nzonefile: cdn.example.zone\n"
            f"names:\n  www: {{policy: web, ttl: {ttl}}}\n{more}"
            f"policies:\n  web: {{rules: [{{answer: {answer}}}]}}\ntests: {tests}\n"
        )

    def steer(self, key: str = "", value: str = "") -> str:
        """steer.yaml, with one more line where a key is given."""
        more = f"{key}: {value}\n" if key else ""
        return (
            "node: {id: test1}\nlisten: ['127.0.0.1:0']\napi: '127.0.0.1:0'\n"
            "geodata: {city: ../geodata/city.mmdb, asn: ../geodata/asn.mmdb}\n"
            f"state_directory: {self.state}\npops: pops.yaml\nzones: [cdn.example.yaml]\n{more}"
        )

    def pops_yaml(self, interval: str = "200ms", **more: str) -> str:
        """pops.yaml with every POP, and `more` lines by key."""
        lines = [
            f"  {name}: {{location: {list(at)}, ipv4: [{ADDRESS[name]}], status: '{self.pops[name].url}'}}"
            for name, at in LOCATIONS.items()
            if name in self.pops
        ]
        extra = "".join(f"{key}: {value}\n" for key, value in more.items())
        health = f"health: {{interval: {interval}, timeout: 150ms, rise: 2, fall: 2}}\n"
        return "anycast: {ipv4: [192.0.2.1]}\npops:\n" + "\n".join(lines) + "\n" + health + extra

    def write_city(self, places: dict[str, tuple[str, str, float, float]] = PLACES) -> None:
        """The City database, renamed into place."""
        records = {
            prefix: {
                "country": {"iso_code": country},
                "continent": {"code": continent},
                "location": {"latitude": latitude, "longitude": longitude},
            }
            for prefix, (country, continent, latitude, longitude) in places.items()
        }
        self._write_database("city.mmdb", "Test-City", records)

    def write_asn(self) -> None:
        records = {prefix: {"autonomous_system_number": asn} for prefix, asn in ASNS.items()}
        self._write_database("asn.mmdb", "Test-ASN", records)

    def _write_database(self, name: str, kind: str, records: dict[str, dict[str, Any]]) -> None:
        directory = self.top / "geodata"
        directory.mkdir(exist_ok=True)
        writer = MMDBWriter(6, kind, ipv4_compatible=True, int_type="u32")
        for prefix, record in records.items():
            writer.insert_network(netaddr.IPSet([prefix]), record)
        writer.to_db_file(str(directory / f".{name}"))
        (directory / f".{name}").rename(directory / name)

    def command(self, *arguments: str) -> "Said":
        """Run a command of `steer` to its end, in this process."""
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.dict(os.environ, self.environment), redirect_stdout(out), redirect_stderr(err):
            code = main(arguments)
        return Said(code, out.getvalue(), err.getvalue())

    def make_old_keys(self) -> None:
        """`steer keys make` as it was typed days ago, so that the DS may be at the parent by now."""
        with mock.patch("steer.cli.time.time", return_value=time.time() - 3 * 86_400):
            said = self.command("keys", "make", str(self.directory), "cdn.example")
        assert said.returncode == 0, said.stderr

    def serve(self) -> "Server":
        """Start `steer serve` and wait until it answers."""
        server = self.start()
        server.wait_until_ready()
        return server

    def start(self) -> "Server":
        """Start `steer serve`."""
        log = self.top / f"log-{len(list(self.top.glob('log-*')))}"
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "steer", "serve", str(self.directory)],
                stderr=stream,
                stdout=stream,
                env={**os.environ, **self.environment},
            )
        return Server(process, log)


@dataclass(frozen=True, slots=True)
class Said:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(slots=True)
class Server:
    """A running `steer serve`."""

    process: subprocess.Popen[bytes]
    log_path: Path
    api: str = ""
    port: int = 0

    def wait_until_ready(self) -> None:
        """Wait until it answers queries, and learn its ports."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log
            found = re.search(r"metrics on (http://127\.0\.0\.1:\d+)/", self.log)
            self.api = found[1] if found else ""
            return bool(found)

        wait_for(ready, "a server that answers")
        self.port = int(self.state["engine"]["listen"][0].rpartition(":")[2])

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/v1/state")))

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.api + path, timeout=10) as answer:
            return str(answer.read().decode())

    def ask(
        self, client: str = TOKYO, name: str = "www.cdn.example", timeout_s: float = 5
    ) -> tuple[str, ...]:
        """The IPv4 addresses answered to a client over UDP, sorted."""
        answer = self.reply(client, name, "A", timeout_s).answer
        return tuple(sorted(str(rdata) for rrset in answer for rdata in rrset))

    def reply(self, client: str, name: str, kind: str, timeout_s: float = 5) -> dns.message.Message:
        """The whole reply over UDP."""
        network, _, bits = client.partition("/")
        query = dns.message.make_query(
            name, kind, use_edns=0, options=[dns.edns.ECSOption(network, int(bits))]
        )
        return dns.query.udp(query, "127.0.0.1", port=self.port, timeout=timeout_s)

    def wait_for_answer(self, pop: str, client: str = TOKYO, limit_s: float = DEADLINE_S) -> None:
        wait_for(lambda: self.ask(client) == (ADDRESS[pop],), f"the answer {pop} to {client}", limit_s)

    def metric(self, line: str) -> float:
        """The value of one sample, by its name and labels as they are written; 0 where there is none."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", self.get("/metrics"), re.M)
        return float(found[1]) if found else 0.0

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """End it as an operator would; its exit code."""
        if self.process.poll() is None:
            self.tell(signal.SIGTERM)
        return self.process.wait(20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def made_cdn(top: Path) -> Iterator[Cdn]:
    """A CDN whose three POPs are up, its files written; closed at the end."""
    cdn = Cdn(top, {name: FakePop() for name in LOCATIONS})
    cdn.environment = {
        "XDG_CACHE_HOME": str(top / "cache"),
        "XDG_STATE_HOME": str(top / "state-home"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    cdn.directory.mkdir()
    cdn.write_city()
    cdn.write_asn()
    cdn.write("steer.yaml", cdn.steer())
    cdn.write("pops.yaml", cdn.pops_yaml())
    cdn.write("cdn.example.yaml", cdn.zone())
    cdn.write(
        "cdn.example.zone",
        "$ORIGIN cdn.example.\n$TTL 3600\n@ SOA ns1 hostmaster 1 7200 900 1209600 300\n@ NS ns1\n"
        "ns1 A 192.0.2.53\nstatic CNAME www\nplain TXT hello\n",
    )
    try:
        yield cdn
    finally:
        for pop in cdn.pops.values():
            pop.close()
