"""One module per server: each writes its configuration into a directory and says how to start it."""

from bench.servers import echo, gdnsd, knot, pdns, steer
from bench.servers.server import Server

SERVERS: dict[str, Server] = {
    server.name: server
    for server in (echo.ECHO, steer.NATIVE, steer.REFERENCE, gdnsd.GDNSD, knot.KNOT, pdns.PDNS)
}
"""By name, in the order in which tables show them."""

VARIANTS: dict[str, Server] = {server.name: server for server in (steer.GUARDED, steer.SIGNED)}
"""steer, set up as no peer is compared with it."""
