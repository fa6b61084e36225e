"""BIND and Knot with steer's cookie secret, as other nameservers of one service would have it (RFC 9018)."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from conformance.addresses import BIND, KNOT
from conformance.daemons import daemon
from conformance.mini_internet import MiniInternet, answers

PEER_ZONE = "elsewhere.example."
NAMED_CONFIG = """options {{
  directory "{directory}";
  pid-file none;
  session-keyfile none;
  lock-file none;
  listen-on {{ {ipv4}; }};
  listen-on-v6 {{ {ipv6}; }};
  recursion no;
  dnssec-validation no;
  answer-cookie yes;
  require-server-cookie yes;
  cookie-algorithm siphash24;
  cookie-secret "{secret}";
}};
controls {{ }};
zone "{zone}" {{ type primary; file "{file}"; }};
"""
KNOT_CONFIG = """server:
    rundir: {directory}
    listen: [ {ipv4}@53, {ipv6}@53 ]
database:
    storage: {directory}
mod-cookies:
  - id: shared
    secret: 0x{secret}
    badcookie-slip: 1
zone:
  - domain: {zone}
    file: {file}
    module: mod-cookies/shared
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server. It answers BADCOOKIE over UDP to whoever has no valid cookie."""

    name: str
    addresses: tuple[str, str]
    running: Callable[[MiniInternet], AbstractContextManager[None]]


@contextmanager
def run_bind(internet: MiniInternet) -> Iterator[None]:
    """A named that answers inside the block."""
    command = ["named", "-g", "-n", "1", "-c", _configured(internet, "bind", NAMED_CONFIG, BIND)]
    with daemon(command, internet.scratch / "bind.log", lambda: answers(BIND[0], PEER_ZONE)):
        yield


@contextmanager
def run_knot(internet: MiniInternet) -> Iterator[None]:
    """A knotd that answers inside the block."""
    command = ["knotd", "-c", _configured(internet, "knot", KNOT_CONFIG, KNOT)]
    with daemon(command, internet.scratch / "knot.log", lambda: answers(KNOT[0], PEER_ZONE)):
        yield


def _configured(internet: MiniInternet, name: str, config: str, addresses: tuple[str, str]) -> str:
    """Path of the peer's configuration, written."""
    directory = internet.scratch / name
    directory.mkdir()
    path = directory / f"{name}.conf"
    path.write_text(
        config.format(
            directory=directory,
            ipv4=addresses[0],
            ipv6=addresses[1],
            secret=internet.cookie_secret,
            zone=PEER_ZONE.rstrip("."),
            file=internet.scratch / f"{PEER_ZONE}signed",
        )
    )
    return str(path)


PEERS = (Peer("BIND", BIND, run_bind), Peer("Knot", KNOT, run_knot))
