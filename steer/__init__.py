"""steer: the authoritative nameserver of a CDN's zone. It answers with the anycast address wherever BGP does
well, and with a regional or a POP's own address wherever evidence says that it does badly."""

__version__ = "0.1.0"  # the only place: pyproject.toml reads it from here
