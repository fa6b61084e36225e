"""unbound with its subnet cache, and PowerDNS Recursor with ECS, resolving from our root."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from conformance.addresses import RECURSOR, STEER_SERVERS, UNBOUND, ZONE
from conformance.daemons import daemon
from conformance.mini_internet import MiniInternet, answers

UNBOUND_CONFIG = """server:
  interface: {listen}
  outgoing-interface: {ipv4}
  outgoing-interface: {ipv6}
  do-ip6: yes
  access-control: 0.0.0.0/0 allow
  do-not-query-localhost: no
  username: ""
  chroot: ""
  directory: "{directory}"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  root-hints: "{hints}"
  trust-anchor-file: "{anchor}"
  module-config: "subnetcache validator iterator"
  client-subnet-zone: {zone}
  max-client-subnet-ipv4: 24
  max-client-subnet-ipv6: 56
{send}remote-control:
  control-enable: no
"""
RECURSOR_CONFIG = """local-address={listen}
local-port=53
query-local-address={ipv4},{ipv6}
allow-from=0.0.0.0/0
dont-query=
daemon=no
disable-syslog=yes
threads=1
socket-dir={directory}
hint-file={hints}
dnssec=validate
lua-config-file={directory}/anchor.lua
edns-subnet-allow-list={zone}
use-incoming-edns-subnet=yes
ecs-ipv4-bits=24
ecs-ipv4-cache-bits=24
ecs-ipv6-bits=56
ecs-ipv6-cache-bits=56
ecs-add-for=0.0.0.0/0,::/0
config-dir={directory}
"""


@dataclass(frozen=True, slots=True)
class Resolver:
    """One resolver under test. `listen`: where it answers; `asks_from`: the addresses that steer sees.
    `mixes_hosts`: a tailored CNAME to a server without ECS goes to all clients, whatever its scope."""

    name: str
    listen: str
    asks_from: tuple[str, str]
    running: Callable[[MiniInternet], AbstractContextManager[None]]
    mixes_hosts: bool = False


@contextmanager
def run_unbound(internet: MiniInternet) -> Iterator[None]:
    """An unbound that answers inside the block."""
    directory = internet.scratch / "unbound"
    directory.mkdir()
    listen, ipv4, ipv6 = UNBOUND
    config = directory / "unbound.conf"
    config.write_text(
        UNBOUND_CONFIG.format(
            listen=listen,
            ipv4=ipv4,
            ipv6=ipv6,
            directory=directory,
            hints=internet.hints,
            anchor=internet.anchor_file,
            zone=ZONE,
            send="".join(f"  send-client-subnet: {address}\n" for address in STEER_SERVERS),
        )
    )
    command = ["unbound", "-d", "-c", str(config)]
    with daemon(command, internet.scratch / "unbound.log", lambda: answers(listen, "elsewhere.example.")):
        yield


@contextmanager
def run_recursor(internet: MiniInternet) -> Iterator[None]:
    """A PowerDNS Recursor that answers inside the block."""
    directory = internet.scratch / "recursor"
    directory.mkdir()
    listen, ipv4, ipv6 = RECURSOR
    fields = internet.root.ds.split()
    digest = " ".join((*fields[3:6], "".join(fields[6:])))
    (directory / "anchor.lua").write_text(f'clearTA()\naddTA(".", "{digest}")\n')
    (directory / "recursor.conf").write_text(
        RECURSOR_CONFIG.format(
            listen=listen,
            ipv4=ipv4,
            ipv6=ipv6,
            directory=directory,
            hints=internet.hints,
            zone=ZONE.rstrip("."),
        )
    )
    command = ["pdns_recursor", f"--config-dir={directory}"]
    with daemon(command, internet.scratch / "recursor.log", lambda: answers(listen, "elsewhere.example.")):
        yield


RESOLVERS = (
    Resolver("unbound", UNBOUND[0], UNBOUND[1:], run_unbound, mixes_hosts=True),
    Resolver("pdns_recursor", RECURSOR[0], RECURSOR[1:], run_recursor),
)
