"""What geodata says of one address, for `explain`."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class Place:
    """One address's place and ASN. Unknown text is '', unknown numbers are None.

    `latitude_deg` -90..90 and `longitude_deg` -180..180 are both given or both None. `accuracy_km` >= 0:
    radius around them. `country`: ISO 3166-1 alpha-2; `continent`: AF AN AS EU NA OC SA; `subdivision`: ISO
    3166-2 ('US-CA'). `network`: the database's network around the address, None where no database has its
    family.
    """

    latitude_deg: float | None = None
    longitude_deg: float | None = None
    accuracy_km: int | None = None
    country: str = ""
    continent: str = ""
    subdivision: str = ""
    city: str = ""
    asn: int | None = None
    network: IPv4Network | IPv6Network | None = None
