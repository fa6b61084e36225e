"""The `beacon` of `evidence` in `steer.yaml`: the page script, where it is collected, and what it fetches."""

from urllib.parse import urlsplit

from steer.model.evidence import BeaconSettings
from steer.sources.addresses import domain_name, endpoint, prefix
from steer.sources.fields import Fields, Parser, listed, read_fields
from steer.sources.located_yaml import Faults, Node, quoted
from steer.sources.scalars import Wrong, integer, name, percentage, scalar

BEACON_KEYS = {
    "name": "b.cdn.example",
    "sample": "2%",
    "candidates": "3",
    "service": "default",
    "listen": '"127.0.0.1:8054"',
    "trusted_proxies": "[127.0.0.1]",
    "per_second": "100",
    "anycast_url": "https://{label}.b.cdn.example/steer-beacon",
    "pop_url": "https://{pop}.b.cdn.example/steer-beacon",
    "region_url": "https://{region}.region.cdn.example/steer-beacon",
}
LARGEST_CANDIDATE_COUNT = 8
LARGEST_RATE = 500  # page views a second: as many as the table of spent tickets can hold
LONGEST_URL = 512
_STAND_IN = "abcdefghijklmnopqrstuvwxyz"  # as long as a label


def read_beacon(value: Node, faults: Faults) -> BeaconSettings | None:
    """The settings; None, with a fault, where they name nothing."""
    fields = read_fields(value, BEACON_KEYS, faults, "`beacon`")
    if fields is None:
        return None
    default = BeaconSettings("")
    wildcard = fields.required("name", domain_name("the beacon's name", BEACON_KEYS["name"]))
    sample = fields.optional("sample", percentage(0, 100, "2%"), None)
    settings = BeaconSettings(
        name=wildcard or "",
        sample=default.sample if sample is None else float(sample),
        candidates=fields.optional("candidates", integer(1, LARGEST_CANDIDATE_COUNT, 3), default.candidates),
        service=fields.optional("service", name("a service", "default"), default.service),
        listen=fields.optional("listen", listed(endpoint(), BEACON_KEYS["listen"], at_most=8), ()),
        trusted_proxies=fields.optional(
            "trusted_proxies", listed(prefix(bare=True), BEACON_KEYS["trusted_proxies"], 0, 1024), ()
        ),
        per_second=fields.optional("per_second", integer(1, LARGEST_RATE, 100), default.per_second),
        anycast_url=_url(fields, "anycast_url", f"{{label}}.{wildcard}" if wildcard else "{label}"),
        pop_url=_url(fields, "pop_url", "{pop}"),
        region_url=_url(fields, "region_url", "{region}"),
    )
    return None if wildcard is None else settings


def _url(fields: Fields, key: str, needed: str) -> str:
    return fields.optional(key, _template(needed, BEACON_KEYS[key]), "")


def _template(needed: str, example: str) -> Parser[str]:
    """A URL in which `needed` stands once in the host, to be filled in for each page view."""

    def parse(value: str) -> str | Wrong:
        fix = f"write such as `{example}`"
        if needed not in value:
            return f"{quoted(value)} lacks `{needed}`", fix
        filled = value.replace("{label}", _STAND_IN).replace(needed, "x")
        try:
            parts = urlsplit(filled)
            port_fits = parts.port is None or parts.port > 0
        except ValueError:
            return f"{quoted(value)} is not a URL", fix
        fits = parts.scheme in ("http", "https") and parts.hostname and port_fits
        if not fits or parts.username is not None or parts.query or parts.fragment:
            return f"{quoted(value)} is not an http or https URL of host and path alone", fix
        plain = filled.isascii() and filled.isprintable() and not set(filled) & set(" {}\"'<>\\")
        if len(value) > LONGEST_URL or not plain:
            return f"{quoted(value)} has letters that a URL cannot have, or too many", fix
        if not _in_host(value, needed):
            return f"{quoted(value)} has `{needed}` elsewhere than in its host", fix
        return value

    return scalar(parse, example)


def _in_host(template: str, needed: str) -> bool:
    return needed in template.partition("://")[2].partition("/")[0]
