"""Other people's nameservers as primaries of cdn.example, on loopback: BIND, Knot and NSD.

Each is a process of its own in a directory of its own, on a port that was free a moment before."""

import base64
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from steer.model.primary import Primary, TsigKey

ZONE = "cdn.example"
APEX = (b"cdn", b"example")
SECRET = b"steer and its primary share this"
KEY = TsigKey("steer-key", "hmac-sha256", SECRET, Path("tsig.key"))
PROGRAMS = {"bind": "named", "knot": "knotd", "nsd": "nsd"}
DEADLINE_S = 20.0
PORT_TRIES = 5


def zone_text(serial: int, more: str = "", timers: str = "7200 900 1209600") -> str:
    """A master file of the zone."""
    return (
        f"$ORIGIN {ZONE}.\n$TTL 3600\n@ SOA ns1 hostmaster {serial} {timers} 300\n@ NS ns1\n"
        f"ns1 A 192.0.2.53\nplain TXT hello\nmail MX 10 ns1\n{more}"
    )


@dataclass(slots=True)
class RunningPrimary:
    """A primary that answers. `notifies`: the port on 127.0.0.1 that it sends NOTIFY to; 0: none."""

    kind: str
    top: Path
    port: int
    notifies: int
    process: subprocess.Popen[bytes]

    def primary(self, key: TsigKey | None = KEY) -> Primary:
        """How steer would name it."""
        return Primary(ip_address("127.0.0.1"), self.port, key)

    def update(self, text: str) -> None:
        """Give it a new zone file, and wait until it serves that."""
        (self.top / "zone").write_text(text)
        self.process.send_signal(signal.SIGHUP)
        serial = int(text.split("hostmaster ")[1].split()[0])
        assert waited_for(lambda: self.serial() == serial), (
            f"{self.kind} does not serve {serial}: {self.log()}"
        )

    def serial(self) -> int | None:
        """The serial number that it answers with; None: it does not answer."""
        query = dns.message.make_query(ZONE, "SOA")
        try:
            reply = dns.query.udp(query, "127.0.0.1", port=self.port, timeout=0.5)
        except (OSError, dns.exception.DNSException):
            return None
        return int(reply.answer[0][0].serial) if reply.answer else None

    def has_begun(self) -> bool:
        """Whether it answers, or has ended."""
        return self.process.poll() is not None or self.serial() is not None

    def log(self) -> str:
        return (self.top / "log").read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE_S)


def start_primary(
    kind: str, top: Path, text: str, notifies: int = 0, *, signs: bool = False
) -> RunningPrimary:
    """Start a primary with this zone file; skips the test where the program is not installed. `signs`: it
    signs the zone (BIND alone), with serial numbers of its own."""
    program = shutil.which(PROGRAMS[kind]) or shutil.which(PROGRAMS[kind], path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip(f"{PROGRAMS[kind]} is not installed (scripts/install-test-tools.sh installs it)")
    top.mkdir()
    (top / "zone").write_text(text)
    for _ in range(PORT_TRIES):
        port = free_port()
        arguments = CONFIGURATIONS[kind](top, port, notifies)
        if signs:
            conf = top / "conf"
            conf.write_text(
                conf.read_text().replace(
                    "type primary;", "type primary; dnssec-policy default; inline-signing yes;"
                )
            )
        with (top / "log").open("wb") as log:
            process = subprocess.Popen([program, *arguments], stdout=log, stderr=log, cwd=top)
        running = RunningPrimary(kind, top, port, notifies, process)
        if waited_for(running.has_begun) and process.poll() is None:
            return running
        process.kill()
        process.wait()
    raise AssertionError(f"{kind} does not start: {running.log()}")


def free_port() -> int:
    """A port on 127.0.0.1 that is free for UDP and TCP at this moment."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            try:
                tcp.bind(udp.getsockname())
            except OSError:
                continue
            return int(udp.getsockname()[1])


def waited_for(look: Callable[[], bool]) -> bool:
    """Whether `look` came true in time."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        if look():
            return True
        time.sleep(0.05)
    return False


def _bind(top: Path, port: int, notifies: int) -> list[str]:
    notify = f"also-notify {{ 127.0.0.1 port {notifies}; }}; notify explicit;" if notifies else "notify no;"
    (top / "conf").write_text(
        f'key "{KEY.name}" {{ algorithm hmac-sha256; secret "{base64.b64encode(SECRET).decode()}"; }};\n'
        f'options {{ directory "{top}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n'
        f'  pid-file "{top}/pid"; session-keyfile "{top}/session"; recursion no; notify-delay 0;\n'
        "  dnssec-validation no; empty-zones-enable no; };\n"
        "controls { };\n"
        f'zone "{ZONE}" {{ type primary; file "zone"; ixfr-from-differences yes; {notify}\n'
        f'  allow-transfer {{ key "{KEY.name}"; }}; }};\n'
    )
    return ["-g", "-n", "1", "-c", str(top / "conf")]


def _knot(top: Path, port: int, notifies: int) -> list[str]:
    (top / "db").mkdir(exist_ok=True)
    remote = f"remote:\n  - id: steer\n    address: 127.0.0.1@{notifies}\n" if notifies else ""
    (top / "conf").write_text(
        f'server:\n  listen: 127.0.0.1@{port}\n  rundir: "{top}"\n  udp-workers: 1\n  tcp-workers: 1\n'
        f"  background-workers: 1\n"
        f'database:\n  storage: "{top}/db"\nlog:\n  - target: stderr\n    any: info\n'
        f"key:\n  - id: {KEY.name}\n    algorithm: hmac-sha256\n"
        f"    secret: {base64.b64encode(SECRET).decode()}\n{remote}"
        f"acl:\n  - id: ours\n    key: {KEY.name}\n    action: transfer\n"
        f'zone:\n  - domain: {ZONE}\n    storage: "{top}"\n    file: zone\n    acl: ours\n'
        "    zonefile-load: difference\n    zonefile-sync: -1\n    journal-content: changes\n"
        + ("    notify: steer\n" if notifies else "")
    )
    return ["-c", str(top / "conf")]


def _nsd(top: Path, port: int, notifies: int) -> list[str]:
    (top / "conf").write_text(
        f'server:\n  ip-address: 127.0.0.1@{port}\n  username: ""\n  chroot: ""\n  zonesdir: "{top}"\n'
        f'  pidfile: "{top}/pid"\n  xfrdfile: "{top}/xfrd"\n  xfrdir: "{top}"\n  zonelistfile: "{top}/list"\n'
        f'  database: ""\n  server-count: 1\nremote-control:\n  control-enable: no\n'
        f'key:\n  name: "{KEY.name}"\n  algorithm: hmac-sha256\n'
        f'  secret: "{base64.b64encode(SECRET).decode()}"\n'
        f"zone:\n  name: {ZONE}\n  zonefile: zone\n  provide-xfr: 127.0.0.1 {KEY.name}\n"
        "  store-ixfr: yes\n  create-ixfr: yes\n"
        + (f"  notify: 127.0.0.1@{notifies} NOKEY\n" if notifies else "")
    )
    return ["-d", "-c", str(top / "conf")]


CONFIGURATIONS = {"bind": _bind, "knot": _knot, "nsd": _nsd}
