"""An address and port of this machine."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and port to listen on; port 0 lets the system choose."""

    address: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"

    @classmethod
    def of(cls, name: tuple[Any, ...]) -> Self:
        """That of a socket's own name."""
        return cls(ip_address(name[0].partition("%")[0]), name[1])
