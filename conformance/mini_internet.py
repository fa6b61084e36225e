"""A root, a TLD, a hosting server and steer, on the loopback of a network namespace without another link."""

import json
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import dns.message
import dns.query

from conformance import zones
from conformance.addresses import HOSTING, MAIL, OWN, ROOT, STEER, STEER_SERVERS, TLD, ZONE
from conformance.daemons import daemon, run

DEPLOYMENT = Path(__file__).parent / "deployment"
POPS_PORT = 9001
ANSWER_S = 0.5


@dataclass(frozen=True, slots=True)
class MiniInternet:
    """What checks need to know. `root`: with its key, the trust anchor; `signed`: whether steer's zone is;
    `cookie_secret`: steer's, in hexadecimal digits."""

    scratch: Path
    deployment: Path
    root: zones.SignedZone
    signed: bool
    cookie_secret: str

    @property
    def hints(self) -> Path:
        """The root's hints file."""
        return self.scratch / "hints"

    @property
    def anchor_file(self) -> Path:
        """The root's key as unbound and dnsviz read it."""
        return self.scratch / "anchor.key"


@contextmanager
def mini_internet(scratch: Path, engine: str) -> Iterator[MiniInternet]:
    """Everything answers inside the block, and is gone after it. Raises ToolFailed where something does not.

    `engine`: native or reference."""
    _add_addresses()
    deployment = scratch / "deployment"
    shutil.copytree(DEPLOYMENT, deployment)
    cookie_secret = secrets.token_hex(16)
    (deployment / "cookie.secrets").write_text(cookie_secret + "\n")
    (deployment / "cookie.secrets").chmod(0o600)
    secure = zones.sign(scratch, f"secure.{ZONE}", zones.child_text("secure"))
    with (deployment / "cdn.example.zone").open("a") as file:
        file.write(f"$ORIGIN .\n{secure.ds}")
    child = zones.write(scratch, f"child.{ZONE}", zones.child_text("child"))
    asn = zones.write(scratch, "asn.example.", zones.asn_text())
    elsewhere = zones.sign(scratch, "elsewhere.example.", zones.elsewhere_text())
    steer_ds = _steer_keys(deployment)
    example = zones.sign(scratch, "example.", zones.example_text(steer_ds, elsewhere))
    reverse = [TLD, HOSTING, *STEER, (f"mail.{ZONE}", *MAIL)]
    arpa = zones.sign(scratch, "arpa.", zones.arpa_text(reverse))
    root = zones.sign(scratch, ".", zones.root_text([example, arpa]))
    hosted = {zone.apex: zone.file for zone in (elsewhere, secure)}
    hosted |= {f"child.{ZONE}": child, "asn.example.": asn}
    (scratch / "hints").write_text(f". 3600000 NS {ROOT[0]}\n{zones.glue(ROOT)}")
    (scratch / "anchor.key").write_text(root.dnskey + "\n")
    with ExitStack() as stack:
        stack.enter_context(_pops())
        stack.enter_context(_nsd(scratch, "root", ROOT, {".": root.file}))
        stack.enter_context(_nsd(scratch, "tld", TLD, {zone.apex: zone.file for zone in (example, arpa)}))
        stack.enter_context(_nsd(scratch, "hosting", HOSTING, hosted))
        stack.enter_context(_steer(scratch, deployment, engine))
        yield MiniInternet(scratch, deployment, root, bool(steer_ds), cookie_secret)


def answers(server: str, zone: str, port: int = 53) -> bool:
    """Whether a server answers for a zone's SOA."""
    try:
        reply = dns.query.udp(dns.message.make_query(zone, "SOA"), server, timeout=ANSWER_S, port=port)
    except (OSError, dns.exception.DNSException):
        return False
    return reply.rcode() == 0 and bool(reply.answer)


def _add_addresses() -> None:
    run(["ip", "link", "set", "lo", "up"])
    for address in OWN:
        family, bits = ("-6", 128) if ":" in address else ("-4", 32)
        run(["ip", family, "addr", "add", f"{address}/{bits}", "dev", "lo"])


@contextmanager
def _nsd(scratch: Path, name: str, host: zones.Host, served: dict[str, Path]) -> Iterator[None]:
    """NSD for these zones on the host's two addresses."""
    directory = scratch / f"nsd-{name}"
    directory.mkdir()
    lines = ["server:", '  username: ""', '  chroot: ""', f"  zonesdir: {scratch}", "  server-count: 1"]
    lines += [f"  {key}: {directory / key}" for key in ("pidfile", "xfrdfile", "zonelistfile")]
    lines += [f"  xfrdir: {directory}", '  database: ""', "  rrl-ratelimit: 0", "  hide-version: yes"]
    lines += [f"  ip-address: {address}" for address in host[1:]]
    lines += ["remote-control:", "  control-enable: no"]
    for apex, file in served.items():
        lines += ["zone:", f"  name: {apex}", f"  zonefile: {file}"]
    config = directory / "nsd.conf"
    config.write_text("\n".join(lines) + "\n")
    zone = next(iter(served))
    with daemon(
        ["nsd", "-d", "-c", str(config)],
        scratch / f"nsd-{name}.log",
        lambda: all(answers(address, zone) for address in host[1:]),
    ):
        yield


def _steer_keys(deployment: Path) -> str:
    """Make a key for steer's zone; its DS, as zone lines.

    CDS and CDNSKEY go out at once, as in a zone that was never seen unsigned."""
    steer = [sys.executable, "-m", "steer", "keys"]
    run([*steer, "make", str(deployment), ZONE.rstrip(".")])
    for file in (deployment / "keys").iterdir():
        text = file.read_text()
        found = re.search(r"^(?:; )?Publish: (\d+)", text, re.M)
        assert found is not None
        file.write_text(re.sub(r"(SyncPublish: )\d+", rf"\g<1>{found[1]}", text))
    return run([*steer, "ds", "--early", str(deployment), ZONE.rstrip(".")])


@contextmanager
def _steer(scratch: Path, deployment: Path, engine: str) -> Iterator[None]:
    """`steer serve` with this engine, once it answers at all its addresses."""
    with daemon(
        [sys.executable, "-m", "steer", "serve", str(deployment)],
        scratch / "steer.log",
        lambda: all(answers(address, ZONE) for address in STEER_SERVERS),
        {"XDG_CACHE_HOME": str(scratch / "cache"), "STEER_ENGINE": engine},
    ):
        yield


@contextmanager
def _pops() -> Iterator[None]:
    """One status server for all POPs; every one is up."""
    body = json.dumps({"status": "up", "load": {"current": 10, "target": 40, "max": 50}}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A poll that was given up is steer's to tell."""

    server = Server(("127.0.0.1", POPS_PORT), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
